"""Commands that do not know the app ring the doorbells that its workers listen to."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from hammerflow import Hammerflow
from hammerflow.notifiers import open_notifier
from tests.cli.conftest import Run, claim
from tests.cli.test_worker import Start, end, site, worker
from tests.notifiers.kit import Listening
from tests.support.waiting import until

__all__ = ["site", "worker"]
SECRET = "redis://user:word@127.0.0.1:1/0"


@pytest.fixture
def listening(shop: Hammerflow) -> Iterator[Callable[..., Listening]]:
    """Have a worker listen to a doorbell that it writes down, as workers do."""
    opened: list[Listening] = []
    notifiers = []

    def listen(number: int, **settings: str) -> Listening:
        app = Hammerflow("warehouse", database=shop.settings.database, **settings)  # type: ignore[arg-type]
        info = {"doorbell": app.settings.doorbell_address}
        shop.store.workers.register(number, host="h", pid=1, info=info, tasks=[], queues=[])
        connect = shop.store.database.open_connection
        notifiers.append(open_notifier(app.settings, connect=connect))
        opened.append(Listening(notifiers[-1], "default"))
        return opened[-1]

    yield listen
    for each in opened:
        each.close()
    for notifier in notifiers:
        notifier.close()


COMMANDS = (
    "queue pause default", "queue resume default", "job cancel {running}", "job cancel {ready}",
    "job retry {cancelled}", "workflow cancel {workflow}",
)  # fmt: skip


def _given(shop: Hammerflow) -> dict[str, object]:
    add = shop.tasks["shop.add"]
    running = add.delay(1, 1)
    claim(shop)
    cancelled, ready = add.delay(1, 2), add.delay(1, 3)
    cancelled.cancel()
    workflow = (add.s(1, 2) | add.s(3)).delay()
    chain = shop.workflows()[0]
    assert workflow is not None
    return {
        "running": running.id, "cancelled": cancelled.id, "ready": ready.id, "workflow": chain.id
    }  # fmt: skip


def _hear_all(run: Run, shop: Hammerflow, heard: Listening) -> None:
    given = _given(shop)
    for command in COMMANDS:
        heard.control.clear()
        heard.work.clear()
        ended = run(*command.format(**given).split())
        assert (ended.code, ended.err) == (0, ""), command
        if "{ready}" not in command:  # nobody waits for a job that was cancelled before its start
            until(f"a ring of {command}", lambda: heard.control.is_set() or heard.work.is_set())


def test_each_command_rings_in_the_namespace_of_the_workers(
    run: Run, shop: Hammerflow, listening: Callable[..., Listening]
) -> None:
    kinds = {"sqlite": ["local"], "postgres": ["postgres"], "mysql": []}[shop.store.dialect]
    for number, kind in enumerate(kinds):
        _hear_all(run, shop, listening(100 + number, doorbell=kind))


def test_each_command_rings_at_the_redis_of_the_workers(
    run: Run, shop: Hammerflow, redis_url: str, listening: Callable[..., Listening]
) -> None:
    _hear_all(run, shop, listening(100, redis=redis_url))


def test_a_doorbell_that_needs_a_password_is_named(run: Run, embedded_shop: Hammerflow) -> None:
    app = Hammerflow("warehouse", database=embedded_shop.settings.database, redis=SECRET)
    info = {"doorbell": app.settings.doorbell_address}
    embedded_shop.store.workers.register(9, host="h", pid=1, info=info, tasks=[], queues=[])
    embedded_shop.tasks["shop.add"].delay(1, 2)

    ended = run("queue", "pause", "default")

    assert ended.code == 0
    assert "set $HAMMERFLOW_REDIS_URL or name the app with -A" in ended.err
    assert "word" not in ended.err + str(info)


def test_a_worker_writes_its_doorbell_down(
    run: Run, site: Hammerflow, worker: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HAMMERFLOW_NAMESPACE", "warehouse")
    process = worker("-c", "1")
    (row,) = until("a worker is registered", site.store.workers.list, 60)
    monkeypatch.delenv("HAMMERFLOW_APP")

    assert row["info"]["doorbell"]["namespace"] == "warehouse"
    assert run("queue", "pause", "default", "--new").code == 0
    result = site.tasks["site_app.add"].delay(2, 2)
    assert run("queue", "resume", "default").code == 0
    assert result.get(timeout=60) == 4
    assert end(process)[0] == 0
