"""LogFollower: the lines of a job as they come."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from hammerflow.jobs.log_lines import AttemptLog, LogLine
from hammerflow.stores.store import Store

__all__ = ["LogFollower", "NewLines"]


class NewLines(NamedTuple):
    """Lines of one attempt.

    Attributes:
        is_first: none of this attempt were read before.
        missed: lines before these that were dropped before they could be read.
    """

    attempt: int
    lease: int
    is_first: bool
    missed: int
    lines: Sequence[LogLine]


class LogFollower:
    """Reads what a job has logged since the last time.

    Args:
        attempt: only attempts with this number.
    """

    def __init__(self, store: Store, job_id: bytes, attempt: int | None = None) -> None:
        self._store = store
        self.job_id = job_id
        self._attempt = attempt
        self._read: dict[int, int] = {}  # by lease: lines that were read or had been dropped

    def read(self) -> Iterator[NewLines]:
        """What is new, by attempt."""
        for log in self._store.job_logs.get(self.job_id, self._attempt):
            seen, total = self._read.get(log.lease, 0), len(log.lines) + log.dropped
            if total > seen:
                yield from _from(log, seen)
                self._read[log.lease] = total


def _from(log: AttemptLog, number: int) -> Iterator[NewLines]:
    """Its lines from a number on; those that were dropped have numbers, too."""
    begin, end = log.dropped_at, log.dropped_at + log.dropped  # of the gap
    if number < begin or not log.dropped:
        lines = log.lines[number : begin if log.dropped else None]
        yield NewLines(log.attempt, log.lease, number == 0, 0, lines)
        number = max(number, begin)
    if log.dropped:
        lines = log.lines[max(number, end) - log.dropped :]
        yield NewLines(log.attempt, log.lease, number == 0, max(0, end - number), lines)
