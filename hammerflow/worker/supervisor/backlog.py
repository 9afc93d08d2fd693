"""Claimed jobs that wait for a child."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

from hammerflow.jobs.job import Claimed
from hammerflow.worker.supervisor.round_results import HeldJob

__all__ = ["Backlog"]


class _Batch(NamedTuple):
    """Jobs of one registration that came at the same time."""

    worker_id: int
    jobs: deque[Claimed]
    since: float

    def held(self) -> list[HeldJob]:
        return [HeldJob(self.worker_id, job) for job in self.jobs]


class Backlog:
    """Jobs that were claimed and that no child has: first come, first served."""

    def __init__(self) -> None:
        self._batches: deque[_Batch] = deque()
        self.count = 0

    def __bool__(self) -> bool:
        return self.count > 0

    @property
    def oldest(self) -> float:
        """When the first of them came; infinity if there is none."""
        return self._batches[0].since if self._batches else math.inf

    @property
    def head(self) -> tuple[int, deque[Claimed]]:
        """The first jobs, and the one registration that claimed them."""
        return self._batches[0].worker_id, self._batches[0].jobs

    def add(self, worker_id: int, jobs: Sequence[Claimed], now: float) -> None:
        """Append new jobs."""
        self._batches.append(_Batch(worker_id, deque(jobs), now))
        self.count += len(jobs)

    def put_back(self, held: Sequence[HeldJob], now: float) -> None:
        """Prepend jobs that a child had."""
        for worker_id, job in reversed(held):
            if not self._batches or self._batches[0].worker_id != worker_id:
                self._batches.appendleft(_Batch(worker_id, deque(), now))
            self._batches[0].jobs.appendleft(job)
        self.count += len(held)

    def take(self, count: int) -> list[Claimed]:
        """Remove the first ``count`` jobs of the head, which has as many."""
        jobs = self._batches[0].jobs
        taken = [jobs.popleft() for _ in range(count)]
        if not jobs:
            self._batches.popleft()
        self.count -= count
        return taken

    def take_before(self, instant: float) -> list[HeldJob]:
        """Remove the jobs that came before this instant."""
        taken: list[HeldJob] = []
        while self._batches and self._batches[0].since < instant:
            taken += self._batches.popleft().held()
        self.count -= len(taken)
        return taken

    def take_all(self) -> list[HeldJob]:
        """Remove all jobs."""
        return self.take_before(math.inf)

    def take_job(self, job_id: bytes) -> list[HeldJob]:
        """Remove one job, if it is here."""
        for batch in self._batches:
            for job in batch.jobs:
                if job.id == job_id:
                    batch.jobs.remove(job)
                    self.count -= 1
                    if not batch.jobs:
                        self._batches.remove(batch)
                    return [HeldJob(batch.worker_id, job)]
        return []

    def held(self) -> list[HeldJob]:
        """All jobs; they stay."""
        return [held for batch in self._batches for held in batch.held()]
