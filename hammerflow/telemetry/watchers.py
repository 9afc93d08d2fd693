"""Watchers: what follows jobs from the call to the end of each attempt, as a tracer does."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any, Protocol

from hammerflow.jobs.job import Claimed, NewJob
from hammerflow.jobs.outcome import Outcome

__all__ = [
    "INTEGRATIONS",
    "RunWatch",
    "Stamp",
    "WatchedRun",
    "Watcher",
    "sent",
    "stamped",
    "watchers_of",
]

log = logging.getLogger("hammerflow.telemetry")

#: Gives the row of a job what its worker is to know of the call.
Stamp = Callable[[NewJob], NewJob]


class _Named(Protocol):
    @property
    def name(self) -> str: ...


class WatchedRun(Protocol):
    """One run of a job in a worker.

    Attributes:
        job: what its children inherit of the trace is in ``trace``: a tracer sets it.
        span_trace: for the row: the job's context with the span of this run as its last attempt.
        parents: the contexts of the jobs that it has waited for, if it has a context itself.
        error: what its body has raised.
    """

    job: Claimed
    queue: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    span_trace: str | None
    parents: Sequence[str]
    error: BaseException | None

    @property
    def app(self) -> Any: ...
    @property
    def task(self) -> _Named: ...


class RunWatch(Protocol):
    """What watches one run."""

    def end(self, outcome: Outcome) -> None:
        """The run has ended, in the context in which it began."""


class Watcher(Protocol):
    """What watches calls and runs; it must not raise."""

    def sending(self, job: NewJob, count: int | None) -> AbstractContextManager[Stamp]:
        """Watch the insert of jobs in the block.

        Args:
            job: the first one.
            count: how many there are; None if that is not known.
        """

    def began(self, run: WatchedRun) -> RunWatch:
        """A run begins in this context."""

    def flush(self, seconds: float) -> None:
        """Send what waits, as the process ends."""


class WatchingIntegration(Watcher, Protocol):
    """A watcher of all apps."""

    def stamp(self, row: NewJob) -> NewJob:
        """The row of a child with what its worker is to know of the job that spawns it."""


#: Watchers of all apps of this process.
INTEGRATIONS: list[WatchingIntegration] = []


class _Traced(Collection[Watcher]):
    """The watchers of an app that has a tracer."""

    def __init__(self, tracer: Watcher) -> None:
        self._tracer = tracer

    def __len__(self) -> int:
        return 1 + len(INTEGRATIONS)

    def __iter__(self) -> Iterator[Watcher]:
        yield self._tracer
        yield from INTEGRATIONS

    def __contains__(self, other: object) -> bool:
        return other is self._tracer or other in INTEGRATIONS


def watchers_of(*, tracing: bool) -> Collection[Watcher]:
    """The watchers of an app, which may come later, too: empty ones cost a call nothing.

    Raises:
        ConfigError: ``tracing`` is on, and OpenTelemetry is not installed.
    """
    if not tracing:
        return INTEGRATIONS
    from hammerflow.telemetry.tracing import Tracing  # imports OpenTelemetry

    return _Traced(Tracing())


def stamped(row: NewJob) -> NewJob:
    """The row of a child as all integrations want it."""
    for integration in INTEGRATIONS:
        row = integration.stamp(row)
    return row


@contextmanager
def sent(watchers: Iterable[Watcher], job: NewJob, count: int | None) -> Iterator[Stamp]:
    """Watch the insert of jobs by all; the block gets what to do with each row."""
    with ExitStack() as stack:
        stamps = [stack.enter_context(watcher.sending(job, count)) for watcher in watchers]

        def stamp(row: NewJob) -> NewJob:
            for each in stamps:
                row = each(row)
            return row

        yield stamp
