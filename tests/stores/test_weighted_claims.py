"""Weighted priorities: each gets its share of the starts, however many claim at once."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping

import pytest

from hammerflow.ids import new_id
from hammerflow.jobs.job import Claimed
from hammerflow.jobs.limit import Limit
from hammerflow.jobs.priority_rule import WEIGHTS, PriorityRule
from hammerflow.jobs.shares import Shares
from hammerflow.stores.claiming.claims import Claims, ScanThresholds
from hammerflow.stores.claiming.weighted_claims import claim_by_weight
from tests.stores.kit import Desk
from tests.stores.test_limits import TASK, keyed, limit

WEIGHTED = PriorityRule(is_weighted=True)
#: By priority, the worst first.
SHARES = {4 - order: weight for order, weight in WEIGHTS.items()}


def backlog(desk: Desk, claims: int) -> None:
    """More jobs of each priority than its share of so many."""
    most = {p: claims * weight // 38 + 20 for p, weight in SHARES.items()}
    desk.put(*(desk.job(priority=p) for p, count in most.items() for _ in range(count)))


def by_priority(jobs: list[Claimed]) -> Counter[int]:
    return Counter(job.priority for job in jobs)


@pytest.mark.parametrize("room", [1, 40])
def test_concurrent_claimers_start_jobs_by_weight_and_none_twice(desk: Desk, room: int) -> None:
    claimers, each = 3, max(2, 400 // 3 // room)
    total = claimers * each * room
    backlog(desk, total)
    claimed: list[Claimed] = []
    start = threading.Barrier(claimers)

    def claim(worker: int) -> None:
        store = desk.another()
        start.wait()
        for _ in range(each):
            while not (found := desk.claim(room, worker=worker, store=store, rule=WEIGHTED)):
                pass  # InnoDB: a neighbour holds the place behind its rows
            claimed.extend(found)
        store.close()

    threads = [threading.Thread(target=claim, args=(n,)) for n in range(1, claimers + 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len({job.id for job in claimed}) == len(claimed) == total
    counts = by_priority(claimed)
    for priority, weight in SHARES.items():
        due = total * weight / 38
        assert abs(counts[priority] - due) <= max(0.1 * due, claimers), counts


def test_small_claims_reach_every_priority(desk: Desk) -> None:
    backlog(desk, 38)

    claimed = [job for _ in range(38) for job in desk.claim(1, rule=WEIGHTED)]

    assert by_priority(claimed) == SHARES


def test_a_priority_without_jobs_gives_its_share_to_the_others_by_weight(desk: Desk) -> None:
    desk.put(*(desk.job(priority=p) for p in (4, 1) for _ in range(100)))

    claimed = [job for _ in range(10) for job in desk.claim(11, rule=WEIGHTED)]

    assert by_priority(claimed) == {4: 100, 1: 10}


def test_what_a_priority_cannot_fill_is_claimed_at_once(desk: Desk) -> None:
    desk.put(*(desk.job(priority=p) for p in (4, 4, 3)), *(desk.job(priority=0) for _ in range(50)))

    assert by_priority(desk.claim(38, rule=WEIGHTED)) == {4: 2, 3: 1, 0: 35}
    assert by_priority(desk.claim(38, rule=WEIGHTED)) == {0: 15}


@pytest.mark.parametrize("is_passed", [True, False])
def test_only_what_was_passed_over_is_owed_to_its_priority(desk: Desk, is_passed: bool) -> None:
    """On InnoDB a neighbour's claim may hold the place behind its rows; nothing else does."""
    backlog(desk, 5 * 38)
    ready: dict[int, list[Claimed]] = {}
    for job in desk.claim(500):
        ready.setdefault(4 - job.priority, []).append(job)
    held = {0}

    def source(counts: Mapping[int, int]) -> list[Claimed]:
        open_ = counts.keys() - held
        return [ready[order].pop(0) for order in open_ for _ in range(counts[order])]

    shares, claimed = Shares[int](), list[list[Claimed]]()
    for _ in range(4):
        passed = held.copy if is_passed else tuple
        claimed.append(claim_by_weight(shares, WEIGHTS, 38, [source], passed))
        held = set()

    assert [len(jobs) for jobs in claimed] == [38] * 4
    rest = by_priority([job for jobs in claimed[1:] for job in jobs])
    if is_passed:
        assert by_priority([job for jobs in claimed for job in jobs]) == +Counter(
            {priority: 4 * weight for priority, weight in SHARES.items()}
        )
    else:
        assert rest == Counter({priority: 3 * weight for priority, weight in SHARES.items()})


def test_the_oldest_of_a_priority_comes_first(desk: Desk) -> None:
    ids = desk.put(*(desk.job(priority=p) for _ in range(20) for p in (3, 1)))

    claimed = desk.claim(12, rule=WEIGHTED)

    for priority, first in ((3, 0), (1, 1)):
        own = [job.id for job in claimed if job.priority == priority]
        assert own == ids[first::2][: len(own)]


def test_jobs_with_and_without_a_limit_share_their_priority(desk: Desk) -> None:
    desk.store.limits.declare({"t": Limit(None, 1_000)})
    for priority in (4, 1):
        jobs = [desk.job("u", priority=priority) for _ in range(60)]
        jobs += [keyed(desk, str(n % 3), priority=priority) for n in range(60)]
        desk.put(*jobs)

    claimed = [job for _ in range(66) for job in desk.claim(1, tasks=("t", "u"), rule=WEIGHTED)]

    assert by_priority(claimed) == {4: 60, 1: 6}
    limited = Counter(job.priority for job in claimed if job.task_id == TASK)
    assert 24 <= limited[4] <= 36 and limited[1] >= 1, limited


def test_a_full_limit_of_a_good_priority_holds_up_no_other(desk: Desk) -> None:
    desk.store.limits.declare({"t": limit(max_running=0)})
    desk.put(*(keyed(desk, priority=4) for _ in range(20)))
    free = desk.put(*(desk.job("u", priority=0) for _ in range(20)))

    claimed = [job for _ in range(4) for job in desk.claim(5, tasks=("t", "u"), rule=WEIGHTED)]

    assert [job.id for job in claimed] == free


def test_nothing_paused_is_claimed(desk: Desk) -> None:
    backlog(desk, 5)
    desk.store.queues.pause("q")
    assert desk.claim(rule=WEIGHTED) == []
    desk.store.queues.resume("q")
    assert desk.claim(rule=WEIGHTED) != []


def test_a_job_whose_id_is_ahead_is_found_in_a_poor_priority(desk: Desk) -> None:
    claims = Claims(
        desk.store.database,
        desk.store.names.outbox,
        ScanThresholds(bookmark=0.0, longest=0.0, stray=0.0),
    )
    desk.put(stray := desk.job(id=b"\xff" * 6 + new_id()[6:], priority=0))
    found: list[bytes] = []
    for _ in range(12):
        desk.put(*(desk.job(priority=p) for p in (4, 0) for _ in range(25)))
        claimed = claims.claim(1, queue="q", task_ids=[TASK], limit=21, rule=WEIGHTED)
        found += [job.id for job in claimed]
        desk.sql("UPDATE {jobs} SET created_at = created_at" + _earlier(desk))
    assert stray.id in found


def _earlier(desk: Desk) -> str:
    ten = {"postgres": " - interval '10 seconds'", "sqlite": " - 10"}
    return ten.get(desk.kind, " - INTERVAL 10 SECOND")
