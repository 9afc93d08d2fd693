"""Whatever commits events wakes the relays; what writes none wakes nobody."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing

import pytest

from hammerflow import Hammerflow
from hammerflow.events.filter import EventFilter
from hammerflow.jobs.outcome import Completed, Retrying
from hammerflow.notifiers import RELAYS
from hammerflow.notifiers.relay_bell import RelayBell
from hammerflow.sinks.runner import RelayRunner, listen_for_events
from tests.stores.kit import BAD, Desk
from tests.stores.schedule_kit import Beat, definition
from tests.support.waiting import until

Verb = Callable[[Desk], object]


def sink(desk: Desk) -> None:
    """Have every kind of event logged."""
    desk.store.sinks.put("on", "none", {}, EventFilter.of(kinds=["*"]))
    desk.store.names.outbox.refresh()


def cancel(desk: Desk) -> None:
    desk.store.jobs.cancel(desk.put(desk.job())[0], "no")


def sweep(desk: Desk) -> None:
    desk.elapse(100.0)
    desk.store.workers.sweep(lease=30.0, poison_limit=3)


def schedule(desk: Desk) -> None:
    desk.store.schedules.create("hourly", definition(every=60.0), by="ann")


def tick(desk: Desk) -> None:
    beat = Beat(desk)
    beat.elapse(minutes=10)
    beat.make(watched=3_600.0)


def own_transaction(desk: Desk) -> None:
    with desk.store.transaction() as tx:
        desk.store.jobs.insert([desk.job()], tx)


#: By what writes them: alone, and whether it writes one row of the outbox.
VERBS: Mapping[str, Verb] = {
    "delay": lambda desk: desk.store.jobs.insert_one(desk.job()),
    "enqueue_many": lambda desk: desk.put(desk.job(), desk.job()),
    "transaction": own_transaction,
    "claim": lambda desk: desk.claim(1),
    "settle": lambda desk: desk.end(*desk.claim(2)),
    "retry": lambda desk: desk.settle((desk.claim(1)[0], Retrying(30.0, BAD))),
    "cancel": cancel,
    "pause": lambda desk: desk.store.queues.pause("q", by="ann"),
    "resume": lambda desk: desk.store.queues.resume("q"),
    "birth of a worker": lambda desk: desk.register(7),
    "death of a worker": lambda desk: desk.store.workers.leave(7),
    "sweep": sweep,
    "schedule": schedule,
    "tick": tick,
}


@pytest.fixture
def told(desk: Desk) -> Iterator[list[int]]:
    """The events in the log at each wake, all of which are committed by then."""
    found: list[int] = []
    other = desk.another()

    def note() -> None:
        while other.events.relay():
            pass
        found.append(other.events.head())

    desk.store.database.on_events = note
    yield found
    other.close()


def prepare(desk: Desk) -> None:
    desk.put(*(desk.job() for _ in range(6)))
    desk.register(1)


def test_each_commit_of_events_wakes(desk: Desk, told: list[int]) -> None:
    sink(desk)
    prepare(desk)
    for name, verb in VERBS.items():
        before, count = desk.store.events.head(), len(told)
        verb(desk)
        assert len(told) > count, name
        desk.store.events.relay()
        assert told[-1] == desk.store.events.head() > before, name


def test_without_a_sink_nothing_wakes(desk: Desk, told: list[int]) -> None:
    prepare(desk)
    for verb in VERBS.values():
        verb(desk)
    assert told == []


def test_neither_a_rollback_nor_what_nobody_wants_wakes(desk: Desk, told: list[int]) -> None:
    desk.store.sinks.put("on", "none", {}, EventFilter.of(kinds=["job.completed"]))
    desk.store.names.outbox.refresh()
    [job] = desk.run(desk.job())
    with pytest.raises(ZeroDivisionError), desk.store.transaction() as tx:
        desk.store.jobs.settle(1, [(job, Completed(None))], tx)
        raise ZeroDivisionError
    assert told == []
    desk.put(desk.job())
    assert told == []
    desk.end(job)
    assert told == [1]


def test_a_relay_that_never_polls_moves_what_each_verb_commits(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("_IDLE", "_LONGER"):
        monkeypatch.setattr(f"hammerflow.sinks.runner.{name}", 3_600.0)
    monkeypatch.setattr("hammerflow.notifiers.relay_bell._PAUSE", 0.0)
    sink(desk)
    prepare(desk)
    desk.sql("UPDATE {sinks} SET state = 'paused'")  # its thread would not end with the test
    with (
        closing(Hammerflow("shop", database=desk.url, doorbell="local")) as app,
        closing(desk.another()) as other,
    ):
        relay = RelayRunner(other, source="shop")
        desk.store.database.on_events = RelayBell(app.notifier)
        with closing(listen_for_events(app.notifier, relay)):
            running = threading.Thread(target=relay.run)
            running.start()
            try:
                for name, verb in VERBS.items():
                    until("it has moved all", lambda: not desk.store.events.look()[1])
                    before = desk.store.events.head()
                    verb(desk)
                    until(name, lambda: desk.store.events.head() > before)  # noqa: B023
            finally:
                relay.stop()
                running.join(10)


def test_an_app_rings_relays_ten_times_a_second_at_most(desk: Desk) -> None:
    sink(desk)
    with closing(Hammerflow("shop", database=desk.url, doorbell="local")) as app:
        rung = threading.Event()
        with closing(app.notifier.listen(queues=[RELAYS], on_work=rung.set, on_control=int)):
            app.store.names.outbox.refresh()
            rung.clear()  # a subscription calls back, too
            app.signature("t", []).delay()
            assert rung.wait(10)
    calls: list[list[str]] = []

    class Bell:
        ring = calls.append

    bell = RelayBell(Bell())  # type: ignore[arg-type]
    for _ in range(1_000):
        bell()
    assert calls == [[RELAYS]]
