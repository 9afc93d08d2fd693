"""How long jobs of each task take, and thus how many to hand out and to claim at a time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from hammerflow.jobs.job import Claimed

__all__ = ["Prefetch"]

#: Work that a child gets at a time, in seconds.
CHUNK_SECONDS = 0.010
#: Jobs that a child gets at a time; the tokens of two chunks fit into a pipe.
CHUNK_JOBS = 500
#: Work that a worker holds per child: running, next in the child, and in the backlog.
HELD_SECONDS = 0.030
CLAIM_JOBS = 1_000
#: A job shorter than this may wait in a busy child for its turn.
TINY = 0.002
_CHUNK_BYTES = 1 << 20
_WEIGHT = 0.2  # of a new measurement in the average


class Prefetch:
    """Moving averages of run times, by task and over all.

    A task without a measurement counts as long, so its first jobs are handed out one at a time.
    """

    def __init__(self) -> None:
        self._by_task: dict[int, float] = {}
        self._all: float | None = None

    def observe(self, times: Mapping[int, Iterable[float]]) -> None:
        """Add what a child has measured: task id to count and seconds."""
        for task_id, (count, total) in times.items():
            mean = total / count
            weight = 1 - (1 - _WEIGHT) ** min(count, 50)
            known = self._by_task.get(task_id, mean)
            self._by_task[task_id] = known + weight * (mean - known)
            known = mean if self._all is None else self._all
            self._all = known + weight * (mean - known)

    def chunk(self, jobs: Iterable[Claimed], share: int) -> int:
        """How many of these jobs, from the first on, make one chunk. If that takes longer than
        ``TINY``, it is at most ``share``: what each idle child would get of equal parts."""
        seconds, size, count = 0.0, 0, 0
        for job in jobs:
            each = self._by_task.get(job.task_id)
            if each is None:
                return max(count, 1)
            seconds += each
            size += len(job.args)
            over = seconds > CHUNK_SECONDS or size > _CHUNK_BYTES
            if count and (over or (count >= share and seconds > TINY)):
                return count
            count += 1
            if count == CHUNK_JOBS:
                return count
        return count

    def is_tiny(self, jobs: Iterable[Claimed]) -> bool:
        """Whether all of these are so short that they may wait behind another chunk."""
        get = self._by_task.get
        return all((get(job.task_id) or 1.0) < TINY for job in jobs)

    def room(self, *, children: int, idle: int, held: int, backlog: int) -> int:
        """How many jobs to claim now. ``children`` counts those at work and idle ones, ``held`` the
        jobs that were claimed and have not ended, the backlog included."""
        singles = max(0, idle - backlog)
        if self._all is None:
            return singles
        most = min(int(children * HELD_SECONDS / max(self._all, 1e-6)), 1_500 * children)
        free = min(most - held, CLAIM_JOBS)
        if not idle and free < min(most // 4, CLAIM_JOBS // 4):
            return 0  # a claim costs the same for many: wait until it is worth it
        return max(singles, free)
