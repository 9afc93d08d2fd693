"""A job: one call of a task, as it is asked for, claimed and seen."""

from __future__ import annotations

import enum
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from hammerflow.errors import ConfigError

__all__ = [
    "CHUNK",
    "CONDITIONAL",
    "DEPENDENCY",
    "ORDER",
    "Claimed",
    "DependencyStatus",
    "ErrorRecord",
    "Job",
    "JobState",
    "NewJob",
    "NewWorkflow",
    "Priority",
    "RowFlags",
    "Rule",
    "checked_priority",
]

#: So many jobs are written by one statement.
CHUNK = 5_000


class JobState(enum.StrEnum):
    """Where a job stands; completed, failed, cancelled and skipped are final."""

    WAITING = "waiting"  # for other jobs
    SCHEDULED = "scheduled"  # for a time
    READY = "ready"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    SKIPPED = "skipped"
    PARKED = "parked"  # cannot be run here and now; `job retry` revives it

    @property
    def is_final(self) -> bool:
        """Whether a job in this state will not change by itself any more."""
        return self in _FINAL


_FINAL = frozenset({JobState.COMPLETED, JobState.FAILED, JobState.CANCELLED, JobState.SKIPPED})

#: Codes of the final states in the table ``done``.
FINAL_CODES: Mapping[JobState, int] = {
    JobState.COMPLETED: 4,
    JobState.FAILED: 5,
    JobState.CANCELLED: 6,
    JobState.SKIPPED: 7,
}
FINAL_STATES: Mapping[int, JobState] = {code: state for state, code in FINAL_CODES.items()}


class DependencyStatus(enum.StrEnum):
    """Whether a job waits for others, and how that went."""

    NONE = "none"
    WAITING = "waiting"
    SATISFIED = "satisfied"
    FAILED = "failed"


class Priority(enum.IntEnum):
    """Higher runs first within a queue."""

    BACKGROUND = 0
    LOW = 1
    NORMAL = 2
    HIGH = 3
    CRITICAL = 4


class Rule(enum.IntEnum):
    """When a job whose dependencies have all ended may run; otherwise it is skipped."""

    COMPLETED = 0  # every one has completed
    NOT_FAILED = 1  # every one has completed or was skipped by a condition
    FAILED = 2  # at least one has not completed (a link_error)
    ENDED = 3  # in any case


class RowFlags(enum.IntFlag):
    """Bits of the column ``flags`` of jobs, leases and workflows."""

    HAS_EDGES = 1  # its end is to read the table edges; its only dependent is in dependent_id
    DECIDED = 2  # of a workflow: a person has decided to go on without it
    WAIVED = 4  # of a workflow: a person has skipped it, so that it counts as completed


#: Added to a Rule: a condition on the results has its say, too.
CONDITIONAL = 16
#: Kinds of edges: a dependency, whose end counts by the dependent's Rule, or mere order.
DEPENDENCY, ORDER = 0, 1


class NewJob(NamedTuple):
    """A job as it is inserted (a NamedTuple: a hundred thousand are made at a time)."""

    id: bytes  # 16 bytes of a UUID version 7
    task: str
    queue: str
    priority: int
    args: bytes  # encoded by the codec: (args, kwargs)
    options: str | None = None  # JSON: what this call overrides, see signature.CallOptions
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
    depends: Sequence[bytes] | None = None  # edges from jobs and workflows that are there already


class NewWorkflow(NamedTuple):
    """A workflow as it is inserted."""

    id: bytes
    kind: str  # workflow, batch, chain, group, chord
    name: str
    policy: int
    pending: int  # how many of its last nodes end it
    collects: int = 0  # 1: failures do not fail it, but for that of the last; 2: nor that
    options: str | None = None  # JSON: description, trace_id, metadata ...
    timeout: float | None = None  # seconds
    check_every: float | None = None  # seconds
    parent_id: bytes | None = None  # the enclosing workflow
    position: int | None = None  # its place in there
    node: str | None = None
    dependent_id: bytes | None = None  # its only dependent, as of a job
    flags: int = 0


class Claimed(NamedTuple):
    """A job as a worker holds it under a lease: the row that the claim returns, and the frame
    that a child receives."""

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
    expired: bool


@dataclass(frozen=True, slots=True)
class ErrorRecord:
    """How one attempt went wrong."""

    attempt: int
    at: datetime
    kind: str  # failed, timeout, lost, parked, replayed
    type: str
    message: str
    traceback: str


@dataclass(frozen=True, slots=True)
class Job:
    """A job as it stands now: a snapshot, read in one statement.

    Attributes:
        id: a UUID version 7; ids sort by creation.
        attempt: how many attempts were started (a snooze or a drain gives one back).
        run_at: when a scheduled job is due, by the database's clock.
        started_at: when its last attempt was claimed; None for a job that never started.
        worker_id: number of the worker that runs it, or ran its last attempt.
        reason: why it was cancelled, skipped or parked.
        errors: the error history, oldest first (only from :meth:`Hammerflow.job`).
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


def checked_priority(value: int) -> int:
    """The number of a priority.

    Raises:
        ConfigError: the value is not one of :class:`Priority`.
    """
    try:
        return int(Priority(value))
    except ValueError:
        raise ConfigError(f"a priority is 0 (BACKGROUND) to 4 (CRITICAL), not {value!r}") from None
