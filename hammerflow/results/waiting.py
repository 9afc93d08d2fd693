"""Waiting for an end: the one loop of all handles, and what a handle needs of its app."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from hammerflow.codec.codec import Codec
from hammerflow.durations import seconds_or_none

if TYPE_CHECKING:
    from hammerflow.jobs.settlement import Settlement
    from hammerflow.notifiers import Notifier
    from hammerflow.stores.store import Store

__all__ = ["Deadline", "ResultBackend", "announce", "wait_for_end"]

T = TypeVar("T")


class ResultBackend(Protocol):
    """What a handle on a job or workflow needs of its app."""

    @property
    def store(self) -> Store: ...
    @property
    def notifier(self) -> Notifier: ...
    @property
    def codec(self) -> Codec: ...
    @property
    def poll(self) -> float: ...
    @property
    def in_thread(self) -> Callable[..., Any]: ...


class Deadline:
    """The end of a timeout from now, in seconds or as a timedelta; several waits may share it."""

    def __init__(self, timeout: float | timedelta | None) -> None:
        self.timeout = seconds_or_none(timeout, "timeout")
        self._at = math.inf if self.timeout is None else time.monotonic() + self.timeout

    def left(self) -> float:
        """Seconds from now to the deadline: 0 once it has passed, infinity for no timeout."""
        return max(0.0, self._at - time.monotonic())


def wait_for_end(
    key: bytes,
    backend: ResultBackend,
    deadline: Deadline,
    *,
    ended: Callable[[], T | None],
    not_ended: Callable[[float | None], str],
) -> T:
    """Wait until a job or workflow has ended, or raise TimeoutError at the deadline.

    Args:
        key: its id; a ring for it wakes the wait before the poll interval is over.
        ended: reads its end from the database; None while it has not ended.
        not_ended: takes the timeout in seconds and returns the message of the TimeoutError.
    """
    with backend.notifier.expect(key) as waiter:  # before the first read: no ring falls between
        while (end := ended()) is None:
            left = deadline.left()
            if not left:
                raise TimeoutError(not_ended(deadline.timeout))
            waiter.wait(min(left, backend.poll))
        return end


def announce(backend: ResultBackend, settlement: Settlement) -> None:
    """Ring for the jobs that a settlement made ready and for those that it ended."""
    backend.notifier.ring(settlement.queues)
    backend.notifier.ring_done(settlement.ended)
