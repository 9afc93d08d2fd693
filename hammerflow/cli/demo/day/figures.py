"""DayFigures: the statistics of the seeded jobs by minute, hour and day."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from hammerflow.jobs.histogram import Histogram
from hammerflow.stores.statistics import DAY, HOUR, MINUTE

__all__ = ["DayFigures"]

_ENQUEUED = 0  # as Statistics counts jobs that were enqueued
_Key = tuple[int, int, int]  # task, queue, state


class _Span:
    """The figures of one span."""

    __slots__ = ("jobs", "runs", "waits")

    def __init__(self) -> None:
        self.jobs: dict[_Key, int] = {}
        self.runs: dict[_Key, Histogram] = {}
        self.waits: dict[_Key, Histogram] = {}

    def merge(self, other: _Span) -> None:
        for key, count in other.jobs.items():
            self.jobs[key] = self.jobs.get(key, 0) + count
        for mine, theirs in ((self.runs, other.runs), (self.waits, other.waits)):
            for key, histogram in theirs.items():
                mine.setdefault(key, Histogram()).merge(histogram)

    def rows(self, span: int, begin: int) -> Iterator[list[Any]]:
        empty = Histogram()
        for key, jobs in sorted(self.jobs.items()):
            runs, waits = self.runs.get(key, empty), self.waits.get(key, empty)
            sums = runs.seconds, waits.seconds
            yield [span, begin, *key, jobs, *sums, runs.pack(), waits.pack()]


class DayFigures:
    """Counts jobs; gives the rows of spans that are over.

    Args:
        end: nothing from then on is counted.
    """

    def __init__(self, end: float) -> None:
        self.end = int(end // MINUTE) * MINUTE
        self._minutes: dict[int, _Span] = {}
        self._hours: dict[int, _Span] = {}
        self._days: dict[int, _Span] = {}

    def add_enqueued(self, task_id: int, queue_id: int, at: float, count: int = 1) -> None:
        """Count jobs that were enqueued."""
        jobs = self._at(at).jobs
        key = task_id, queue_id, _ENQUEUED
        jobs[key] = jobs.get(key, 0) + count

    def add_ended(
        self, task_id: int, queue_id: int, state: int, at: float, run: tuple[float, int] | None,
        wait: tuple[float, int] | None,
    ) -> None:  # fmt: skip
        """Count a job that ended; times are (seconds, bucket)."""
        span, key = self._at(at), (task_id, queue_id, state)
        span.jobs[key] = span.jobs.get(key, 0) + 1
        if run is not None:
            _histogram(span.runs, key).add(run[1], 1, run[0])
        if wait is not None:
            _histogram(span.waits, key).add(wait[1], 1, wait[0])

    def take(self, before: float) -> Iterator[list[Any]]:
        """The rows of minutes, hours and days that are over at ``before``; they are forgotten."""
        yield from self._taken(self._minutes, self._hours, MINUTE, HOUR, before)
        yield from self._taken(self._hours, self._days, HOUR, DAY, before)
        yield from self._taken(self._days, None, DAY, DAY, before)

    def _taken(
        self, spans: dict[int, _Span], larger: dict[int, _Span] | None, span: int, above: int,
        before: float,
    ) -> Iterator[list[Any]]:  # fmt: skip
        for begin in sorted(spans):
            if begin + span > min(before, self.end):
                break
            found = spans.pop(begin)
            if larger is not None:
                larger.setdefault(begin // above * above, _Span()).merge(found)
            yield from found.rows(span, begin)

    def _at(self, at: float) -> _Span:
        begin = int(at // MINUTE) * MINUTE
        found = self._minutes.get(begin)
        if found is None:
            found = self._minutes[begin] = _Span()
        return found


def _histogram(of: dict[_Key, Histogram], key: _Key) -> Histogram:
    found = of.get(key)
    if found is None:
        found = of[key] = Histogram()
    return found
