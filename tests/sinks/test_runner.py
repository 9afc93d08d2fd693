"""The relay's loop: what it asks when nothing happens, and what it does when it is never idle."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from hammerflow.events.filter import EventFilter
from hammerflow.sinks.runner import LogKeeping, RelayRunner
from tests.stores.kit import Desk


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
