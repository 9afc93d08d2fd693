"""Aging: a job that has been ready for long is claimed as if its priority were better."""

from __future__ import annotations

import random
import threading
import time
from typing import Any

import pytest

from hammerflow.ids import first_id_at, new_id
from hammerflow.jobs.job import Claimed, NewJob
from hammerflow.jobs.outcome import Retrying
from hammerflow.jobs.priority_rule import PriorityRule
from tests.stores.kit import BAD, Desk

STEP = 600.0
AGING = PriorityRule(aging=STEP)


def aged(desk: Desk, seconds: float, priority: int, **more: Any) -> NewJob:
    """A job that was enqueued so long ago."""
    id_ = first_id_at(time.time() - seconds)[:6] + new_id()[6:]
    return desk.job(id=id_, priority=priority, **more)


def ids(jobs: list[Claimed] | list[NewJob]) -> list[bytes]:
    return [job.id for job in jobs]


def one_by_one(desk: Desk, rule: PriorityRule) -> list[bytes]:
    claimed = []
    while found := desk.claim(1, rule=rule):
        claimed.append(found[0].id)
    return claimed


def test_each_step_raises_a_job_by_one_priority(desk: Desk) -> None:
    low = aged(desk, 2.5 * STEP, 1)
    critical, high, normal = (desk.job(priority=p) for p in (4, 3, 2))
    desk.put(normal, high, critical, low)

    assert one_by_one(desk, AGING) == ids([critical, low, high, normal])


def test_without_aging_the_best_priority_comes_first(desk: Desk) -> None:
    low = aged(desk, 9 * STEP, 0)
    desk.put(low, *(fresh := [desk.job(priority=p) for p in (4, 1)]))

    assert one_by_one(desk, PriorityRule()) == ids([*fresh, low])


def test_what_has_not_aged_is_claimed_in_strict_order(desk: Desk) -> None:
    jobs = [aged(desk, 0.5 * STEP, 1), desk.job(priority=3), desk.job(priority=2)]
    desk.put(*jobs)

    assert one_by_one(desk, AGING) == ids([jobs[1], jobs[2], jobs[0]])


@pytest.mark.parametrize("room", [1, 13])
def test_claims_follow_the_priority_by_age_then_the_age(desk: Desk, room: int) -> None:
    """The oracle sorts all jobs at once."""
    chance = random.Random(room)
    jobs = []
    for _ in range(60):
        steps, priority = chance.randrange(8), chance.randrange(5)
        job = aged(desk, (steps + chance.uniform(0.1, 0.9)) * STEP, priority)
        jobs.append((max(0, 4 - priority - steps), job.id, job))
    desk.put(*(job for _, _, job in jobs))

    claimed: list[bytes] = []
    while found := desk.claim(room, rule=AGING):
        claimed += ids(found)

    assert claimed == [id_ for _, id_, _ in sorted(jobs, key=lambda each: each[:2])]
    desk.check()


def test_a_job_ages_from_the_time_at_which_it_is_due(desk: Desk) -> None:
    old = aged(desk, 9 * STEP, 0, delay=0.001)
    desk.put(old, fresh := desk.job(priority=1))
    time.sleep(0.01)
    assert desk.store.jobs.promote().count == 1

    assert one_by_one(desk, AGING) == ids([fresh, old])


def test_an_attempt_ages_for_itself_and_the_job_keeps_its_priority(desk: Desk) -> None:
    desk.put(old := aged(desk, 9 * STEP, 0), fresh := desk.job(priority=1))
    (first,) = desk.claim(1, rule=AGING)
    assert (first.id, first.priority) == (old.id, 0)
    desk.settle((first, Retrying(0, BAD)))

    assert one_by_one(desk, AGING) == ids([fresh, old])


def test_a_given_id_tells_no_age(desk: Desk) -> None:
    odd, fresh = desk.job(id=bytes(15) + b"\x01", priority=0), desk.job(priority=1)
    desk.store.jobs.insert([odd], check_ids=True)
    desk.put(fresh)

    assert one_by_one(desk, AGING) == ids([fresh, odd])


def test_concurrent_claimers_get_every_job_once(desk: Desk) -> None:
    jobs = [aged(desk, n * STEP / 20 + 5, n % 5) for n in range(200)]
    desk.put(*jobs)
    claimed: list[bytes] = []
    start = threading.Barrier(3)

    def claim(worker: int) -> None:
        store = desk.another()
        start.wait()
        while found := desk.claim(7, worker=worker, store=store, rule=AGING):
            claimed.extend(ids(found))
        store.close()

    threads = [threading.Thread(target=claim, args=(n,)) for n in (1, 2, 3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    claimed += ids(desk.claim(1_000, rule=AGING))  # SKIP LOCKED may have ended a claimer early

    assert sorted(claimed) == sorted(ids(jobs))
    desk.check()


def test_nothing_paused_is_claimed(desk: Desk) -> None:
    desk.put(aged(desk, 9 * STEP, 0), desk.job(priority=1))
    desk.store.queues.pause("q")
    assert desk.claim(rule=AGING) == []
    desk.store.queues.resume("q")
    assert len(desk.claim(rule=AGING)) == 2
