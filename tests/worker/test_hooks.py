"""app.hooks: who is called when, and that their errors change no job."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from hammerflow import Hammerflow, constant
from hammerflow.errors import ConfigError
from hammerflow.testing import drain
from hammerflow.worker.child.executor import Executor


@pytest.fixture
def app(migrated_url: str) -> Iterator[Hammerflow]:
    app = Hammerflow("hooked", database=migrated_url, doorbell="none")
    yield app
    app.close()


def test_hooks_are_called_and_their_errors_change_nothing(
    app: Hammerflow, caplog: pytest.LogCaptureFixture
) -> None:
    seen: list[tuple[str, str, str | None]] = []

    @app.task
    def good() -> int:
        return 1

    @app.task
    async def good_async() -> int:
        return 1

    @app.task(max_attempts=2, backoff=constant(0))
    def bad() -> None:
        raise ValueError("no")

    for moment in ("started", "completed", "failed", "timed_out", "retried"):
        getattr(app.hooks, f"job_{moment}")(
            lambda job, m=moment: seen.append((m, job.task.split(".")[-1], job.error_type))
        )

    @app.hooks.job_completed
    def broken(job: Any) -> None:
        raise RuntimeError("broken hook")

    jobs = [good.delay(), good_async.delay(), bad.delay()]
    drain(app)
    assert [j.job().state.name.lower() for j in jobs] == ["completed", "completed", "failed"]
    assert sorted((m, e) for m, t, e in seen if t == "bad") == [
        ("failed", "builtins.ValueError"), ("retried", "builtins.ValueError"),
        ("started", None), ("started", None),
    ]  # fmt: skip
    for name in ("good", "good_async"):
        assert [m for m, t, _ in seen if t == name] == ["started", "completed"]
    assert caplog.text.count("a job_completed hook failed") == 2


def test_without_hooks_none_are_looked_for(app: Hammerflow) -> None:
    assert Executor(app, lambda *note: None)._hooks is None


def test_an_async_hook_is_refused(app: Hammerflow) -> None:

    async def late(job: Any) -> None:
        pass

    with pytest.raises(ConfigError, match="make it a plain function"):
        app.hooks.job_failed(late)
