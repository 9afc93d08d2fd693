"""Turns by a fairness key: whose jobs a claim takes."""

from __future__ import annotations

import threading
from collections import Counter
from typing import Any

import pytest

from hammerflow.ids import name_id
from hammerflow.jobs.fairness import in_turns, shares
from hammerflow.jobs.job import Claimed, NewJob
from hammerflow.jobs.limit import MAX_RUNNING, RATE, Limit, key_id
from hammerflow.jobs.outcome import Retrying
from hammerflow.stores.store import Store
from tests.stores.kit import BAD, Desk

TASK = name_id("t")


def of(desk: Desk, tenant: str, task: str = "t", key: str = "", **more: Any) -> NewJob:
    """A job of a task with ``fair_by`` as a client makes it."""
    limit_id = key_id(name_id(task), key)
    return desk.job(task, limit_id=limit_id, limit_key=key, fair_key=tenant, **more)


def put(desk: Desk, count: int, tenant: str, **more: Any) -> list[bytes]:
    return desk.put(*(of(desk, tenant, **more) for _ in range(count)))


def tenants(desk: Desk, claimed: list[Claimed]) -> list[str]:
    rows = desk.sql("SELECT id, fair_key FROM {jobs}")
    names = {bytes(getattr(id_, "bytes", id_)): key for id_, key in rows}
    return [names[job.id] or "" for job in claimed]


@pytest.fixture
def fair(desk: Desk) -> Desk:
    desk.store.limits.declare({"t": Limit(), "u": Limit()})
    return desk


def test_tenants_take_turns_whatever_came_first(fair: Desk) -> None:
    big, small = put(fair, 40, "big"), put(fair, 3, "small") + put(fair, 3, "tiny")
    claimed = fair.claim(9)
    assert sorted(Counter(tenants(fair, claimed)).values()) == [3, 3, 3]
    assert len({*tenants(fair, claimed)[:3]}) == 3
    assert [job.id for job in claimed if job.id in big] == big[:3]
    assert {job.id for job in claimed} >= set(small)
    assert [job.id for job in fair.claim(100)] == big[3:]


@pytest.mark.parametrize("limit", [1, 2, 7])
def test_small_claims_share_as_large_ones(fair: Desk, limit: int) -> None:
    for tenant in "abcde":
        put(fair, 30, tenant)
    claimed = [tenant for _ in range(70 // limit) for tenant in tenants(fair, fair.claim(limit))]
    counts = Counter(claimed)
    assert len(counts) == 5 and max(counts.values()) - min(counts.values()) <= 1


def test_a_tenant_that_is_new_or_back_has_its_turn_at_once(fair: Desk) -> None:
    put(fair, 50, "big")
    fair.claim(10)
    (late,) = put(fair, 1, "late")
    assert late in {job.id for job in fair.claim(2)}
    (again,) = put(fair, 1, "late")
    assert again in {job.id for job in fair.claim(2)}


def test_each_priority_has_turns_of_its_own(fair: Desk) -> None:
    low = put(fair, 5, "a", priority=1)
    high = put(fair, 5, "a", priority=3) + put(fair, 5, "b", priority=3)
    claimed = fair.claim(10)
    assert {job.id for job in claimed} == set(high) and len({*tenants(fair, claimed[:2])}) == 2
    assert [job.id for job in fair.claim(10)] == low


def test_a_tenant_has_one_turn_for_all_of_its_tasks_and_keys(fair: Desk) -> None:
    for task in ("t", "u"):
        for key in ("x", "y"):
            put(fair, 20, "many", task=task, key=key)
    put(fair, 60, "one")
    claimed = [job for _ in range(40) for job in fair.claim(1, tasks=("t", "u"))]
    assert Counter(tenants(fair, claimed)) == {"many": 20, "one": 20}
    assert Counter(job.task_id for job in claimed)[name_id("u")] == 10


def test_jobs_without_a_key_take_turns_with_those_that_have_one(fair: Desk) -> None:
    put(fair, 60, "a"), fair.put(*(fair.job("v") for _ in range(60)))
    claimed = [job for _ in range(40) for job in fair.claim(1, tasks=("t", "v"))]
    assert 10 <= sum(job.task_id == TASK for job in claimed) <= 30


def test_a_limit_of_the_task_is_shared_by_its_tenants(desk: Desk) -> None:
    desk.store.limits.declare({"t": Limit(None, MAX_RUNNING(4, "max"))})
    put(desk, 20, "big"), put(desk, 20, "small")
    first = desk.claim(10)
    assert Counter(tenants(desk, first)) == {"big": 2, "small": 2} and desk.claim(10) == []
    (status,) = desk.store.limits.list()
    assert (status.running, status.waiting) == (4, 36)
    desk.end(*first[:3])
    assert len(desk.claim(10)) == 3


def test_each_key_of_a_limit_is_shared_by_its_tenants(desk: Desk) -> None:
    desk.store.limits.declare({"t": Limit(RATE("1/h burst 2", "rate"), MAX_RUNNING(2, "max"))})
    for key in ("x", "y"):
        put(desk, 10, "big", key=key), put(desk, 10, "small", key=key)
    claimed = desk.claim(20)
    assert Counter(tenants(desk, claimed)) == {"big": 2, "small": 2}
    assert {s.key: s.running for s in desk.store.limits.list()} == {"x": 2, "y": 2}
    desk.end(*claimed)
    assert desk.claim(20) == []  # by the rate


def test_a_job_that_runs_again_keeps_its_key(fair: Desk) -> None:
    put(fair, 2, "a"), put(fair, 2, "b")
    claimed = fair.claim(4)
    fair.settle(*((job, Retrying(0.0, BAD)) for job in claimed))
    fair.store.jobs.promote()
    again = fair.claim(2)
    assert {*tenants(fair, again)} == {"a", "b"} and again[0].attempt == 2


def test_many_tenants_have_their_turns_over_several_claims(fair: Desk) -> None:
    """More than one claim looks at."""
    fair.put(*(of(fair, str(n)) for n in range(600) for _ in range(2)))
    first = [job for _ in range(6) for job in fair.claim(100)]
    assert len({job.id for job in first}) == 600
    assert Counter(Counter(tenants(fair, first)).values())[1] >= 590  # two may share a turn


def test_claims_at_the_same_time_share_and_skip_nobody(fair: Desk) -> None:
    for tenant, count in (("big", 400), ("a", 60), ("b", 60), ("c", 60)):
        put(fair, count, tenant)
    stores = [fair.another() for _ in range(4)]
    found: list[Claimed] = []
    start = threading.Barrier(4)

    def run(number: int, store: Store) -> None:
        start.wait()
        for _ in range(6):
            found.extend(fair.claim(8, worker=number, store=store))

    threads = [threading.Thread(target=run, args=(n, s)) for n, s in enumerate(stores, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for store in stores:
        store.close()
    assert len({job.id for job in found}) == len(found) > 100
    counts = Counter(tenants(fair, found))
    share = len(found) / 4
    assert all(abs(count - share) <= 0.1 * share for count in counts.values()), counts


def test_shares_go_round() -> None:
    members = [["a1", "a2"], ["b"], ["c"]]

    def share(n: int, free: int = 100) -> tuple[dict[str, int], int]:
        return shares(members, n, lambda lane: int(lane == "b"), {0: 100, 1: free})

    assert share(7) == ({"a1": 2, "a2": 1, "b": 2, "c": 2}, 0)
    assert share(2) == ({"a1": 1, "b": 1}, 1)
    assert share(7, free=1) == ({"a1": 2, "a2": 1, "b": 1, "c": 3}, 2)
    assert shares(members, 5, len, {1: 2, 2: 0}) == ({"b": 1, "c": 1}, 2)
    assert in_turns([[1, 2, 3], [4], [5, 6]]) == [1, 4, 5, 2, 6, 3]
