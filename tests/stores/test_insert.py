"""Insert: a job stands in the table of its first state, once, and unique keys have one holder."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from hammerflow.errors import StoreUnavailable
from hammerflow.ids import new_id
from hammerflow.jobs.outcome import Cancelled, Completed, Parked, Retrying, Snoozed
from tests.stores.gates import Gate, running
from tests.stores.kit import BAD, GONE, Desk, desk_at, failed, lost, open_raw

Migrated = Callable[[str], str]


def test_a_plain_job_is_ready_in_its_queue(desk: Desk) -> None:
    job = desk.job(task="mail.send", queue="mail", priority=3, headers='{"a": 1}', trace="tr")
    inserted = desk.store.jobs.insert([job])
    assert (inserted.ids, inserted.queues) == ([job.id], {"mail"})
    assert desk.state(job.id) == "ready"
    seen = desk.store.jobs.get(job.id)
    assert seen is not None
    assert (seen.id.bytes, seen.task, seen.queue, seen.priority) == (job.id, "mail.send", "mail", 3)
    assert (seen.attempt, seen.headers, seen.depth) == (0, {"a": 1}, 0)
    assert abs(seen.created_at.timestamp() - desk.store.clock()) < 10


def test_the_short_way_of_one_job_is_the_same(desk: Desk) -> None:
    odd = '{"k": "it\'s \\\\ 100% ? :a $1"}'
    jobs = [
        desk.job(task="mail.send", queue="mail", priority=n, expires=9.0, headers=odd, trace=odd,
                 options=odd)
        for n in range(5)
    ]  # fmt: skip
    for job in jobs:
        desk.store.jobs.insert_one(job)
    assert desk.states([job.id for job in jobs]) == ["ready"] * 5
    claimed = desk.claim(queue="mail", tasks=["mail.send"])
    assert [job.id for job in claimed] == [job.id for job in reversed(jobs)]
    assert {(job.args, job.options, job.headers, job.trace, job.expired) for job in claimed} == {
        (jobs[0].args, odd, odd, odd, False)
    }
    with pytest.raises(Exception, match=r"(?i)unique|duplicate"):
        desk.store.jobs.insert_one(jobs[0])
    desk.store.jobs.insert_one(last := desk.job())
    assert desk.state(last.id) == "ready"
    desk.check()


@pytest.mark.parametrize("count", [1, 2, 700])
def test_any_number_of_jobs_is_inserted_and_counted_by_queue(desk: Desk, count: int) -> None:
    jobs = [desk.job(queue=f"q{n % 3}") for n in range(count)]
    inserted = desk.store.jobs.insert(jobs)
    assert inserted.ids == [job.id for job in jobs]
    assert inserted.queues == {job.queue for job in jobs}
    assert desk.count("ready") == desk.count("jobs") == count


def test_nothing_is_inserted_of_nothing(desk: Desk) -> None:
    assert desk.store.jobs.insert([]).ids == []


def test_a_delay_and_an_eta_are_by_the_database_clock(desk: Desk) -> None:
    eta = datetime.fromtimestamp(desk.store.clock(), UTC) + timedelta(hours=2, microseconds=7)
    delayed, dated = desk.job(delay=60.0), desk.job(eta=eta)
    inserted = desk.store.jobs.insert([delayed, dated])
    assert inserted.queues == set()
    assert desk.states([delayed.id, dated.id]) == ["scheduled"] * 2
    first, second = desk.store.jobs.get_many([delayed.id, dated.id])
    assert first.run_at is not None and second.run_at is not None
    assert 50 < first.run_at.timestamp() - desk.store.clock() <= 60
    assert abs(second.run_at - eta) < timedelta(microseconds=2)
    assert second.run_at.utcoffset() == timedelta(0)


def test_an_expiry_is_kept_as_seconds_from_now_or_as_an_instant(desk: Desk) -> None:
    past = datetime.now(UTC) - timedelta(hours=1)
    jobs = [desk.job(expires=30.0), desk.job(expires_at=past), desk.job()]
    assert [job.expired for job in desk.run(*jobs)] == [False, True, False]


def test_an_expiry_in_the_database_past_is_seen_at_the_claim(desk: Desk) -> None:
    job = desk.job(expires=30.0)
    desk.put(job)
    desk.elapse(31)
    assert [claimed.expired for claimed in desk.claim()] == [True]


def test_arguments_and_texts_come_back_byte_for_byte(desk: Desk) -> None:
    odd = '{"k": "%s \\\\ \' \\" ; -- ? :name $1 \U0001f980 \\u0000"}'
    args = bytes(range(256)) * 40
    jobs = [
        desk.job(headers=odd, options=odd, trace="x'y%")._replace(args=args),
        desk.job(headers=odd, unique_key="it's \\ 100% :a ?")._replace(args=b""),
    ]
    first, second = desk.run(*jobs)
    assert (first.args, first.headers, first.options, first.trace) == (args, odd, odd, "x'y%")
    assert (second.args, second.unique_key) == (b"", "it's \\ 100% :a ?")
    assert desk.store.jobs.args(first.id) == args


def test_an_id_that_exists_is_left_as_it_is(desk: Desk) -> None:
    first = desk.job(task="t")
    desk.put(first)
    again = desk.job(task="other", id=first.id)
    fresh = desk.job()
    inserted = desk.store.jobs.insert([again, fresh], check_ids=True)
    assert inserted.ids == [first.id, fresh.id]
    assert desk.count("jobs") == 2
    seen = desk.store.jobs.get(first.id)
    assert seen is not None and seen.task == "t"


def test_a_taken_key_returns_its_holder(desk: Desk) -> None:
    first, second, other = desk.job(unique_key="k"), desk.job(unique_key="k"), desk.job()
    assert desk.put(first) == [first.id]
    inserted = desk.store.jobs.insert([second, other])
    assert inserted.ids == [first.id, other.id]
    assert desk.store.jobs.get(second.id) is None
    assert desk.count("jobs") == 2


def test_within_one_insert_a_key_has_one_holder(desk: Desk) -> None:
    jobs = [desk.job(unique_key=key) for key in "abab"]
    assert desk.put(*jobs) == [jobs[0].id, jobs[1].id, jobs[0].id, jobs[1].id]
    assert desk.count("ready") == desk.count("unique_keys") == 2


@pytest.mark.parametrize("end", ["completed", "failed", "cancelled", "lost", "by hand", "skipped"])
def test_a_key_is_free_again_at_every_kind_of_end(desk: Desk, end: str) -> None:
    if end == "skipped":
        parent = desk.job()
        child, then = desk.family(parent, 1)
        desk.put(parent, child, then._replace(unique_key="k"))
        claimed = {job.id: job for job in desk.claim()}[child.id]
        desk.settle((claimed, failed()))
        assert desk.state(then.id) == "skipped"
    else:
        job = desk.job(unique_key="k")
        (claimed,) = desk.run(job)
        match end:
            case "completed":
                desk.settle((claimed, Completed(None)))
            case "failed":
                desk.settle((claimed, failed()))
            case "cancelled":
                desk.settle((claimed, Cancelled("no")))
            case "lost":
                desk.settle((claimed, lost(None)))
            case "by hand":
                desk.settle((claimed, Snoozed(0)))
                desk.store.jobs.cancel(job.id, "no")
    again = desk.job(unique_key="k")
    assert desk.put(again) == [again.id]


def test_a_key_stays_taken_while_its_job_goes_on(desk: Desk) -> None:
    job, late = desk.job(unique_key="k"), desk.job(unique_key="k")
    for outcome in (Retrying(0, BAD), Snoozed(5), Parked("poison", GONE)):
        (claimed,) = desk.run(job) if outcome == Retrying(0, BAD) else desk.claim()
        desk.settle((claimed, outcome))
        assert desk.put(late) == [job.id]
        desk.elapse(10)
        desk.store.jobs.promote()


def test_keys_that_look_alike_are_different(desk: Desk) -> None:
    keys = [
        "Order-1",
        "order-1",
        "order-1 ",
        " order-1",
        "örder-1",
        "o\u0308rder-1",
        "order-1\u200b",
    ]
    jobs = [desk.job(unique_key=key) for key in keys]
    assert desk.put(*jobs) == [job.id for job in jobs]
    for key, job in zip(keys, jobs, strict=True):
        assert desk.put(desk.job(unique_key=key)) == [job.id]


def test_a_key_may_have_255_characters(desk: Desk) -> None:
    key = "\U0001f980" * 255
    job = desk.job(unique_key=key)
    assert desk.put(job, desk.job(unique_key=key)) == [job.id, job.id]


def test_queues_and_tasks_that_look_alike_are_different(desk: Desk) -> None:
    names = ["Mail", "mail", "mail ", "mäil"]
    jobs = [desk.job(task=name, queue=name) for name in names]
    desk.put(*jobs)
    seen = desk.store.jobs.get_many([job.id for job in jobs])
    assert [(job.task, job.queue) for job in seen] == [(name, name) for name in names]
    assert {status.name for status in desk.store.queues.list()} == set(names)
    assert [len(desk.claim(queue=name, tasks=[name])) for name in names] == [1] * 4


def test_a_child_index_exists_once_for_a_parent(desk: Desk) -> None:
    (parent,) = desk.run(desk.job())
    desk.put(desk.child(parent, 0))
    with pytest.raises(Exception, match=r"(?i)unique|duplicate"):
        desk.put(desk.child(parent, 0))
    desk.check()


def test_a_job_that_waits_is_not_ready(desk: Desk) -> None:
    job = desk.job(pending=2)
    assert desk.store.jobs.insert([job]).queues == set()
    assert desk.state(job.id) == "waiting"
    assert desk.claim() == []


def test_a_failed_insert_leaves_nothing_behind(desk: Desk) -> None:
    job = desk.job(unique_key="k")
    desk.put(job)
    doomed = [desk.job(unique_key="k2"), desk.job(id=job.id)]
    with pytest.raises(Exception, match=r"(?i)unique|duplicate"):
        desk.put(*doomed)
    assert desk.count("jobs") == desk.count("ready") == desk.count("unique_keys") == 1
    with pytest.raises(Exception, match=r"(?i)unique|duplicate"):
        desk.put(desk.job(id=job.id))
    desk.check()
    assert desk.put(desk.job(id=new_id()))


@pytest.mark.usefixtures("servers")
def test_a_key_given_up_while_it_is_asked_for_is_taken(migrated_database: Migrated) -> None:
    with desk_at(migrated_database("postgres")) as desk:
        (held,) = desk.run(desk.job(unique_key="k"))
        gate = Gate(desk, "unique_keys", "INSERT")
        late = desk.job(unique_key="k")
        with gate.shut(), running(lambda: desk.put(late)) as inserted:
            gate.wait_for_one()  # it has met the holder's key, and has not read whose it is
            desk.end(held)
        assert inserted() == [late.id]
        assert desk.state(late.id) == "ready"


@pytest.mark.usefixtures("servers")
def test_a_caller_with_an_old_snapshot_learns_the_holder(migrated_database: Migrated) -> None:
    with (
        desk_at(migrated_database("mariadb")) as desk,
        contextlib.closing(open_raw(desk.url)) as own,
    ):
        own.autocommit(False)
        with own.cursor() as cursor:  # REPEATABLE READ is the server's default
            cursor.execute("SELECT count(*) FROM hammerflow_unique_keys")
            cursor.fetchall()
        first, second = desk.job(unique_key="k"), desk.job(unique_key="k")
        desk.put(first)
        if ("innodb_snapshot_isolation", "ON") in desk.sql(
            "SHOW VARIABLES LIKE 'innodb_snapshot_isolation'"
        ):  # the default since MariaDB 11.6.2
            with pytest.raises(StoreUnavailable, match="run it again$"):
                desk.store.jobs.insert([second], desk.store.foreign(own))
        else:
            assert desk.store.jobs.insert([second], desk.store.foreign(own)).ids == [first.id]
        own.rollback()
