"""Jobs: one call of a task as it is inserted, claimed and shown."""

from __future__ import annotations

import enum
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, NamedTuple

from hammerflow.jobs.unique import HeldKey
from hammerflow.options.checks import ValueCheck, whole

__all__ = [
    "CHUNK", "CONDITIONAL", "DEPENDENCY", "ORDER", "PRIORITY", "Claimed", "DependencyStatus",
    "ErrorRecord", "Job", "JobState", "NewJob", "NewWorkflow", "Priority", "RowFlags", "Rule",
]  # fmt: skip

#: How many jobs one statement writes.
CHUNK = 5_000


class JobState(enum.StrEnum):
    """The state of a job; completed, failed, cancelled and skipped are final.

    Attributes:
        WAITING: for jobs that it depends on.
        SCHEDULED: for the time at which it may start.
        READY: a worker may claim it.
        RUNNING: a worker has claimed it and holds its lease.
        COMPLETED: the body returned.
        FAILED: the last attempt failed.
        CANCELLED: it was cancelled, or expired before it started.
        SKIPPED: a job that it depends on has not completed, or its condition is false.
        PARKED: it cannot run: its task is unknown, its arguments cannot be decoded, or it has
            killed its worker too often. ``hammerflow job retry`` makes it ready again.
    """

    WAITING = "waiting"
    SCHEDULED = "scheduled"
    READY = "ready"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    SKIPPED = "skipped"
    PARKED = "parked"

    @property
    def is_final(self) -> bool:
        """Whether the job has ended; only a retry or replay changes it then."""
        return self in FINAL_CODES


#: Codes of the final states in the table ``done``.
FINAL_CODES: Mapping[JobState, int] = {
    JobState.COMPLETED: 4, JobState.FAILED: 5, JobState.CANCELLED: 6, JobState.SKIPPED: 7,
}  # fmt: skip
FINAL_STATES: Mapping[int, JobState] = {code: state for state, code in FINAL_CODES.items()}


class DependencyStatus(enum.StrEnum):
    """The state of a job's dependencies.

    Attributes:
        NONE: it has no dependencies.
        WAITING: some of them have not ended.
        SATISFIED: all have ended so that it may run.
        FAILED: all have ended, and it was skipped.
    """

    NONE = "none"
    WAITING = "waiting"
    SATISFIED = "satisfied"
    FAILED = "failed"


class Priority(enum.IntEnum):
    """The priority of a job: higher numbers run first within a queue; NORMAL is the default."""

    BACKGROUND = 0
    LOW = 1
    NORMAL = 2
    HIGH = 3
    CRITICAL = 4


class Rule(enum.IntEnum):
    """Whether a job whose dependencies have all ended runs; otherwise it is skipped."""

    COMPLETED = 0  # if all have completed
    NOT_FAILED = 1  # if each has completed or was skipped by a condition
    FAILED = 2  # if at least one has not completed (a link_error)
    ENDED = 3  # always


class RowFlags:
    """Bits of the column ``flags`` of jobs, leases and workflows.

    Plain numbers: they are tested for each job that ends, and a test of an ``enum.IntFlag`` takes
    thirty times as long.
    """

    HAS_EDGES: Final = 1  # it has dependents in the table edges, besides the one in dependent_id
    DECIDED: Final = 2  # of a workflow: a person has decided to go on without it
    WAIVED: Final = 4  # of a workflow: a person has skipped it, so that it counts as completed
    SUSPECT: Final = 8  # of a job: a child died that ran it and others, so it runs alone in one
    WORKER_SUSPECT: Final = 16  # of a job: so did workers; it is the only such job in one
    TIED: Final = 32  # of a workflow: members were tied to it by edges after they were claimed
    LIMITED: Final = 64  # of a job: it is ready in a lane, see hammerflow.jobs.limit
    FREED_AT_START: Final = 128  # of a job: its unique key is free once it has started
    DELAYED: Final = 256  # of a job: it was not to start at once; its wait is not the queue's


#: Added to a Rule if the job also has a condition on the results.
CONDITIONAL = 16
#: Kinds of edges: a dependency, to whose end the dependent's Rule applies; or order alone.
DEPENDENCY, ORDER = 0, 1


class NewJob(NamedTuple):
    """A job as it is inserted; a NamedTuple, as a spawner makes a hundred thousand at a time."""

    id: bytes  # 16 bytes of a UUID version 7
    task: str
    queue: str
    priority: int
    args: bytes  # encoded by the codec: (args, kwargs)
    options: str | None = None  # JSON: what this call sets differently, see canvas.CallOptions
    headers: str | None = None  # JSON
    parent_id: bytes | None = None
    root_id: bytes | None = None
    depth: int = 0
    spawn_index: int | None = None
    dependent_id: bytes | None = None  # the job that waits for this one among its siblings
    unique_key: str | None = None
    delay: float | None = None  # seconds from the database's now until it may start
    eta: datetime | None = None  # or an aware instant
    expires: float | None = None  # seconds from now after which it must not start
    expires_at: datetime | None = None  # or an aware instant
    pending: int | None = None  # how many jobs it waits for
    trace: str | None = None
    workflow_id: bytes | None = None  # the workflow it is a member of
    position: int | None = None  # its place in the workflow's definition
    node: str | None = None  # its name there
    rule: int = 0  # a Rule, with CONDITIONAL added where options hold a condition
    flags: int = 0  # of RowFlags
    after: Sequence[tuple[bytes, int]] | None = None  # edges from new jobs: (id, kind)
    depends: Sequence[bytes] | None = None  # edges from jobs and workflows inserted before
    limit_id: int | None = None  # the number of its limit's key, of a job with a limit
    limit_key: str | None = None  # that key in words
    fair_key: str | None = None  # who shares the workers, of a job of a task with fair_by
    unique: HeldKey | None = None  # its key with a rule; unique_key is None if only time frees it


class NewWorkflow(NamedTuple):
    """A workflow as it is inserted."""

    id: bytes
    kind: str  # workflow, batch, chain, group, chord
    name: str
    policy: int
    pending: int  # how many of its members must end for it to end
    collects: int = 0  # 1: only the failure of its last job fails it; 2: no failure does
    options: str | None = None  # JSON: description, trace_id, metadata ...
    timeout: float | None = None  # seconds
    check_every: float | None = None  # seconds
    parent_id: bytes | None = None  # the enclosing workflow
    position: int | None = None  # its place in there
    node: str | None = None
    dependent_id: bytes | None = None  # its only dependent, as of a job
    flags: int = 0


class Claimed(NamedTuple):
    """A job under a worker's lease: the row that the claim returns and a child receives."""

    id: bytes
    lease: int
    attempt: int
    task_id: int
    queue_id: int
    priority: int
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
    flags: int
    expired: bool  # 0 or 1 from databases without booleans


@dataclass(frozen=True, slots=True)
class ErrorRecord:
    """An entry of a job's error history.

    Attributes:
        attempt: number of the attempt, from 1.
        at: when it was recorded, by the database's clock.
        kind: failed, timeout, lost, suspected, parked or replayed.
        type: qualified name of the exception.
        message: text of the exception.
        traceback: without the worker's own frames.
        started_at: when the attempt was claimed; None for what was not an attempt.
        worker_id: number of the worker that held its lease.
    """

    attempt: int
    at: datetime
    kind: str
    type: str
    message: str
    traceback: str
    started_at: datetime | None = None
    worker_id: int | None = None


@dataclass(frozen=True, slots=True)
class Job:
    """A snapshot of a job, read in one statement.

    Attributes:
        id: a UUID version 7; ids sort by creation.
        task: name of its task.
        queue: name of its queue.
        priority: higher runs first within the queue.
        state: where it is in its life.
        dependency_status: the state of what it waits for.
        attempt: how many attempts were started; a snooze or a drain gives one back.
        created_at: when it was inserted, by the database's clock.
        run_at: when a scheduled job is due.
        started_at: when its last attempt was claimed; None for a job that never started.
        worker_id: number of the worker that runs it, or ran its last attempt.
        finished_at: when it ended.
        parent_id: the job that spawned it.
        root_id: the first job of its spawn tree; None for a root.
        depth: generations below the root.
        spawn_index: its place among the children of its parent, from 0.
        unique_key: the key that it holds until it ends.
        reason: why it was cancelled, skipped or parked; a parked one begins with the code, as
            ``poison: ...``.
        progress: what the body reported, from 0 to 1.
        progress_note: the text that came with it.
        headers: of the call.
        options: what the call set differently from its task.
        workflow_id: the workflow it is a member of.
        errors: the error history, oldest first; only from :meth:`Hammerflow.job`.
    """

    id: uuid.UUID
    task: str
    queue: str
    priority: Priority
    state: JobState
    dependency_status: DependencyStatus
    attempt: int
    created_at: datetime
    run_at: datetime | None
    started_at: datetime | None
    finished_at: datetime | None
    parent_id: uuid.UUID | None
    root_id: uuid.UUID | None
    depth: int
    spawn_index: int | None
    unique_key: str | None
    reason: str | None
    progress: float | None
    progress_note: str | None
    headers: Mapping[str, Any]
    options: Mapping[str, Any]
    workflow_id: uuid.UUID | None = None
    worker_id: int | None = None
    errors: tuple[ErrorRecord, ...] = ()

    @property
    def duration(self) -> float | None:
        """Seconds from the claim of its last attempt to its end; None until both are known."""
        if self.started_at is None or self.finished_at is None:
            return None
        return (self.finished_at - self.started_at).total_seconds()


_NUMBER = whole(min(Priority), max(Priority))
#: The number of a :class:`Priority`.
PRIORITY = ValueCheck(
    "int", "0 (BACKGROUND) to 4 (CRITICAL)", _NUMBER.read, "", _NUMBER.bounds, _NUMBER.parse
)
