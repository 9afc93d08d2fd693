"""Rows: one NamedTuple for each table that hammerflow inserts into, and how each is built.

The fields are in the order of the parameters of the table's INSERT (a test compares them). The
``of`` functions are the only places where positional rows are built. They return plain tuples:
sqlite3 binds a NamedTuple at half the speed, and a drain writes a row of ``done`` for each job.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, NamedTuple

from hammerflow.ids import name_id
from hammerflow.jobs.job import FINAL_CODES, Claimed, JobState, NewJob, NewWorkflow

__all__ = [
    "BarrierRow", "DoneRow", "EdgeRow", "ErrorRow", "JobRow", "LeaseRow", "NewWorkflowRow",
    "NodeRow", "ParkedRow", "ReadyRow", "Row", "ScheduledRow", "SpawnRow", "UnstartedRow",
    "WaitingRow",
]  # fmt: skip

#: A row as a driver takes it and gives it.
Row = tuple[Any, ...]


class JobRow(NamedTuple):
    """A row of ``jobs``: what was asked for; never changed, but for a replaced job."""

    id: bytes
    queue_id: int
    priority: int
    task_id: int
    args: bytes
    options: str | None
    headers: str | None
    parent_id: bytes | None
    root_id: bytes | None
    depth: int
    spawn_index: int | None
    dependent_id: bytes | None
    unique_key: str | None
    trace: str | None
    workflow_id: bytes | None
    awaits: int | None
    flags: int
    expires_at: Any
    expires: float | None

    @staticmethod
    def of(job: NewJob, time: Callable[[datetime | None], Any]) -> Row:
        """The row of a new job; ``time`` is the dialect's, for instants."""
        return (
            job.id, name_id(job.queue), job.priority, name_id(job.task), job.args, job.options,
            job.headers, job.parent_id, job.root_id, job.depth, job.spawn_index, job.dependent_id,
            job.unique_key, job.trace, job.workflow_id, job.pending, job.flags,
            None if job.expires_at is None else time(job.expires_at), job.expires,
        )  # fmt: skip


class ReadyRow(NamedTuple):
    """A row of ``ready``; the tables of unfinished jobs begin with these columns.

    So a job moves from one table to another by inserting what was read from the first.
    """

    job_id: bytes
    queue_id: int
    priority_order: int  # 4 - priority: ascending in the index
    task_id: int
    lease: int
    attempt: int

    @staticmethod
    def of(job: NewJob, lease: int = 0) -> Row:
        """The row of a new job, or of one that was replaced while it had this lease number."""
        queue_id, task_id = name_id(job.queue), name_id(job.task)
        return (job.id, queue_id, 4 - job.priority, task_id, lease, 0)

    @staticmethod
    def back(job: Claimed, attempt: int) -> Row:
        """The row of a job that was claimed and has not ended."""
        return (job.id, job.queue_id, 4 - job.priority, job.task_id, job.lease, attempt)


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


class ScheduledRow(NamedTuple):
    """A row of ``scheduled``: due ``delay`` seconds from now, or at ``eta``."""

    job_id: bytes
    queue_id: int
    priority_order: int
    task_id: int
    lease: int
    attempt: int
    why: str  # delay, retry, snooze
    eta: Any
    delay: float | None

    @staticmethod
    def of(ready: Row, why: str, delay: float | None, eta: Any = None) -> Row:
        """The row of a job that would be ready by ``ready``."""
        return (*ready, why, eta, delay)


class ParkedRow(NamedTuple):
    """A row of ``parked``: a job that cannot run here and now."""

    job_id: bytes
    queue_id: int
    priority_order: int
    task_id: int
    lease: int
    attempt: int
    why: str
    detail: str

    @staticmethod
    def of(ready: Row, why: str, detail: str) -> Row:
        """The row of a job that would be ready by ``ready``."""
        return (*ready, why, detail)


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


class DoneRow(NamedTuple):
    """A row of ``done``: how a job ended that was under a lease."""

    job_id: bytes
    attempt: int
    lease: int
    worker_id: int
    started_at: Any
    state: int  # of FINAL_CODES
    result: bytes | None
    reason: str | None
    ttl: float | None  # seconds until the result is dropped

    @staticmethod
    def of(job: Claimed, worker_id: int, started_at: Any, end: Row) -> Row:
        """The row of a job that its worker has settled; ``end``: state, result, reason, ttl."""
        return (job.id, job.attempt, job.lease, worker_id, started_at, *end)

    @staticmethod
    def cancelled(lease: LeaseRow, worker_id: int, reason: str) -> Row:
        """The row of a job whose worker is gone."""
        state = FINAL_CODES[JobState.CANCELLED]
        place = lease.job_id, lease.attempt, lease.lease, worker_id, lease.started_at
        return (*place, state, None, reason, None)


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


class SpawnRow(NamedTuple):
    """A row of ``spawns``: one run of a spawner."""

    parent_id: bytes
    lease: int
    requested: int
    spawned: int
    began: float  # seconds from now, so negative
    handler: str
    operation_id: str | None
    metadata: str | None
    error: str | None


class EdgeRow(NamedTuple):
    """A row of ``edges``: the end of ``parent_id`` is counted by ``child_id``."""

    parent_id: bytes
    child_id: bytes
    kind: int

    @staticmethod
    def of(parent_id: bytes, child_id: bytes, kind: int) -> Row:
        """The row of an edge."""
        return (parent_id, child_id, kind)


class NodeRow(NamedTuple):
    """A row of ``nodes``: a job or a workflow inside a workflow."""

    workflow_id: bytes
    job_id: bytes
    position: int | None
    name: str | None

    @staticmethod
    def of(workflow_id: bytes, item: NewJob | NewWorkflow) -> Row:
        """The row of a new job or workflow in the workflow around it."""
        return (workflow_id, item.id, item.position, item.node)


class BarrierRow(NamedTuple):
    """A row of ``barriers``: what counts down and is not a job.

    That is the end of a workflow, or a spawner whose dependents wait for its children.
    """

    id: bytes
    pending: int
    failed: int = 0


class NewWorkflowRow(NamedTuple):
    """A row of ``workflows`` as it is inserted."""

    id: bytes
    parent_id: bytes | None
    dependent_id: bytes | None
    timeout: float | None
    check_in: float | None
    check_every: float | None
    policy: int
    collects: int
    flags: int
    kind: str
    name: str
    options: str | None

    @staticmethod
    def of(workflow: NewWorkflow) -> Row:
        """The row of a new workflow."""
        w = workflow
        return (
            w.id, w.parent_id, w.dependent_id, w.timeout, w.check_every, w.check_every, w.policy,
            w.collects, w.flags, w.kind, w.name, w.options,
        )  # fmt: skip
