"""Statistics: jobs by minute, hour and day, counted from the tables a little after the fact.

No end of a job pays for them, and no crash can lose or double a count: each figure is what a query
over the ended jobs of its minute gave. One worker counts a minute when it is over, and once more
when no transaction can still be under way in which jobs of that minute ended.
"""

from __future__ import annotations

import functools
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NamedTuple

from hammerflow.ids import first_id_at, name_id
from hammerflow.jobs.histogram import Histogram
from hammerflow.jobs.job import FINAL_STATES
from hammerflow.stores.database import Database, Tx
from hammerflow.stores.names import NameTable
from hammerflow.stores.rows import Row
from hammerflow.stores.statistics.workflow_statistics import (
    NodeTime,
    WorkflowCounts,
    WorkflowFigures,
    counts_of,
    slowest_node,
)

__all__ = [
    "DAY", "HOUR", "KEPT", "MINUTE", "CountingProgress", "Counts", "SpanFigures", "Statistics",
    "Window",
]  # fmt: skip

MINUTE, HOUR, DAY = 60, 3_600, 86_400  # seconds: the spans
#: Seconds that the figures of a span are kept.
KEPT: Mapping[int, int] = {MINUTE: 3 * DAY, HOUR: 90 * DAY, DAY: 5 * 366 * DAY}
#: Seconds from the end of a minute until it is counted, and until it is counted for good.
_LATE, _FINAL = 3, 150
#: What further rows sum up, so that a page reads few: all jobs, or those of each task. Their column
#: ``span`` is the negative of the span and this number, and what is summed up is 0.
_ALL, _BY_TASK = 0, 1
_ENQUEUED = 0  # the code of jobs that were enqueued, besides those of the final states
#: Seconds after which a worker that counts no more holds up the removal of ended jobs no more.
_PATIENCE = 600.0


class CountingProgress(NamedTuple):
    """How far the jobs are counted, in seconds since 1970."""

    counted_to: int
    final_to: int
    due_in: float


class Window(NamedTuple):
    """A time whose figures are read: from ``begin`` up to ``end``, in seconds since 1970.

    Both are whole numbers of ``span``, which is MINUTE, HOUR or DAY.
    """

    begin: int
    end: int
    span: int

    @classmethod
    def last(cls, seconds: float, now: float, *, hourly_from: float = 24.0 * HOUR) -> Window:
        """The last ``seconds`` before now, by day from 24 days on, by hour from ``hourly_from``
        seconds on."""
        least = {DAY: 24.0 * DAY, HOUR: hourly_from}
        fitting = [span for span in (DAY, HOUR) if seconds >= least[span]]
        span = fitting[0] if fitting else MINUTE
        end = int(now // span) * span + span
        return cls(end - span - max(span, round(seconds / span) * span), end, span)


@dataclass(slots=True)
class Counts:
    """The figures of one span, task, queue and state.

    Attributes:
        begin: of the span.
        state: a final state, or ``enqueued``.
        jobs: how many jobs reached the state in this time.
        runs: durations of their last attempts.
        waits: from enqueueing to the start, of those that were ready when they were enqueued and
            started once.
    """

    begin: datetime
    task: str
    queue: str
    state: str
    jobs: int = 0
    runs: Histogram = field(default_factory=Histogram)
    waits: Histogram = field(default_factory=Histogram)

    def merge(self, other: Counts) -> None:
        """Add the figures of another time, task, queue or state."""
        self.jobs += other.jobs
        self.runs.merge(other.runs)
        self.waits.merge(other.waits)


_Key = tuple[int, int, int]  # task, queue, state


class SpanFigures:
    """Counts of one span by the numbers of task, queue and state."""

    def __init__(self) -> None:
        self.jobs: dict[_Key, int] = defaultdict(int)
        self.runs: dict[_Key, Histogram] = defaultdict(Histogram)
        self.waits: dict[_Key, Histogram] = defaultdict(Histogram)
        self.spawns: list[Row] = []
        self.workflows = WorkflowFigures()

    def merge(self, other: SpanFigures) -> None:
        """Add the figures of another span."""
        for key, jobs in other.jobs.items():
            self.jobs[key] += jobs
        for mine, theirs in ((self.runs, other.runs), (self.waits, other.waits)):
            for key, histogram in theirs.items():
                mine[key].merge(histogram)

    def add_spawns(self, rows: Iterable[Row]) -> None:
        """Add runs of spawners, as ``spawn_statistics_ended`` gives them."""
        self.spawns += rows

    def add_ended(self, rows: Iterable[Row]) -> None:
        """Add jobs that ended, as ``statistics_ended`` gives them."""
        for task_id, queue_id, state, run_bucket, wait_bucket, count, run, wait in rows:
            key = task_id, queue_id, state
            self.jobs[key] += count
            if run_bucket is not None:
                self.runs[key].add(run_bucket, count, max(0.0, run))
            if wait_bucket is not None:
                self.waits[key].add(wait_bucket, count, max(0.0, wait))

    def add_enqueued(self, rows: Iterable[Row]) -> None:
        """Add jobs that were enqueued, by task and queue."""
        for task_id, queue_id, count in rows:
            self.jobs[task_id, queue_id, _ENQUEUED] += count

    def add_rows(self, rows: Iterable[Row]) -> None:
        """Add rows of the table, as ``statistics_rows`` gives them."""
        for _, task_id, queue_id, state, jobs, run, wait, runs, waits in rows:
            key = task_id, queue_id, state
            self.jobs[key] += jobs
            self.runs[key].merge(Histogram.unpack(runs, run))
            self.waits[key].merge(Histogram.unpack(waits, wait))

    def write(self, tx: Tx, span: int, begin: int) -> None:
        """Replace the figures of one span, and its sums."""
        _delete(tx, span, begin, begin + span)
        rows = [row for code, figures in self.with_sums(span) for row in figures.rows(code, begin)]
        if rows:
            tx.many("statistics_insert", rows)
        if self.spawns:
            tx.many(
                "spawn_statistics_insert", [_spawn_row(span, begin, row) for row in self.spawns]
            )
        self.workflows.write(tx, span, begin)

    def with_sums(self, span: int) -> Iterator[tuple[int, SpanFigures]]:
        """These figures and their sums, each with what the column ``span`` holds."""
        yield span, self
        yield -(span + _BY_TASK), (tasks := self._summed(lambda key: (key[0], 0, key[2])))
        yield -(span + _ALL), tasks._summed(lambda key: (0, 0, key[2]))

    def _summed(self, key_of: Callable[[_Key], _Key]) -> SpanFigures:
        found = SpanFigures()
        for key, jobs in self.jobs.items():
            summed = key_of(key)
            found.jobs[summed] += jobs
            for mine, theirs in ((found.runs, self.runs), (found.waits, self.waits)):
                if key in theirs:
                    mine[summed].merge(theirs[key])
        return found

    def rows(self, code: int, begin: int) -> Iterator[Row]:
        """The rows of the table; ``code`` is what its column ``span`` holds."""
        for key, jobs in sorted(self.jobs.items()):
            runs, waits = self.runs.get(key, _NONE), self.waits.get(key, _NONE)
            yield code, begin, *key, jobs, runs.seconds, waits.seconds, runs.pack(), waits.pack()


_NONE = Histogram()


class Statistics:
    """Counts the jobs of each minute, folds them to hours and days, and reads the figures."""

    def __init__(self, database: Database, names: NameTable) -> None:
        self._database = database
        self._names = names

    def take_turn(self, hold: float) -> bool:
        """Whether this process is to count now; it has ``hold`` seconds for it."""
        if self._database.run("statistics_take", hold=hold):
            return True
        if self.progress() is None:  # the first worker of all
            self._database.run("statistics_begin", begin=_floor(self._clock(), MINUTE))
        return False

    def end_turn(self, pause: float) -> None:
        """Note that the next turn is due after ``pause`` seconds."""
        self._database.run("statistics_rest", pause=pause)

    def progress(self) -> CountingProgress | None:
        """How far the jobs are counted; None where it has never begun."""
        row = self._database.first("statistics_state")
        return None if row is None else CountingProgress(int(row[0]), int(row[1]), float(row[2]))

    def uncounted_for(self) -> float:
        """Seconds before now from which on ended jobs must stay, as they are not counted yet."""
        progress = self.progress()
        if progress is None:
            return 0.0
        behind = self._clock() - progress.final_to
        return behind if behind < _PATIENCE else 0.0

    def count_next(self) -> bool:
        """Count the next minute that is due, at first or for good; False if none is."""
        progress = self.progress()
        if progress is None:
            return False
        now = self._clock()
        if progress.final_to + HOUR + _FINAL <= now and self._skip_to_the_hour(progress.final_to):
            return True
        if progress.final_to + MINUTE + _FINAL <= now:
            self._count(progress.final_to, progress, is_final=True)
            return True
        if progress.counted_to + MINUTE + _LATE <= now:
            self._count(progress.counted_to, progress, is_final=False)
            return True
        return False

    def due_in(self) -> float:
        """Seconds until a minute is due to be counted."""
        progress = self.progress()
        if progress is None:
            return 0.0
        first, last = progress.counted_to + _LATE, progress.final_to + _FINAL
        return max(0.0, min(first, last) + MINUTE - self._clock())

    def read(
        self, window: Window, *, task: str | None = None, queue: str | None = None
    ) -> list[Counts]:
        """The figures of a window, by time, task, queue and state; runs of spawners are read by
        :meth:`Spawns.stats`.

        Times that are not folded to hours or days yet are read in minutes.
        """
        return self._read(window, None, task, queue)

    def by_task(self, window: Window) -> list[Counts]:
        """The same of all queues together."""
        return self._read(window, _BY_TASK)

    def summed(
        self, window: Window, *, task: str | None = None, queue: str | None = None
    ) -> list[Counts]:
        """The same of all tasks and queues, or of one, from as few rows as there can be."""
        if queue is not None:
            return self._read(window, None, task, queue)
        return self._read(window, _ALL if task is None else _BY_TASK, task)

    def queue_totals(
        self, window: Window, *, task: str | None = None, queues: Sequence[str] | None = None
    ) -> list[Counts]:
        """The figures of a whole window by queue and state, of some queues or of all."""
        if queues is not None and not queues:
            return []
        return self._totals(window, None, task, queues, by_queue=True)

    def task_totals(
        self, window: Window, *, task: str | None = None, queue: str | None = None
    ) -> list[Counts]:
        """The figures of a whole window by task and state, of one queue or of all together."""
        sums, queues = (_BY_TASK, None) if queue is None else (None, [queue])
        return self._totals(window, sums, task, queues, by_queue=False)

    def _totals(
        self, window: Window, sums: int | None, task: str | None, queues: Sequence[str] | None,
        *, by_queue: bool,
    ) -> list[Counts]:  # fmt: skip
        wanted: dict[str, Any] = {"task_id": None if task is None else name_id(task)}
        if queues is None:
            wanted["queue_id"] = None
        else:
            wanted["queue_ids"] = [name_id(queue) for queue in queues]
        found: dict[tuple[int, int], Counts] = {}
        begin = datetime.fromtimestamp(window.begin, UTC)
        for _, task_id, queue_id, state, jobs, run, wait, runs, waits in self._rows(
            window, sums, wanted, summands=True
        ):
            key = queue_id if by_queue else task_id, state
            counts = found.get(key)
            if counts is None:
                names = self._named(0, queue_id) if by_queue else self._named(task_id, 0)
                counts = found[key] = Counts(begin, *names, _state(state))
            counts.jobs += jobs
            if runs:
                counts.runs.add_packed(runs, run)
            if waits:
                counts.waits.add_packed(waits, wait)
        return [*found.values()]

    def _named(self, task_id: int, queue_id: int) -> tuple[str, str]:
        names = self._names
        return names.task(task_id) if task_id else "", names.queue(queue_id) if queue_id else ""

    def of_workflows(self, window: Window, *, name: str | None = None) -> list[WorkflowCounts]:
        """Runs of workflows of a window, by time, kind, name and status."""
        begin, end, span = window
        values = {"span": span, "low": begin, "high": end, "name": name}
        rows = self._database.rows("workflow_statistics_rows", **values)
        found = [counts_of(row, _floor(row[0], span)) for row in rows]
        if (rest := self._unfolded(window)) is not None:
            for counts in self.of_workflows(rest, name=name):
                at = _floor(counts.begin.timestamp(), span)
                counts.begin = datetime.fromtimestamp(at, UTC)
                found.append(counts)
        return found

    def slowest_node(self, name: str, since: float) -> NodeTime | None:
        """The node that runs longest, in the last 20 runs of a workflow's name that have ended
        since a time."""
        return slowest_node(self._database, name, since)

    def _unfolded(self, window: Window) -> Window | None:
        """The part of a window that is not folded yet, in the next finer span."""
        finer = {DAY: HOUR, HOUR: MINUTE}.get(window.span)
        if finer is None or (progress := self.progress()) is None:
            return None
        rest = max(window.begin, _floor(progress.final_to, window.span))
        return Window(rest, window.end, finer) if rest < window.end else None

    def _read(
        self, window: Window, sums: int | None, task: str | None = None, queue: str | None = None
    ) -> list[Counts]:
        found = []
        instant = functools.cache(lambda begin: datetime.fromtimestamp(begin, UTC))
        wanted = {
            "task_id": None if task is None else name_id(task),
            "queue_id": None if queue is None else name_id(queue),
        }
        for begin, task_id, queue_id, state, jobs, run, wait, runs, waits in self._rows(
            window, sums, wanted
        ):
            counts = Counts(
                instant(_floor(begin, window.span)),
                *self._named(task_id, queue_id),
                _state(state), jobs,
                Histogram.unpack(runs, run), Histogram.unpack(waits, wait),
            )  # fmt: skip
            found.append(counts)
        return found

    def _rows(
        self, window: Window, sums: int | None, wanted: Mapping[str, Any], *, summands: bool = False
    ) -> Sequence[Row]:
        """Rows of a window.

        Args:
            summands: in any order.
        """
        begin, end, span = window
        code = span if sums is None else -(span + sums)
        name = "statistics_summands" if summands else "statistics_of"
        name = "statistics_of_queues" if "queue_ids" in wanted else name
        rows = self._database.rows(name, span=code, low=begin, high=end, **wanted)
        if (rest := self._unfolded(window)) is not None:
            rows = [*rows, *self._rows(rest, sums, wanted, summands=summands)]
        return rows

    def _skip_to_the_hour(self, begin: int) -> bool:
        """After a time without workers: pass over the rest of an hour in which nothing happened."""
        end = _floor(begin, HOUR) + HOUR
        if self._jobs_between(begin, end) != (0, 0, 0, 0):
            return False

        def work(tx: Tx) -> None:
            _fold(tx, end)
            tx.run("statistics_note", counted_to=end, final_to=end)

        self._database.unit(work)
        return True

    def _count(self, begin: int, progress: CountingProgress, *, is_final: bool) -> None:
        """Count a minute, unless its jobs are counted already."""
        counted, final = progress.counted_to, progress.final_to
        end = begin + MINUTE
        counted, final = (max(counted, end), end) if is_final else (end, final)
        figures = None if is_final and self._is_counted(begin) else self._figures(begin)

        def work(tx: Tx) -> None:
            if figures is not None:
                figures.write(tx, MINUTE, begin)
            if is_final:
                _fold(tx, end)
            tx.run("statistics_note", counted_to=counted, final_to=final)

        self._database.unit(work)

    def _figures(self, begin: int) -> SpanFigures:
        end, figures = begin + MINUTE, SpanFigures()
        figures.add_ended(self._ended("statistics_ended", begin, end))
        figures.add_enqueued(self._database.rows("statistics_enqueued", **_ids(begin, end)))
        figures.add_spawns(self._ended("spawn_statistics_ended", begin, end))
        figures.workflows.add_ended(self._ended("workflow_statistics_ended", begin, end))
        return figures

    def _ended(self, statement: str, begin: int, end: int) -> list[Row]:
        """Rows of a statement over the jobs that ended in a time."""
        time = self._database.dialect.time
        low, high = (time(datetime.fromtimestamp(each, UTC)) for each in (begin, end))

        def read(tx: Tx) -> list[Row]:
            if tx.has("statistics_plan"):
                tx.rows("statistics_plan")
            return tx.rows(statement, low=low, high=high)

        return self._database.unit(read)

    def _is_counted(self, begin: int) -> bool:
        counts = self._jobs_between(begin, begin + MINUTE)
        jobs = self._database.rows("statistics_total", span=MINUTE, begin=begin)[0]
        totals = ("spawn_statistics_total", "workflow_statistics_total")
        runs = [self._database.column(name, span=MINUTE, begin=begin)[0] for name in totals]
        # Fewer than were counted: some were removed by hand, and stay counted.
        return all(n <= int(m) for n, m in zip(counts, (*jobs, *runs), strict=True))

    def _jobs_between(self, begin: int, end: int) -> tuple[int, int, int, int]:
        """How many jobs were enqueued and ended in a time, and how many runs of spawners and of
        workflows ended."""
        enqueued = self._database.column("statistics_enqueued_count", **_ids(begin, end))[0]
        ended = self._ended("statistics_ended_count", begin, end)[0][0]
        runs = self._ended("spawn_statistics_ended_count", begin, end)[0][0]
        workflows = self._ended("workflow_statistics_ended_count", begin, end)[0][0]
        return int(enqueued), int(ended), int(runs), int(workflows)

    def _clock(self) -> float:
        return float(self._database.column("clock")[0])


def _fold(tx: Tx, end: int) -> None:
    """At the end of an hour or a day, write its figures from those of its minutes or hours, and
    delete what is too old."""
    for span, finer in ((HOUR, MINUTE), (DAY, HOUR)):
        if end % span:
            return
        figures = SpanFigures()
        figures.add_rows(tx.rows("statistics_rows", span=finer, low=end - span, high=end))
        window = {"span": finer, "low": end - span, "high": end, "name": None}
        figures.workflows.add_rows(tx.rows("workflow_statistics_rows", **window))
        figures.write(tx, span, end - span)
        tx.run("spawn_statistics_fold", span=span, finer=finer, low=end - span, high=end)
        # Two spans at a time, so that what was left goes, too, without one long delete.
        oldest = end - KEPT[finer]
        _delete(tx, finer, oldest - 2 * span, oldest)


def _delete(tx: Tx, span: int, low: int, high: int) -> None:
    for code in (span, -(span + _ALL), -(span + _BY_TASK)):
        tx.run("statistics_delete", span=code, low=low, high=high)
    tx.run("spawn_statistics_delete", span=span, low=low, high=high)
    tx.run("workflow_statistics_delete", span=span, low=low, high=high)


def _spawn_row(span: int, begin: int, row: Row) -> Row:
    handler, queue_id, *counts, seconds, longest = row
    times = max(0.0, float(seconds)), max(0.0, float(longest))
    return span, begin, handler, queue_id, *map(int, counts), *times


def _state(code: int) -> str:
    return "enqueued" if code == _ENQUEUED else str(FINAL_STATES[code])


def _floor(time: float, span: int) -> int:
    return int(time // span) * span


def _ids(begin: int, end: int) -> dict[str, bytes]:
    return {"low": first_id_at(begin), "high": first_id_at(end)}
