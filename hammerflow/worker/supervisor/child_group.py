"""All children of one kind, the jobs that wait for them, and which child gets which job."""

from __future__ import annotations

import math
import threading
from collections import deque
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Generic, NamedTuple, TypeVar

from hammerflow.jobs.job import Claimed
from hammerflow.worker.run_options import TaskCatalog
from hammerflow.worker.supervisor.async_handle import AsyncChildHandle
from hammerflow.worker.supervisor.child_channel import ChildChannel
from hammerflow.worker.supervisor.prefetch import CHUNK_JOBS, TINY, Prefetch
from hammerflow.worker.supervisor.round_results import HeldJob
from hammerflow.worker.supervisor.serial_handle import SerialChildHandle

__all__ = ["AsyncChildGroup", "ChildGroup", "Group", "Handle", "SerialChildGroup"]

#: Seconds without an ended job after which a child counts as busy with a long one.
STUCK = 0.050

Handle = SerialChildHandle | AsyncChildHandle
H = TypeVar("H", SerialChildHandle, AsyncChildHandle)


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


class ChildGroup(Generic[H]):
    """What both kinds share. Everything here is guarded by the pool's lock.

    Attributes:
        wanted: how many children there should be.
        has_room: condition on the pool's lock; notified when a claim is worth while.
        wants_room: whether the claimer waits for that.
        not_before: when the next child may be forked (after deaths in quick succession).
        quick_deaths: children in a row that died young, without having ended a job.
        refusals: children in a row that could not be forked.
    """

    is_async: bool
    _handle_type: type[H]

    def __init__(self, lock: threading.RLock, queues: Mapping[int, str]) -> None:
        self.children: list[H] = []
        self.backlog = Backlog()
        self.prefetch = Prefetch()
        self.wanted = 0
        self.task_ids: list[int] = []
        self.has_room = threading.Condition(lock)
        self.wants_room = False
        self.not_before = 0.0
        self.quick_deaths = 0
        self.refusals = 0
        self._queues = queues

    @property
    def kind(self) -> bytes:
        """Of its children, in a fork request."""
        return self._handle_type.kind

    def add(self, serial: int, channel: ChildChannel, catalog: TaskCatalog, now: float) -> H:
        """Make the handle of a child that is requested from the fork server."""
        self.children.append(self._handle_type(serial, channel, catalog, self._queues, now))
        return self.children[-1]

    def remove(self, child: Handle) -> None:
        """Forget a child that has ended."""
        self.children = [other for other in self.children if other is not child]

    def held(self) -> list[HeldJob]:
        """All jobs of this kind that were claimed and have not ended."""
        return [held for child in self.children for held in child.held()] + self.backlog.held()

    def take_back(self, now: float) -> None:
        """Move what the children have not started to the backlog."""
        for child in self.children:
            self.backlog.put_back(child.take_back(), now)

    def take_unstarted(self, job_id: bytes, now: float) -> list[HeldJob]:
        """Remove one job, if it is here and was not started."""
        for child in self.children:
            if any(held.job.id == job_id for held in child.held()):
                self.backlog.put_back(child.take_back(), now)
        return self.backlog.take_job(job_id)


class SerialChildGroup(ChildGroup[SerialChildHandle]):
    """Children that run one job at a time; tiny jobs are given to them in chunks."""

    is_async = False
    _handle_type = SerialChildHandle

    def room(self, now: float) -> int:
        """How many jobs to claim now. A child that is stuck in a long job makes no room."""
        idle = sum(child.is_free for child in self.children)
        moving = idle + sum(c.is_busy and now - c.active_at < STUCK for c in self.children)
        held = self.backlog.count + sum(child.load for child in self.children)
        return self.prefetch.room(children=moving, idle=idle, held=held, backlog=self.backlog.count)

    def dispatch(self, now: float) -> None:
        """Give the backlog to children that are free, and tiny jobs to those that soon will be."""
        free = [child for child in self.children if child.is_free]
        while self.backlog:
            child = free.pop() if free else self._next_free(now)
            if child is None:
                return
            worker_id, jobs = self.backlog.head
            share = -(-self.backlog.count // (len(free) + 1))
            count = self.prefetch.chunk(jobs, share)
            if child.is_busy and not self.prefetch.is_tiny(islice(jobs, count)):
                return
            child.give(worker_id, self.backlog.take(count), now)

    def rebalance(self, now: float) -> None:
        """Take jobs back that wait behind a long one: soon if another child is free, else later.

        A free child needs the jobs of one other child only: after one take-back the others wait for
        their own time.
        """
        has_free = not self.backlog and any(child.is_free for child in self.children)
        for child in self.children:
            if child.unstarted and now - child.active_at >= (TINY if has_free else STUCK):
                self.backlog.put_back(child.take_back(), now)
                has_free = False

    def next_rebalance(self) -> float:
        """When :meth:`rebalance` may have something to do; infinity for never."""
        has_free = any(child.is_free for child in self.children)
        waits = (child.active_at for child in self.children if child.unstarted)
        return min(waits, default=math.inf) + (TINY if has_free else STUCK)

    def _next_free(self, now: float) -> SerialChildHandle | None:
        """A busy child that may get a second chunk: the one with the least to do."""
        fit = [c for c in self.children if c.may_prefetch and now - c.active_at < STUCK / 5]
        child = min(fit, key=lambda c: c.load, default=None)
        return child if child is not None and child.load <= CHUNK_JOBS // 2 else None


class AsyncChildGroup(ChildGroup[AsyncChildHandle]):
    """Children that run up to ``slots`` async jobs at once."""

    is_async = True
    _handle_type = AsyncChildHandle

    def __init__(self, lock: threading.RLock, queues: Mapping[int, str], *, slots: int) -> None:
        super().__init__(lock, queues)
        self._slots = slots

    def room(self, now: float) -> int:
        """How many jobs to claim now."""
        return max(0, sum(map(self._free_slots, self.children)) - self.backlog.count)

    def dispatch(self, now: float) -> None:
        """Give the backlog to free slots, spread over the children."""
        while self.backlog:
            child = max(self.children, key=self._free_slots, default=None)
            if child is None or not self._free_slots(child):
                return
            worker_id, jobs = self.backlog.head
            share = -(-self.backlog.count // len(self.children))
            count = min(len(jobs), self._free_slots(child), share)
            child.give(worker_id, self.backlog.take(count), now)

    def rebalance(self, now: float) -> None:
        """Nothing waits in these children."""

    def next_rebalance(self) -> float:
        """Never."""
        return math.inf

    def _free_slots(self, child: AsyncChildHandle) -> int:
        return max(0, self._slots - child.load) if child.takes_jobs else 0


Group = SerialChildGroup | AsyncChildGroup
