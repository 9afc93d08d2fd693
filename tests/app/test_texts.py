"""Every text that reaches a column: cleaned or refused in the same way on each database."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from hammerflow import Hammerflow, HammerflowError, SpawnConfig, Workflow, current_job
from hammerflow.testing import drain

#: NUL, a lone surrogate, more than MySQL's TEXT holds, and what terminals obey.
TEXTS = ("a\0b", "\ud800", "x" * 70_000, "🦀" * 17_000, "\x1b[2J\u202e")


@pytest.fixture
def app(migrated_url: str) -> Iterator[Hammerflow]:
    """An app whose bodies report and raise the text that they get."""
    app = Hammerflow("texts", database=migrated_url, doorbell="none")

    @app.task(name="ok")
    def ok() -> None: ...

    @app.task(name="reports")
    def reports(number: int) -> None:
        current_job().progress(0.5, TEXTS[number])

    @app.task(name="raises", max_attempts=1)
    def raises(number: int) -> None:
        raise type(TEXTS[number].replace("\0", "_")[:2_000], (Exception,), {})(TEXTS[number])

    @app.spawner(name="splits")
    def splits() -> Any:
        yield ok.s()

    yield app
    app.close()


def ways(app: Hammerflow, text: str) -> dict[str, Callable[[], Any]]:
    """What a user may do with a text."""
    ok, splits = app.tasks["ok"], app.tasks["splits"]
    job = app.tasks["ok"].apply_async((), delay=1000)
    flow = app.enqueue(Workflow("waits").add(ok.s().set(delay=1000)))

    def flowing(**options: Any) -> Callable[[], Any]:
        return lambda: app.enqueue(Workflow("named", **options).add(ok.s()))

    return {
        "operation_id": lambda: splits.apply_async((), spawn=SpawnConfig(operation_id=text)),
        "handler": lambda: splits.apply_async((), spawn=SpawnConfig(handler=text)),
        "spawn metadata": lambda: splits.apply_async((), spawn=SpawnConfig(metadata={text: text})),
        "headers": lambda: ok.apply_async((), headers={text: text}),
        "queue": lambda: ok.apply_async((), queue=text),
        "unique_key": lambda: ok.apply_async((), unique_key=text),
        "workflow": lambda: app.enqueue(Workflow(text).add(ok.s())),
        "trace_id": flowing(trace_id=text),
        "correlation_id": flowing(correlation_id=text),
        "description": flowing(description=text),
        "metadata": flowing(metadata={text: text}),
        "cancel": lambda: job.cancel(reason=text),
        "workflow cancel": lambda: flow.cancel(reason=text),
        "pause": lambda: app.store.queues.pause("paused", by=text, reason=text),
    }


@pytest.mark.parametrize("number", range(len(TEXTS)))
def test_a_text_is_stored_or_refused_in_one_sentence(app: Hammerflow, number: int) -> None:
    text, refused = TEXTS[number], []
    for name, way in ways(app, text).items():
        try:
            way()
        except HammerflowError as error:
            assert "\n" not in str(error) and len(str(error)) < 400
            refused.append(name)
    if number < 2:
        assert {"operation_id", "handler", "trace_id", "unique_key", "queue"} <= {*refused}
    reporting = app.tasks["reports"].delay(number)
    raising = app.tasks["raises"].delay(number)
    drain(app)
    assert {job.state for job in app.jobs(state="parked")} == set()
    assert (reporting.state, raising.state) == ("completed", "failed")
