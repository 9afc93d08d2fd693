"""AppStats, ``app.stats``: what workers have counted of jobs, spawners and workflows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Protocol

from hammerflow.jobs.histogram import Histogram
from hammerflow.options.checks import NAME_CHECK, duration
from hammerflow.stores.spawns import SpawnStats
from hammerflow.stores.statistics.statistics import Counts, Window
from hammerflow.stores.statistics.workflow_statistics import NodeTime, WorkflowCounts
from hammerflow.stores.store import Store

__all__ = [
    "ENDS", "STATES", "AppStats", "JobStatistics", "WorkflowStatistics", "merged",
    "queue_totals", "task_totals", "to_jobs_over_time", "to_workflows_over_time", "window_of",
    "workflow_totals",
]  # fmt: skip

#: What jobs are counted by, and the statuses in which a run of a workflow ends.
STATES = ("enqueued", "completed", "failed", "cancelled", "skipped")
ENDS = ("completed", "failed", "cancelled")
_LAST = duration(zero=False, most=10 * 365 * 86_400.0)
_DAY = timedelta(days=1)
_HOURLY_FROM = 6.0 * 3600  # seconds from which totals are read in whole hours
_MINUTES_OF_A_QUEUE = 3.0 * 3600 + 1  # seconds
#: Names whose slowest node is read, those with most runs first.
_TOLD = 20


@dataclass(slots=True)
class JobStatistics:
    """How many jobs of one task or queue reached each state, and how long they waited and ran.

    Attributes:
        name: of the task or queue; empty: of all that were asked for.
        jobs: numbers by ``enqueued``, ``completed``, ``failed``, ``cancelled`` and ``skipped``.
        waits: seconds from enqueueing to the start, of those that were ready when they were
            enqueued and started once.
        runs: seconds of their last attempts.
        at: the begin of the minute, hour or day; None: of the whole time.
    """

    name: str
    jobs: dict[str, int] = field(default_factory=lambda: dict.fromkeys(STATES, 0))
    waits: Histogram = field(default_factory=Histogram)
    runs: Histogram = field(default_factory=Histogram)
    at: datetime | None = None


@dataclass(slots=True)
class WorkflowStatistics:
    """How many runs of one kind and name ended with each status, and how long they took.

    Attributes:
        name: empty: of all that were asked for, or of rare names together.
        kind: ``workflow``, ``batch``, ``chain``, ``group`` or ``chord``; empty: of all kinds.
        runs: numbers by ``completed``, ``failed`` and ``cancelled``.
        times: seconds from the start of a run to its end.
        slowest: ``name`` and ``seconds`` of the node that ran longest on average, in the last 20
            runs; None: not known, or not read.
        at: the begin of the minute, hour or day; None: of the whole time.
    """

    name: str
    kind: str
    runs: dict[str, int] = field(default_factory=lambda: dict.fromkeys(ENDS, 0))
    times: Histogram = field(default_factory=Histogram)
    slowest: NodeTime | None = None
    at: datetime | None = None

    @property
    def success_ratio(self) -> float | None:
        """The share of completed runs among those that completed or failed; None without any."""
        ended = self.runs["completed"] + self.runs["failed"]
        return None if not ended else self.runs["completed"] / ended


class _StatsBackend(Protocol):
    @property
    def store(self) -> Store: ...


class AppStats:
    """What workers have counted, also of jobs and workflows that were removed since: each minute
    soon after its end, and again three minutes later.

    ``last`` is how far back the figures reach, as a timedelta or in seconds; they are counted in
    whole minutes, hours or days. Times have ``mean`` and ``percentile(95)`` in seconds; percentiles
    are right to within 9.1 %. Every method raises ConfigError for an argument that cannot be what
    it is, and StoreUnavailable if the database cannot be reached.
    """

    def __init__(self, app: _StatsBackend) -> None:
        self._app = app

    def queues(
        self, *, last: timedelta | float = _DAY, task: str | None = None, queue: str | None = None
    ) -> list[JobStatistics]:
        """The jobs of each queue, or of one; of all tasks, or of one: as ``queue stats --hours``.
        In whole hours from 6 hours on."""
        seconds, task, queue = _LAST(last, "last"), _name(task, "task"), _name(queue, "queue")
        queues = None if queue is None else [queue]
        return queue_totals(self._app.store, seconds, task=task, queues=queues)

    def tasks(
        self, *, last: timedelta | float = _DAY, task: str | None = None, queue: str | None = None
    ) -> list[JobStatistics]:
        """The jobs of each task, or of one; in all queues, or in one: as ``task stats``. In whole
        hours from 6 hours on."""
        seconds, task, queue = _LAST(last, "last"), _name(task, "task"), _name(queue, "queue")
        return task_totals(self._app.store, seconds, task=task, queue=queue)

    def jobs_over_time(
        self, *, last: timedelta | float = _DAY, task: str | None = None, queue: str | None = None
    ) -> list[JobStatistics]:
        """All jobs, or those of a task or queue, by time, the oldest first: by minute below a day
        (of a queue, up to 3 hours), by hour up to 24 days, then by day. Times without any jobs are
        among them; the last one is not over."""
        seconds, task, queue = _LAST(last, "last"), _name(task, "task"), _name(queue, "queue")
        store = self._app.store
        window = window_of(store, seconds, queue=queue)
        found = store.statistics.summed(window, task=task, queue=queue)
        return to_jobs_over_time(window, found)

    def spawns(
        self, *, last: timedelta | float = _DAY, queue: str | None = None
    ) -> list[SpawnStats]:
        """The runs of each spawner in each queue, and the children that they inserted: as ``spawn
        stats``. Of runs that are not counted yet, the newest 50 000 are."""
        since = timedelta(seconds=_LAST(last, "last"))
        found, _ = self._app.store.spawns.stats(since=since, queue=_name(queue, "queue"))
        return list(found)

    def workflows(
        self, *, last: timedelta | float = _DAY, name: str | None = None
    ) -> list[WorkflowStatistics]:
        """The runs of each kind and name of workflows that ended, or of one name: as ``workflow
        stats``. The slowest node is told of the 20 names with most runs."""
        seconds, name, store = _LAST(last, "last"), _name(name, "name"), self._app.store
        window = window_of(store, seconds)
        return workflow_totals(store, window, store.statistics.of_workflows(window, name=name))

    def workflows_over_time(
        self, *, last: timedelta | float = _DAY, name: str | None = None
    ) -> list[WorkflowStatistics]:
        """The runs of all workflows that ended, or of one name, by time: like
        :meth:`jobs_over_time`."""
        seconds, name, store = _LAST(last, "last"), _name(name, "name"), self._app.store
        window = window_of(store, seconds)
        found = store.statistics.of_workflows(window, name=name)
        return to_workflows_over_time(window, found, name or "")


def _name(given: str | None, what: str) -> str | None:
    return None if given is None else NAME_CHECK(given, what)


# -- what commands and the REST API read, too


def window_of(store: Store, seconds: float, *, queue: str | None = None) -> Window:
    """The time whose figures are told one by one.

    Args:
        queue: the one whose jobs are read: the rows of all tasks and queues are, because sums exist
            by task only.
    """
    if queue is None:
        return Window.last(seconds, store.clock())
    return Window.last(seconds, store.clock(), hourly_from=_MINUTES_OF_A_QUEUE)


def queue_totals(
    store: Store, seconds: float, *, task: str | None = None, queues: Sequence[str] | None = None
) -> list[JobStatistics]:
    """The figures of each queue or of some, of one task or of all together."""
    found = store.statistics.queue_totals(_whole(store, seconds), task=task, queues=queues)
    return merged(found, lambda counts: counts.queue)


def task_totals(
    store: Store, seconds: float, *, task: str | None = None, queue: str | None = None
) -> list[JobStatistics]:
    """The figures of each task or of one, in one queue or in all together."""
    found = store.statistics.task_totals(_whole(store, seconds), task=task, queue=queue)
    return merged(found, lambda counts: counts.task)


def _whole(store: Store, seconds: float) -> Window:
    return Window.last(seconds, store.clock(), hourly_from=_HOURLY_FROM)


def merged(found: Iterable[Counts], name_of: Callable[[Counts], str]) -> list[JobStatistics]:
    """The figures of one name together, for each."""
    merged: dict[str, JobStatistics] = {}
    for counts in found:
        _add_jobs(merged.setdefault(name_of(counts), JobStatistics(name_of(counts))), counts)
    return sorted(merged.values(), key=lambda one: one.name)


def to_jobs_over_time(window: Window, found: Iterable[Counts]) -> list[JobStatistics]:
    """One for each minute, hour or day, also where nothing happened."""
    by_begin = {at: JobStatistics("", at=at) for at in _begins(window)}
    for counts in found:
        if counts.begin in by_begin:
            _add_jobs(by_begin[counts.begin], counts)
    return [*by_begin.values()]


def workflow_totals(
    store: Store, window: Window, found: Iterable[WorkflowCounts]
) -> list[WorkflowStatistics]:
    """The figures of each kind and name, by name."""
    by_key: dict[tuple[str, str], WorkflowStatistics] = {}
    for counts in found:
        key = counts.name, counts.kind
        _add_runs(by_key.setdefault(key, WorkflowStatistics(*key)), counts)
    often = sorted(by_key.values(), key=lambda one: -sum(one.runs.values()))
    for one in [one for one in often if one.name][:_TOLD]:
        one.slowest = store.statistics.slowest_node(one.name, window.begin)
    return [by_key[key] for key in sorted(by_key)]


def to_workflows_over_time(
    window: Window, found: Iterable[WorkflowCounts], name: str
) -> list[WorkflowStatistics]:
    """One for each minute, hour or day, also where nothing ended."""
    by_begin = {at: WorkflowStatistics(name, "", at=at) for at in _begins(window)}
    for counts in found:
        if counts.begin in by_begin:
            _add_runs(by_begin[counts.begin], counts)
    return [*by_begin.values()]


def _add_jobs(one: JobStatistics, counts: Counts) -> None:
    one.jobs[counts.state] += counts.jobs
    one.waits.merge(counts.waits)
    one.runs.merge(counts.runs)


def _add_runs(one: WorkflowStatistics, counts: WorkflowCounts) -> None:
    one.runs[counts.status] += counts.runs
    one.times.merge(counts.times)


def _begins(window: Window) -> Iterator[datetime]:
    for begin in range(window.begin, window.end, window.span):
        yield datetime.fromtimestamp(begin, UTC)
