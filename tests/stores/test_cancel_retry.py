"""Moves: promote, cancel, replay, release: from one state table to another, and nowhere else."""

from __future__ import annotations

import collections
import contextlib
import itertools
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from hammerflow.errors import HammerflowError, JobNotFound
from hammerflow.ids import new_id
from hammerflow.jobs.job import Claimed, JobState
from hammerflow.jobs.outcome import Completed, Parked, Released, Retrying, Snoozed
from tests.stores.gates import Gate, running
from tests.stores.kit import BAD, GONE, Desk, desk_at, failed, lost, spawned

# -- promote


def test_nothing_is_promoted_before_its_time(desk: Desk) -> None:
    assert desk.store.jobs.next_due() is None
    desk.put(desk.job(delay=100.0), desk.job(delay=50.0))
    promoted = desk.store.jobs.promote()
    assert (promoted.count, promoted.queues) == (0, set())
    next_due = desk.store.jobs.next_due()
    assert next_due is not None and 40 < next_due <= 50


def test_due_jobs_are_promoted_in_the_order_of_their_times(desk: Desk) -> None:
    a, b, c = desk.job(delay=30.0), desk.job(delay=10.0, queue="other"), desk.job(delay=20.0)
    desk.put(a, b, c)
    desk.elapse(25)
    first = desk.store.jobs.promote(limit=1)
    assert (first.count, first.queues) == (1, {"other"})
    next_due = desk.store.jobs.next_due()
    assert next_due is not None and next_due <= 0
    second = desk.store.jobs.promote()
    assert (second.count, second.queues) == (1, {"q"})
    next_due = desk.store.jobs.next_due()
    assert next_due is not None and 0 < next_due <= 5
    assert desk.states([a.id, b.id, c.id]) == ["scheduled", "ready", "ready"]


def test_a_promoted_job_keeps_its_priority_lease_and_attempt(desk: Desk) -> None:
    (job,) = desk.run(desk.job(priority=4))
    desk.settle((job, Retrying(5, BAD)))
    desk.elapse(6)
    desk.store.jobs.promote()
    (again,) = desk.claim()
    assert (again.lease, again.attempt, again.priority) == (2, 2, 4)


def test_two_promoters_share_the_work(desk: Desk) -> None:
    desk.put(*(desk.job(delay=1.0) for _ in range(600)))
    desk.elapse(2)
    counts: list[int] = []
    barrier = threading.Barrier(4)

    def promoter() -> None:
        barrier.wait()
        while count := desk.store.jobs.promote(limit=50).count:
            counts.append(count)

    threads = [threading.Thread(target=promoter) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(counts) + desk.store.jobs.promote().count == 600
    assert desk.count("ready") == 600
    desk.check()


# -- cancel


def in_state(desk: Desk, state: str, **more: Any) -> bytes:
    """A job that stands in this state."""
    if state == "waiting":
        return desk.put(desk.job(pending=1, **more))[0]
    if state in ("ready", "scheduled"):
        return desk.put(desk.job(delay=60.0 if state == "scheduled" else None, **more))[0]
    if state == "skipped":
        (parent,) = desk.run(desk.job())
        kid, then = desk.family(parent, 1)
        desk.settle((parent, spawned(kid, then._replace(**more))))
        desk.settle((desk.claim()[0], failed()))
        return then.id
    (job,) = desk.run(desk.job(**more))
    match state:
        case "completed":
            desk.settle((job, Completed(b"M")))
        case "failed":
            desk.settle((job, failed()))
        case "parked":
            desk.settle((job, Parked("poison", GONE)))
        case "cancelled":
            desk.settle((job, Released()))
            desk.store.jobs.cancel(job.id, "before")
    return job.id


STATES = [state.value for state in JobState]


@pytest.mark.parametrize("state", STATES)
def test_a_job_is_cancelled_in_each_state(desk: Desk, state: str) -> None:
    job_id = in_state(desk, state, unique_key="k")
    assert desk.state(job_id) == state
    answer = desk.store.jobs.cancel(job_id, "no more")
    if state in ("waiting", "ready", "scheduled", "parked"):
        assert answer is JobState.CANCELLED
        assert desk.store.jobs.result(job_id) == (JobState.CANCELLED, None, "no more")
        assert desk.count("unique_keys") == 0
    elif state == "running":
        assert answer is JobState.RUNNING
        assert desk.store.workers.cancels(1) == [(job_id, "no more")]
        desk.store.jobs.cancel(job_id, "a second reason")
        assert desk.store.workers.cancels(1) == [(job_id, "no more")]
    else:
        assert answer == state
    desk.check()


def test_an_unknown_job_is_not_cancelled(desk: Desk) -> None:
    assert desk.store.jobs.cancel(new_id(), "no") is None


def test_a_cancelled_job_keeps_lease_and_attempt(desk: Desk) -> None:
    (job,) = desk.run(desk.job())
    desk.settle((job, Retrying(0, BAD)))
    desk.store.jobs.cancel(job.id, "no")
    assert tuple(desk.one("lease, attempt", "done", job.id)) == (1, 1)


def test_cancels_race_with_claims_and_settles(desk: Desk) -> None:
    """Each job ends or is cancelled; none is in two places, none is lost."""
    jobs = [desk.job() for _ in range(120)]
    desk.put(*jobs)
    stop = threading.Event()

    def worker() -> None:
        while not stop.is_set():
            claimed = desk.claim(8)
            desk.settle(*((job, Retrying(0, BAD)) for job in claimed))

    threads = [threading.Thread(target=worker) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        for job in jobs:
            assert desk.store.jobs.cancel(job.id, "no") in (JobState.CANCELLED, JobState.RUNNING)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert set(desk.states([job.id for job in jobs])) == {"cancelled"}
    desk.check()


#: Races in the suite; 10 000 take minutes on a server: HAMMERFLOW_TEST_RACES=10000 pytest
#: tests/stores/test_cancel_retry.py -k holds_against --timeout 0 -o faulthandler_timeout=0
RACES = int(os.environ.get("HAMMERFLOW_TEST_RACES", "80"))


def test_the_answer_of_a_cancel_holds_against_a_settle(desk: Desk) -> None:
    """Whoever commits first wins, and the other says so."""
    outcomes = itertools.cycle([Completed(b"M"), failed(), Retrying(0, BAD), Snoozed(0)])
    answers: collections.Counter[tuple[str, str]] = collections.Counter()
    with ThreadPoolExecutor(2) as pool:
        for _ in range(-(-RACES // 20)):
            claimed = desk.run(*(desk.job() for _ in range(20)))
            start = threading.Barrier(2)

            def settle(jobs: list[Claimed] = claimed, start: threading.Barrier = start) -> None:
                start.wait()
                for job in jobs:
                    desk.settle((job, next(outcomes)))

            settling = pool.submit(settle)
            start.wait()
            told = [desk.store.jobs.cancel(job.id, "no") for job in claimed]
            settling.result()
            states = desk.states([job.id for job in claimed])
            answers.update(zip(map(str, told), states, strict=True))
    assert {told for told, state in answers if state == "cancelled"} <= {"running", "cancelled"}
    assert all(told == state for told, state in answers if state != "cancelled"), answers
    desk.check()


# -- replay


@pytest.mark.parametrize("state", STATES)
def test_a_job_is_replayed_in_each_state(desk: Desk, state: str) -> None:
    job_id = in_state(desk, state)
    if state in ("failed", "cancelled", "skipped", "parked"):
        assert desk.store.jobs.replay(job_id, "ann") == {"q"}
        assert desk.state(job_id) == "ready"
        seen = desk.store.jobs.get(job_id)
        assert seen is not None and seen.attempt == 0
        assert seen.errors[-1].kind == "replayed" and seen.errors[-1].message.endswith("by ann")
        (again,) = desk.claim()
        assert again.attempt == 1
        desk.end(again)
        assert desk.state(job_id) == "completed"
    else:
        with pytest.raises(HammerflowError, match="has not ended|has completed"):
            desk.store.jobs.replay(job_id)
        assert desk.state(job_id) == state
    desk.check()


def test_a_replay_raises_the_lease(desk: Desk) -> None:
    (job,) = desk.run(desk.job())
    desk.settle((job, failed()))
    desk.store.jobs.replay(job.id)
    (again,) = desk.claim()
    assert again.lease > job.lease
    assert desk.settle((job, failed())).stale == {job.id}
    assert desk.state(job.id) == "running"


def test_a_job_can_be_replayed_again_and_again(desk: Desk) -> None:
    job_id = in_state(desk, "failed")
    for _ in range(3):
        desk.store.jobs.replay(job_id)
        desk.store.jobs.cancel(job_id, "no")
    desk.store.jobs.replay(job_id)
    assert desk.state(job_id) == "ready"


def test_an_unknown_job_is_not_replayed(desk: Desk) -> None:
    with pytest.raises(JobNotFound, match="no job has the id"):
        desk.store.jobs.replay(new_id())


def test_a_replay_takes_the_unique_key_back(desk: Desk) -> None:
    job_id = in_state(desk, "failed", unique_key="k")
    desk.store.jobs.replay(job_id)
    assert desk.put(desk.job(unique_key="k")) == [job_id]


def test_a_replay_is_refused_while_another_holds_the_key(desk: Desk) -> None:
    job_id = in_state(desk, "failed", unique_key="k")
    desk.put(desk.job(unique_key="k"))
    with pytest.raises(HammerflowError, match="the unique key 'k' is held by job"):
        desk.store.jobs.replay(job_id)
    assert desk.state(job_id) == "failed" and desk.errors(job_id) == [("failed", 1)]


def test_a_parked_job_holds_its_key_until_it_is_replayed(desk: Desk) -> None:
    job_id = in_state(desk, "parked", unique_key="k")
    desk.store.jobs.replay(job_id)
    assert desk.state(job_id) == "ready" and desk.count("unique_keys") == 1


def test_a_replay_counts_losses_anew(desk: Desk) -> None:
    (job,) = desk.run(desk.job())
    for n in range(3):
        desk.settle((job, lost()))
        if n < 2:
            (job,) = desk.claim()
    assert desk.state(job.id) == "parked"
    desk.store.jobs.replay(job.id)
    for _ in range(2):
        (job,) = desk.claim()
        desk.settle((job, lost()))
        assert desk.state(job.id) == "ready"
    (job,) = desk.claim()
    desk.settle((job, lost()))
    assert desk.state(job.id) == "parked"


# -- release of what a worker does not know


def test_leases_that_a_worker_does_not_know_go_back(desk: Desk) -> None:
    known, unknown, stopped, foreign = desk.run(*(desk.job(unique_key=k) for k in "abcd"))
    desk.sql(f"UPDATE {{leases}} SET worker_id = 2 WHERE job_id = {desk.id(foreign.id)}")
    desk.store.jobs.cancel(stopped.id, "enough")
    assert desk.store.jobs.release_unheld(1, {known.id}) == 2
    states = desk.states([known.id, unknown.id, stopped.id, foreign.id])
    assert states == ["running", "ready", "cancelled", "running"]
    assert desk.count("unique_keys") == 3
    (again,) = desk.claim()
    assert (again.id, again.lease, again.attempt) == (unknown.id, 2, 1)
    assert desk.settle((unknown, failed())).stale == {unknown.id}
    assert desk.store.jobs.release_unheld(1, {known.id, again.id}) == 0


# -- the life of workers


def test_a_worker_beats_until_it_is_swept(desk: Desk) -> None:
    desk.register(1)
    assert desk.store.workers.beat(1)
    desk.elapse(31)
    assert desk.store.workers.beat(1)
    assert desk.store.workers.sweep(lease=30, poison_limit=3).workers == 0
    desk.elapse(31)
    assert desk.store.workers.sweep(lease=30, poison_limit=3).workers == 1
    assert not desk.store.workers.beat(1)
    assert desk.store.workers.list() == []
    assert desk.count("worker_tasks") == 0


def test_two_beats_within_the_same_tick_are_both_true(desk: Desk) -> None:
    desk.register(1)
    beat = "UPDATE {workers} SET beat_at = beat_at"  # an update that changes nothing
    desk.sql(beat)
    assert all(desk.store.workers.beat(1) for _ in range(50))


def test_a_worker_is_listed(desk: Desk) -> None:
    desk.store.workers.register(
        7, host="höst", pid=42, info={"children": 2}, tasks=["a", "b"], queues=["q"]
    )
    (seen,) = desk.store.workers.list()
    assert (seen["id"], seen["host"], seen["pid"]) == (7, "höst", 42)
    assert seen["info"] == {"children": 2} and 0 <= seen["silent_for"] < 10
    desk.store.workers.leave(7)
    assert desk.store.workers.list() == []


def test_a_sweep_takes_over_what_the_dead_held(desk: Desk) -> None:
    for worker in (1, 2):
        desk.register(worker)
    mine, theirs = desk.job(), desk.job(queue="other", unique_key="k")
    desk.run(mine, worker=1)
    (other,) = desk.run(theirs, worker=2)
    desk.sql(f"UPDATE {{workers}} SET beat_at = {desk.shift('beat_at', 31)} WHERE id = 2")
    swept = desk.store.workers.sweep(lease=30, poison_limit=3)
    assert (swept.workers, swept.rescued, swept.parked, swept.queues) == (1, 1, 0, {"other"})
    assert desk.states([mine.id, theirs.id]) == ["running", "ready"]
    assert desk.errors(theirs.id) == [("lost", 1)]
    assert desk.settle((other, Completed(None)), worker=2).stale == {theirs.id}
    (again,) = desk.claim(queue="other")
    assert (again.lease, again.attempt) == (2, 2)
    assert desk.store.workers.sweep(lease=30, poison_limit=3).rescued == 0


def test_leases_without_a_worker_are_taken_over(desk: Desk) -> None:
    jobs = desk.run(desk.job(), desk.job(), worker=99)
    swept = desk.store.workers.sweep(lease=30, poison_limit=3)
    assert (swept.workers, swept.rescued, swept.queues) == (0, 2, {"q"})
    assert desk.states([job.id for job in jobs]) == ["ready", "ready"]


def test_leases_of_a_worker_that_left_are_taken_over(desk: Desk) -> None:
    desk.register(1)
    (job,) = desk.run(desk.job())
    desk.store.workers.leave(1)
    assert desk.store.workers.sweep(lease=30, poison_limit=3).rescued == 1
    assert desk.state(job.id) == "ready"


def test_the_last_loss_allowed_parks(desk: Desk) -> None:
    job = desk.job()
    desk.run(job)
    for state in ("ready", "ready", "parked"):
        swept = desk.store.workers.sweep(lease=30, poison_limit=3)
        assert desk.state(job.id) == state
        assert (swept.rescued, swept.parked) == ((0, 1) if state == "parked" else (1, 0))
        desk.claim()


def test_whose_worker_dies_with_several_is_not_charged_and_one_at_fault_is_found(
    desk: Desk,
) -> None:
    guilty, innocent = desk.job(), desk.job()
    desk.run(guilty, innocent)

    def die() -> list[tuple[int, int]]:
        """Attempts and flags of both, once their worker has died and another has claimed them."""
        desk.store.workers.sweep(lease=30, poison_limit=3)
        return [(job.attempt, job.flags) for job in desk.claim()]

    assert die() == [(2, 0), (2, 0)], "a first attempt may be the only one"
    assert die() == [(2, 0), (2, 0)]
    assert die() == [(2, 16), (2, 16)], "here they were parked once"
    assert die() == [(3, 16), (2, 16)], "the first of them was the only one that ran"
    assert die() == [(2, 16)]
    assert desk.states([guilty.id, innocent.id]) == ["parked", "running"]
    assert desk.store.jobs.replay(guilty.id) == {"q"}
    assert [(job.attempt, job.flags) for job in desk.claim()] == [(1, 0)]


def test_a_job_asked_to_stop_is_not_rescued(desk: Desk) -> None:
    (parent,) = desk.run(desk.job())
    kid, then = desk.family(parent, 1)
    desk.settle((parent, spawned(kid._replace(unique_key="k"), then)))
    desk.claim()
    desk.store.jobs.cancel(kid.id, "enough")
    swept = desk.store.workers.sweep(lease=30, poison_limit=1)
    assert swept.queues == set() and swept.parked == 0
    assert desk.states([kid.id, then.id]) == ["cancelled", "skipped"]
    assert desk.count("unique_keys") == 0


def test_more_than_a_chunk_is_swept(desk: Desk) -> None:
    desk.register(1)
    desk.run(*(desk.job() for _ in range(2_500)))
    desk.elapse(31)
    swept = desk.store.workers.sweep(lease=30, poison_limit=3)
    assert (swept.workers, swept.rescued) == (1, 2_500)
    assert desk.count("ready") == 2_500 and desk.count("errors") == 2_500


def test_several_sweepers_at_once_rescue_each_lease_once(desk: Desk) -> None:
    for worker in range(1, 4):
        desk.register(worker)
        desk.run(*(desk.job() for _ in range(700)), worker=worker)
    desk.elapse(31)
    counts: list[tuple[int, int]] = []
    barrier = threading.Barrier(4)

    def sweeper() -> None:
        barrier.wait()
        swept = desk.store.workers.sweep(lease=30, poison_limit=3)
        counts.append((swept.workers, swept.rescued))

    threads = [threading.Thread(target=sweeper) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    last = desk.store.workers.sweep(lease=30, poison_limit=3)
    assert sum(count for count, _ in counts) + last.workers == 3
    assert sum(count for _, count in counts) + last.rescued == 2_100
    assert desk.count("errors") == 2_100 and desk.count("leases") == 0
    desk.check()


def test_a_zombie_that_settles_while_it_is_swept_wins_or_loses_whole(desk: Desk) -> None:
    jobs = desk.run(*(desk.job() for _ in range(300)))
    results: list[set[bytes]] = []

    def settle(share: list[Claimed]) -> None:
        results.append(desk.end(*share).stale)

    threads = [threading.Thread(target=settle, args=(jobs[n::3],)) for n in range(3)]
    for thread in threads:
        thread.start()
    swept = desk.store.workers.sweep(lease=30, poison_limit=3)
    for thread in threads:
        thread.join()
    stale = {job_id for result in results for job_id in result}
    assert swept.rescued == len(stale) == desk.count("ready")
    assert desk.count("done") == 300 - len(stale)
    desk.check()


# -- tasks that nobody serves


def test_jobs_whose_task_nobody_serves_are_parked_and_revived(desk: Desk) -> None:
    desk.register(1, tasks=["t"])
    served, odd = desk.job(), desk.job(task="shop.old")
    desk.put(served, odd)
    assert desk.store.workers.park_unserved(["q"]) == 1
    assert desk.states([served.id, odd.id]) == ["ready", "parked"]
    seen = desk.store.jobs.get(odd.id)
    assert seen is not None and seen.reason is not None and "shop.old" in seen.reason
    assert tuple(desk.one("why", "parked", odd.id)) == ("unknown_task",)
    assert desk.store.workers.park_unserved(["q", "unheard of"]) == 0
    assert desk.register(2, tasks=["shop.old"]) == {"q"}
    assert desk.state(odd.id) == "ready"
    (claimed,) = desk.claim(tasks=["shop.old"])
    assert (claimed.lease, claimed.attempt) == (1, 1)


def test_only_unknown_tasks_are_revived_by_a_worker(desk: Desk) -> None:
    job_id = in_state(desk, "parked")
    assert desk.register(1, tasks=["t"]) == set()
    assert desk.state(job_id) == "parked"


def test_many_jobs_are_revived(desk: Desk) -> None:
    desk.put(*(desk.job(task="old", priority=n % 5) for n in range(2_100)))
    parked = 0
    while count := desk.store.workers.park_unserved(["q"]):
        parked += count
    assert parked == desk.count("parked") == 2_100
    assert desk.register(1, tasks=["old"]) == {"q"}
    assert desk.count("ready") == 2_100


@pytest.mark.usefixtures("servers")
def test_a_worker_that_comes_while_its_jobs_are_parked_finds_them(
    migrated_database: Callable[[str], str],
) -> None:
    with desk_at(migrated_database("postgres")) as desk:
        desk.put(job := desk.job(task="new"))
        gate = Gate(desk, "parked", "INSERT")
        with gate.shut(), running(lambda: desk.store.workers.park_unserved(["q"])) as parked:
            gate.wait_for_one()
            desk.register(1, tasks=["new"])  # it revives nothing: nothing is parked yet
        parked()
        assert desk.state(job.id) == "ready"


# -- queues, progress, names


def test_queues_are_listed_with_what_stands_in_them(desk: Desk) -> None:
    (job, parked) = desk.run(desk.job(), desk.job())
    desk.settle((parked, Parked("poison", GONE)))
    desk.put(desk.job(), desk.job(delay=9.0), desk.job(pending=1), desk.job(queue="a"))
    desk.store.queues.pause("a", by="ann", reason="fire")
    a, q = desk.store.queues.list()
    assert (a.name, a.ready, a.paused_by, a.reason) == ("a", 1, "ann", "fire")
    assert a.paused_at is not None and q.paused_at is None
    assert (q.ready, q.running, q.scheduled, q.waiting, q.parked) == (1, 1, 1, 1, 1)
    assert not desk.store.queues.resume("unheard of")
    assert job.id


def test_the_latest_progress_is_kept(desk: Desk) -> None:
    a, b = desk.run(desk.job(), desk.job())
    desk.store.jobs.progress([])
    desk.store.jobs.progress([(a.id, 0.1, "begun"), (b.id, 0.5, "half"), (a.id, 0.2, "on")])
    desk.store.jobs.progress([(a.id, 0.3, "läuft")])
    seen = desk.store.jobs.get_many([a.id, b.id])
    assert [(job.progress, job.progress_note) for job in seen] == [(0.3, "läuft"), (0.5, "half")]


def test_names_are_read_by_a_process_that_never_met_them(desk: Desk) -> None:
    (job,) = desk.run(desk.job(queue="far", task="away"))
    with contextlib.closing(desk.another()) as other:
        assert other.jobs.settle(1, [(job, Released())]).queues == {"far"}
        assert other.names.task(job.task_id) == "away"
        assert other.names.queue(4711) == "#4711"


def test_a_snoozed_job_comes_back(desk: Desk) -> None:
    (job,) = desk.run(desk.job())
    desk.settle((job, Snoozed(3)))
    desk.elapse(4)
    assert desk.store.jobs.promote().queues == {"q"}
    assert desk.claim()[0].attempt == 1
