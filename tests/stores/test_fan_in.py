"""Fan-in: a job that waits for others is released by the last of them, or skipped, once."""

from __future__ import annotations

import random
import threading
from itertools import permutations
from typing import Any

import pytest

from hammerflow.jobs.job import Claimed, DependencyStatus, JobState, NewJob
from hammerflow.jobs.outcome import Cancelled, Parked, Retrying, Snoozed
from tests.stores.kit import BAD, GONE, Desk, failed, lost, spawned


def start(desk: Desk, count: int, **more: Any) -> tuple[list[Claimed], NewJob]:
    """A spawner's children, running, and the fan-in that waits for them."""
    (parent,) = desk.run(desk.job())
    *kids, then = desk.family(parent, count, **more)
    desk.settle((parent, spawned(*kids, then)))
    claimed = {job.id: job for job in desk.claim(10_000)}
    return [claimed[kid.id] for kid in kids], then


def counts(desk: Desk, then: NewJob) -> tuple[int, int]:
    return tuple(desk.one("pending, failed", "waiting", then.id))


def test_the_last_end_releases_it(desk: Desk) -> None:
    kids, then = start(desk, 3)
    assert counts(desk, then) == (3, 0)
    assert desk.end(kids[1]).queues == set()
    assert counts(desk, then) == (2, 0)
    assert desk.end(kids[0]).queues == set()
    assert desk.end(kids[2]).queues == {"q"}
    assert desk.state(then.id) == "ready"
    (claimed,) = desk.claim()
    assert (claimed.id, claimed.lease, claimed.attempt) == (then.id, 1, 1)


def test_all_ends_in_one_batch_release_it(desk: Desk) -> None:
    kids, then = start(desk, 50)
    assert desk.end(*kids).queues == {"q"}
    assert desk.state(then.id) == "ready"


@pytest.mark.parametrize("bad", [failed(), Cancelled("no"), lost(None)])
def test_a_failure_among_them_skips_it_after_the_last(desk: Desk, bad: object) -> None:
    kids, then = start(desk, 3)
    desk.settle((kids[0], bad))  # type: ignore[arg-type]
    assert counts(desk, then) == (2, 1)
    seen = desk.store.jobs.get(then.id)
    assert seen is not None and seen.dependency_status is DependencyStatus.FAILED
    desk.end(kids[1])
    settlement = desk.end(kids[2])
    assert settlement.ended == [kids[2].id, then.id] and settlement.queues == set()
    assert desk.state(then.id) == "skipped"
    state, _, reason = desk.store.jobs.result(then.id) or (None, None, None)
    assert state is JobState.SKIPPED and reason is not None and "1 of its" in reason


def test_the_view_tells_how_the_dependencies_stand(desk: Desk) -> None:
    kids, then = start(desk, 1)

    def status() -> DependencyStatus:
        seen = desk.store.jobs.get(then.id)
        assert seen is not None
        return seen.dependency_status

    assert status() is DependencyStatus.WAITING
    desk.end(*kids)
    assert status() is DependencyStatus.SATISFIED
    seen = desk.store.jobs.get(kids[0].id)
    assert seen is not None and seen.dependency_status is DependencyStatus.NONE


def test_a_job_that_goes_on_does_not_count(desk: Desk) -> None:
    kids, then = start(desk, 3)
    desk.settle((kids[0], Retrying(0, BAD)), (kids[1], Snoozed(5)), (kids[2], Parked("x", BAD)))
    assert counts(desk, then) == (3, 0)


def test_a_stale_end_does_not_count(desk: Desk) -> None:
    kids, then = start(desk, 2)
    desk.settle((kids[0], Retrying(0, BAD)))
    desk.end(kids[0])
    assert counts(desk, then) == (2, 0)
    desk.end(kids[1])
    desk.end(kids[1])
    assert counts(desk, then) == (1, 0)


@pytest.mark.parametrize("order", [*permutations(range(3))])
def test_the_order_of_ends_does_not_matter(desk: Desk, order: tuple[int, ...]) -> None:
    kids, then = start(desk, 3)
    for n in order:
        assert desk.state(then.id) == "waiting"
        desk.end(kids[n])
    assert desk.state(then.id) == "ready"


def test_a_chain_of_fan_ins_is_skipped_in_one_settle(desk: Desk) -> None:
    (parent,) = desk.run(desk.job())
    links = [desk.child(parent, n, pending=1, unique_key=f"k{n}") for n in range(1, 6)]
    ids = [link.id for link in links]
    chain = [
        link._replace(dependent_id=then) for link, then in zip(links, [*ids[1:], None], strict=True)
    ]
    first = desk.child(parent, 0, dependent_id=ids[0])
    desk.settle((parent, spawned(first, *chain)))
    (claimed,) = desk.claim()
    settlement = desk.settle((claimed, failed()))
    assert settlement.ended == [first.id, *ids]
    assert desk.states(ids) == ["skipped"] * 5
    assert desk.count("unique_keys") == 0
    desk.check()


def test_several_fan_ins_count_down_by_different_steps(desk: Desk) -> None:
    (parent,) = desk.run(desk.job())
    families = [desk.family(parent, n) for n in (1, 2, 3)]
    jobs, index = [], 0
    for family in families:
        for job in family:
            jobs.append(job._replace(spawn_index=index))
            index += 1
    desk.settle((parent, spawned(*jobs)))
    claimed = {job.id: job for job in desk.claim()}
    firsts = [[claimed[kid.id] for kid in family[:-1]] for family in families]
    thens = [family[-1] for family in families]
    desk.settle((firsts[0][0], failed()), (firsts[1][0], failed()), (firsts[2][0], failed()))
    assert desk.state(thens[0].id) == "skipped"
    assert [counts(desk, then) for then in thens[1:]] == [(1, 1), (2, 1)]
    desk.end(firsts[1][1], *firsts[2][1:])
    assert desk.states([then.id for then in thens]) == ["skipped"] * 3


def test_a_child_cancelled_by_hand_counts(desk: Desk) -> None:
    (parent,) = desk.run(desk.job())
    *kids, then = desk.family(parent, 2)
    desk.settle((parent, spawned(*kids, then)))
    assert desk.store.jobs.cancel(kids[0].id, "no") is JobState.CANCELLED
    assert counts(desk, then) == (1, 1)
    assert desk.store.jobs.cancel(kids[1].id, "no") is JobState.CANCELLED
    assert desk.state(then.id) == "skipped"


def test_a_fan_in_cancelled_while_it_waits_stays_so(desk: Desk) -> None:
    kids, then = start(desk, 2)
    assert desk.store.jobs.cancel(then.id, "no") is JobState.CANCELLED
    desk.end(*kids)
    assert desk.state(then.id) == "cancelled"


def test_a_child_replayed_is_waited_for_again(desk: Desk) -> None:
    kids, then = start(desk, 2)
    desk.settle((kids[0], failed()))
    assert counts(desk, then) == (1, 1)
    desk.store.jobs.replay(kids[0].id)
    assert counts(desk, then) == (2, 0)
    (again,) = desk.claim()
    desk.end(again)
    assert counts(desk, then) == (1, 0)
    desk.end(kids[1])
    assert desk.state(then.id) == "ready"


def test_a_parked_child_replayed_is_waited_for_once(desk: Desk) -> None:
    kids, then = start(desk, 1)
    desk.settle((kids[0], Parked("poison", GONE)))
    desk.store.jobs.replay(kids[0].id)
    assert counts(desk, then) == (1, 0)


def test_a_fan_in_is_not_replayed_before_what_it_waits_for(desk: Desk) -> None:
    kids, then = start(desk, 2)
    desk.store.jobs.cancel(then.id, "no")
    desk.end(kids[0])
    with pytest.raises(Exception, match="1 job that it waits for must end first"):
        desk.store.jobs.replay(then.id)
    assert desk.state(then.id) == "cancelled"
    desk.end(kids[1])
    desk.store.jobs.replay(then.id)
    assert desk.state(then.id) == "ready"


def test_results_of_the_children_come_in_spawn_order(desk: Desk) -> None:
    kids, then = start(desk, 1200)
    random.Random(1).shuffle(kids)
    for job in kids:
        assert job.spawn_index is not None
    desk.settle(*((job, spawned(result=b"M%d" % (job.spawn_index or 0))) for job in kids[:-1]))
    desk.settle((kids[-1], failed()))
    found = list(desk.store.jobs.results_of_children(kids[0].parent_id, then.id))  # type: ignore[arg-type]
    assert len(found) == 1200
    missing = kids[-1].spawn_index
    for n, (index, result, has_ended) in enumerate(found):
        assert has_ended and (index, result) == (n, None if n == missing else b"M%d" % n)


def test_four_threads_settle_overlapping_fan_ins(desk: Desk) -> None:
    (parent,) = desk.run(desk.job())
    thens = [desk.child(parent, 10_000 + n, pending=40) for n in range(8)]
    kids = [desk.child(parent, n, dependent_id=thens[n % 8].id) for n in range(320)]
    desk.settle((parent, spawned(*kids, *thens)))
    claimed = desk.claim(1000)
    random.Random(2).shuffle(claimed)
    shares = [claimed[n::4] for n in range(4)]
    barrier, faults = threading.Barrier(4), []

    def settler(share: list[Claimed]) -> None:
        try:
            barrier.wait()
            for n in range(0, len(share), 5):
                assert desk.end(*share[n : n + 5]).stale == set()
        except Exception as error:  # noqa: BLE001 - shown below
            faults.append(error)

    threads = [threading.Thread(target=settler, args=(share,)) for share in shares]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []
    assert desk.states([then.id for then in thens]) == ["ready"] * 8
    desk.check()
