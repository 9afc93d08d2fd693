"""Suspects: jobs that ran in a process that died with others. Each runs alone from then on."""

from __future__ import annotations

import math
from collections.abc import Sequence

from hammerflow.jobs.job import Claimed, RowFlags
from hammerflow.worker.supervisor.backlog import Backlog
from hammerflow.worker.supervisor.child_handle import ChildHandle
from hammerflow.worker.supervisor.round_results import HeldJob

__all__ = ["SUSPECTS", "Suspects"]

SUSPECTS = RowFlags.SUSPECT | RowFlags.WORKER_SUSPECT


class Suspects:
    """The suspects of one group that wait for a child of their own.

    Of those whose workers have died time and again, one at a time runs in a worker, in the order in
    which they were claimed. So if the worker dies again, the first of them that it held is known to
    be at fault (``stores/transitions/rescue.py``).

    Args:
        peers: those of all groups of the worker; it adds itself.
    """

    def __init__(self, peers: list[Suspects]) -> None:
        self._of_children = Backlog()
        self._of_workers = Backlog()
        self._only: ChildHandle | None = None  # runs one of the latter
        self._peers = peers
        peers.append(self)

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
        if is_worker_suspect:
            self._only = child
        child.is_isolated = True
        worker_id, _ = backlog.head
        child.give(worker_id, backlog.take(1), now)

    def forget(self, child: ChildHandle) -> None:
        """The child has ended."""
        if self._only is child:
            self._only = None

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
        oldest = self._of_workers.oldest
        return oldest < math.inf and all(
            peer._only is None and peer._of_workers.oldest >= oldest for peer in self._peers
        )
