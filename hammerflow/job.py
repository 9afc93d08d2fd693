"""A job: one call of a task, as it is asked for, claimed and seen."""

from __future__ import annotations

import enum
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

__all__ = ["Claimed", "DependencyStatus", "ErrorRecord", "Job", "JobState", "NewJob", "Priority"]


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
    fan_in_id: bytes | None = None  # the job that waits for this one among its siblings
    unique_key: str | None = None
    delay: float | None = None  # seconds from the database's now until it may start
    eta: datetime | None = None  # or an aware instant
    expires: float | None = None  # seconds from now after which it must not start
    expires_at: datetime | None = None  # or an aware instant
    pending: int | None = None  # a fan-in: how many jobs it waits for
    trace: str | None = None


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
    fan_in_id: bytes | None
    unique_key: str | None
    trace: str | None
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
    errors: tuple[ErrorRecord, ...] = ()
