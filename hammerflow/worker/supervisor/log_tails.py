"""LogTails: writes what running bodies have logged so far: it can be read while they run, and a
worker that is killed loses the last second at most."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from hammerflow.jobs.log_lines import LineBuffer
from hammerflow.stores.database import LockedOut
from hammerflow.stores.rows import JobLogRow
from hammerflow.stores.store import Store
from hammerflow.worker.supervisor.round_results import HeldJob

__all__ = ["TAIL_DELAY", "LogTail", "LogTails", "RunningLog", "tails_of"]

#: Seconds from a line until it is written; longer while more is logged than one write takes.
TAIL_DELAY = 1.0
#: Bytes of the lines of one write, before they are compressed: some 20 ms of CPU.
_MOST_BYTES = 2 << 20
_PATIENCE, _IDLE = 0.2, 60.0  # seconds


@dataclass(eq=False, slots=True)
class RunningLog:
    """What a running job has logged so far.

    Attributes:
        only_failures: nothing of it is kept if the attempt does well.
        is_new: some of it is not written yet.
        is_written: a row of it may be in the database.
        taken_at: when it was written last, on the monotonic clock.
    """

    only_failures: bool
    buffer: LineBuffer
    is_new: bool = True
    is_written: bool = False
    taken_at: float = 0.0


class LogTail(NamedTuple):
    """A copy of the lines of a running job."""

    held: HeldJob
    log: RunningLog
    lines: LineBuffer

    def row(self) -> JobLogRow:
        """The row to write."""
        job = self.held.job
        return JobLogRow.of(job.id, job.lease, job.attempt, self.lines)


def tails_of(running: Iterable[tuple[HeldJob, RunningLog]], most_bytes: int) -> list[LogTail]:
    """Copies of logs, the longest waiting ones first, until they take ``most_bytes`` together."""
    found, now = [], time.monotonic()
    for held, log in sorted(running, key=lambda pair: pair[1].taken_at):
        if most_bytes <= 0:
            break
        most_bytes -= log.buffer.size
        log.is_new, log.is_written, log.taken_at = False, True, now
        found.append(LogTail(held, log, log.buffer.copy()))
    return found


@dataclass(eq=False)
class LogTails:
    """Writes the tails of all running jobs together; what does not fit goes first the next time.

    Args:
        take: gives the tails of running jobs; see :func:`tails_of`.
    """

    store: Store
    take: Callable[[int], Sequence[LogTail]]

    def tick(self, now: float) -> float:
        """Write what is new, up to a bound."""
        taken = self.take(_MOST_BYTES)
        by_worker: dict[int, list[LogTail]] = defaultdict(list)
        for tail in taken:
            by_worker[tail.held.worker_id].append(tail)
        for worker_id, tails in by_worker.items():
            written: set[bytes] = set()
            try:
                rows = [tail.row() for tail in tails]
                written = self.store.job_logs.write_running(worker_id, rows, patience=_PATIENCE)
            except LockedOut:
                pass
            finally:
                for tail in tails:
                    if tail.held.job.id not in written:
                        tail.log.is_new = True
        return TAIL_DELAY if taken else _IDLE
