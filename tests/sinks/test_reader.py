"""The log read by a program: from a position or a time on, filtered, with its gaps told."""

from __future__ import annotations

import math
from datetime import UTC, datetime

import pytest

from hammerflow import Hammerflow
from hammerflow.events.filter import EventFilter
from hammerflow.sinks.reader import EventReader
from hammerflow.stores.events import bodies as event_bodies
from hammerflow.testing import drain


def test_large_arguments_are_left_out_unread_and_json_is_of_the_standard(
    migrated_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_bodies, "_MOST", 200)
    app = Hammerflow("shop", database=migrated_url)
    app.store.sinks.put("on", "none", {}, EventFilter.of(kinds=["*"]))

    @app.task(name="shop.show")
    def show(text: str, number: float) -> str:
        return text

    few, many = show.delay("few", math.inf), show.delay("m" * 201, math.nan)
    drain(app)
    while app.store.events.relay():
        pass
    found = {e.subject: e.data for e in app.events(include=["args", "result"])}
    assert found[str(few.id)]["args"] == ["few", "Infinity"]
    assert found[str(few.id)]["result"] == "few"
    assert not {"args", "result"} & found[str(many.id)].keys()
    results = {e.subject: e.data for e in app.events(include=["result"])}
    assert "args" not in results[str(few.id)] and results[str(few.id)]["result"] == "few"
    values = {"ids": [few.id.bytes, many.id.bytes], "args": 200, "result": -1}
    rows = {row[0]: row[1:] for row in app.store.database.rows("event_args", **values)}
    assert rows[many.id.bytes][0] is None is rows[few.id.bytes][2]
    app.close()


def test_an_app_reads_its_events(migrated_url: str) -> None:
    app = Hammerflow("shop", database=migrated_url)
    app.store.sinks.put("on", "none", {}, EventFilter.of(kinds=["*"]))

    @app.task(name="shop.add")
    def add(x: int, y: int) -> int:
        return x + y

    def move() -> None:
        while app.store.events.relay():
            pass

    first = add.delay(1, 2)
    move()
    between = datetime.fromtimestamp(app.store.clock() + 0.001, UTC)
    while app.store.clock() < between.timestamp():
        pass
    app.pause(queue="mail", reason="full")
    second = add.s(3, 4).apply_async(headers={"tenant": "acme"})
    move()
    events = list(app.events())
    assert [(e.position, e.kind) for e in events] == [
        (1, "job.enqueued"), (2, "queue.paused"), (3, "job.enqueued"),
    ]  # fmt: skip
    assert [e.subject for e in events] == [str(first.id), "mail", str(second.id)]
    assert events[1].data["reason"] == "full"
    assert [e.position for e in app.events(kinds=["job.*"], after=1)] == [3]
    assert [e.position for e in app.events(since=between)] == [2, 3]
    assert [e.position for e in app.events(limit=1)] == [1]
    [found] = app.events(after=2, include=["args"])
    assert found.data["args"] == [3, 4] and found.data["headers"] == {"tenant": "acme"}
    app.store.database.run("events_prune", position=1)
    gap = next(app.events(after=0))
    assert (gap.kind, gap.position, gap.data["last"]) == ("log.gap", 1, 1)
    app.close()


@pytest.mark.parametrize(("count", "positions"), [(1, [153]), (2, [2, 153]), (9, [1, 2, 153])])
def test_the_newest_events_of_a_rare_kind_are_found_behind_others(
    migrated_url: str, count: int, positions: list[int]
) -> None:
    """Page after page, none of which is read twice."""
    app = Hammerflow("shop", database=migrated_url)
    app.store.sinks.put("on", "none", {}, EventFilter.of(kinds=["*"]))

    @app.task(name="shop.show")
    def show(number: int) -> None: ...

    app.pause(queue="a", reason="full")
    app.pause(queue="b", reason="full")
    app.enqueue_many(show.s(number) for number in range(150))
    app.pause(queue="c", reason="full")
    while app.store.events.relay():
        pass
    reader = EventReader(app.store, EventFilter.of(kinds=["queue.paused"]))
    assert [event.position for event in reader.newest(count)] == positions
    app.close()
