"""Rows: each is built in the order of the parameters of its table's INSERT."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import hammerflow
from hammerflow.canvas.signature import Signature
from hammerflow.ids import new_id
from hammerflow.jobs.job import Claimed, NewJob, NewWorkflow, RowFlags
from hammerflow.jobs.outcome import Cancelled, Completed, Operation, Retrying
from hammerflow.stores import rows
from hammerflow.stores.statements import load_statements, table_names
from tests.stores.kit import BAD, Desk, failed, spawned
from tests.stores.workflow_kit import Sketch, settle

PACKAGE = Path(hammerflow.__file__).parent
#: What the dialects' macros become does not matter here.
MACROS = {
    **table_names("", None, ""),
    **dict.fromkeys(
        [
            "prefix", "schema", "now", "table", "for_update", "for_share", "skip_locked", "epoch",
            "by_primary",
        ],
        "",
    ),
    "after": ":@::float8", "age": "", "epoch_of": "", "seconds_until": "", "lock_of": "",
}  # fmt: skip
INSERTS: dict[str, Any] = {
    "ready_insert": rows.ReadyRow,
    "waiting_insert": rows.WaitingRow,
    "done_insert_unstarted": rows.UnstartedRow,
    "errors_insert": rows.ErrorRow,
    "job_logs_put": rows.JobLogRow,
    "barriers_insert": rows.BarrierRow,
    "replays_insert": rows.ReplayRow,
}
DIALECTS = ("sqlite", "postgres", "mysql")


def by_name(statement: str, row: rows.Row) -> dict[str, Any]:
    """A row's values by the parameters of its INSERT, which are the same in all dialects."""
    names = [
        [param.name for param in load_statements(dialect, MACROS)[statement].row_params]
        for dialect in DIALECTS
    ]
    assert names[0] == names[1] == names[2]
    return dict(zip(names[0], row, strict=True))


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("statement", INSERTS)
def test_fields_are_the_parameters_of_the_insert(dialect: str, statement: str) -> None:
    found = load_statements(dialect, MACROS)[statement]
    assert [param.name for param in found.row_params] == [*INSERTS[statement]._fields]


def test_rows_are_built_in_the_order_of_their_fields() -> None:
    job = NewJob(
        new_id(), "t", "q", 3, b"M", parent_id=new_id(), root_id=new_id(), dependent_id=new_id(),
        spawn_index=7, pending=4, workflow_id=new_id(), position=5, node="n", rule=1, flags=1,
        delay=2.5, expires=9.0, trace="t", unique_key="k", options="{}", headers="[]",
    )  # fmt: skip
    whole = by_name("jobs_insert", rows.job_row(job, lambda instant: instant))
    assert whole["flags"] == job.flags | RowFlags.DELAYED
    renamed = {"awaits": "pending"}
    for name in whole.keys() - {"queue_id", "task_id", "flags"}:
        assert whole[name] == getattr(job, renamed.get(name, name)), name
    ready: Any = rows.ReadyRow._make(rows.ReadyRow.of(job, lease=6))
    assert ready == (job.id, whole["queue_id"], 1, whole["task_id"], 6, 0)
    waiting = rows.WaitingRow._make(rows.WaitingRow.of(ready, job, "eta"))
    assert waiting[:5] == ready[:5] and waiting.pending == waiting.total == 4
    assert (waiting.rule, waiting.delay, waiting.eta) == (1, 2.5, "eta")
    assert waiting.workflow_id == job.workflow_id and waiting.cause is None
    moved = dict(zip(ready._fields, ready, strict=True))
    scheduled = by_name("scheduled_insert", rows.scheduled_row(ready, "retry", 1.5, "eta"))
    assert scheduled == moved | {"why": "retry", "delay": 1.5, "eta": "eta"}
    parked = by_name("parked_insert", rows.parked_row(ready, "poison", "detail"))
    assert parked == moved | {"why": "poison", "detail": "detail"}
    node = by_name("nodes_insert", rows.node_row(b"w", job))
    assert node == {"workflow_id": b"w", "job_id": job.id, "position": 5, "name": "n"}


def test_rows_of_workflows_and_ends_are_built_in_the_order_of_their_fields() -> None:
    workflow = NewWorkflow(
        new_id(), "chain", "w", 2, 3, 1, "{}", 5.0, 6.0, new_id(), 1, "n", new_id(), 1
    )
    row = by_name("workflows_insert", rows.workflow_row(workflow))
    for name in row.keys() - {"check_in"}:
        assert row[name] == getattr(workflow, name), name
    lease = rows.LeaseRow(b"j", 1, 2, 3, 4, 5, "began", None)
    done = by_name("done_insert", rows.cancelled_row(lease, 9, "why"))
    assert done == {
        "job_id": b"j", "attempt": 5, "lease": 4, "worker_id": 9, "started_at": "began",
        "state": 6, "result": None, "reason": "why", "ttl": None,
    }  # fmt: skip
    operation = Operation("h", "o", "{}", 8, 1.5)
    claimed = Claimed._make([b"j", 4, *[None] * (len(Claimed._fields) - 2)])
    spawn = by_name("spawns_insert", rows.spawn_row(claimed, operation, 7, None))
    assert spawn == {
        "parent_id": b"j", "lease": 4, "requested": 8, "spawned": 7, "began": -1.5,
        "handler": "h", "operation_id": "o", "metadata": "{}", "error": None,
    }  # fmt: skip


@pytest.mark.parametrize("dialect", DIALECTS)
def test_every_statement_is_used(dialect: str) -> None:
    text = "\n".join(path.read_text(encoding="utf-8") for path in PACKAGE.rglob("*.py"))
    named = set(re.findall(r'"([a-z]\w+)"', text))
    built = [
        re.compile(re.sub(r"\{\w+\}", r"\\w+", pattern))
        for pattern in re.findall(r'f"((?:\w|\{\w+\})*_(?:\w|\{\w+\})*)"', text)
    ]
    unused = [
        name
        for name in load_statements(dialect, MACROS)
        if name not in named and not any(pattern.fullmatch(name) for pattern in built)
    ]
    assert unused == []


# -- started_at, finished_at and the worker of a job that has ended


def claimed_at(desk: Desk, job: Claimed) -> float:
    seen = desk.store.jobs.get(job.id)
    assert seen is not None and seen.started_at is not None
    assert seen.worker_id == 1 and seen.finished_at is None and seen.duration is None
    return seen.started_at.timestamp()


@pytest.mark.parametrize("outcome", [Completed(b"M"), failed(), Cancelled("no")])
def test_an_ended_job_keeps_its_worker_and_duration(desk: Desk, outcome: Any) -> None:
    (job, other) = desk.run(desk.job(), desk.job(task="u"))
    began = claimed_at(desk, job)
    desk.settle((job, outcome), (other, Completed(b"M")))  # one statement if both have completed
    for key in (job.id, other.id):
        seen = desk.store.jobs.get(key)
        assert seen is not None and seen.started_at is not None and seen.finished_at is not None
        assert seen.worker_id == 1 and seen.duration is not None and seen.duration >= 0
        assert seen.duration == (seen.finished_at - seen.started_at).total_seconds()
    seen = desk.store.jobs.get(job.id)
    assert seen is not None and seen.started_at is not None
    assert abs(seen.started_at.timestamp() - began) < 1e-5


def test_a_job_that_was_stopped_keeps_its_worker_and_start(desk: Desk) -> None:
    (job,) = desk.run(desk.job())
    began = claimed_at(desk, job)
    desk.store.jobs.cancel(job.id, "enough")
    desk.settle((job, Retrying(5.0, BAD)))
    seen = desk.store.jobs.get(job.id)
    assert seen is not None and seen.state == "cancelled" and seen.worker_id == 1
    assert seen.started_at is not None and abs(seen.started_at.timestamp() - began) < 1e-5


def test_a_job_that_died_with_its_worker_keeps_its_start(desk: Desk) -> None:
    desk.register()
    (job,) = desk.run(desk.job())
    began = claimed_at(desk, job)
    desk.store.jobs.cancel(job.id, "enough")
    desk.elapse(60)
    desk.store.workers.sweep(lease=30, poison_limit=3)
    seen = desk.store.jobs.get(job.id)
    assert seen is not None and seen.state == "cancelled" and seen.worker_id == 1
    assert seen.started_at is not None and abs(seen.started_at.timestamp() - began) < 1e-5


def test_a_job_that_never_started_has_neither(desk: Desk) -> None:
    (key,) = desk.put(desk.job())
    desk.store.jobs.cancel(key, "early")
    w = Sketch()
    first = w.plan.new_job(Signature("t", options={"queue": "q"}), w.top, "first")
    then = w.job(first)
    w.put(desk)
    settle(desk, failed(), first)
    for job_id in (key, then.id):
        seen = desk.store.jobs.get(job_id)
        assert seen is not None and seen.state.is_final
        assert (seen.worker_id, seen.started_at, seen.duration) == (None, None, None)


def test_a_job_that_waited_is_scheduled_for_its_eta(desk: Desk) -> None:
    eta = datetime.fromtimestamp(desk.store.clock(), UTC) + timedelta(hours=2, microseconds=7)
    (parent,) = desk.run(desk.job())
    kid, then = desk.family(parent, 1)
    desk.settle((parent, spawned(kid, then._replace(eta=eta))))
    desk.end(*desk.claim())
    seen = desk.store.jobs.get(then.id)
    assert seen is not None and seen.state == "scheduled" and seen.run_at is not None
    assert abs(seen.run_at - eta) < timedelta(microseconds=2)
