"""How one attempt ended, as a value; and what a body raises to choose its end."""

from __future__ import annotations

from datetime import timedelta
from typing import NamedTuple

from hammerflow.errors import HammerflowError
from hammerflow.jobs.job import NewJob, NewWorkflow

__all__ = [
    "Cancel",
    "Cancelled",
    "Completed",
    "Failed",
    "Failure",
    "Lost",
    "Operation",
    "Outcome",
    "Parked",
    "Released",
    "Replaced",
    "Retry",
    "Retrying",
    "Settled",
    "Snooze",
    "Snoozed",
    "Spawned",
]


class Retry(HammerflowError):
    """Raise to try again later: ``raise Retry(after=30)``.

    Args:
        after: seconds or timedelta until the next attempt; the task's backoff when left out.
        reason: kept in the error history.
    """

    def __init__(self, reason: str = "", *, after: float | timedelta | None = None) -> None:
        super().__init__(reason or "retry asked for")
        self.after = after


class Cancel(HammerflowError):
    """Raise to end the job as cancelled: ``raise Cancel("customer is gone")``."""


class Snooze(HammerflowError):
    """Raise to be run again later at no cost of an attempt: ``raise Snooze(60)``."""

    def __init__(self, after: float | timedelta) -> None:
        super().__init__(f"snoozed for {after}")
        self.after = after


class Failure(NamedTuple):
    """What went wrong, as text."""

    kind: str  # failed, timeout, lost
    type: str  # qualified name of the exception
    message: str
    traceback: str


class Operation(NamedTuple):
    """One run of a spawner, as it is recorded."""

    handler: str
    operation_id: str | None
    metadata: str | None  # JSON
    requested: int  # how many children it has asked for
    seconds: float  # from its start to its end


class Spawned(NamedTuple):
    """The children that a completed job brings with it."""

    children: list[NewJob]  # a fan-in (`then`) job comes last, with pending set
    operation: Operation
    spawned: int  # how many, without the fan-in
    workflows: list[NewWorkflow]  # those that stand among the children
    ends: int  # how many of them nothing else among them waits for
    wait_for_children: bool = False  # what waits for the job waits for its children, too


class Completed(NamedTuple):
    """The body returned; ``result`` is encoded, or None when it is not to be stored."""

    result: bytes | None
    spawned: Spawned | None = None
    ttl: float | None = None  # seconds until the result is dropped


class Failed(NamedTuple):
    """Failed for good."""

    failure: Failure
    operation: Operation | None = None  # of a spawner


class Retrying(NamedTuple):
    """Failed, to be tried again after ``delay`` seconds."""

    delay: float
    failure: Failure
    operation: Operation | None = None  # of a spawner


class Replaced(NamedTuple):
    """To go on as another call under the same id: what waits for it waits for that one."""

    call: NewJob  # of which task, args, options, pending, rule and after count
    children: list[NewJob]  # jobs that come before it
    workflows: list[NewWorkflow]


class Snoozed(NamedTuple):
    """To be run again after ``delay`` seconds; the attempt is given back."""

    delay: float


class Cancelled(NamedTuple):
    """Ended as cancelled."""

    reason: str


class Released(NamedTuple):
    """Not started, or stopped by a drain: back to ready, the attempt is given back."""


class Parked(NamedTuple):
    """Cannot be run here and now."""

    why: str  # unknown_task, undecodable, poison
    failure: Failure


class Lost(NamedTuple):
    """The process that ran it died: parked if it is the last loss allowed, else tried again after
    ``delay`` seconds, or failed when ``delay`` is None (no attempt is left)."""

    failure: Failure
    delay: float | None = 0.0


class Settled(NamedTuple):
    """The child has settled this job in a transaction of its own; nothing is left to write."""

    stale: bool


Outcome = (
    Completed
    | Failed
    | Retrying
    | Replaced
    | Snoozed
    | Cancelled
    | Released
    | Parked
    | Lost
    | Settled
)
