"""``@app.on``: one durable job for each matching event, whoever is killed, and no loops."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hammerflow import Hammerflow, Signature, UniqueKey, constant
from hammerflow.errors import ConfigError
from hammerflow.events.event import Event
from hammerflow.ids import name_id
from hammerflow.sinks.declared import follow_code
from hammerflow.testing import drain
from tests.sinks.test_delivery import deliver, delivery
from tests.stores.kit import Desk, failed


@pytest.fixture
def app(desk: Desk) -> Iterator[Hammerflow]:
    """An app over the desk's database."""
    app = Hammerflow("hooked", database=desk.url, doorbell="none")
    yield app
    app.close()


def declare(desk: Desk, app: Hammerflow) -> None:
    """What a worker does at its start."""
    follow_code(desk.store.sinks, "hooked", app.sinks.definitions())
    for store in (desk.store, app.store):
        store.names.outbox.refresh()


def run_all(desk: Desk, app: Hammerflow) -> None:
    """Run jobs and hooks until nothing is left."""
    before = -1
    while before != (before := desk.count("done")):
        drain(app)
        for row in desk.store.sinks.list():
            one = delivery(desk.store, row.name)
            deliver(desk, one)
            one.close()


def test_a_function_runs_once_for_each_matching_event(desk: Desk, app: Hammerflow) -> None:
    seen: list[tuple[str, Any]] = []

    @app.task(max_attempts=1)
    def bad(x: int) -> None:
        raise ValueError(f"no {x}")

    @app.on("job.failed", queue="mail", task="*.bad", include=["args"])
    def tell(event: Event) -> None:
        seen.append(("tell", event))

    @app.on("job.failed", "job.completed", with_headers={"tenant": "acme"}, sink="by tenant")
    @app.task(queue="hooks", max_attempts=2, backoff=constant(0))
    async def tell_async(event):  # type: ignore[no-untyped-def]
        seen.append(("async", event.kind))
        raise RuntimeError("each attempt")

    @app.on("job.*")
    def again(event: Event) -> None:
        seen.append(("again", event.kind))

    declare(desk, app)
    bad.s(1).apply_async(queue="mail", headers={"tenant": "acme"})
    bad.s(2).apply_async()
    run_all(desk, app)

    [event] = [event for name, event in seen if name == "tell"]
    assert (event.kind, event.data["args"], event.data["error"]["message"]) == (
        "job.failed", [1], "no 1",
    )  # fmt: skip
    assert [kind for name, kind in seen if name == "async"] == ["job.failed"] * 2
    kinds = ["job.enqueued", "job.started", "job.failed"] * 2
    assert sorted(kind for name, kind in seen if name == "again") == sorted(kinds)
    queues = {job.task: job.queue for job in app.jobs()}
    assert queues[tell_async.name] == "hooks"
    assert {job.task for job in app.jobs(state="failed")} == {bad.name, tell_async.name}


def test_an_event_that_is_read_again_makes_no_second_job(desk: Desk, app: Hammerflow) -> None:
    @app.on("job.failed", max_attempts=7)
    def tell(event: Event) -> None:
        pass

    declare(desk, app)
    desk.settle((desk.run(desk.job())[0], failed()))
    deliver(desk, _delivery(desk, tell.name)).close()
    assert len(app.jobs(task=tell.name)) == 1
    desk.store.sinks.rewind(f"on:{tell.name}", 0, by="me")
    deliver(desk, _delivery(desk, tell.name)).close()
    assert len(app.jobs(task=tell.name)) == 1
    assert tell.defaults.max_attempts == 7


def test_the_position_moves_only_with_the_jobs(desk: Desk, app: Hammerflow) -> None:
    @app.on("job.failed")
    def tell(event: Event) -> None:
        pass

    declare(desk, app)
    desk.settle((desk.run(desk.job())[0], failed()))
    while desk.store.events.relay():
        pass
    desk.sql("ALTER TABLE {ready} RENAME TO {ready}_away")
    try:
        broken = _delivery(desk, tell.name)
        broken.step()
        broken.close()
        row = desk.store.sinks.get(f"on:{tell.name}")
        assert (row.position, row.failures) == (0, 1)
    finally:
        desk.sql("ALTER TABLE {ready}_away RENAME TO {ready}")
    deliver(desk, _delivery(desk, tell.name)).close()
    assert len(app.jobs(task=tell.name)) == 1
    assert desk.store.sinks.get(f"on:{tell.name}").position == desk.store.events.head()


def _delivery(desk: Desk, task: str) -> Any:
    return delivery(desk.store, f"on:{task}")


def test_wrong_hooks_are_refused_in_a_sentence(app: Hammerflow) -> None:
    @app.task
    def two(a: int, b: int) -> None: ...

    @app.task(unique=UniqueKey())
    def alone(event: Event) -> None: ...

    @app.spawner
    def many(event: Event) -> Iterator[Signature]:
        yield two.s(1, 2)

    with pytest.raises(ConfigError, match=r"app\.on takes the kinds of events"):
        app.on()
    with pytest.raises(TypeError, match="two"):
        app.on("job.failed")(two)
    with pytest.raises(ConfigError, match="has unique, which is computed"):
        app.on("job.failed")(alone)
    with pytest.raises(ConfigError, match=r"no kind of event 'job\.nothing'"):
        app.on("job.nothing")(lambda event: None)
    with pytest.raises(ConfigError, match="is a task already"):
        app.on("job.failed", max_attempts=3)(many)
    assert app.on("job.failed")(many) is many
    with pytest.raises(ConfigError, match="two sinks are named"):
        app.on("job.completed")(many)
    assert app.on("job.completed", sink="other")(many) is many


CODE = """
from hammerflow import Hammerflow
app = Hammerflow("hooked", doorbell="none")

@app.on("job.failed")
def tell(event):
    pass
"""


def test_no_kill_of_the_relay_loses_or_doubles_a_hook(
    desk: Desk, app: Hammerflow, tmp_path: Path
) -> None:
    @app.on("job.failed", sink="on:shop.tell")
    @app.task(name="shop.tell")
    def tell(event: Event) -> None:
        pass

    (tmp_path / "shop.py").write_text(CODE)
    declare(desk, app)
    jobs = desk.run(*(desk.job() for _ in range(600)))
    for at in range(0, 600, 5):
        desk.settle(*((job, failed()) for job in jobs[at : at + 5]))
    task = name_id("shop.tell")
    command = [sys.executable, "-m", "hammerflow", "-A", "shop:app", "relay", "--for", "20"]
    environment = {**os.environ, "HAMMERFLOW_DATABASE_URL": desk.url}

    def count() -> int:
        return int(desk.sql(f"SELECT count(*) FROM {{jobs}} WHERE task_id = {task}")[0][0])

    row = desk.store.sinks.get("on:shop.tell")
    desk.store.sinks.put(row.name, row.kind, {**row.config, "batch": 20}, row.filters, app=row.app)
    for wanted in (1, 150, 400, 600):
        desk.sql("UPDATE {sinks} SET until = 0")  # the time of the killed process is over
        desk.sql("UPDATE {relay} SET until = 0")
        process = subprocess.Popen(command, cwd=tmp_path, env=environment)
        deadline = time.monotonic() + 30
        while count() < wanted:
            assert time.monotonic() < deadline
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert count() == 600
    assert desk.store.events.head() == 600
