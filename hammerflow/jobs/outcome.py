"""Outcomes: how one attempt ended, as a value; and what a body raises to choose its end."""

from __future__ import annotations

from datetime import timedelta
from typing import NamedTuple

from hammerflow.errors import HammerflowError
from hammerflow.jobs.job import NewJob, NewWorkflow

__all__ = [
    "NO_REASON", "Cancel", "Cancelled", "Completed", "Failed", "Failure", "Lost", "Operation",
    "Outcome", "Parked", "Released", "Replaced", "Retry", "Retrying", "Settled", "Snooze",
    "Snoozed", "Spawned", "Suspected",
]  # fmt: skip

#: The message of a Retry that was raised without a reason.
NO_REASON = "retry requested"


class Retry(HammerflowError):
    """Raised by a body to try again later: ``raise Retry(after=30)``. It costs an attempt.

    Args:
        reason: kept in the error history.
        after: seconds or timedelta until the next attempt; by default what the task's backoff says.

    Of ``raise Retry(after=30) from error`` the history names the error, and so does the JobFailed
    after the last attempt; also without ``from`` in an ``except`` block, if no reason is given.
    """

    after: float | timedelta | None = None  # of a subclass that does not call __init__, too

    def __init__(self, reason: str = "", *, after: float | timedelta | None = None) -> None:
        super().__init__(reason or NO_REASON)
        self.after = after


class Cancel(HammerflowError):
    """Raised by a body to end its job as cancelled: ``raise Cancel("customer has left")``."""


class Snooze(HammerflowError):
    """Raised by a body to run again later without using up an attempt: ``raise Snooze(60)``.

    Args:
        after: seconds or timedelta until then.
    """

    def __init__(self, after: float | timedelta) -> None:
        super().__init__(f"snoozed for {after}")
        self.after = after


class Failure(NamedTuple):
    """An error as text."""

    kind: str  # failed, timeout, lost, suspected
    type: str  # qualified name of the exception
    message: str
    traceback: str


class Operation(NamedTuple):
    """The record of one run of a spawner."""

    handler: str
    operation_id: str | None
    metadata: str | None  # JSON
    requested: int  # how many children it yielded
    seconds: float  # how long it ran


class Spawned(NamedTuple):
    """The children that are inserted with a completed job."""

    children: list[NewJob]  # the fan-in (`then`) last, with pending set
    operation: Operation
    spawned: int  # how many, without the fan-in
    workflows: list[NewWorkflow]  # those among the children
    ends: int  # how many children have no successor among the children
    wait_for_children: bool = False  # whether the job's dependents wait for its children, too


class Completed(NamedTuple):
    """The body returned; ``result`` is encoded, or None if it is not stored."""

    result: bytes | None
    spawned: Spawned | None = None
    ttl: float | None = None  # seconds until the result is dropped
    trace: str | None = None  # of a job with dependents: for its row, with the span of this run


class Failed(NamedTuple):
    """Failed, without another attempt."""

    failure: Failure
    operation: Operation | None = None  # of a spawner
    trace: str | None = None  # as in Completed


class Retrying(NamedTuple):
    """Failed, with another attempt after ``delay`` seconds."""

    delay: float
    failure: Failure
    operation: Operation | None = None  # of a spawner
    trace: str | None = None  # for its row, with the span of this attempt


class Replaced(NamedTuple):
    """The job goes on as another call under its id, so its dependents wait for that call."""

    call: NewJob  # only its task, args, options, pending, rule and after are used
    children: list[NewJob]  # jobs that run before it
    workflows: list[NewWorkflow]


class Snoozed(NamedTuple):
    """To be run again after ``delay`` seconds; the attempt does not count."""

    delay: float


class Cancelled(NamedTuple):
    """Ended as cancelled."""

    reason: str


class Released(NamedTuple):
    """Not started, or stopped by a drain: ready again; the attempt does not count."""


class Parked(NamedTuple):
    """Cannot be run."""

    why: str  # unknown_task, undecodable, poison, unwritable
    failure: Failure


class Lost(NamedTuple):
    """The process that ran it died.

    It is parked at the last allowed loss, else tried again after ``delay`` seconds, or failed if
    ``delay`` is None: no attempt is left.
    """

    failure: Failure
    delay: float | None = 0.0


class Suspected(NamedTuple):
    """The process that ran it died, with other jobs: it is not known which was at fault.

    It is ready again, the attempt does not count, and it runs alone from now on.
    """

    failure: Failure


class Settled(NamedTuple):
    """The child has settled the job in its own transaction; nothing is left to write."""

    stale: bool


Outcome = (
    Completed | Failed | Retrying | Replaced | Snoozed
    | Cancelled | Released | Parked | Lost | Suspected | Settled
)  # fmt: skip
