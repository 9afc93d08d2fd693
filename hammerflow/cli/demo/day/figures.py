"""DayFigures: the statistics of the seeded jobs by minute, hour and day."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from hammerflow.stores.statistics.statistics import DAY, HOUR, MINUTE, SpanFigures

__all__ = ["DayFigures"]

_ENQUEUED = 0  # as Statistics counts jobs that were enqueued


class DayFigures:
    """Counts jobs; gives the rows of spans that are over.

    Args:
        end: nothing from then on is counted.
    """

    def __init__(self, end: float) -> None:
        self.end = int(end // MINUTE) * MINUTE
        self._minutes: dict[int, SpanFigures] = {}
        self._hours: dict[int, SpanFigures] = {}
        self._days: dict[int, SpanFigures] = {}

    def add_enqueued(self, task_id: int, queue_id: int, at: float, count: int = 1) -> None:
        """Count jobs that were enqueued."""
        self._at(at).jobs[task_id, queue_id, _ENQUEUED] += count

    def add_ended(
        self, task_id: int, queue_id: int, state: int, at: float, run: tuple[float, int] | None,
        wait: tuple[float, int] | None,
    ) -> None:  # fmt: skip
        """Count a job that ended; times are (seconds, bucket)."""
        span, key = self._at(at), (task_id, queue_id, state)
        span.jobs[key] += 1
        if run is not None:
            span.runs[key].add(run[1], 1, run[0])
        if wait is not None:
            span.waits[key].add(wait[1], 1, wait[0])

    def take(self, before: float) -> Iterator[list[Any]]:
        """The rows of minutes, hours and days that are over at ``before``; they are forgotten."""
        yield from self._taken(self._minutes, self._hours, MINUTE, HOUR, before)
        yield from self._taken(self._hours, self._days, HOUR, DAY, before)
        yield from self._taken(self._days, None, DAY, DAY, before)

    def _taken(
        self, spans: dict[int, SpanFigures], larger: dict[int, SpanFigures] | None, span: int,
        above: int, before: float,
    ) -> Iterator[list[Any]]:  # fmt: skip
        for begin in sorted(spans):
            if begin + span > min(before, self.end):
                break
            found = spans.pop(begin)
            if larger is not None:
                larger.setdefault(begin // above * above, SpanFigures()).merge(found)
            for code, figures in found.with_sums(span):
                yield from map(list, figures.rows(code, begin))

    def _at(self, at: float) -> SpanFigures:
        begin = int(at // MINUTE) * MINUTE
        found = self._minutes.get(begin)
        if found is None:
            found = self._minutes[begin] = SpanFigures()
        return found
