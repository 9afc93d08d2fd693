"""Edits of a job that has not started: its arguments, its queue and its priority."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from hammerflow.errors import HammerflowError, JobNotFound
from hammerflow.ids import name_id, new_id
from hammerflow.jobs.job import JobState, Priority
from hammerflow.jobs.limit import Limit, key_id
from hammerflow.jobs.outcome import Completed, Parked
from hammerflow.stores.dead_letters import JobChange
from tests.stores.gates import Gate, Running
from tests.stores.kit import GONE, Desk, desk_at, failed


@pytest.fixture
def desk(migrated_url: str) -> Iterator[Desk]:
    with desk_at(migrated_url) as desk:
        yield desk


def move(
    desk: Desk, job_id: bytes, queue: str | None = None, priority: Priority | None = None
) -> set[str]:
    return edit(desk, job_id, queue=queue, priority=priority)


def edit(desk: Desk, job_id: bytes, args: bytes | None = None, **place: Any) -> set[str]:
    call = None if args is None else desk.job()._replace(args=args)
    change = JobChange("ann", call, None, place.get("queue"), place.get("priority"))
    return desk.store.dead_letters.edit(job_id, change)[1]


def test_a_ready_job_is_claimed_from_its_new_place_only(desk: Desk) -> None:
    low, other = desk.job(priority=1), desk.job(queue="fast")
    desk.put(low, other)

    assert move(desk, low.id, "fast", Priority.HIGH) == {"fast"}

    assert desk.claim() == []
    assert [job.id for job in desk.claim(1, queue="fast")] == [low.id]
    job = desk.store.jobs.get(low.id)
    assert job is not None
    assert (job.queue, job.priority, job.state) == ("fast", Priority.HIGH, JobState.RUNNING)
    (note,) = job.errors
    assert (note.kind, note.message) == ("edited", "moved to queue fast, priority high, by ann")


def test_what_waits_runs_in_its_new_place(desk: Desk) -> None:
    later, blocked = desk.job(delay=0.001), desk.job(pending=1)
    first = desk.job(dependent_id=blocked.id)
    (parked,) = desk.run(desk.job())
    desk.settle((parked, Parked("poison", GONE)))
    desk.put(later, blocked, first)
    for id_ in (later.id, blocked.id, parked.id):
        assert move(desk, id_, "other") == set()

    (claimed,) = [job for job in desk.claim() if job.id == first.id]
    desk.settle((claimed, Completed(b"M")))
    while not desk.store.jobs.promote().count:
        pass
    desk.store.jobs.replay(parked.id)

    found = {job.id for job in desk.claim(queue="other")}
    assert found == {later.id, blocked.id, parked.id}
    assert desk.claim() == []


def test_a_move_to_where_the_job_is_changes_nothing_else(desk: Desk) -> None:
    job = desk.job()
    desk.put(job)
    for _ in range(2):
        move(desk, job.id, "q", Priority.NORMAL)
    assert [one.id for one in desk.claim()] == [job.id]


def test_what_has_started_or_has_an_unknown_key_keeps_its_place(desk: Desk) -> None:
    with pytest.raises(JobNotFound):
        move(desk, new_id(), "other")
    (running,) = desk.run(desk.job())
    with pytest.raises(HammerflowError, match="is running, so it cannot be edited: cancel it"):
        move(desk, running.id, "other")
    desk.settle((running, Completed(b"M")))
    with pytest.raises(HammerflowError, match="has completed"):
        move(desk, running.id, "other")
    job = desk.store.jobs.get(running.id)
    assert job is not None
    assert (job.queue, job.errors) == ("q", ())
    turns = desk.job(limit_id=7, fair_key="tenant")
    desk.put(turns)
    with pytest.raises(HammerflowError, match="takes turns with others"):
        move(desk, turns.id, "other")


def test_new_arguments_of_a_ready_job_are_claimed(desk: Desk) -> None:
    """It keeps its place, also in the order of age."""
    first, second = desk.put(desk.job(), desk.job())
    desk.sql(f"UPDATE {{ready}} SET ready_at = 7 WHERE job_id = {desk.id(first)}")

    assert edit(desk, first, b"M\x91\x01") == {"q"}
    assert desk.one("ready_at", "ready", first)[0] == 7
    edit(desk, first, b"M\x91\x02", priority=Priority.HIGH)

    assert [(job.id, job.args) for job in desk.claim()] == [
        (first, b"M\x91\x02"), (second, b"M\x92"),
    ]  # fmt: skip
    job = desk.store.jobs.get(first)
    assert job is not None
    assert [note.message for note in job.errors] == [
        "arguments edited and moved to queue q, priority high, by ann"
    ]
    desk.check()


def test_arguments_and_place_change_together_or_not_at_all(desk: Desk) -> None:
    (job,) = desk.run(desk.job())
    desk.settle((job, failed()))
    with pytest.raises(HammerflowError, match="has ended, so it cannot be moved"):
        edit(desk, job.id, b"M\x93", queue="other")
    assert desk.store.jobs.args(job.id) == b"M\x92"


def test_a_job_with_a_limit_keeps_its_key_where_it_goes(desk: Desk) -> None:
    desk.store.limits.declare({"t": Limit(None, 1)})
    key = {"limit_id": key_id(name_id("t"), "k"), "limit_key": "k"}
    holder, plain, fair = (
        desk.job(**key), desk.job(**key), desk.job(**key, fair_key="tenant", priority=0),
    )  # fmt: skip
    desk.put(holder, plain, fair)
    (running,) = [job for job in desk.claim() if job.id == holder.id]
    for job in (plain, fair):
        assert move(desk, job.id, "other", Priority.HIGH) == {"other"}
        found = desk.store.jobs.get(job.id)
        assert found is not None and (found.queue, found.priority) == ("other", Priority.HIGH)

    assert desk.claim(queue="other") == []  # the key is in use
    desk.end(running)
    claimed = desk.claim(queue="other")
    assert len(claimed) == 1
    desk.end(*claimed)
    assert {job.id for job in [*claimed, *desk.claim(queue="other")]} == {plain.id, fair.id}


def test_a_job_leaves_the_limit_of_its_queue_behind(desk: Desk) -> None:
    desk.store.limits.give("queue", "q", Limit(None, 0), by="ann")
    job = desk.job()
    desk.put(job)
    assert desk.claim() == []  # but it is in the lane of the queue now
    move(desk, job.id, priority=Priority.HIGH)
    assert desk.claim() == []
    move(desk, job.id, "free")
    assert [one.id for one in desk.claim(queue="free")] == [job.id]
    assert desk.damage() == {}


@pytest.mark.parametrize("limited", [False, True])
def test_a_claim_has_the_arguments_that_the_last_edit_has_written(
    desk: Desk, *, limited: bool
) -> None:
    """An edit that is refused has changed nothing; one that is not has come before the claim."""
    key = {"limit_id": key_id(name_id("t"), "k"), "limit_key": "k"} if limited else {}
    if limited:
        desk.store.limits.declare({"t": Limit(None, 1_000)})
    jobs = [desk.job(**key) for _ in range(40)]
    desk.put(*jobs)
    edited: set[bytes] = set()
    ready = threading.Barrier(2)

    def editor() -> None:
        ready.wait()
        for job in jobs[::-1]:
            with contextlib.suppress(HammerflowError):
                edit(desk, job.id, b"M\x93")
                edited.add(job.id)

    thread = threading.Thread(target=editor)
    thread.start()
    ready.wait()
    claimed = []
    while thread.is_alive():
        claimed += desk.claim(2)
    thread.join()
    claimed += desk.claim()
    assert sorted(job.id for job in claimed) == [job.id for job in jobs]
    assert {job.id for job in claimed if job.args == b"M\x93"} == edited


@pytest.mark.parametrize("limited", [False, True])
def test_a_claim_that_has_begun_leaves_a_job_that_is_edited_meanwhile(
    migrated_database: Callable[[str], str], *, limited: bool
) -> None:
    """PostgreSQL stops the claim where it has locked nothing; it reads arguments as of then."""
    key = {"limit_id": key_id(name_id("t"), "k"), "limit_key": "k"} if limited else {}
    with desk_at(migrated_database("postgres")) as desk:
        if limited:
            desk.store.limits.declare({"t": Limit(None, 5)})
        job = desk.job(**key)
        desk.put(job)
        gate = Gate(desk, "leases", "BEFORE INSERT", stops_one=True)
        with gate.shut():
            claiming = Running(lambda: desk.claim(thorough=False))
            gate.wait_for_one()
            edit(desk, job.id, b"M\x93")
        claimed = [*claiming(), *desk.claim()]
        assert [(one.id, one.args) for one in claimed] == [(job.id, b"M\x93")]


def test_a_job_that_is_moved_while_it_is_claimed_runs_once(desk: Desk) -> None:
    jobs = [desk.job() for _ in range(30)]
    desk.put(*jobs)
    ready = threading.Barrier(2)

    def mover() -> None:
        ready.wait()
        for job in jobs:
            try:
                move(desk, job.id, "other", Priority.LOW)
            except HammerflowError:
                moved.discard(job.id)

    moved = {job.id for job in jobs}
    thread = threading.Thread(target=mover)
    thread.start()
    ready.wait()
    claimed = []
    while thread.is_alive():
        claimed += [job.id for job in desk.claim(3)]
    thread.join()
    claimed += [job.id for job in desk.claim()]
    there = [job.id for job in desk.claim(queue="other")]
    assert sorted([*claimed, *there]) == sorted(job.id for job in jobs)
    assert set(there) == moved
