"""Waiting for an end, in a thread or in a coroutine, and what a handle needs of its app."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from hammerflow.codec.codec import Codec
from hammerflow.durations import seconds_or_none
from hammerflow.errors import HammerflowError

if TYPE_CHECKING:
    from hammerflow.jobs.settlement import Settlement
    from hammerflow.notifiers import Notifier
    from hammerflow.results.async_calls import AsyncCalls
    from hammerflow.stores.store import Store

__all__ = ["Deadline", "EndWait", "ResultBackend", "announce"]

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
    def lease(self) -> float: ...
    @property
    def async_calls(self) -> AsyncCalls: ...
    @property
    def open_transaction(self) -> ContextVar[Any]: ...


class Deadline:
    """The end of a timeout from now, in seconds or as a timedelta; several waits may share it."""

    def __init__(self, timeout: float | timedelta | None) -> None:
        self.timeout = seconds_or_none(timeout, "timeout")
        self._at = math.inf if self.timeout is None else time.monotonic() + self.timeout

    def left(self) -> float:
        """Seconds from now to the deadline: 0 once it has passed, infinity for no timeout."""
        return max(0.0, self._at - time.monotonic())


@dataclass(frozen=True, slots=True)
class EndWait(Generic[T]):
    """A wait for the end of one job or workflow.

    Attributes:
        key: its id; a ring for it wakes the wait before the poll interval is over.
        ended: reads its end from the database; None while it has not ended.
        not_ended: takes the timeout in seconds and returns the message of the TimeoutError.
    """

    key: bytes
    backend: ResultBackend
    ended: Callable[[], T | None]
    not_ended: Callable[[float | None], str]
    is_workflow: bool = False

    def until(self, deadline: Deadline) -> T:
        """Wait until it has ended, or raise TimeoutError at the deadline."""
        backend = self.backend
        with backend.notifier.expect(self.key) as waiter:  # before the first read: no ring is lost
            while (end := self.ended()) is None:
                left = deadline.left()
                if not left:
                    raise TimeoutError(self.not_ended(deadline.timeout))
                self._refuse_a_deadlock()
                waiter.wait(min(left, backend.poll))
            return end

    async def until_async(self, deadline: Deadline) -> T:
        """:meth:`until` without blocking the event loop, and without a thread of its own."""
        calls = self.backend.async_calls
        if self.backend.open_transaction.get() is not None:  # rare: to refuse a deadlock at once
            if (end := await calls.read(self.ended)) is not None:
                return end
            if deadline.left():
                self._refuse_a_deadlock()
        while True:
            left = deadline.left()
            if left:
                await calls.ends.wait(self.key, left, is_workflow=self.is_workflow)
            if (end := await calls.read(self.ended)) is not None:
                return end
            if not deadline.left():
                text = await calls.read(partial(self.not_ended, deadline.timeout))
                raise TimeoutError(text)

    def _refuse_a_deadlock(self) -> None:
        """On SQLite nothing ends while this very transaction keeps the others from writing."""
        opened = self.backend.open_transaction.get()
        if opened is not None and opened.keeps_others_from_writing and not opened.is_hidden:
            raise HammerflowError(
                "this wait is inside a transaction on SQLite, and no worker can write the end of "
                "a job before that transaction has ended: wait after its block"
            )


def announce(backend: ResultBackend, settlement: Settlement) -> None:
    """Ring for the jobs that a settlement made ready and for those that it ended."""
    backend.notifier.ring(settlement.queues)
    backend.notifier.ring_done(settlement.ended)
