"""Rate and concurrency limits: what a claim takes, and when what it left may start."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from hammerflow.errors import HammerflowError
from hammerflow.ids import first_id_at, name_id
from hammerflow.jobs.job import Claimed, JobState, NewJob
from hammerflow.jobs.limit import MAX_RUNNING, RATE, Limit, key_id
from hammerflow.jobs.outcome import Completed, Released, Retrying, Snoozed
from tests.stores.kit import BAD, Desk, lost

TASK = name_id("t")


def limit(rate: str | None = None, max_running: int | None = None) -> Limit:
    return Limit(RATE(rate, "rate") if rate else None, max_running)


def keyed(desk: Desk, key: str = "", **more: Any) -> NewJob:
    """A job of the task ``t`` as a client makes it that knows the task's limit."""
    return desk.job(limit_id=key_id(TASK, key), limit_key=key, **more)


def put(desk: Desk, count: int, key: str = "", **more: Any) -> list[bytes]:
    return desk.put(*(keyed(desk, key, **more) for _ in range(count)))


def pass_time(desk: Desk, seconds: float) -> None:
    """Let the starts so far lie further back."""
    desk.sql(f"UPDATE {{limit_keys}} SET tat = tat - {seconds}")


def running(desk: Desk) -> dict[str, int]:
    return {f"{s.target}/{s.key}": s.running for s in desk.store.limits.list()}


def test_no_more_run_at_a_time_and_those_in_the_order_of_enqueue(desk: Desk) -> None:
    desk.store.limits.declare({"t": limit(max_running=2)})
    ids = put(desk, 5)
    first = desk.claim()
    assert [job.id for job in first] == ids[:2]
    assert desk.claim() == []
    desk.end(first[0])
    (third,) = desk.claim()
    assert third.id == ids[2] and third.attempt == 1
    assert desk.states(ids) == ["completed", "running", "running", "ready", "ready"]


def test_each_key_has_places_of_its_own(desk: Desk) -> None:
    desk.store.limits.declare({"t": limit(max_running=1)})
    a, b = put(desk, 3, "a"), put(desk, 3, "b")
    assert {job.id for job in desk.claim()} == {a[0], b[0]}
    assert desk.claim() == []


def test_other_jobs_of_the_queue_are_claimed_as_if_there_were_no_limit(desk: Desk) -> None:
    desk.store.limits.declare({"t": limit(max_running=0)})
    put(desk, 50)
    free = desk.put(*(desk.job("u") for _ in range(3)))
    assert [job.id for job in desk.claim(tasks=("t", "u"))] == free


def test_a_better_priority_comes_first_on_both_sides_of_the_lanes(desk: Desk) -> None:
    desk.store.limits.declare({"t": limit(max_running=10)})
    low, high = put(desk, 1, priority=1), put(desk, 1, priority=4)
    middle = desk.put(desk.job("u"))
    claimed = [job.id for _ in range(3) for job in desk.claim(1, tasks=("t", "u"))]
    assert sorted(claimed) == sorted(low + high + middle)
    assert claimed[-1] == low[0]


@pytest.mark.parametrize("thorough", [False, True])
def test_neither_side_of_the_lanes_waits_for_the_end_of_the_other(
    desk: Desk, thorough: bool
) -> None:
    desk.store.limits.declare({"t": limit(max_running=1000)})
    put(desk, 60), desk.put(*(desk.job("u") for _ in range(60)))
    claimed = [job for _ in range(40) for job in desk.claim(1, tasks=("t", "u"), thorough=thorough)]
    assert 10 <= sum(job.task_id == TASK for job in claimed) <= 30


@pytest.mark.parametrize("end", [Retrying(0.0, BAD), Snoozed(0.0), Released(), lost()])
def test_a_job_that_runs_again_is_under_its_limit_again(desk: Desk, end: Any) -> None:
    desk.store.limits.declare({"t": limit(max_running=1)})
    ids = put(desk, 2, "a")
    (job,) = desk.claim()
    desk.settle((job, end))
    desk.store.jobs.promote()
    assert desk.states(ids) == ["ready", "ready"]
    (again,) = desk.claim()
    assert again.id == ids[0] and desk.claim() == []


def test_a_job_replayed_by_hand_is_under_its_limit_again(desk: Desk) -> None:
    desk.store.limits.declare({"t": limit(max_running=1)})
    ids = put(desk, 2)
    assert desk.store.jobs.cancel(ids[0], "no") is JobState.CANCELLED
    desk.store.jobs.replay(ids[0])
    assert len(desk.claim()) == 1 and desk.claim() == []


def test_the_age_of_a_queue_is_that_of_a_lane_if_its_first_job_is_older(desk: Desk) -> None:
    desk.store.limits.declare({"t": limit(max_running=0)})
    desk.put(keyed(desk)._replace(id=first_id_at(desk.store.clock() - 90)))
    desk.put(desk.job(task="other"))
    (depth,) = desk.store.queue_stats.depths()
    assert depth.ready == 2 and 90 <= (depth.oldest or 0) < 900


def test_jobs_in_lanes_are_cancelled_parked_and_counted_as_ready_ones(desk: Desk) -> None:
    desk.store.limits.declare({"t": limit(max_running=0)})
    ids = put(desk, 3, "a")
    (queue,) = desk.store.queues.list()
    assert queue.ready == 3
    desk.store.jobs.cancel(ids[1], "no")
    assert desk.states(ids) == ["ready", "cancelled", "ready"]
    assert [job.id.bytes for job in desk.store.jobs.list(state=JobState.READY)] == [ids[2], ids[0]]


def test_a_dead_worker_holds_no_place(desk: Desk) -> None:
    desk.store.limits.declare({"t": limit(max_running=1)})
    desk.register(1)
    ids = put(desk, 2)
    (dead,) = desk.claim(worker=1)
    desk.elapse(100)
    assert desk.store.workers.sweep(lease=30, poison_limit=3).rescued == 1
    (again,) = desk.claim(worker=2)
    assert again.id == ids[0]
    assert dead.id in desk.end(dead, worker=1).stale  # the first one comes back
    assert desk.claim(worker=2) == []
    assert running(desk) == {"task:t/": 1}


def test_a_place_is_held_for_as_long_as_its_job_runs(desk: Desk) -> None:
    """20 minutes of heartbeats: no age ends it."""
    desk.store.limits.declare({"t": limit(max_running=1)})
    desk.register(1)
    ids = put(desk, 2)
    (job,) = desk.claim(worker=1)
    for _ in range(10):
        desk.sql(f"UPDATE {{leases}} SET started_at = {desk.shift('started_at', 120)}")
        desk.elapse(20)
        desk.store.workers.beat(1)
        assert desk.store.workers.sweep(lease=30, poison_limit=3).rescued == 0
        assert desk.claim(worker=2) == []
    desk.end(job, worker=1)
    assert [again.id for again in desk.claim(worker=2)] == [ids[1]]


@pytest.mark.parametrize("fair_key", [None, "tenant"])
def test_a_job_that_commits_after_the_last_end_is_claimed(desk: Desk, fair_key: str | None) -> None:
    """The holder ends while the transaction of the next job is open: nobody else wakes it."""
    if desk.kind == "sqlite":
        pytest.skip("an open transaction holds the only writer, so the end comes after it")
    desk.store.limits.declare({"t": limit(max_running=1)})
    (held,) = desk.run(keyed(desk, fair_key=fair_key))
    client = desk.another()
    for _ in range(20):
        with client.database.transaction() as tx:
            late = keyed(desk, fair_key=fair_key)
            client.jobs.insert([late], tx=tx)
            assert desk.claim(thorough=False) == []
            desk.end(held)
            assert desk.claim(thorough=False) == []
        until = time.monotonic() + 1
        found: list[Claimed] = []
        while not found and time.monotonic() < until:
            found = desk.claim(thorough=False)
        (held,) = found
        assert held.id == late.id
    client.close()


def test_starts_keep_their_distance(desk: Desk) -> None:
    desk.store.limits.declare({"t": limit("6/m")})
    put(desk, 10)
    assert len(desk.claim()) == 1 and desk.claim() == []
    wait = desk.store.jobs.claim_wait("q", [TASK])
    assert wait is not None and 9 < wait <= 10
    pass_time(desk, 9)
    assert desk.claim() == []
    pass_time(desk, 1)
    assert len(desk.claim()) == 1 and desk.claim() == []


def test_a_pause_earns_no_more_than_the_burst(desk: Desk) -> None:
    desk.store.limits.declare({"t": limit("60/m burst 3")})
    put(desk, 20)
    assert len(desk.claim()) == 3
    pass_time(desk, 600)
    assert len(desk.claim()) == 3 and desk.claim() == []
    pass_time(desk, 2)
    assert len(desk.claim()) == 2


def test_two_limits_hold_together_or_not_at_all(desk: Desk) -> None:
    desk.store.limits.declare({"t": limit("1/m", 2)})
    desk.store.limits.give("queue", "q", limit(max_running=3), by="me")
    for key in "abcde":
        put(desk, 2, key)
    first = desk.claim()
    assert len(first) == 3 and desk.claim() == []
    desk.end(*first)
    second = desk.claim()
    assert len(second) == 2  # the keys that have not started yet: no start was lost on the others
    assert sum(running(desk).values()) == 2 * 6 or running(desk)["queue:q/"] == 2


def test_a_limit_of_a_queue_holds_for_all_of_its_jobs(desk: Desk) -> None:
    desk.put(*(desk.job("u") for _ in range(5)), *(desk.job("t", queue="other") for _ in range(3)))
    desk.store.limits.give("queue", "q", limit(max_running=2), by="me")
    assert len(desk.claim(tasks=("t", "u"))) == 2 and desk.claim(tasks=("t", "u")) == []
    assert len(desk.claim(queue="other")) == 3
    desk.store.limits.remove("queue", "q")
    assert len(desk.claim(tasks=("t", "u"))) == 3


def test_a_limit_set_later_holds_for_jobs_that_wait_already(desk: Desk) -> None:
    ids = desk.put(*(desk.job() for _ in range(5)))
    desk.store.limits.give("task", "t", limit(max_running=2), by="me")
    assert [job.id for job in desk.claim()] == ids[:2] and desk.claim() == []
    assert desk.states(ids) == ["running", "running", "ready", "ready", "ready"]
    desk.store.jobs.cancel(ids[3], "no")
    assert desk.state(ids[3]) == "cancelled"


def test_a_changed_limit_holds_at_once_and_the_same_again_changes_nothing(desk: Desk) -> None:
    limits = desk.store.limits
    limits.declare({"t": limit("1/d")})
    put(desk, 30)
    assert len(desk.claim()) == 1 and desk.claim() == []
    limits.give("task", "t", limit("60/m burst 2"), by="me")
    pass_time(desk, 2)
    assert len(desk.claim()) == 2 and desk.claim() == []
    limits.give("task", "t", limit("60/m burst 2"), by="me")
    assert desk.claim() == []
    limits.give("task", "t", limit(max_running=0), by="me")
    pass_time(desk, 60)
    assert desk.claim() == []
    assert desk.store.jobs.claim_wait("q", [TASK]) is None
    limits.declare({"t": limit("1/d")})  # a worker starts: what was set holds on
    assert desk.claim() == []
    assert limits.remove("task", "t") == limit("1/d")
    assert len(desk.claim()) == 1
    with pytest.raises(HammerflowError, match="no limit was set for task:t"):
        limits.remove("task", "t")


def test_a_limit_that_the_code_drops_ends(desk: Desk) -> None:
    limits = desk.store.limits
    limits.declare({name: limit(max_running=1) for name in ("t", "other", "set", "elsewhere")})
    limits.give("task", "set", limit(max_running=2), by="me")
    put(desk, 3)
    assert len(desk.claim()) == 1 and desk.claim() == []
    limits.declare({"other": limit(max_running=1)}, ["t", "other", "set", "new"])  # newer code
    assert len(desk.claim()) == 2
    held = {status.target: str(status.limit) for status in limits.list()}
    one, two = "1 at a time", "2 at a time"  # what was set by hand holds on
    assert held == {"task:other": one, "task:elsewhere": one, "task:set": two}
    assert limits.remove("task", "set") == Limit()
    limits.declare({"t": limit(max_running=3)}, ["t"])
    assert put(desk, 2) and desk.claim() == []


def test_lanes_without_jobs_and_keys_without_number(desk: Desk) -> None:
    """300 keys: more than one claim looks at; those of full keys are passed over."""
    desk.store.limits.declare({"t": limit(max_running=1)})
    desk.put(*(keyed(desk, str(n)) for n in range(300) for _ in range(2)))
    claimed: list[Claimed] = []
    for _ in range(8):
        claimed += desk.claim(1000)
    assert len({job.id for job in claimed}) == len(claimed) == 300
    new = put(desk, 1, "new")
    found = [job.id for _ in range(8) for job in desk.claim(1000)]
    assert found == new


def test_keys_of_any_depth_are_claimed_up_to_their_places_in_order(desk: Desk) -> None:
    """Ranges of whole lanes, lanes that hold more than may start, and lanes that are full."""
    desk.store.limits.declare({"t": limit(max_running=3)})
    chance = random.Random(13)
    depths = {str(n): chance.choice((1, 2, 3, 3, 9)) for n in range(60)}
    jobs = [keyed(desk, key) for key, depth in depths.items() for _ in range(depth)]
    desk.put(*jobs, *(desk.job("u") for _ in range(5)))
    key_of = {job.id: job.limit_key or "" for job in jobs}
    order: dict[str, list[bytes]] = {key: [] for key in depths}
    held: list[Claimed] = []
    while desk.count("ready") > 5 or held:
        found = [job for _ in range(4) for job in desk.claim(chance.choice((7, 40, 500)))]
        for job in found:
            order[key_of[job.id]].append(job.id)
        held += found
        running = Counter(key_of[job.id] for job in held)
        assert all(count <= 3 for count in running.values())
        chance.shuffle(held)
        desk.end(*held[: len(held) // 2 + 1])
        held = held[len(held) // 2 + 1 :]
    assert {key: [job.id for job in jobs if job.limit_key == key] for key in depths} == {
        key: sorted(ids) for key, ids in order.items()
    }
    assert all(ids == sorted(ids) for ids in order.values())
    assert desk.count("ready") == 5
    desk.check()


def race(desk: Desk, claims: Callable[[int], list[Claimed]], workers: int) -> list[Claimed]:
    """Claim from several threads at once."""
    found: list[Claimed] = []
    start = threading.Barrier(workers)

    def run(worker: int) -> None:
        start.wait()
        for _ in range(5):
            found.extend(claims(worker))

    threads = [threading.Thread(target=run, args=(number,)) for number in range(1, workers + 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


def test_claims_at_the_same_time_share_the_places(desk: Desk) -> None:
    desk.store.limits.declare({"t": limit(max_running=3)})
    put(desk, 40, "a"), put(desk, 40, "b")
    stores = {number: desk.another() for number in range(1, 5)}
    found = race(desk, lambda n: desk.claim(2, worker=n, store=stores[n]), 4)
    for store in stores.values():
        store.close()
    assert len(found) == len({job.id for job in found})
    assert running(desk) == {"task:t/a": 3, "task:t/b": 3} and len(found) == 6


def test_claims_at_the_same_time_share_the_rate(desk: Desk) -> None:
    desk.store.limits.declare({"t": limit("1/h burst 7")})
    put(desk, 60)
    stores = {number: desk.another() for number in range(1, 5)}
    found = race(desk, lambda n: desk.claim(2, worker=n, store=stores[n]), 4)
    for store in stores.values():
        store.close()
    assert len(found) == 7


def test_a_limit_rings_its_queue_when_a_place_is_free(desk: Desk) -> None:
    desk.store.limits.declare({"t": limit(max_running=1)})
    put(desk, 2)
    (job,) = desk.claim()
    assert desk.settle((job, Completed(b"M\x01"))).queues == {"q"}


@pytest.mark.parametrize("wrong", ["0/m", "x", "5", "5/w", "5/m burst 0", "5/m burst", 5, "-1/s"])
def test_a_rate_that_says_nothing_is_refused(wrong: Any) -> None:
    with pytest.raises(HammerflowError, match="rate must be a rate such as"):
        RATE(wrong, "rate")
    assert MAX_RUNNING(0, "max") == 0
