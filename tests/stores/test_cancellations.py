"""Cancels of many jobs and of trees: in chunks, in every state, and to the end."""

from __future__ import annotations

import os
import threading
from typing import Any

from hammerflow.ids import new_id
from hammerflow.jobs.job import JobState
from hammerflow.jobs.outcome import Completed, Parked, Retrying
from tests.stores.gates import running
from tests.stores.kit import BAD, GONE, Desk, spawned
from tests.support.waiting import until

LIVE = ("waiting", "scheduled", "ready", "leases", "parked")
#: Children of a tree in the suite; 50 000 take a minute a database: HAMMERFLOW_TEST_CHILDREN=50000.
CHILDREN = int(os.environ.get("HAMMERFLOW_TEST_CHILDREN", "700"))


def live(desk: Desk) -> int:
    return sum(map(desk.count, LIVE))


def cancel_tree(desk: Desk, job_id: bytes) -> dict[bytes, JobState]:
    told: dict[bytes, JobState] = {}
    for chunk in desk.store.cancellations.of_tree(job_id, "enough"):
        told |= chunk
    return told


def test_many_jobs_are_cancelled_whatever_their_state(desk: Desk) -> None:
    a, b, c = desk.run(desk.job(), desk.job(), desk.job())
    desk.settle((a, Completed(b"M")), (b, Parked("poison", GONE)))
    rest = [desk.job(), desk.job(delay=60.0), desk.job(pending=1), desk.job(unique_key="k")]
    desk.put(*rest)
    unknown = new_id()

    (told,) = desk.store.cancellations.of_jobs(
        [a.id, b.id, c.id, unknown, *(job.id for job in rest)], "enough"
    )

    assert told == {
        a.id: JobState.COMPLETED,
        b.id: JobState.CANCELLED,
        c.id: JobState.RUNNING,
        **{job.id: JobState.CANCELLED for job in rest},
    }
    assert desk.store.workers.cancels(1) == [(c.id, "enough")]
    assert (live(desk), desk.count("unique_keys")) == (1, 0)
    desk.check()


def test_nothing_starts_because_others_of_its_chunk_end(desk: Desk) -> None:
    """A fan-in that runs whatever became of the others is cancelled with them."""
    then = desk.job(pending=2, rule=3)
    parts = [desk.job(dependent_id=then.id) for _ in range(2)]
    desk.put(*parts, then)
    ids = [*(part.id for part in parts), then.id]
    assert [*desk.store.cancellations.of_jobs(ids, "enough")] == [
        dict.fromkeys(ids, JobState.CANCELLED)
    ]
    assert desk.states(ids) == ["cancelled"] * 3
    desk.check()


def grown(desk: Desk) -> tuple[bytes, set[bytes]]:
    """A root with children in every state, one of which has children itself; the live ones."""
    (root,) = desk.run(desk.job())
    kids = [desk.child(root, index) for index in range(5)]
    later = desk.child(root, 5, delay=60.0)
    then = desk.child(root, 6, pending=1)
    desk.settle((root, spawned(*kids, later, then)))
    first, second, third, fourth = desk.claim(4)
    grandchildren = [desk.child(first, index) for index in range(2)]
    desk.settle(
        (first, spawned(*grandchildren)), (second, Completed(b"M")),
        (third, Parked("poison", GONE)),
    )  # fmt: skip
    others = {kid.id for kid in kids} - {first.id, second.id}
    assert fourth.id in others
    return root.id, others | {later.id, then.id} | {job.id for job in grandchildren}


def test_a_tree_is_cancelled_in_every_state(desk: Desk) -> None:
    root, unfinished = grown(desk)
    neighbour = desk.put(desk.job())[0]
    assert desk.store.cancellations.unfinished_below(root) == len(unfinished)

    told = cancel_tree(desk, root)

    ended = (JobState.CANCELLED, JobState.RUNNING)
    assert {id_ for id_, state in told.items() if state in ended} == unfinished
    ((runs, _),) = desk.store.workers.cancels(1)
    assert told[runs] is JobState.RUNNING
    assert (live(desk), desk.state(neighbour)) == (2, "ready")
    assert set(cancel_tree(desk, root).values()) <= {*JobState} - {JobState.READY}  # once more
    desk.check()


def test_a_spawner_that_is_stopped_settles_without_children(desk: Desk) -> None:
    (root,) = desk.run(desk.job())
    kids = [desk.child(root, index) for index in range(3)]
    assert cancel_tree(desk, root.id) == {root.id: JobState.RUNNING}
    desk.store.jobs.settle_stream(1, root, spawned(), lambda: [kids])
    assert (desk.state(root.id), live(desk), desk.count("jobs")) == ("cancelled", 0, 1)


def test_a_tree_that_grows_meanwhile_ends(desk: Desk) -> None:
    """Two workers spawn and settle while the tree is cancelled in chunks, by one that is killed
    half way and then by another one: in the end nothing lives."""
    (root,) = desk.run(desk.job())
    first = [desk.child(root, index) for index in range(CHILDREN)]
    size, is_over = CHILDREN // 100, threading.Event()

    def work(worker: int) -> None:
        with_children = 0
        while not is_over.is_set():
            batch: list[Any] = []
            for job in desk.claim(20, worker=worker):
                kids = [desk.child(job, index) for index in range(size)]
                is_parent = job.depth < 3 and with_children < 20
                with_children += is_parent
                batch.append((job, spawned(*kids) if is_parent else Retrying(0, BAD)))
            if batch:
                desk.settle(*batch, worker=worker)

    desk.store.jobs.settle_stream(1, root, spawned(), lambda: [first])
    with running(lambda: work(1)) as one, running(lambda: work(2)) as two:
        try:
            until("it grows", lambda: desk.count("spawns") > 3)
            chunks = desk.store.cancellations.of_tree(root.id, "enough")
            for _ in range(2):
                next(chunks)
            chunks.close()  # as if its process were killed
            cancel_tree(desk, root.id)
            until("0 live", lambda: live(desk) == 0)
        finally:
            is_over.set()
    one(), two()
    children = desk.sql("SELECT count(*) FROM {jobs} WHERE parent_id IS NOT NULL")
    assert children[0][0] > CHILDREN
    desk.check()
