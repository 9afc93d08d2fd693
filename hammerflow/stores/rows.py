"""Rows: how the rows of each table that hammerflow inserts into are built, and those it reads back.

The values are in the order of the parameters of the table's INSERT (a test compares them). The
functions here return plain tuples: sqlite3 binds a NamedTuple at half the speed, and a drain writes
a row of ``done`` for each job.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, NamedTuple

from hammerflow.ids import name_id
from hammerflow.jobs.job import FINAL_CODES, Claimed, JobState, NewJob, NewWorkflow, RowFlags
from hammerflow.jobs.limit import order_of
from hammerflow.jobs.log_lines import LineBuffer
from hammerflow.jobs.outcome import Operation
from hammerflow.telemetry.trace_context import row_trace

__all__ = [
    "BarrierRow", "ErrorRow", "JobLogRow", "LeaseRow", "ReadyRow", "ReplayRow", "Row",
    "UnstartedRow", "WaitingRow", "cancelled_row", "done_row", "job_row", "limited_job_row",
    "node_row", "parked_row", "scheduled_row", "spawn_row", "workflow_row",
]  # fmt: skip

#: A row as a driver takes it and gives it.
Row = tuple[Any, ...]


class ReadyRow(NamedTuple):
    """A row of ``ready``; the tables of unfinished jobs begin with these columns.

    So a job moves from one table to another by inserting what was read from the first.
    """

    job_id: bytes
    queue_id: int
    priority_order: int  # 4 - priority, ascending in the index; or a lane (jobs.limit)
    task_id: int
    lease: int
    attempt: int

    @staticmethod
    def of(job: NewJob, lease: int = 0) -> Row:
        """The row of a new job, or of one that was replaced while it had this lease number."""
        queue_id, task_id = name_id(job.queue), name_id(job.task)
        return (job.id, queue_id, order_of(job), task_id, lease, 0)

    @staticmethod
    def back(job: Claimed, attempt: int, lane: int | None) -> Row:
        """The row of a job that was claimed and has not ended."""
        order = 4 - job.priority if lane is None else lane
        return (job.id, job.queue_id, order, job.task_id, job.lease, attempt)


class LeaseRow(NamedTuple):
    """A row of ``leases`` as it is read; the claim statements write them."""

    job_id: bytes
    queue_id: int
    priority_order: int
    task_id: int
    lease: int
    attempt: int
    started_at: Any
    cancel: str | None  # the reason, if it was asked to stop


class WaitingRow(NamedTuple):
    """A row of ``waiting``: counts of the dependencies of a job that has not started."""

    job_id: bytes
    queue_id: int
    priority_order: int
    task_id: int
    lease: int
    pending: int  # not ended
    failed: int
    skipped: int
    cause: bytes | None  # the job that failed first
    total: int
    rule: int
    delay: float | None
    eta: Any
    workflow_id: bytes | None

    @staticmethod
    def of(ready: Row, job: NewJob, eta: Any) -> Row:
        """The row of a job that would be ready by ``ready``, before any dependency has ended."""
        return (
            *ready[:5], job.pending, 0, 0, None, job.pending, job.rule, job.delay, eta,
            job.workflow_id,
        )  # fmt: skip


class UnstartedRow(NamedTuple):
    """A row of ``done`` of a job that was not running: it has neither a worker nor a start."""

    job_id: bytes
    attempt: int
    lease: int
    state: int
    reason: str
    cause: bytes | None = None  # the job whose failure is why it was skipped


class ErrorRow(NamedTuple):
    """A row of ``errors``: how one attempt went wrong, or what a person did about it."""

    job_id: bytes
    lease: int
    kind: str
    attempt: int
    type: str
    message: str
    trace: str
    started_at: Any = None  # when the attempt was claimed; None if none was
    worker_id: int | None = None  # the worker that held its lease


class JobLogRow(NamedTuple):
    """A row of ``job_logs``: what one attempt has logged."""

    job_id: bytes
    lease: int
    attempt: int
    line_count: int  # how many are kept
    dropped: int
    data: bytes

    @classmethod
    def of(cls, job_id: bytes, lease: int, attempt: int, buffer: LineBuffer) -> JobLogRow:
        """The row of an attempt."""
        return cls(job_id, lease, attempt, len(buffer), buffer.dropped, buffer.packed())

    @classmethod
    def nothing(cls, job_id: bytes, lease: int, attempt: int) -> JobLogRow:
        """No row: a settle removes what was written while the attempt ran."""
        return cls(job_id, lease, attempt, 0, 0, b"")


class ReplayRow(NamedTuple):
    """A row of ``replays``: a job that a person has put back to ready, and how it had ended."""

    operation_id: bytes
    job_id: bytes
    lease: int  # that it has until it is claimed
    attempt: int
    state: int | None  # None: it was parked
    replayed_by: str
    reason: str | None
    detail: str | None


class BarrierRow(NamedTuple):
    """A row of ``barriers``: what counts down and is not a job.

    That is the end of a workflow, or a spawner whose dependents wait for its children.
    """

    id: bytes
    pending: int
    failed: int = 0


def job_row(job: NewJob, time: Callable[[datetime | None], Any]) -> Row:
    """A row of ``jobs``; ``time`` is the dialect's, for instants."""
    flags = job.flags
    if job.delay is not None or job.eta is not None or job.pending is not None:
        flags |= RowFlags.DELAYED
    return (
        job.id, name_id(job.queue), job.priority, name_id(job.task), job.args, job.options,
        job.headers, job.parent_id, job.root_id, job.depth, job.spawn_index, job.dependent_id,
        job.unique_key, job.trace and row_trace(job), job.workflow_id, job.pending, flags,
        None if job.expires_at is None else time(job.expires_at), job.expires,
    )  # fmt: skip


def limited_job_row(job: NewJob, time: Callable[[datetime | None], Any]) -> Row:
    """A row of ``jobs``, of a job with a limit."""
    row = job_row(job._replace(flags=job.flags | RowFlags.LIMITED), time)
    return (*row, order_of(job), job.limit_key, job.fair_key)


def scheduled_row(ready: Row, why: str, delay: float | None, eta: Any = None) -> Row:
    """A row of ``scheduled``: due ``delay`` seconds from now, or at ``eta``.

    Args:
        ready: its row of ``ready`` once it is due.
        why: delay, retry or snooze.
    """
    return (*ready, why, eta, delay)


def parked_row(ready: Row, why: str, detail: str) -> Row:
    """A row of ``parked``: a job that cannot run here and now."""
    return (*ready, why, detail)


def done_row(job: Claimed, worker_id: int, started_at: Any, end: Row) -> Row:
    """A row of ``done``: a job that its worker has settled.

    Args:
        end: state (of FINAL_CODES), result, reason, and seconds until the result is dropped.
    """
    return (job.id, job.attempt, job.lease, worker_id, started_at, *end)


def cancelled_row(lease: LeaseRow, worker_id: int, reason: str) -> Row:
    """A row of ``done``: a job whose worker is gone."""
    state = FINAL_CODES[JobState.CANCELLED]
    place = lease.job_id, lease.attempt, lease.lease, worker_id, lease.started_at
    return (*place, state, None, reason, None)


def spawn_row(job: Claimed, operation: Operation, spawned: int, error: str | None) -> Row:
    """A row of ``spawns``: one run of a spawner, which began ``-seconds`` from now."""
    return (
        job.id, job.lease, operation.requested, spawned, -operation.seconds, operation.handler,
        operation.operation_id, operation.metadata, error,
    )  # fmt: skip


def node_row(workflow_id: bytes, item: NewJob | NewWorkflow) -> Row:
    """A row of ``nodes``: a job or a workflow inside a workflow."""
    return (workflow_id, item.id, item.position, item.node)


def workflow_row(workflow: NewWorkflow) -> Row:
    """A row of ``workflows``; the first health check is due after one interval."""
    w = workflow
    return (
        w.id, w.parent_id, w.dependent_id, w.timeout, w.check_every, w.check_every, w.policy,
        w.collects, w.flags, w.kind, w.name, w.options,
    )  # fmt: skip
