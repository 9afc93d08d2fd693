"""Suspects: jobs that ran in a process that died with others. Each runs alone from then on."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from hammerflow.jobs.job import Claimed, RowFlags
from hammerflow.worker.supervisor.backlog import Backlog
from hammerflow.worker.supervisor.child_handle import ChildHandle
from hammerflow.worker.supervisor.round_results import HeldJob

__all__ = ["SUSPECTS", "SuspectTurns", "Suspects"]

SUSPECTS = RowFlags.SUSPECT | RowFlags.WORKER_SUSPECT


class SuspectTurns:
    """The turns of those suspects whose workers have died time and again.

    One at a time runs in a worker, in the order in which they were claimed, and none before the
    outcome of the one before it is written. So if the worker dies again, the first of them that it
    held is known to be at fault (``stores/transitions/rescue.py``).

    Args:
        is_written: whether no outcome of this job, claimed under this registration, waits to be
            written.

    Attributes:
        groups: the suspects of all groups of the worker.
    """

    def __init__(self, is_written: Callable[[int, bytes], bool]) -> None:
        self.groups: list[Suspects] = []
        self._is_written = is_written
        self._child: ChildHandle | None = None  # runs one of them
        self._last: HeldJob | None = None  # until its outcome is written
        self._is_delivered = True  # what the child has answered

    def begin(self, child: ChildHandle, held: HeldJob) -> None:
        """A child gets one of them."""
        self._child, self._last = child, held

    def end(self, child: ChildHandle) -> None:
        """A child has ended; what it has answered is delivered next."""
        if self._child is child:
            self._child, self._is_delivered = None, False

    def note_delivery(self) -> None:
        """All answers were delivered."""
        self._is_delivered = True

    @property
    def is_free(self) -> bool:
        """Whether the next one may run."""
        if self._child is None and self._is_delivered and self._last is not None:
            if not self._is_written(self._last.worker_id, self._last.job.id):
                return False
            self._last = None
        return self._last is None

    @property
    def are_due(self) -> bool:
        """Whether some wait and none runs: for an outcome, which no message announces, or for a
        child."""
        return self._child is None and any(g.oldest_turn < math.inf for g in self.groups)


class Suspects:
    """The suspects of one group that wait for a child of their own.

    Args:
        turns: those of the worker; it adds itself.
    """

    def __init__(self, turns: SuspectTurns) -> None:
        self._of_children = Backlog()
        self._of_workers = Backlog()
        self._turns = turns
        turns.groups.append(self)

    def __bool__(self) -> bool:
        return self._of_children.count > 0 or self._of_workers.count > 0

    @property
    def count(self) -> int:
        """How many wait."""
        return self._of_children.count + self._of_workers.count

    @property
    def startable(self) -> int:
        """How many of them may start now, if there is a child for each."""
        return self._of_children.count + self._is_turn_of_worker_suspect()

    @property
    def oldest_turn(self) -> float:
        """When the first of those came that take turns; infinity if there is none."""
        return self._of_workers.oldest

    @property
    def oldest(self) -> float:
        """When the first of them came; infinity if there is none."""
        return min(self._of_children.oldest, self._of_workers.oldest)

    def add(self, worker_id: int, jobs: Sequence[Claimed], now: float) -> None:
        """Append jobs that were claimed under one registration."""
        for job in jobs:
            self._backlog_of(job).add(worker_id, [job], now)

    def put_back(self, held: HeldJob, now: float) -> None:
        """Prepend a job that a child had."""
        self._backlog_of(held.job).put_back([held], now)

    def give_next(self, child: ChildHandle, now: float) -> None:
        """Give a child the next of them, and nothing else ever."""
        is_worker_suspect = self._is_turn_of_worker_suspect()
        backlog = self._of_workers if is_worker_suspect else self._of_children
        child.is_isolated = True
        worker_id, _ = backlog.head
        jobs = backlog.take(1)
        if is_worker_suspect:
            self._turns.begin(child, HeldJob(worker_id, jobs[0]))
        child.give(worker_id, jobs, now)

    def forget(self, child: ChildHandle) -> None:
        """The child has ended."""
        self._turns.end(child)

    def take_before(self, instant: float) -> list[HeldJob]:
        """Remove those that came before this instant."""
        return self._of_children.take_before(instant) + self._of_workers.take_before(instant)

    def take_job(self, job_id: bytes) -> list[HeldJob]:
        """Remove one job, if it is here."""
        return self._of_children.take_job(job_id) + self._of_workers.take_job(job_id)

    def held(self) -> list[HeldJob]:
        """All of them; they stay."""
        return self._of_children.held() + self._of_workers.held()

    def _backlog_of(self, job: Claimed) -> Backlog:
        is_of_worker = job.flags & RowFlags.WORKER_SUSPECT
        return self._of_workers if is_of_worker else self._of_children

    def _is_turn_of_worker_suspect(self) -> bool:
        first = self.oldest_turn
        is_first = first < math.inf and all(g.oldest_turn >= first for g in self._turns.groups)
        return is_first and self._turns.is_free
