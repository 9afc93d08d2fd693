"""Moves: a job that has not started goes to another queue, or gets another priority."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from hammerflow.errors import HammerflowError, JobNotFound
from hammerflow.ids import new_id
from hammerflow.jobs.job import JobState, Priority
from hammerflow.jobs.outcome import Completed, Parked
from tests.stores.kit import GONE, Desk, desk_at


@pytest.fixture
def desk(migrated_url: str) -> Iterator[Desk]:
    with desk_at(migrated_url) as desk:
        yield desk


def move(
    desk: Desk, job_id: bytes, queue: str | None = None, priority: Priority | None = None
) -> set[str]:
    return desk.store.dead_letters.move(job_id, queue, priority, "ann")


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


def test_what_has_started_or_has_a_limit_keeps_its_place(desk: Desk) -> None:
    with pytest.raises(JobNotFound):
        move(desk, new_id(), "other")
    (running,) = desk.run(desk.job())
    with pytest.raises(HammerflowError, match="is running or has ended, so it cannot be moved"):
        move(desk, running.id, "other")
    desk.settle((running, Completed(b"M")))
    with pytest.raises(HammerflowError, match="has ended"):
        move(desk, running.id, "other")
    job = desk.store.jobs.get(running.id)
    assert job is not None
    assert (job.queue, job.errors) == ("q", ())
    turns = desk.job(limit_id=7, fair_key="tenant")
    desk.put(turns)
    with pytest.raises(HammerflowError, match="takes turns with others"):
        move(desk, turns.id, "other")


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
