"""The log read by a program: from a position or a time on, filtered, with its gaps told."""

from __future__ import annotations

from datetime import UTC, datetime

from hammerflow import Hammerflow
from hammerflow.events.filter import EventFilter


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
