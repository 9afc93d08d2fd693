"""The relay's loop: what it asks when nothing happens, and what it does when it is never idle."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from hammerflow import Hammerflow
from hammerflow.events.filter import EventFilter
from hammerflow.notifiers import RELAYS
from hammerflow.sinks.runner import LogKeeping, RelayRunner, listen_for_events
from tests.stores.kit import Desk
from tests.support.waiting import until


@contextmanager
def runner(desk: Desk, **options: Any) -> Iterator[RelayRunner]:
    desk.store.sinks.put("on", "none", {}, EventFilter.of(kinds=["*"]))
    desk.store.names.outbox.refresh()
    desk.sql("UPDATE {sinks} SET state = 'paused'")  # its thread would ask questions, too
    one = RelayRunner(desk.store, source="shop", **options)
    yield one
    one._end()


def test_an_idle_relay_asks_one_question_a_time(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    with runner(desk) as relay:
        relay.step()
        while relay.step():
            pass
        asked: list[str] = []
        rows, run = desk.store.database.rows, desk.store.database.run
        told = {"rows": rows, "run": run}
        for name, function in told.items():

            def noted(statement: str, /, *, _function: Any = function, **values: Any) -> Any:
                asked.append(statement)
                return _function(statement, **values)

            monkeypatch.setattr(desk.store.database, name, noted)
        for _ in range(20):
            assert not relay.step()
        assert asked.count("relay_look") == 20
        assert len(asked) <= 24  # the turn and the table of sinks, now and then
        monkeypatch.undo()


def test_a_relay_that_is_never_idle_removes_old_events(desk: Desk) -> None:
    with runner(desk, keeping=LogKeeping(age=0.0, most=0, hard_age=0.0)) as relay:
        for _ in range(3):
            desk.put(desk.job())
            assert relay.step()
            relay._prune_at = 0.0
        assert desk.store.events.first() > 1


def test_a_ring_wakes_an_idle_relay(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_IDLE", "_LONGER"):
        monkeypatch.setattr(f"hammerflow.sinks.runner.{name}", 3_600.0)  # it never polls again
    app = Hammerflow("shop", database=desk.url, doorbell="local")
    with runner(desk) as relay, closing(listen_for_events(app.notifier, relay)):
        found: list[bool] = []
        step = relay.step

        def noted() -> bool:
            found.append(step())
            return found[-1]

        monkeypatch.setattr(relay, "step", noted)
        thread = threading.Thread(target=relay.run)
        thread.start()
        try:
            for number, ring in enumerate((app.notifier.ring, app.notifier.ring_control)):
                until("it is idle", lambda: found[-2:] == [False, False])
                head = relay.store.events.head()
                desk.put(desk.job())
                ring(*[[RELAYS]][number:])
                until("it has moved", lambda: relay.store.events.head() > head)  # noqa: B023
                found.clear()
                relay.wake()
                relay.wake()
        finally:
            relay.stop()
            thread.join(10)
        assert not thread.is_alive()
    app.close()


def test_a_wake_does_not_cut_the_pause_after_a_move(desk: Desk) -> None:
    with runner(desk) as relay:
        relay.wake()
        began = time.monotonic()
        assert relay._wait(0.1, 3_600.0)
        assert 0.1 <= time.monotonic() - began < 5.0
        assert not relay._wait(0.0, 0.01)


def test_moves_of_many_events_are_rare(desk: Desk) -> None:
    with runner(desk) as relay:
        relay.step()
        desk.put(desk.job())
        assert relay.step()
        assert relay._rest(0.001) == 0.02
        assert relay._rest(0.02) == pytest.approx(0.06)
        assert relay._rest(1.0) == 0.1
        desk.put(*[desk.job() for _ in range(600)])
        assert relay.step()
        assert relay._rest(0.001) == 0.2


def test_a_database_that_is_gone_is_told_once(
    sqlite_url: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hammerflow.sinks.runner._AFTER_ERROR", 0.01)
    caplog.set_level("INFO")
    with closing(Hammerflow("shop", database=sqlite_url)) as app:
        app.migrate()
        app.store.sinks.put("on", "none", {}, EventFilter.of(kinds=["*"]))
        relay = RelayRunner(app.store, source="shop")
        running = threading.Thread(target=relay.run)
        running.start()
        file = Path(sqlite_url.removeprefix("sqlite:///"))
        until("the sink has begun", lambda: relay._threads)
        file.rename(file.with_name("away"))
        until("both wait", lambda: len(_warnings(caplog)) >= 2)
        running.join(0.2)  # they try again
        file.with_name("away").rename(file)
        until("it goes on", lambda: "goes on" in caplog.text)
        relay.stop()
        running.join()
    assert sorted(text.partition(": ")[0] for text in _warnings(caplog)) == [
        "sink on waits", "the relay waits for the database"
    ]  # fmt: skip


def _warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [each.message for each in caplog.records if "waits" in each.message]
