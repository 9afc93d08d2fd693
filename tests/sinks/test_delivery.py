"""Delivery: each sink gets each event at least once and in order, whatever fails in between."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hammerflow.events.event import Event
from hammerflow.events.filter import EventFilter
from hammerflow.events.kinds import EventKind
from hammerflow.ids import worker_number
from hammerflow.jobs.job import NewJob
from hammerflow.jobs.outcome import Completed
from hammerflow.options.option import OptionTable
from hammerflow.sinks.base import Message, Refused, Report, SinkError
from hammerflow.sinks.delivery import Delivery
from hammerflow.sinks.jobs import job_id, report_of
from hammerflow.stores.store import Store
from tests.sinks.receiver import LOCAL, Receiver
from tests.stores.kit import Desk, failed

OK = Completed(None)


class Memory:
    """A sink in this process, that fails as it is told."""

    OPTIONS = OptionTable(())
    SECRETS: frozenset[str] = frozenset()
    got: list[Message] = []  # noqa: RUF012 - of all instances, as each try makes one
    plan: list[Any] = []  # noqa: RUF012 - what the next sends do

    def __init__(self, name: str, options: Mapping[str, Any]) -> None:
        pass

    def open(self) -> None:
        pass

    def send(self, messages: Sequence[Message]) -> Report:
        step = self.plan.pop(0) if self.plan else None
        if isinstance(step, Exception):
            raise step
        if callable(step):
            step = step(messages)
        if step is not None:
            self.got += [m for m in messages if m.position in step.delivered]
            return step  # type: ignore[no-any-return]
        self.got += messages
        return Report.all(messages)

    def close(self) -> None:
        pass


MEMORY = f"{__name__}:Memory"


_made: list[Delivery] = []


@pytest.fixture(autouse=True)
def _empty() -> Iterator[None]:
    Memory.got.clear()
    Memory.plan.clear()
    yield
    for one in _made:
        one._close_sink()
    _made.clear()


def add(
    desk: Desk, name: str = "s", kind: str = MEMORY, *, kinds: Any = None, **config: Any
) -> None:
    desk.store.sinks.put(name, kind, config, EventFilter.of(kinds=kinds))


def delivery(store: Store, name: str = "s") -> Delivery:
    row = store.sinks.get(name)
    _made.append(Delivery(store, row, holder=worker_number(), source="shop", bounds=LOCAL))
    return _made[-1]


def deliver(desk: Desk, one: Delivery | None = None) -> Delivery:
    """Move what was committed, and deliver until the sink has nothing more to get."""
    while desk.store.events.relay():
        pass
    one = one or delivery(desk.store)
    while one.step() == 0:
        pass
    return one


def positions() -> list[int]:
    return [message.position for message in Memory.got]


def test_a_file_gets_each_event_as_a_line(desk: Desk, tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    add(desk, kind="file", path=str(path), kinds=["job.completed", "job.failed"])
    good, bad = desk.run(desk.job(headers='{"tenant": "acme"}'), desk.job())
    desk.settle((good, OK), (bad, failed()))
    path.write_bytes(b'{"half')  # a process was killed while it wrote
    deliver(desk)
    first, *lines = path.read_text("utf-8").splitlines()
    assert first == '{"half'
    events = {event["subject"]: event for event in map(json.loads, lines)}
    assert len(lines) == len(events) == 2
    one = events[_uuid(good.id)]
    assert (one["specversion"], one["type"]) == ("1.0", "hammerflow.job.completed.v1")
    assert one["source"] == "/hammerflow/shop" and one["id"].startswith("shop/")
    assert one["data"]["task"] == "t" and one["data"]["queue"] == "q"
    assert one["data"]["headers"] == {"tenant": "acme"} and one["data"]["duration"] >= 0
    other = events[_uuid(bad.id)]["data"]
    assert other["error"]["type"] == "builtins.ValueError"
    row = desk.store.sinks.get("s")
    assert (row.sent, row.position) == (2, desk.store.events.head())


def _uuid(id_: bytes) -> str:
    import uuid

    return str(uuid.UUID(bytes=id_))


def test_http_batches_are_sent_again_until_they_are_taken(
    embedded_desk: Desk, receiver: Receiver
) -> None:
    desk = embedded_desk
    add(desk, kind="http", url=receiver.url, headers={"X-Token": "s3cret"}, kinds=["job.*"])
    desk.end(*desk.run(desk.job(), desk.job()))
    receiver.answers = [503]
    one = deliver(desk)
    row = desk.store.sinks.get("s")
    assert row.failures == 1 and "503" in row.error and row.position == 0
    one._retry_at = 0.0
    deliver(desk, one)
    assert [e["type"].split(".")[2] for e in receiver.events] == [
        "enqueued", "enqueued", "started", "started", "completed", "completed",
    ]  # fmt: skip
    assert receiver.headers[0]["X-Token"] == "s3cret"
    assert desk.store.sinks.get("s").error == ""


def test_a_refused_event_is_parked_and_the_others_go_on(
    embedded_desk: Desk, receiver: Receiver
) -> None:
    desk = embedded_desk
    add(desk, kind="http", url=receiver.url)
    good, bad = desk.run(desk.job(), desk.job())
    receiver.poison = {"hammerflow.job.failed.v1"}
    desk.settle((bad, failed()), (good, OK))
    deliver(desk)
    [parked] = desk.store.sinks.parked("s")
    assert parked.id == bad.id and "400" in parked.error and "job.failed" in parked.body
    assert [e["type"] for e in receiver.events] == ["hammerflow.job.completed.v1"]
    assert desk.store.sinks.get("s").position == desk.store.events.head()


def test_a_sink_that_may_not_park_stops(embedded_desk: Desk) -> None:
    desk = embedded_desk
    add(desk, on_poison="stop")
    desk.end(*desk.run(desk.job()))
    Memory.plan = [lambda ms: Report(frozenset(), {ms[0].position: "no"})]
    deliver(desk)
    row = desk.store.sinks.get("s")
    assert row.state == "stopped" and "refuses the event" in row.reason and row.position == 0
    desk.store.sinks.resume("s", by="ann")
    deliver(desk)
    assert len(Memory.got) == 1


def test_what_was_delivered_behind_a_hole_is_not_sent_again(embedded_desk: Desk) -> None:
    desk = embedded_desk
    add(desk, kinds=["job.enqueued"])
    desk.put(*(desk.job() for _ in range(4)))
    Memory.plan = [lambda ms: Report(frozenset({1, 3}), {}, "lost two")]
    one = deliver(desk)
    assert desk.store.sinks.get("s").position == 1
    one._retry_at = 0.0
    deliver(desk, one)
    assert positions() == [1, 3, 2, 4]
    assert desk.store.sinks.get("s").sent == 4


def test_the_cursor_moves_after_the_send(embedded_desk: Desk) -> None:
    """Whoever takes over after a death sends again what may not have arrived."""
    desk = embedded_desk
    add(desk, kinds=["job.enqueued"])
    desk.put(desk.job())

    class Killed(BaseException):
        pass

    def die(messages: Sequence[Message]) -> Report:
        raise Killed

    Memory.plan = [die]
    with pytest.raises(Killed):
        deliver(desk)
    desk.sql("UPDATE {sinks} SET until = 0")  # its time is over
    deliver(desk)
    assert positions() == [1]


def test_a_frozen_holder_cannot_move_the_cursor(desk: Desk) -> None:
    """It wakes up behind the one that has taken over, and has an old term."""
    add(desk, kinds=["job.enqueued"])
    desk.put(desk.job(), desk.job())
    while desk.store.events.relay():
        pass
    frozen = delivery(desk.store)

    def freeze(messages: Sequence[Message]) -> Report:
        desk.sql("UPDATE {sinks} SET until = 0")
        desk.store.sinks.rewind("s", 0, by="ann")
        return Report.all(messages)

    Memory.plan = [freeze]
    frozen.step()
    assert desk.store.sinks.get("s").position == 0
    deliver(desk)
    assert positions() == [1, 2, 1, 2]
    assert desk.store.sinks.get("s").position == 2


def test_a_paused_sink_gets_nothing_and_then_all(embedded_desk: Desk) -> None:
    desk = embedded_desk
    add(desk, kinds=["job.enqueued"])
    one = deliver(desk)
    desk.store.sinks.pause("s", by="ann", reason="upgrade")
    desk.put(desk.job())
    one._signed_at = 0.0  # a second later
    deliver(desk, one)
    assert Memory.got == []
    desk.store.sinks.resume("s", by="ann")
    deliver(desk)
    assert positions() == [1]


def test_a_gap_is_told_to_the_sink(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    add(desk, kinds=["job.enqueued"])
    for _ in range(3):
        desk.put(desk.job())
        while desk.store.events.relay():
            pass
    clock = desk.store.clock()
    assert desk.store.events.prune(before=clock + 9, beyond=99, floor=0, hard_before=0.0) == 0
    desk.sql("DELETE FROM {events} WHERE position <= 2")
    with caplog.at_level(logging.ERROR, "hammerflow.sinks"):
        deliver(desk)
    assert [(m.event.kind, m.position) for m in Memory.got] == [("log.gap", 2), ("job.enqueued", 3)]
    assert Memory.got[0].event.data["first"] == 1 and Memory.got[0].id == "shop/gap/1-2"
    assert desk.store.sinks.get("s").gap == (1, 2)
    assert "the events 1 to 2 were removed" in caplog.text


def test_retention_removes_what_all_have_got(desk: Desk) -> None:
    add(desk, kinds=["job.enqueued"])
    for _ in range(3):
        desk.put(desk.job())
        while desk.store.events.relay():
            pass
    log, clock = desk.store.events, desk.store.clock()
    assert log.prune(before=clock + 9, beyond=99, floor=2, hard_before=0.0) == 2
    assert log.first() == 3
    assert log.prune(before=0.0, beyond=0, floor=3, hard_before=0.0) == 3
    desk.put(desk.job())
    while log.relay():
        pass
    page = log.read(0)
    assert page.gap == (1, 3) and [record.position for record in page.records] == [4]


def test_a_purged_job_leaves_a_tombstone(embedded_desk: Desk) -> None:
    desk = embedded_desk
    desk.store.sinks.put("s", MEMORY, {}, EventFilter.of(queues=["other"]))
    gone, there = desk.run(desk.job(), desk.job())
    desk.end(gone, there)
    for table in ("jobs", "done"):
        column = "id" if table == "jobs" else "job_id"
        desk.sql(f"DELETE FROM {{{table}}} WHERE {column} = {desk.id(gone.id)}")
    deliver(desk)
    [message] = Memory.got
    assert message.event.is_tombstone and message.event.subject == _uuid(gone.id)
    assert json.loads(message.body)["data"]["is_tombstone"] is True


def encode(event: Event) -> bytes:
    if event.kind == "job.failed":
        raise ValueError("cannot")
    return event.kind.encode()


def test_a_function_makes_the_body_and_may_refuse(embedded_desk: Desk) -> None:
    desk = embedded_desk
    add(desk, encode=f"{__name__}:encode")
    good, bad = desk.run(desk.job(), desk.job())
    desk.settle((bad, failed()), (good, OK))
    deliver(desk)
    assert [message.body for message in Memory.got] == [b"job.completed"]
    assert "ValueError: cannot" in desk.store.sinks.parked("s")[0].error


def encode_jobs(event: Event) -> bytes:
    return str(event.data["task"]).encode()


def test_a_gap_that_cannot_be_encoded_is_parked(embedded_desk: Desk) -> None:
    desk = embedded_desk
    add(desk, kinds=["job.enqueued"], encode=f"{__name__}:encode_jobs")
    desk.put(desk.job())
    desk.put(desk.job())
    desk.sql("DELETE FROM {events} WHERE position = 1")
    deliver(desk)
    assert [message.body for message in Memory.got] == [b"t"]
    [parked] = desk.store.sinks.parked("s")
    assert (parked.position, parked.kind) == (1, EventKind.LOG_GAP) and "KeyError" in parked.error


def test_an_outage_reaches_no_settling_worker(embedded_desk: Desk) -> None:
    desk = embedded_desk
    add(desk)
    Memory.plan = [SinkError("down")] * 2
    one = deliver(desk)
    for _ in range(3):
        desk.end(*desk.run(desk.job()))
        one._retry_at = 0.0
        deliver(desk, one)
    assert positions() == [1, 2, 3]


class Jobs:
    """A sink that makes a job of each event."""

    OPTIONS = OptionTable(())
    SECRETS: frozenset[str] = frozenset()
    holes: set[int] = set()  # noqa: RUF012 - of all instances

    def __init__(self, name: str, options: Mapping[str, Any]) -> None:
        self.name = name

    def use_store(self, store: Store, source: str) -> None:
        self.source = source

    def open(self) -> None:
        pass

    def send(self, messages: Sequence[Message]) -> Report:
        assert self.source == "shop"
        todo = [m for m in messages if m.position not in self.holes]
        report = report_of(todo, self._jobs)
        return report if len(todo) == len(messages) else replace(report, error="a hole")

    def _jobs(self, message: Message) -> Iterator[NewJob]:
        if message.event.data.get("attempt") == 1:
            raise Refused("not this one")
        yield NewJob(job_id(message.event, self.name), "react", "_hooks", 2, b"M\x92")

    def close(self) -> None:
        pass


def test_jobs_of_events_are_enqueued_once_and_cause_no_events(desk: Desk) -> None:
    Jobs.holes.clear()
    add(desk, kind=f"{__name__}:Jobs", kinds=["job.*"])
    desk.put(desk.job(), desk.job(), desk.job())
    desk.store.events.relay()
    Jobs.holes.add(desk.store.events.head() - 1)
    rung: list[str] = []
    one = delivery(desk.store)
    one.ring = rung.extend
    one.step()
    assert len(desk.store.jobs.list(queue="_hooks")) == 1  # what is behind the hole waits
    Jobs.holes.clear()
    one._retry_at = 0.0
    deliver(desk, one)
    assert len(desk.store.jobs.list(queue="_hooks")) == 3 and set(rung) == {"_hooks"}
    head = desk.store.events.head()
    done = desk.claim(queue="_hooks", tasks=["react"])
    desk.settle(*[(job, OK) for job in done])
    deliver(desk, one)
    assert len(done) == 3 and desk.store.events.head() == head
    desk.store.sinks.rewind("s", 0, by="me")
    again = deliver(desk)
    assert len(desk.store.jobs.list(queue="_hooks")) == 3
    desk.claim(1)  # its event has the attempt 1, which the sink refuses
    deliver(desk, again)
    assert [e.error for e in desk.store.sinks.parked("s")] == ["not this one"]


def test_a_sink_that_was_taken_over_enqueues_no_jobs(desk: Desk) -> None:
    Jobs.holes.clear()
    add(desk, kind=f"{__name__}:Jobs", kinds=["job.*"])
    desk.put(desk.job())
    desk.store.events.relay()
    first = delivery(desk.store)
    assert first._take()
    desk.sql("UPDATE {sinks} SET until = 0")
    second = delivery(desk.store)
    assert second._take()
    assert first._hold is not None
    first._deliver(first._hold)
    assert desk.store.jobs.list(queue="_hooks") == []
    deliver(desk, second)
    assert len(desk.store.jobs.list(queue="_hooks")) == 1
