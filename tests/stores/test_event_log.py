"""The event log: each transaction writes exactly its events, and all of them have an order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from hammerflow.events.kinds import EventKind, mask_of
from hammerflow.events.record import (
    LoggedRecord,
    Record,
    RecordRun,
    pack,
    packed_clock,
    packs,
    unpack,
)
from hammerflow.jobs.outcome import Cancelled, Completed, Outcome, Parked, Retrying, Snoozed
from tests.proof import relays
from tests.stores.kit import BAD, Desk, failed, lost, spawned
from tests.stores.workflow_kit import Sketch, run, settle

EVERYTHING = mask_of(EventKind)
OK = Completed(None)


def watch(desk: Desk, wanted: int = EVERYTHING) -> None:
    """Let the desk's process believe that these kinds are wanted."""
    desk.sql(f"UPDATE {{relay}} SET wanted = {wanted}")
    desk.store.names.outbox.refresh()


def records(desk: Desk) -> Sequence[LoggedRecord]:
    """All records of the log, in order."""
    while desk.store.events.relay():
        pass
    return desk.store.events.read(0, limit=10_000).records


def labels(desk: Desk) -> list[str]:
    return [getattr(record.kind, "label", str(record.kind)) for record in records(desk)]


def test_records_survive_packing() -> None:
    given = [
        Record(EventKind.JOB_FAILED, b"\x01" * 16, 255, 1),
        Record(EventKind.JOB_LOST, b"\x02" * 16, 3, 2**31),
        Record(EventKind.QUEUE_PAUSED, b"\x00" * 15 + b"q", detail={"name": "mäil"}),
    ]
    data = pack(given[:1]) + packed_clock(1234.5) + pack(given[1:])
    found = list(unpack(data, 7, 99.0))
    assert found == [
        (7, 99.0, *given[0]), (8, 1234.5, *given[1]), (9, 1234.5, *given[2]),
    ]  # fmt: skip


@pytest.mark.parametrize("count", [1, 4, 5, 501, 1_000, 1_200])
def test_records_that_differ_in_their_ids_alone_are_packed_as_runs(count: int) -> None:
    ids = [number.to_bytes(16) for number in range(count)]
    alone = [Record(EventKind.JOB_COMPLETED, id_, 1, 300) for id_ in ids]
    other = Record(EventKind.JOB_LOST, ids[0], 1, 300)
    run = RecordRun(EventKind.JOB_COMPLETED, 1, 300, ids)
    for given in ([other, *alone, other], [other, run, other]):
        rows = packs(given)
        assert all(len(data) <= 8_100 for _, data in rows)
        assert len(rows) <= count // 501 + 2
        found = [record for n, data in rows for record in unpack(data, n, 0.0)]
        assert [record[2:] for record in found] == [tuple(each) for each in [other, *alone, other]]


OUTCOMES: list[tuple[Outcome, list[str]]] = [
    (OK, ["job.completed"]),
    (failed(), ["job.failed"]),
    (Retrying(30.0, BAD), ["job.retrying"]),
    (Retrying(0.0, BAD), ["job.retrying"]),
    (Snoozed(5.0), ["job.snoozed"]),
    (Cancelled("no"), ["job.cancelled"]),
    (Parked("undecodable", BAD), ["job.parked"]),
    (lost(), ["job.lost", "job.retrying"]),
    (lost(None), ["job.lost", "job.failed"]),
    (spawned(), ["job.completed", "spawn.completed"]),
]


@pytest.mark.parametrize("is_batch", [False, True], ids=["alone", "together"])
def test_a_settle_logs_each_outcome(desk: Desk, is_batch: bool) -> None:
    watch(desk)
    jobs = desk.run(*(desk.job() for _ in OUTCOMES))
    pairs = list(zip(jobs, [outcome for outcome, _ in OUTCOMES], strict=True))
    for batch in [pairs] if is_batch else [[pair] for pair in pairs]:
        desk.settle(*batch)
    found: dict[bytes, list[str]] = {}
    for record in records(desk):
        found.setdefault(record.id, []).append(record.kind.label)  # type: ignore[union-attr]
        assert record.lease == (0 if record.kind is EventKind.JOB_ENQUEUED else 1)
    for job, (_, expected) in zip(jobs, OUTCOMES, strict=True):
        assert found[job.id] == ["job.enqueued", "job.started", *expected]


def test_one_job_at_a_time_is_logged(desk: Desk) -> None:
    watch(desk)
    desk.store.jobs.insert_one(desk.job())
    assert labels(desk) == ["job.enqueued"]


def test_a_plain_batch_logs_what_was_asked_to_stop_as_cancelled(desk: Desk) -> None:
    watch(desk, mask_of({EventKind.JOB_COMPLETED, EventKind.JOB_CANCELLED}))
    good, stopped = desk.run(desk.job(), desk.job())
    desk.store.jobs.cancel(stopped.id, "stop")
    desk.settle((good, OK), (stopped, OK))
    found = {record.id: record.kind for record in records(desk)}
    assert found == {good.id: EventKind.JOB_COMPLETED, stopped.id: EventKind.JOB_CANCELLED}


def test_a_plain_batch_of_two_attempts_logs_each_with_its_own(desk: Desk) -> None:
    watch(desk, mask_of({EventKind.JOB_COMPLETED}))
    first = desk.run(*(desk.job() for _ in range(6)))
    desk.settle(*((job, Retrying(0.0, BAD)) for job in first))
    desk.put(*(desk.job() for _ in range(6)))
    both = desk.claim(12)
    assert {job.attempt for job in both} == {1, 2}
    desk.settle(*((job, OK) for job in both))
    found = {record.id: (record.lease, record.attempt) for record in records(desk)}
    assert found == {job.id: (job.lease, job.attempt) for job in both}


def test_a_lease_with_a_large_number_is_logged_whole(desk: Desk) -> None:
    watch(desk, mask_of({EventKind.JOB_COMPLETED}))
    desk.put(job := desk.job())
    desk.sql("UPDATE {ready} SET lease = 70000, attempt = 300")
    desk.end(*desk.claim())
    assert [(r.id, r.lease, r.attempt) for r in records(desk)] == [(job.id, 70_001, 301)]


def test_a_stale_settle_logs_nothing(desk: Desk) -> None:
    watch(desk)
    [job] = desk.run(desk.job())
    desk.settle((job, OK))
    before = labels(desk)
    desk.settle((job, failed()))
    assert labels(desk) == before


def test_nothing_is_logged_of_a_transaction_that_is_rolled_back(desk: Desk) -> None:
    watch(desk)
    desk.put(desk.job())
    with pytest.raises(ZeroDivisionError), desk.store.transaction() as tx:
        desk.store.jobs.insert([desk.job()], tx)
        raise ZeroDivisionError
    desk.put(desk.job())
    assert labels(desk) == ["job.enqueued"] * 2
    assert [record.position for record in records(desk)] == [1, 2]


def test_a_workflow_logs_causes_before_effects(desk: Desk) -> None:
    watch(desk)
    sketch = Sketch("fail_fast")
    first = sketch.job()
    second = sketch.job(first)
    third = sketch.job(second)
    sketch.put(desk)
    run(desk, first)
    settle(desk, failed(), second)
    names = {first.id: "first", second.id: "second", third.id: "third", sketch.id: "whole"}
    told = [f"{names[r.id]} {r.kind.label}" for r in records(desk)]  # type: ignore[union-attr]
    assert told[0] == "whole workflow.started"
    assert sorted(told[1:4]) == [f"{n} job.enqueued" for n in ("first", "second", "third")]
    assert told[4:] == [
        "first job.started", "first job.completed", "second job.unblocked", "second job.started",
        "second job.failed", "third job.cancelled", "whole workflow.failed",
    ]  # fmt: skip


def test_what_people_do_is_logged(desk: Desk) -> None:
    watch(desk)
    desk.store.queues.pause("q", by="ann")
    desk.store.queues.resume("q")
    desk.register(7)
    desk.put(job := desk.job())
    desk.store.jobs.cancel(job.id, "no")
    desk.store.jobs.replay(job.id)
    desk.store.workers.leave(7)
    assert labels(desk) == [
        "queue.paused", "queue.resumed", "worker.started", "job.enqueued", "job.cancelled",
        "job.replayed", "worker.stopped",
    ]  # fmt: skip
    assert records(desk)[0].detail == {"name": "q", "by": "ann", "reason": ""}


def test_a_dead_worker_is_logged_before_its_jobs_run_again(desk: Desk) -> None:
    watch(desk)
    desk.register()
    [job] = desk.run(desk.job())
    desk.elapse(100.0)
    desk.store.workers.sweep(lease=30.0, poison_limit=3)
    [again] = desk.claim(worker=2)
    assert again.id == job.id
    assert labels(desk)[3:] == ["job.lost", "worker.lost", "job.started"]


def test_a_whole_unit_is_one_row(desk: Desk) -> None:
    watch(desk)
    desk.put(*(desk.job() for _ in range(50)))
    table = "events" if desk.kind == "sqlite" else "outbox"
    assert desk.count(table) == 1
    assert len(records(desk)) == 50


def test_pages_of_rows_of_any_size_are_full(desk: Desk) -> None:
    watch(desk, mask_of({EventKind.JOB_ENQUEUED}))
    ids = []
    for size in (1, 1, 1, 700, *[1] * 30, 300, 1):
        ids += desk.put(*(desk.job() for _ in range(size)))
        desk.store.events.relay()
    log, found, after = desk.store.events, list[LoggedRecord](), 0
    pages = []
    while (page := log.read(after, limit=100)).records:
        found += page.records
        pages.append(len(page.records))
        after = page.after
    assert sorted(record.id for record in found) == sorted(ids)
    assert [record.position for record in found] == [*range(1, 1_035)]
    assert pages == [*[100] * 10, 34]
    assert log.read(2**63 - 1).records == log.read(1_034).records == []
    back: list[LoggedRecord] = []
    before = None
    while before is not None or not back:
        page_back, before = log.newest(100, before=before)
        back[:0] = page_back
    assert back == found


def test_a_page_begins_behind_a_gap_of_any_length(desk: Desk) -> None:
    watch(desk, mask_of({EventKind.JOB_ENQUEUED}))
    for _ in range(150):
        desk.put(desk.job())
        desk.store.events.relay()
    desk.sql("DELETE FROM {events} WHERE position <= 140")
    page = desk.store.events.read(3, limit=5)
    assert page.gap == (4, 140)
    assert page.records[0].position == 141
    page = desk.store.events.read(page.after, limit=5)
    assert page.gap is None
    assert [record.position for record in page.records] == [142, 143, 144, 145, 146]


def test_a_time_is_found_though_not_each_event_is_later(desk: Desk) -> None:
    """A transaction may commit long after it was given its time, and clocks are set back."""
    watch(desk, mask_of({EventKind.JOB_ENQUEUED}))
    for at in (10, 30, 20, 40):
        desk.put(desk.job())
        desk.store.events.relay()
        desk.sql(f"UPDATE {{events}} SET at = {at} WHERE at > 1000")
    found = [desk.store.events.position_at(at) for at in (5, 10, 15, 25, 30, 35, 45)]
    assert found == [0, 0, 1, 1, 1, 3, 4]


def test_a_row_of_the_log_has_the_time_of_its_latest_event(desk: Desk) -> None:
    watch(desk, mask_of({EventKind.JOB_ENQUEUED}))
    desk.put(desk.job())
    desk.put(desk.job())
    if desk.kind == "sqlite":
        return  # each transaction writes a row of its own
    desk.sql("UPDATE {outbox} SET at = CASE WHEN seq = 1 THEN 20 ELSE 10 END")
    assert [record.at for record in records(desk)] == [20, 10]
    assert [desk.store.events.position_at(at) for at in (15, 25)] == [0, 2]


def test_on_mariadb_events_go_with_the_commit(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """They cost no round trip; what follows in the transaction finds them written."""
    if desk.kind != "mysql":
        return  # PostgreSQL writes them with the ends, SQLite in this process
    import pymysql

    packets: list[str] = []
    connection = pymysql.connections.Connection
    send = connection._execute_command

    def note(self: Any, command: int, sql: Any) -> None:
        packets.append(sql if isinstance(sql, str) else bytes(sql).decode())
        send(self, command, sql)

    monkeypatch.setattr(connection, "_execute_command", note)

    def settled() -> int:
        jobs = desk.run(desk.job(), desk.job())
        packets.clear()
        desk.settle(*((job, OK) for job in jobs))
        return len(packets)

    watch(desk, 0)
    without = settled()
    watch(desk, mask_of({EventKind.JOB_COMPLETED}))
    assert settled() == without
    assert packets[-1].startswith("INSERT") and packets[-1].endswith(";COMMIT")
    assert desk.count("outbox") == 1

    outbox, record = desk.store.names.outbox, Record(EventKind.JOB_COMPLETED, bytes(16))

    def work(tx: Any) -> int:
        outbox.write(tx, [record])
        outbox.write(tx, [record])
        return int(tx.rows("outbox_size")[0][0])

    assert desk.store.database.unit(work) == desk.count("outbox") == 3
    with desk.store.database.transaction() as tx:
        outbox.write(tx, [record])
        tx.lend().cursor().execute("SELECT 1")
        outbox.write(tx, [record])
    assert desk.count("outbox") == 5
    with pytest.raises(ZeroDivisionError):
        desk.store.database.unit(lambda tx: (outbox.write(tx, [record]), 1 // 0))
    desk.put(desk.job())
    assert desk.count("outbox") == 5


def test_without_a_sink_not_one_statement_more_is_run(desk: Desk) -> None:
    """A belief is read with the names and the limits; nothing else asks."""
    desk.run(desk.job())
    counted: Counter[str] = Counter()
    kind = type(desk.store.database.dialect).tx_type  # type: ignore[attr-defined]

    class Counting(kind):  # type: ignore[misc, valid-type]
        def rows(self, name: str, /, **values: Any) -> Any:
            counted[name] += 1
            return super().rows(name, **values)

        def run(self, name: str, /, **values: Any) -> Any:
            counted[name] += 1
            return super().run(name, **values)

        def many(self, name: str, rows: Any) -> None:
            counted[name] += 1
            super().many(name, rows)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(desk.store.database.dialect), "tx_type", Counting)
        patch.setattr(f"hammerflow.stores.dialects.{desk.kind}.{kind.__name__}", Counting)
        desk.store.close()
        for _ in range(20):
            desk.end(*desk.run(desk.job()))
            desk.store.jobs.insert_one(desk.job())
            desk.end(*desk.claim())
    assert counted.total() > 80
    names = ("outbox", "events", "log_append", "relay")
    assert [name for name in counted if name.startswith(names) or name.endswith("_logged")] == []
    assert desk.count("outbox") == desk.count("events") == 0


@pytest.mark.parametrize("kind", ["postgres", "mariadb"])
def test_relays_that_compete_and_are_killed_lose_nothing(
    kind: str, migrated_database: Callable[[str], str]
) -> None:
    """A share of ``python -m tests.proof.relays``."""
    figures = relays.run(migrated_database(kind), seconds=1.5, seed=7)
    figures.check()
