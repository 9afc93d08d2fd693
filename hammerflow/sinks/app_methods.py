"""The methods of an app for events: those that read the log, and those that declare sinks."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import islice
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from hammerflow.options.checks import MOMENT, Unfit, ValueCheck, whole
from hammerflow.text import plain_text

if TYPE_CHECKING:
    from hammerflow.events.event import Event
    from hammerflow.events.filter import EventFilter
    from hammerflow.jobs.hooks import JobHooks
    from hammerflow.sinks.declared import DeclaredSinks
    from hammerflow.stores.store import Store

__all__ = ["aread_events", "declare_sink", "declared_sinks", "job_hooks", "read_events"]

T = TypeVar("T")


def _read_include(given: Any) -> list[str]:
    one = plain_text(given)
    parts = [plain_text(part) for part in (given if one is None else [one])]
    if not {*parts} <= {"args", "result"}:
        raise Unfit
    return [str(part) for part in parts]


_POSITION = whole(0, (1 << 63) - 1)
#: Events that a coroutine gets from its thread at once.
_AT_ONCE = 100
_INCLUDE = ValueCheck("list of str", "args, result or both", _read_include)


class _App(Protocol):
    @property
    def store(self) -> Store: ...

    @property
    def sinks(self) -> DeclaredSinks: ...


class _Threads(Protocol):
    async def read(self, work: Callable[[], T], /) -> T: ...


class _AsyncApp(_App, Protocol):
    @property
    def async_calls(self) -> _Threads: ...


def declared_sinks(self: Any) -> DeclaredSinks:
    """The sinks that the code declares; workers write them to the database."""
    from hammerflow.sinks.declared import DeclaredSinks

    return DeclaredSinks()


def job_hooks(self: Any) -> JobHooks:
    """Functions that the worker's child calls as it runs jobs: ``@app.hooks.job_failed``."""
    from hammerflow.jobs.hooks import JobHooks

    return JobHooks()


def declare_sink(
    self: _App, name: str, kind: str, *, kinds: Sequence[str] | None = None,
    queues: Sequence[str] = (), tasks: Sequence[str] = (),
    min_priority: int | str | None = None, min_duration: float | timedelta | str | None = None,
    with_headers: Mapping[str, str] | None = None,
    with_metadata: Mapping[str, str] | None = None, **options: Any,
) -> None:  # fmt: skip
    """Declare who gets events: ``app.sink("audit", "file", path="/var/log/jobs.jsonl")``.

    A worker writes it to the database at its start, before it claims, and starts a process that
    delivers to all sinks.

    Args:
        name: of the sink.
        kind: ``none``, ``log``, ``file``, ``http`` ..., or ``module:Class`` of your own.
        kinds: names of kinds of events, ``job.*`` for all of a noun; by default all but
            ``job.enqueued`` and ``job.started``.
        queues: only jobs of these queues; names may hold ``*``.
        tasks: only jobs of these tasks; likewise.
        min_priority: 0 to 4, or a name: only jobs of this priority or above.
        min_duration: seconds that an attempt took at least.
        with_headers: only jobs with these headers.
        with_metadata: only workflows and spawners with this in their metadata.
        options: of the sink. ``${NAME}`` in a text is an environment variable of the worker.

    Raises:
        ConfigError: the name is taken, or an option is unknown or wrong.
    """
    parts = {
        "kinds": kinds, "queues": queues, "tasks": tasks, "min_priority": min_priority,
        "min_duration": min_duration, "headers": with_headers, "metadata": with_metadata,
    }  # fmt: skip
    self.sinks.add(name, kind, options, parts)


def read_events(
    self: _App, *, after: int | None = None, since: datetime | None = None,
    kinds: Sequence[str] = ("*",), queues: Sequence[str] = (), tasks: Sequence[str] = (),
    min_priority: int | str | None = None, min_duration: float | timedelta | str | None = None,
    with_headers: Mapping[str, str] | None = None,
    with_metadata: Mapping[str, str] | None = None,
    limit: int | None = None, include: Sequence[str] = (),
) -> Iterator[Event]:  # fmt: skip
    """The events of the log, in order; it ends with the last one.

    The log holds the kinds that sinks want; a sink of the kind ``none`` turns it on without
    anybody to deliver to. Events that retention has removed are told by one of the kind
    ``log.gap``.

    Args:
        after: the position of an event: those behind it; by default all that the log holds.
        since: an aware time: those from then on.
        kinds, queues, tasks, min_priority, min_duration, with_headers, with_metadata: as for
            :meth:`sink`.
        limit: how many at most.
        include: ``args``, ``result`` or both, to tell these of jobs, too.

    Raises:
        ConfigError: a kind does not exist, or an argument cannot be what it is.
    """
    from hammerflow.events.filter import EventFilter

    checked_include = _INCLUDE(include, "include")
    wanted = EventFilter.of(
        kinds=kinds, queues=queues, tasks=tasks, min_priority=min_priority,
        min_duration=min_duration, headers=with_headers, metadata=with_metadata,
    )  # fmt: skip
    return _read(
        self, wanted, checked_include, None if after is None else _POSITION(after, "after"),
        None if since is None else MOMENT(since, "since"),
        None if limit is None else _POSITION(limit, "limit"),
    )  # fmt: skip


def _read(
    app: _App, wanted: EventFilter, include: Sequence[str], after: int | None,
    since: datetime | None, limit: int | None,
) -> Iterator[Event]:  # fmt: skip
    from hammerflow.sinks.reader import EventReader

    log = app.store.events
    reader = EventReader(app.store, wanted, include=include)
    if since is not None:
        after = log.position_at(since.timestamp())
    return reader.read(log.first() - 1 if after is None else after, limit=limit)


async def aread_events(
    self: _AsyncApp, *, after: int | None = None, since: datetime | None = None,
    kinds: Sequence[str] = ("*",), queues: Sequence[str] = (), tasks: Sequence[str] = (),
    min_priority: int | str | None = None, min_duration: float | timedelta | str | None = None,
    with_headers: Mapping[str, str] | None = None,
    with_metadata: Mapping[str, str] | None = None,
    limit: int | None = None, include: Sequence[str] = (),
) -> AsyncIterator[Event]:  # fmt: skip
    """:meth:`events` for coroutines: ``async for event in app.aevents()``.

    It reads in another thread, a hundred events at a time.
    """
    calls = self.async_calls
    events = await calls.read(
        lambda: read_events(
            self, after=after, since=since, kinds=kinds, queues=queues, tasks=tasks,
            min_priority=min_priority, min_duration=min_duration, with_headers=with_headers,
            with_metadata=with_metadata, limit=limit, include=include,
        )
    )  # fmt: skip
    while page := await calls.read(lambda: list(islice(events, _AT_ONCE))):
        for event in page:
            yield event
