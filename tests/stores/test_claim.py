"""Claim: the best jobs first, each by one worker, none that the worker cannot or may not run."""

from __future__ import annotations

import contextlib
import threading
import time

from hammerflow.ids import name_id, new_id
from hammerflow.jobs.outcome import Released, Retrying, Snoozed
from tests.stores.kit import BAD, Desk


def test_a_claim_brings_all_that_was_asked(desk: Desk) -> None:
    parent, then = new_id(), new_id()
    job = desk.job(
        parent_id=parent, root_id=parent, depth=3, spawn_index=7, dependent_id=then, priority=4,
        options='{"max_attempts": 5}', headers='{"h": 1}', unique_key="k", trace="t",
    )  # fmt: skip
    (claimed,) = desk.run(job)
    assert (claimed.id, claimed.lease, claimed.attempt, claimed.priority) == (job.id, 1, 1, 4)
    assert (claimed.parent_id, claimed.root_id, claimed.dependent_id) == (parent, parent, then)
    assert (claimed.depth, claimed.spawn_index, claimed.unique_key) == (3, 7, "k")
    assert (claimed.options, claimed.headers, claimed.trace) == (job.options, job.headers, "t")
    assert claimed.args == job.args and not claimed.expired
    assert type(claimed.id) is bytes and type(claimed.args) is bytes
    assert desk.state(job.id) == "running"
    seen = desk.store.jobs.get(job.id)
    assert seen is not None and seen.started_at is not None and seen.attempt == 1


def test_priority_comes_first_then_age(desk: Desk) -> None:
    jobs = [desk.job(priority=p) for p in (2, 0, 4, 2, 1, 3, 4, 0)]
    desk.put(*jobs)
    order = [job.id for job in sorted(jobs, key=lambda job: (-job.priority, job.id))]
    assert [job.id for job in desk.claim(3)] == order[:3]
    assert [job.id for job in desk.claim(100)] == order[3:]


def test_a_limit_is_kept(desk: Desk) -> None:
    desk.put(*(desk.job() for _ in range(10)))
    assert [len(desk.claim(n)) for n in (0, 1, 4, 100, 100)] == [0, 1, 4, 5, 0]


def test_only_the_tasks_and_the_queue_that_were_asked_for(desk: Desk) -> None:
    jobs = [desk.job(task=t, queue=q) for t in ("a", "b", "c") for q in ("x", "y")]
    desk.put(*jobs)
    assert [job.id for job in desk.claim(queue="x", tasks=["a", "c"])] == [jobs[0].id, jobs[4].id]
    assert desk.claim(queue="x", tasks=[]) == []
    assert desk.claim(queue="x", tasks=["unheard of"]) == []
    assert desk.claim(queue="z", tasks=["a"]) == []
    assert [job.id for job in desk.claim(queue="x", tasks=["b"])] == [jobs[2].id]


def test_a_foreign_task_at_the_head_does_not_hide_the_rest(desk: Desk) -> None:
    desk.put(*(desk.job(task="other", priority=4) for _ in range(50)), mine := desk.job(priority=0))
    assert [job.id for job in desk.claim(1)] == [mine.id]


def test_nothing_is_claimed_from_a_paused_queue(desk: Desk) -> None:
    desk.put(desk.job(), other := desk.job(queue="other"))
    desk.store.queues.pause("q", by="ann", reason="fire")
    assert desk.store.queues.paused() == {"q"}
    assert desk.claim() == []
    assert [job.id for job in desk.claim(queue="other")] == [other.id]
    assert desk.store.queues.resume("q")
    assert len(desk.claim()) == 1


def test_a_queue_can_be_paused_before_its_first_job(desk: Desk) -> None:
    desk.store.queues.pause("fresh")
    desk.put(desk.job(queue="fresh"))
    assert desk.claim(queue="fresh") == []


def test_lease_and_attempt_grow_and_an_attempt_can_be_given_back(desk: Desk) -> None:
    job = desk.job()
    desk.put(job)
    seen = []
    for outcome in (Retrying(0, BAD), Released(), Retrying(0, BAD), Snoozed(0), Released()):
        (claimed,) = desk.claim()
        seen.append((claimed.lease, claimed.attempt))
        desk.settle((claimed, outcome))
        desk.store.jobs.promote()
    assert seen == [(1, 1), (2, 2), (3, 2), (4, 3), (5, 3)]


def test_no_job_becomes_ready_before_it_is_due(desk: Desk) -> None:
    put = desk.store.clock()
    (id_,) = desk.put(desk.job(delay=0.4))
    while desk.store.jobs.promote().count == 0:
        time.sleep(0.005)

    assert desk.store.clock() >= put + 0.4
    assert [job.id for job in desk.claim()] == [id_]


def test_two_claimers_never_share_a_job(desk: Desk) -> None:
    jobs = [desk.job(priority=n % 5) for n in range(400)]
    desk.put(*jobs)
    shares: dict[int, list[bytes]] = {}
    start = threading.Barrier(4)

    def claimer(worker: int) -> None:
        mine = shares[worker] = []
        start.wait()
        while claimed := desk.claim(7, worker=worker):
            mine += [job.id for job in claimed]

    threads = [threading.Thread(target=claimer, args=(n,)) for n in range(1, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    taken = [job_id for share in shares.values() for job_id in share]
    assert len(taken) == len(set(taken))
    rest = {job.id for job in desk.claim(1000)}  # SKIP LOCKED may have ended a claimer early
    assert set(taken) | rest == {job.id for job in jobs}
    desk.check()


def test_a_claim_does_not_wait_for_rows_that_another_one_holds(desk: Desk) -> None:
    if desk.kind == "sqlite":
        return  # one writer: it does wait
    first, second = desk.job(), desk.job()
    desk.put(first, second)
    with desk.store.transaction() as tx:
        tx.rows("take_ready", id=first.id, queue_id=_queue_id(desk), priority_order=2)
        assert [job.id for job in desk.claim(5)] == [second.id]
    assert [job.id for job in desk.claim(5)] == [first.id]


def _queue_id(desk: Desk) -> int:
    return int(desk.sql("SELECT id FROM {queues} WHERE name = 'q'")[0][0])


def test_a_claim_that_passed_over_ready_jobs_is_known(desk: Desk) -> None:
    ids = desk.put(desk.job(), desk.job())
    task_ids = [name_id("t")]
    with contextlib.closing(desk.another()) as client:
        if desk.kind == "mysql":
            with client.transaction() as tx:
                key = {"queue_id": name_id("q"), "priority_order": 2, "id": ids[0]}
                assert tx.rows("take_ready", **key)
                assert [job.id for job in desk.claim()] == ids[1:]
                assert desk.store.jobs.has_passed("q", task_ids)
        desk.claim()
        assert not desk.store.jobs.has_passed("q", task_ids)
