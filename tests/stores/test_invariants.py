"""Damage of each kind, made by hand: found, mended, and found no more; a busy database has none."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from hammerflow.ids import new_id
from hammerflow.jobs.job import NewWorkflow
from hammerflow.jobs.outcome import Completed
from tests.stores.kit import Desk

_NOBODY = bytes(15) + b"\7"


def mended(desk: Desk, *kinds: str) -> dict[str, Any]:
    """Check that these kinds are found, and none after they were mended; what was changed."""
    found = desk.invariants().find()
    assert {each.kind for each in found} == set(kinds)
    changed = desk.invariants().mend(found)
    assert desk.invariants().find() == []
    return dict(changed)


ROWS = [
    ("ready_without_job", "ready", "queue_id, priority_order, job_id, task_id, lease, attempt",
     "1, 2, {id}, 3, 0, 0"),
    ("leases_without_job", "leases",
     "job_id, worker_id, queue_id, priority_order, task_id, lease, attempt, started_at",
     "{id}, 1, 1, 2, 3, 1, 1, {now}"),
    ("scheduled_without_job", "scheduled",
     "run_at, job_id, queue_id, priority_order, task_id, lease, attempt, why",
     "{now}, {id}, 1, 2, 3, 0, 0, 'delay'"),
    ("waiting_without_job", "waiting",
     "job_id, pending, failed, skipped, total, rule, lease, queue_id, priority_order, task_id",
     "{id}, 0, 0, 0, 0, 0, 0, 1, 2, 3"),
    ("parked_without_job", "parked",
     "job_id, at, why, detail, queue_id, priority_order, task_id, lease, attempt",
     "{id}, {now}, 'poison', '', 1, 2, 3, 1, 1"),
    ("done_without_job", "done", "job_id, finished_at, state, attempt, lease",
     "{id}, {now}, 4, 1, 1"),
    ("errors_without_job", "errors", "job_id, lease, kind, attempt, at, type, message, trace",
     "{id}, 1, 'failed', 1, {now}, '', '', ''"),
    ("job_logs_without_job", "job_logs", "job_id, lease, attempt, line_count, dropped, data",
     "{id}, 1, 1, 1, 0, ''"),
    ("progress_without_job", "progress", "job_id, at, fraction, note", "{id}, {now}, 0, ''"),
    ("replays_without_job", "replays", "operation_id, job_id, at, lease, attempt, replayed_by",
     "{id}, {id}, {now}, 1, 1, ''"),
    ("spawns_without_job", "spawns",
     "parent_id, lease, requested, spawned, started_at, ended_at, handler",
     "{id}, 1, 0, 0, {now}, {now}, ''"),
    ("nodes_without_job", "nodes", "workflow_id, job_id", "{id}, {id}"),
    ("barriers_without_owner", "barriers", "id, pending, failed", "{id}, 0, 0"),
    ("schedule_ticks_without_schedule", "schedule_ticks",
     "schedule_id, tick, at, outcome, missed", "5, {now}, {now}, 'run', 0"),
    ("worker_tasks_without_worker", "worker_tasks", "task_id, worker_id", "5, 6"),
    ("limit_keys_without_limit", "limit_keys", "id, limit_id, name, tat", "5, 6, '', 0"),
    ("unique_keys_held", "unique_keys", "ukey, job_id", "'k', {id}"),
]  # fmt: skip


def test_rows_of_what_is_gone_are_deleted(desk: Desk) -> None:
    now = {"sqlite": "1e9", "postgres": "now()", "mysql": "UTC_TIMESTAMP(6)"}[desk.kind]
    desk.register(6 + 1)
    for _, table, columns, values in ROWS:
        filled = values.replace("{id}", desk.id(_NOBODY)).replace("{now}", now)
        desk.sql(f"INSERT INTO {{{table}}} ({columns}) VALUES ({filled})")

    # The waiting row counts right, a barrier with nothing pending is not wrong either.
    changed = mended(desk, *(kind for kind, *_ in ROWS), "jobs_in_two_states")

    assert sum(changed.values()) >= len(ROWS)
    assert desk.count("worker_tasks") == 1


def test_edges_without_an_end_are_deleted_and_what_waits_is_let_go(desk: Desk) -> None:
    desk.register()
    first, second = desk.job(), desk.job()
    last = desk.job(pending=2, after=((first.id, 0), (second.id, 0)))
    desk.put(first._replace(flags=1), second._replace(flags=1), last)
    assert desk.damage() == {}
    for table, column in (("ready", "job_id"), ("jobs", "id")):
        desk.sql(f"DELETE FROM {{{table}}} WHERE {column} = {desk.id(first.id)}")

    mended(desk, "edges_without_beginning", "wrong_counts")
    assert desk.state(last.id) == "waiting"
    desk.end(*desk.claim())

    assert desk.state(last.id) == "ready"


def test_a_key_of_an_ended_job_is_freed_and_that_of_a_live_one_is_not(desk: Desk) -> None:
    desk.register()
    ended, live = desk.run(desk.job(unique_key="a"), desk.job(unique_key="b"))
    desk.end(ended)
    desk.sql(f"INSERT INTO {{unique_keys}} (ukey, job_id) VALUES ('a', {desk.id(ended.id)})")

    assert mended(desk, "unique_keys_held") == {"unique_keys_held": 1}

    assert desk.store.unique_keys.holder("b") == live.id


def test_a_job_without_a_state_is_parked(desk: Desk) -> None:
    desk.register()
    (job,) = desk.run(desk.job())
    desk.sql("DELETE FROM {leases}")

    mended(desk, "jobs_without_state")

    assert desk.one("why, lease", "parked", job.id) == ("no_state", 1)
    assert desk.settle((job, Completed(None))).stale == {job.id}


def test_of_two_states_the_furthest_stays(desk: Desk) -> None:
    desk.register()
    ended, running = desk.run(desk.job(), desk.job())
    desk.end(ended)
    for job in (ended, running):
        desk.sql(
            "INSERT INTO {ready} (queue_id, priority_order, job_id, task_id, lease, attempt) "
            f"VALUES ({job.queue_id}, 2, {desk.id(job.id)}, {job.task_id}, 0, 0)"
        )

    mended(desk, "jobs_in_two_states")

    assert desk.states([ended.id, running.id]) == ["completed", "running"]


def test_leases_without_a_worker_are_lost_where_no_worker_would_take_them(desk: Desk) -> None:
    (job,) = desk.run(desk.job())
    found = desk.invariants().find()
    assert [each.kind for each in found] == ["leases_without_worker"]
    desk.register(2)
    assert desk.invariants().find() == []
    desk.store.workers.leave(2)

    mended(desk, "leases_without_worker")

    assert desk.state(job.id) == "ready" and desk.errors(job.id) == [("lost", 1)]


@pytest.fixture
def workflow() -> Callable[[Desk], Any]:
    """Puts a workflow of two jobs, one after the other: their ids."""

    def put(desk: Desk) -> Any:
        flow, last = new_id(), new_id()
        first = desk.job(workflow_id=flow, dependent_id=last)
        jobs = [first, desk.job(id=last, workflow_id=flow, dependent_id=flow, pending=1)]
        new = NewWorkflow(flow, "workflow", "w", 0, 1)
        desk.store.workflows.insert([new], lambda: [jobs])
        return first.id, last

    return put


def test_wrong_counts_are_counted_again(desk: Desk, workflow: Callable[[Desk], Any]) -> None:
    desk.register()
    first, last = workflow(desk)
    assert desk.damage() == {}
    desk.sql("UPDATE {waiting} SET pending = 7")
    desk.sql("DELETE FROM {barriers}")

    mended(desk, "wrong_counts")

    assert desk.one("pending", "waiting", last)[0] == 1
    desk.end(*desk.claim())
    desk.end(*desk.claim())
    assert desk.states([first, last]) == ["completed"] * 2
    assert desk.sql("SELECT status FROM {workflows}") == [(5,)]


def test_what_nobody_can_decide_is_named(desk: Desk) -> None:
    desk.register()
    desk.put(desk.job())
    desk.sql("DELETE FROM {queues}")

    (finding,) = desk.invariants().find()

    assert finding.kind == "names_missing" and not finding.is_mended
    assert desk.invariants().mend([finding]) == {}


def test_a_busy_database_shows_and_gets_nothing_else(desk: Desk) -> None:
    desk.register()
    over = threading.Event()
    failures: list[BaseException] = []

    def work() -> None:
        try:
            while not over.wait(0.005):
                root, *_ = desk.run(desk.job(unique_key="k"))
                desk.end(root)
                then = desk.job(pending=3)
                desk.put(*(desk.job(dependent_id=then.id) for _ in range(3)), then)
                desk.end(*desk.claim())
                desk.end(*desk.claim())
        except BaseException as error:  # noqa: BLE001 - told by the test
            failures.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        for _ in range(5):
            assert desk.invariants().find() == []
            desk.store.database.unit(lambda tx: tx.many("unique_insert", [("x", _NOBODY)]))
            assert mended(desk, "unique_keys_held") == {"unique_keys_held": 1}
    finally:
        over.set()
        thread.join()
    assert failures == []
