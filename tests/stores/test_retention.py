"""Retention: ended jobs go in whole groups, and nothing goes that anything may still read."""

from __future__ import annotations

import contextlib
import functools
import threading
import time
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from hammerflow.errors import JobNotFound
from hammerflow.ids import name_id, new_id
from hammerflow.jobs.outcome import Cancelled, Parked, Retrying, Snoozed
from hammerflow.jobs.retention import KEPT_STATES, RetentionPolicy
from hammerflow.services.pruner import Pruner
from hammerflow.stores.retention import retention
from hammerflow.stores.retention.retention import Walk
from hammerflow.stores.store import Store
from tests.stores.kit import BAD, Desk, desk_at, failed, spawned
from tests.stores.workflow_kit import OK, Sketch, brood, check_flows, run, settle

#: Everything that has ended may go.
AT_ONCE = RetentionPolicy(dict.fromkeys(KEPT_STATES, 0.0))
DAY = 86_400.0
TABLES = (
    "jobs", "done", "errors", "job_logs", "progress", "spawns", "edges", "nodes", "workflows",
    "barriers", "waiting", "ready", "scheduled", "leases", "parked", "unique_keys",
)  # fmt: skip


@pytest.fixture
def desk(migrated_url: str) -> Iterator[Desk]:
    """A desk whose jobs and workflows are recounted at the end of each test."""
    with desk_at(migrated_url) as desk:
        yield desk
        desk.check()
        check_flows(desk)


@pytest.fixture
def other(desk: Desk) -> Iterator[Store]:
    """A store of another process."""
    with contextlib.closing(desk.another()) as store:
        yield store


def prune(desk: Desk, policy: RetentionPolicy = AT_ONCE, *, store: Store | None = None) -> int:
    """One whole walk, after a trial that finds the same; how many jobs it has removed."""
    time.sleep(0.002)  # an id of this millisecond counts as too young
    trial, walk = Walk(is_trial=True), Walk()
    for each in (trial, walk):
        while not each.is_over:
            (store or desk.store).retention.step(each, policy)
    if threading.current_thread() is threading.main_thread():
        assert trial.removed >= walk.removed
    return walk.removed


def id_of(days: float) -> bytes:
    """An id that was made so long ago."""
    milliseconds = int((time.time() - days * DAY) * 1000)
    return milliseconds.to_bytes(6) + new_id()[6:]


def age(desk: Desk, days: float, *jobs: Any) -> None:
    """Let the ends of these jobs, or of all, lie further back."""
    where = f" WHERE job_id IN ({', '.join(desk.id(job.id) for job in jobs)})" if jobs else ""
    desk.sql(f"UPDATE {{done}} SET finished_at = {desk.shift('finished_at', days * DAY)}{where}")


def is_there(desk: Desk, *jobs: Any) -> list[bool]:
    return [desk.store.jobs.exists(job.id) for job in jobs]


def test_an_ended_job_goes_with_all_of_its_rows(desk: Desk) -> None:
    (job,) = desk.run(desk.job(unique_key="k"))
    desk.store.jobs.progress([(job.id, 0.5, "half")])
    desk.settle((job, Retrying(0, BAD)))
    desk.end(*desk.claim())
    (parent,) = desk.run(desk.job())
    desk.settle((parent, spawned()))

    assert prune(desk) == 2

    assert {table: desk.count(table) for table in TABLES} == dict.fromkeys(TABLES, 0)


def test_each_state_has_its_lifetime_and_unended_jobs_stay(desk: Desk) -> None:
    ended = {"completed": OK, "failed": failed(), "cancelled": Cancelled("no")}
    jobs = {state: desk.job(id=id_of(90)) for state in ended}
    for state, job in jobs.items():
        desk.settle((desk.run(job)[0], ended[state]))
    parked, held, later, waits = (desk.job(id=id_of(90)) for _ in range(4))
    desk.settle((desk.run(parked)[0], Parked("poison", BAD)))
    desk.settle((desk.run(later)[0], Snoozed(500)))
    desk.put(waits._replace(pending=1))
    desk.run(held)
    policy = RetentionPolicy({"completed": 2 * DAY, "failed": 4 * DAY, "cancelled": None})

    gone = []
    for _ in range(3):
        age(desk, 1.9)
        prune(desk, policy)
        gone.append([state for state, job in jobs.items() if is_there(desk, job) == [False]])

    assert gone == [[], ["completed"], ["completed", "failed"]]
    assert is_there(desk, parked, held, later, waits) == [True] * 4


def test_a_queue_wins_over_a_task_and_that_over_the_settings(desk: Desk) -> None:
    keep, tasks = desk.store.retention, ("t", "quick")
    mail, plain, quick, audit = (
        desk.job(task, queue)
        for task, queue in (("t", "mail"), ("t", "q"), ("quick", "q"), ("quick", "audit"))
    )
    for job in (mail, plain, quick, audit):
        desk.put(job)
        desk.end(*desk.claim(queue=job.queue, tasks=tasks))
    keep.keep_tasks({"quick": {"completed": 0.0, "failed": None}, "t": {}})
    keep.keep_queue("mail", {"completed": 0.0})
    keep.keep_queue("audit", dict.fromkeys(KEPT_STATES))

    prune(desk, keep.policy({"completed": DAY}))

    assert is_there(desk, mail, plain, quick, audit) == [False, True, False, True]
    assert [each[:2] for each in keep.declared()] == [
        ("queue", "audit"), ("queue", "mail"), ("task", "quick"), ("task", "t"),
    ]  # fmt: skip
    keep.keep_queue("audit", {})
    prune(desk, keep.policy({"completed": DAY}))
    assert is_there(desk, audit) == [False]


def test_what_cannot_be_read_keeps_everything(desk: Desk) -> None:
    desk.end(*desk.run(desk.job()))
    desk.store.retention.keep_queue("q", {"completed": 0.0})
    desk.sql("UPDATE {queues} SET retention = '{oops'")
    policy = desk.store.retention.policy({"completed": 0.0})
    assert policy.seconds(4, name_id("t"), name_id("q")) is None
    assert prune(desk, policy) == 0


def test_a_workflow_stays_whole_until_its_last_job_has_ended(desk: Desk) -> None:
    w = Sketch()
    first = w.job()
    middle = w.job(first)
    inner = w.flow(w.top, "fail_fast")
    last = w.job(middle, flow=inner)
    w.put(desk)
    run(desk, first)
    settle(desk, Snoozed(600), middle)

    assert prune(desk) == 0
    desk.elapse(601)
    desk.store.jobs.promote()
    run(desk, middle)
    assert prune(desk) == 0
    run(desk, last)

    assert prune(desk) == 3
    assert [desk.count(table) for table in TABLES] == [0] * len(TABLES)


@pytest.mark.parametrize("wait_for_children", [False, True])
def test_a_tree_stays_until_its_last_leaf_has_ended(desk: Desk, wait_for_children: bool) -> None:
    w = Sketch()
    spawner = w.job()
    w.put(desk)
    (claimed,) = desk.claim()
    desk.settle((claimed, brood(claimed, 2, wait_for_children=wait_for_children)))
    one, other = desk.claim()
    grandchild = desk.child(one, 0)
    desk.settle((one, spawned(grandchild)), (other, OK))

    assert prune(desk) == 0
    assert is_there(desk, spawner, one, other, grandchild) == [True] * 4
    desk.end(*desk.claim())

    assert prune(desk) == 4
    assert [desk.count(table) for table in TABLES] == [0] * len(TABLES)


@pytest.mark.parametrize("end", ["waiting", "failed", "completed"])
def test_what_a_dependent_may_still_read_stays(desk: Desk, end: str) -> None:
    w = Sketch()
    first = w.job()
    w.put(desk)
    run(desk, first)
    lone = desk.job()
    desk.end(*desk.run(lone))
    late = desk.job(depends=[lone.id, w.id], queue="late")
    desk.put(late)
    if end != "waiting":
        desk.settle((desk.claim(queue="late")[0], failed() if end == "failed" else OK))
    only_good = RetentionPolicy({"completed": 0.0})

    prune(desk, only_good)

    stays = end != "completed"
    assert is_there(desk, lone, first, late) == [stays, stays, stays]
    if end == "failed":  # it goes on from what it depends on
        desk.store.jobs.replay(late.id)
        assert desk.store.dependencies.of(late.id) is not None
        desk.end(*desk.claim(queue="late"))
        prune(desk, only_good)
        assert is_there(desk, lone, first, late) == [False] * 3


def test_a_completed_member_that_a_rerun_would_run_again_keeps_its_inputs(desk: Desk) -> None:
    lone = desk.job()
    desk.end(*desk.run(lone))
    w = Sketch("continue_on_failure")
    bad = w.job()
    reads = w.job(depends=[lone.id])
    w.put(desk)
    settle(desk, failed(), bad)
    settle(desk, OK, reads)

    assert prune(desk, RetentionPolicy({"completed": 0.0})) == 0


def test_a_dependent_that_is_just_being_added_keeps_the_job(desk: Desk, other: Store) -> None:
    if desk.kind == "sqlite":
        pytest.skip("one transaction writes at a time")
    lone = desk.job()
    desk.end(*desk.run(lone))
    with desk.store.transaction() as tx:
        desk.store.jobs.insert([desk.job(depends=[lone.id], queue="late")], tx)
        assert prune(desk, store=other) == 0
    assert prune(desk) == 0
    desk.end(*desk.claim(queue="late"))
    assert prune(desk) == 2


def test_a_retry_under_way_keeps_the_job(desk: Desk, other: Store) -> None:
    if desk.kind == "sqlite":
        pytest.skip("one transaction writes at a time")
    (job,) = desk.run(desk.job())
    desk.settle((job, failed()))
    with desk.store.transaction() as tx:
        tx.rows("take_done", id=job.id)
        assert prune(desk, store=other) == 0
    assert prune(desk) == 1


def test_a_key_is_freed_by_its_holder_only(desk: Desk) -> None:
    (old,) = desk.run(desk.job(unique_key="k"))
    desk.settle((old, failed()))
    holder = desk.job(unique_key="k", delay=500)
    desk.put(holder)

    assert prune(desk) == 1

    assert desk.put(desk.job(unique_key="k")) == [holder.id]


def test_a_job_whose_key_outlives_it_stays(desk: Desk) -> None:
    (older,) = desk.run(desk.job(unique_key="k"))
    desk.end(older)
    (job,) = desk.run(desk.job(unique_key="k"))
    desk.end(job)
    (younger,) = desk.run(desk.job(unique_key="k"))
    desk.end(younger)
    desk.sql(f"INSERT INTO {{unique_keys}} (ukey, job_id) VALUES ('k', {desk.id(job.id)})")
    assert prune(desk) == 2
    assert is_there(desk, older, job, younger) == [False, True, False]
    desk.sql("DELETE FROM {unique_keys}")
    assert prune(desk) == 1


def test_the_last_runs_of_a_schedule_stay(desk: Desk) -> None:
    last, earlier, older = jobs = [desk.job() for _ in range(3)]
    desk.end(*desk.run(*jobs))
    now = {"sqlite": "0"}.get(desk.kind, "'2026-01-01'")
    desk.sql(
        "INSERT INTO {schedules} (id, name, app, anchor, created_at, last_run, earlier_run) "
        f"VALUES (1, 'n', 'a', {now}, {now}, {desk.id(last.id)}, {desk.id(earlier.id)})"
    )
    assert prune(desk) == 1
    assert is_there(desk, last, earlier, older) == [True, True, False]


class Killed(Exception):
    """Ends a walk as a kill would."""


@pytest.mark.parametrize("kind", ["workflow", "tree"])
def test_a_large_group_goes_in_parts_and_a_kill_does_not_stop_it(
    desk: Desk, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "_CHUNK", 3)
    if kind == "workflow":
        w = Sketch()
        for _ in range(3):
            inner = w.flow(w.top, "fail_fast")
            for _ in range(3):
                w.job(flow=inner)
        w.put(desk)
    else:
        (parent,) = desk.run(desk.job())
        desk.settle((parent, spawned(*desk.family(parent, 8))))
    while claimed := desk.claim():
        desk.end(*claimed)
    before, removals = desk.count("jobs"), retention.remove_groups

    def killed(tx: Any, groups: Any) -> Any:
        if desk.count("jobs") < before:
            raise Killed
        return removals(tx, groups)

    for _ in range(9):
        monkeypatch.setattr(retention, "remove_groups", killed)
        before = desk.count("jobs")
        try:
            prune(desk)
        except Killed:
            desk.check()
    monkeypatch.setattr(retention, "remove_groups", removals)
    prune(desk)
    assert [desk.count(table) for table in TABLES] == [0] * len(TABLES)


def test_walks_of_several_workers_remove_each_job_once(desk: Desk) -> None:
    for _ in range(4):
        desk.end(*desk.run(*(desk.job() for _ in range(100))))
        (parent,) = desk.run(desk.job())
        desk.settle((parent, spawned(*desk.family(parent, 10))))
        while claimed := desk.claim():
            desk.end(*claimed)
    counts: list[int] = []
    barrier = threading.Barrier(3)

    def walk() -> None:
        barrier.wait()
        counts.append(prune(desk))

    threads = [threading.Thread(target=walk) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(counts) + prune(desk) == 448
    assert desk.count("jobs") == 0


def test_ids_that_users_gave_are_found(desk: Desk) -> None:
    jobs = [desk.job(id=uuid.UUID(int=n, version=4).bytes) for n in (1, 1 << 127, (1 << 128) - 2)]
    desk.end(*desk.run(*jobs))
    assert prune(desk) == 3


def test_workers_take_turns_and_go_on_where_another_was_killed(desk: Desk, other: Store) -> None:
    desk.end(*desk.run(*(desk.job(id=id_of(9)) for _ in range(5))))
    age(desk, 8)
    first, second = (Pruner(s, default={"completed": 7 * DAY}) for s in (other, desk.store))
    keep = desk.store.retention
    assert keep.progress() is None
    assert not keep.take_turn(30.0)  # it has begun
    assert keep.take_turn(30.0)  # by a worker that is killed now
    assert first.tick(0) > 15 and desk.count("jobs") == 5
    desk.sql(f"UPDATE {{retention}} SET due_at = {desk.shift('due_at', 31)}")

    first.tick(0)
    waits = second.tick(0)  # the turn is over, but the next is not due yet

    progress = keep.progress()
    assert progress is not None and (desk.count("jobs"), progress.removed) == (0, 5) and waits > 0
    desk.sql(f"UPDATE {{retention}} SET due_at = {desk.shift('due_at', 100)}")
    second.tick(0)  # comes to the end of the walk that the first has begun
    progress = keep.progress()
    assert progress is not None
    assert progress.walked_at is not None and progress.position is None and progress.due_in > 30


def test_the_tables_level_out_over_a_year(desk: Desk) -> None:
    policy = RetentionPolicy({"completed": 7 * DAY, "failed": 30 * DAY, "skipped": 7 * DAY})
    sizes = []
    for month in range(12):
        made = functools.partial(id_of, 30.0 * (12 - month))
        plain, bad, before = (desk.job(id=made()) for _ in range(3))
        for job, end in ((plain, OK), (bad, failed()), (before, OK)):
            desk.settle((desk.run(job)[0], end))
        w = Sketch(new_id=made)
        w.job(w.job(), depends=[before.id])
        w.put(desk)
        while claimed := desk.claim():
            desk.end(*claimed)
        prune(desk, policy)
        sizes.append({table: desk.count(table) for table in TABLES})
        age(desk, 30.5)
    assert sizes[2] == sizes[11] and sizes[11]["jobs"] == 5


def test_a_job_that_was_removed_cannot_be_depended_on(desk: Desk) -> None:
    lone = desk.job()
    desk.end(*desk.run(lone))
    assert prune(desk) == 1
    with pytest.raises(JobNotFound):
        desk.put(desk.job(depends=[lone.id]))


def test_waiting_for_the_only_writer_makes_no_longer_pause(
    desk: Desk, other: Store, monkeypatch: Any
) -> None:
    """The pause after a page follows from the time in which it kept others from writing."""
    if desk.kind != "sqlite":
        pytest.skip("a page locks its rows only")
    desk.end(*desk.run(*(desk.job() for _ in range(600))))
    age(desk, 30)
    pruner = Pruner(desk.store, default={"completed": 0.0})
    pruner.tick(0)  # the first one of all begins
    remove, held = desk.store.retention._remove, threading.Event()

    def hold() -> None:
        with other.database.transaction():
            held.set()
            time.sleep(0.8)

    def late(*given: Any) -> None:
        if not held.is_set():
            threading.Thread(target=hold).start()
            assert held.wait(10)
        remove(*given)

    monkeypatch.setattr(desk.store.retention, "_remove", late)
    while not held.is_set():
        pause = pruner.tick(0)

    assert pruner._walk.waited > 0.4 and pruner._walk.removed == 500
    assert pause < 10


def test_a_transaction_that_holds_the_only_writer_for_long_gets_smaller(
    desk: Desk, monkeypatch: Any
) -> None:
    if desk.kind != "sqlite":
        pytest.skip("others may write meanwhile")
    desk.end(*desk.run(*(desk.job() for _ in range(400))))
    sizes: list[int] = []
    remove = retention.remove_groups

    def slow(tx: Any, groups: Any) -> Any:
        sizes.append(len(groups))
        time.sleep(retention._HELD)
        return remove(tx, groups)

    monkeypatch.setattr(retention, "remove_groups", slow)
    walk = Walk()
    time.sleep(0.002)
    while not walk.is_over:
        desk.store.retention.step(walk, AT_ONCE)

    assert sizes == [250, 125, 25] and walk.rows == 50
