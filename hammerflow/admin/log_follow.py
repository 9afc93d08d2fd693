"""LogFollower: the lines of a job as they come, from any position on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from hammerflow.jobs.log_lines import AttemptLog, LogLine
from hammerflow.stores.store import Store

__all__ = ["LogFollower", "LogPosition", "NewLines", "lines_behind"]

_MOST = 100  # lines at once
_LARGEST = 2**31 - 1  # number of a lease


class LogPosition(NamedTuple):
    """How much of a job's log was read: all of the attempts before, and some lines of this one.

    An attempt begins only after the one before it has written its last line, so positions grow.

    Attributes:
        lease: of the attempt.
        line: how many lines of it were read or had been dropped.
    """

    lease: int
    line: int

    def __str__(self) -> str:
        return f"{self.lease}-{self.line}"

    @classmethod
    def of(cls, text: str) -> LogPosition:
        """A position from its text, which may come from anywhere.

        Raises:
            ValueError: it is none.
        """
        lease, line = (min(int(part), _LARGEST) for part in text.split("-"))
        return cls(lease, line)


class NewLines(NamedTuple):
    """Lines of one attempt.

    Attributes:
        is_first: none of this attempt were read before.
        missed: lines before these that were dropped before they could be read.
        position: behind these lines.
    """

    attempt: int
    lease: int
    is_first: bool
    missed: int
    lines: Sequence[LogLine]
    position: LogPosition


def lines_behind(logs: Iterable[AttemptLog], after: LogPosition) -> Iterator[NewLines]:
    """What comes behind a position, by attempt, some lines at a time.

    Args:
        logs: oldest first.
    """
    for log in logs:
        seen = after.line if log.lease == after.lease else 0
        if log.lease >= after.lease and len(log.lines) + log.dropped > seen:
            yield from _from(log, seen)


class LogFollower:
    """Reads what a job has logged since the last time.

    Args:
        attempt: only attempts with this number.
    """

    def __init__(self, store: Store, job_id: bytes, attempt: int | None = None) -> None:
        self._store = store
        self.job_id = job_id
        self._attempt = attempt
        self._after = LogPosition(0, 0)

    def read(self) -> Iterator[NewLines]:
        """What is new, by attempt."""
        since = self._after.lease
        for new in lines_behind(
            self._store.job_logs.get(self.job_id, self._attempt, since=since), self._after
        ):
            yield new
            self._after = new.position


def _from(log: AttemptLog, number: int) -> Iterator[NewLines]:
    """Its lines from a number on; those that were dropped have numbers, too."""
    begin, end = log.dropped_at, log.dropped_at + log.dropped  # of the gap
    if number < begin or not log.dropped:
        lines = log.lines[number : begin if log.dropped else None]
        yield from _parts(log, number, 0, lines)
        number = max(number, begin)
    if log.dropped:
        lines = log.lines[max(number, end) - log.dropped :]
        yield from _parts(log, number, max(0, end - number), lines)


def _parts(
    log: AttemptLog, number: int, missed: int, lines: Sequence[LogLine]
) -> Iterator[NewLines]:
    """These lines, which come behind the missed ones from this number on."""
    for at in range(0, max(1, len(lines)), _MOST):
        some = lines[at : at + _MOST]
        first = number == 0 and at == 0
        position = LogPosition(log.lease, number + missed + at + len(some))
        yield NewLines(log.attempt, log.lease, first, 0 if at else missed, some, position)
