"""Spawn operations, lineages and dependencies, read on each database."""

from __future__ import annotations

from datetime import timedelta

import pytest

from hammerflow.errors import JobNotFound
from hammerflow.ids import new_id
from hammerflow.jobs.job import Claimed, NewJob
from hammerflow.jobs.outcome import Completed, Failed, Operation, Retrying, Spawned
from tests.stores.kit import BAD, Desk, spawned


def operation(handler: str = "split", requested: int = 2, seconds: float = 1.5) -> Operation:
    return Operation(handler, "op-1", '{"run": 7}', requested, seconds)


def spawn(desk: Desk, parent: Claimed, *children: NewJob, handler: str = "split") -> None:
    """End a spawner with these children."""
    done = Spawned(list(children), operation(handler, len(children)), len(children), [], 0)
    desk.settle((parent, Completed(None, done)))


def test_nothing_was_spawned_in_an_empty_database(desk: Desk) -> None:
    spawns = desk.store.spawns

    assert spawns.operations() == []
    assert spawns.stats() == ([], False)
    assert spawns.pending() == []
    assert spawns.runs([]) == {} == spawns.runs([new_id()])


def test_operations_come_newest_first_and_failed_runs_are_among_them(desk: Desk) -> None:
    (parent,) = desk.run(desk.job())
    desk.settle((parent, Retrying(0, BAD, operation())))
    (again,) = desk.claim()
    spawn(desk, again, desk.child(again, 0), desk.child(again, 1))

    good, bad = desk.store.spawns.operations()

    assert (good.parent_id, good.lease, good.spawned, good.error) == (parent.id, 2, 2, None)
    assert (good.task, good.queue, good.handler) == ("t", "q", "split")
    assert (good.operation_id, good.metadata) == ("op-1", {"run": 7})
    assert (bad.lease, bad.requested, bad.spawned, bad.error) == (1, 2, 0, BAD.message)
    assert bad.started_at is not None and bad.ended_at is not None
    assert bad.ended_at - bad.started_at == timedelta(seconds=1.5)
    assert desk.store.spawns.runs([parent.id])[parent.id] == good


def test_operations_are_narrowed_by_time_queue_and_number(desk: Desk) -> None:
    jobs = desk.run(desk.job(), desk.job(queue="other"), desk.job())
    for job in jobs:
        spawn(desk, job)
    desk.sql(
        f"UPDATE {{spawns}} SET ended_at = {desk.shift('ended_at', 7200)} "
        f"WHERE parent_id = {desk.id(jobs[0].id)}"
    )
    spawns = desk.store.spawns

    recent = spawns.operations(since=timedelta(hours=1))
    assert {run.parent_id for run in recent} == {jobs[1].id, jobs[2].id}
    assert spawns.operations()[-1].parent_id == jobs[0].id
    assert [run.parent_id for run in spawns.operations(queue="other")] == [jobs[1].id]
    assert len(spawns.operations(limit=2)) == 2
    assert spawns.operations(queue="unheard of") == []


def test_stats_add_up_runs_by_handler_and_queue(desk: Desk) -> None:
    first, second, third, other = desk.run(
        desk.job(), desk.job(), desk.job(), desk.job(queue="other")
    )
    spawn(desk, first, desk.child(first, 0))
    spawn(desk, second, *(desk.child(second, n) for n in range(3)))
    desk.settle((third, Failed(BAD, operation())))
    spawn(desk, other, handler="z")

    (split, z), is_cut = desk.store.spawns.stats()

    assert not is_cut
    assert (split.handler, split.queue, split.operations, split.failures) == ("split", "q", 3, 1)
    assert (split.requested, split.children, split.most_children) == (6, 4, 3)
    assert split.mean_seconds == pytest.approx(1.5) == split.longest_seconds
    assert (z.handler, z.queue, z.operations, z.children) == ("z", "other", 1, 0)
    assert desk.store.spawns.stats(queue="other") == ([z], False)
    desk.sql(f"UPDATE {{spawns}} SET ended_at = {desk.shift('ended_at', 7200)}")
    assert desk.store.spawns.stats(since=timedelta(hours=1)) == ([], False)
    assert len(desk.store.spawns.stats(since=timedelta(hours=3))[0]) == 2


def test_pending_are_spawners_with_children_that_have_not_ended(desk: Desk) -> None:
    done, busy = desk.run(desk.job(), desk.job())
    spawn(desk, done, desk.child(done, 0, task="kid"))
    desk.end(*desk.claim(tasks=["kid"]))
    spawn(desk, busy, *desk.family(busy, 3))
    desk.claim(1)
    desk.put(desk.job())

    (pending,) = desk.store.spawns.pending()

    assert pending.parent_id == busy.id
    assert pending.states == {"ready": 2, "running": 1, "waiting": 1}
    assert pending.run is not None and pending.run.handler == "split"


def test_pending_keeps_its_limit_newest_spawners_first(desk: Desk) -> None:
    parents = desk.run(*(desk.job() for _ in range(4)))
    for parent in parents:
        spawn(desk, parent, *desk.family(parent, 1))

    found = desk.store.spawns.pending(limit=2)

    assert [pending.parent_id for pending in found] == [parents[3].id, parents[2].id]


def test_a_lineage_names_ancestors_and_counts_generations(desk: Desk) -> None:
    (root,) = desk.run(desk.job())
    spawn(desk, root, *(desk.child(root, n) for n in range(3)))
    middle = desk.claim(1)[0]
    spawn(desk, middle, *(desk.child(middle, n, task="leaf") for n in range(5)))
    leaf = desk.claim(1, tasks=["leaf"])[0]
    spawns = desk.store.spawns

    whole = spawns.lineage(root.id, limit=2)
    assert (whole.ancestors, whole.is_cut) == ([], False)
    assert [(g.depth, g.count, len(g.ids)) for g in whole.generations] == [(1, 3, 2), (2, 5, 2)]
    assert whole.generations[1].tasks == {"leaf": {"ready": 4, "running": 1}}
    up = spawns.lineage(leaf.id, descendants=False)
    assert (up.ancestors, up.generations, up.is_cut) == ([middle.id, root.id], [], False)
    assert spawns.lineage(leaf.id, depth=1).is_cut
    cut = spawns.lineage(root.id, depth=1, ancestors=False)
    assert ([g.count for g in cut.generations], cut.is_cut) == ([3], True)
    with pytest.raises(JobNotFound):
        spawns.lineage(new_id())


def test_a_lineage_ends_where_an_ancestor_is_gone(desk: Desk) -> None:
    gone = new_id()
    desk.put(job := desk.job(parent_id=gone, root_id=gone, depth=1, spawn_index=0))

    assert desk.store.spawns.lineage(job.id).ancestors == [gone]


def test_a_fan_in_depends_on_its_siblings(desk: Desk) -> None:
    (parent,) = desk.run(desk.job())
    *kids, then = desk.family(parent, 30)
    desk.settle((parent, spawned(*kids, then)))
    desk.end(*desk.claim(10))
    dependencies = desk.store.dependencies

    place = dependencies.of(then.id, limit=5)
    assert place is not None
    assert (place.pending, place.total) == (20, 30)
    assert (len(place.before.ids), place.before.states) == (5, {"completed": 10, "ready": 20})
    assert place.after.ids == []
    kid = dependencies.of(kids[0].id)
    assert kid is not None
    assert (kid.before.ids, kid.after.ids, kid.after.states) == ([], [then.id], {"waiting": 1})
    assert kid.pending is None


def test_edges_are_dependencies(desk: Desk) -> None:
    first, second = desk.put(desk.job(), desk.job())
    desk.put(third := desk.job(depends=[first, second]))
    dependencies = desk.store.dependencies

    place, before = dependencies.of(third.id), dependencies.of(first)

    assert place is not None and before is not None
    assert (place.before.ids, place.before.states) == ([first, second], {"ready": 2})
    assert (before.after.ids, before.after.states) == ([third.id], {"waiting": 1})
    assert dependencies.of(new_id()) is None
