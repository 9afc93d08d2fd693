"""Crews: all children of one kind, the jobs that wait for them, and who gets which."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Any, Protocol

from hammerflow.jobs.job import Claimed
from hammerflow.worker.supervisor.child_handle import AsyncChildHandle, HeldJob, SerialChildHandle
from hammerflow.worker.supervisor.prefetch import CHUNK_JOBS, TINY, Prefetch

__all__ = ["AsyncChildGroup", "Backlog", "ChildGroup", "Owner", "SerialChildGroup"]

#: A child that has ended no job for so long counts as busy with a long one.
STUCK = 0.050
#: Jobs that found no child for so long go back to the database, for other hosts.
PATIENCE = 0.5


class Owner(Protocol):
    """What a crew needs of the pool."""

    lock: threading.RLock
    changes: int
    abandoned: set[int]

    def took_in(self, crew: Any) -> None:
        """Jobs came in: hand out, and see whether the next wake-up must be earlier."""

    def refuse(self, worker_id: int, jobs: Sequence[Claimed]) -> None:
        """Give jobs back that were claimed under a registration that is gone."""


class _HandOut:
    """Claimed jobs that wait for a child."""

    __slots__ = ("jobs", "since", "worker_id")

    def __init__(self, worker_id: int, jobs: Iterable[Claimed], since: float) -> None:
        self.worker_id = worker_id
        self.jobs = deque(jobs)
        self.since = since


class Backlog:
    """Jobs claimed and not handed out, first come first served."""

    def __init__(self) -> None:
        self._batches: deque[_HandOut] = deque()
        self.count = 0

    def __bool__(self) -> bool:
        return self.count > 0

    @property
    def oldest(self) -> float | None:
        """Since when the first of them waits."""
        return self._batches[0].since if self._batches else None

    @property
    def head(self) -> tuple[int, deque[Claimed]]:
        """The first jobs that were claimed under one registration."""
        return self._batches[0].worker_id, self._batches[0].jobs

    def add(self, worker_id: int, jobs: Sequence[Claimed], now: float) -> None:
        """New jobs, to the end."""
        self._batches.append(_HandOut(worker_id, jobs, now))
        self.count += len(jobs)

    def put_back(self, held: Sequence[HeldJob], now: float) -> None:
        """Jobs that a child had, to the front."""
        for worker_id, job in reversed(held):
            if not self._batches or self._batches[0].worker_id != worker_id:
                self._batches.appendleft(_HandOut(worker_id, (), now))
            self._batches[0].jobs.appendleft(job)
        self.count += len(held)

    def take(self, count: int) -> list[Claimed]:
        """So many of the head (at most as many as it has)."""
        jobs = self._batches[0].jobs
        taken = [jobs.popleft() for _ in range(count)]
        if not jobs:
            self._batches.popleft()
        self.count -= count
        return taken

    def take_all(self) -> list[HeldJob]:
        """Everything."""
        taken = [HeldJob(b.worker_id, job) for b in self._batches for job in b.jobs]
        self._batches.clear()
        self.count = 0
        return taken

    def take_older(self, than: float) -> list[HeldJob]:
        """What waits since before this instant."""
        taken: list[HeldJob] = []
        while self._batches and self._batches[0].since < than:
            batch = self._batches.popleft()
            taken += [HeldJob(batch.worker_id, job) for job in batch.jobs]
        self.count -= len(taken)
        return taken

    def held(self) -> list[HeldJob]:
        """Everything, to look at."""
        return [HeldJob(b.worker_id, job) for b in self._batches for job in b.jobs]


class ChildGroup:
    """What both kinds share: the backlog and the way in for claimed jobs.

    Attributes:
        wanted: how many children there should be.
        task_ids: what they can run.
        has_room: condition on the pool's lock; notified when a claim is worth while.
        wants_room: whether the dispatcher waits for that.
        not_before: when the next child may be forked (after deaths in quick succession).
    """

    seats: Sequence[SerialChildHandle] | Sequence[AsyncChildHandle]

    def __init__(self, owner: Owner, *, wanted: int) -> None:
        self._owner = owner
        self.wanted = wanted
        self.task_ids: list[int] = []
        self.backlog = Backlog()
        self.pace = Prefetch()
        self.queues: dict[int, str] = {}
        self.has_room = threading.Condition(owner.lock)
        self.wants_room = False
        self.not_before = 0.0
        self.quick_deaths = 0

    @property
    def changes(self) -> int:
        """Counts what happens in the pool."""
        return self._owner.changes

    @property
    def is_idle(self) -> bool:
        """Whether no job is held."""
        return not self.backlog and not any(seat.is_busy for seat in self.seats)

    def offer(self, worker_id: int, jobs: Sequence[Claimed], queue: str) -> None:
        """Claimed jobs come in; children that are free get theirs before this returns."""
        with self._owner.lock:
            self._owner.changes += 1
            if worker_id in self._owner.abandoned:
                self._owner.refuse(worker_id, jobs)
                return
            self.queues[jobs[0].queue_id] = queue
            self.backlog.add(worker_id, jobs, time.monotonic())
            self._owner.took_in(self)


class SerialChildGroup(ChildGroup):
    """Children that run one job at a time."""

    def __init__(self, owner: Owner, *, wanted: int) -> None:
        super().__init__(owner, wanted=wanted)
        self.seats: list[SerialChildHandle] = []

    def room(self, now: float) -> int:
        """How many jobs to claim now."""
        idle = sum(seat.is_free for seat in self.seats)
        moving = idle + sum(seat.is_busy and now - seat.since < STUCK for seat in self.seats)
        held = self.backlog.count + sum(seat.load for seat in self.seats)
        return self.pace.room(children=moving, idle=idle, held=held, backlog=self.backlog.count)

    def dispatch(self, now: float) -> None:
        """Give the backlog to children that are free, and tiny jobs to those that soon will be."""
        free = [seat for seat in self.seats if seat.is_free]
        while self.backlog:
            seat = free.pop() if free else self._next_free(now)
            if seat is None:
                return
            worker_id, jobs = self.backlog.head
            share = -(-self.backlog.count // (len(free) + 1))
            count = self.pace.chunk(jobs, share)
            if seat.is_busy and not self.pace.is_tiny(islice(jobs, count)):
                return
            seat.hand(worker_id, self.backlog.take(count), self.queues, now)

    def balance(self, now: float) -> None:
        """Take jobs back from children that are busy with a long one, if another is free or they
        have waited long."""
        has_free = not self.backlog and any(seat.is_free for seat in self.seats)
        for seat in self.seats:
            if seat.unstarted and now - seat.since >= (TINY if has_free else STUCK):
                self.backlog.put_back(seat.take_back(), now)
                has_free = False

    def next_balance(self, now: float) -> float | None:
        """When :meth:`balance` may have something to do."""
        has_free = any(seat.is_free for seat in self.seats)
        waits = [seat.since for seat in self.seats if seat.unstarted]
        return min(waits) + (TINY if has_free else STUCK) if waits else None

    def _next_free(self, now: float) -> SerialChildHandle | None:
        """A busy child that may get a second chunk: the one with the least to do."""
        fit = [s for s in self.seats if s.may_prefetch and now - s.since < STUCK / 5]
        seat = min(fit, key=lambda s: s.load, default=None)
        return seat if seat is not None and seat.load <= CHUNK_JOBS // 2 else None


class AsyncChildGroup(ChildGroup):
    """Children that run many async jobs at once."""

    def __init__(self, owner: Owner, *, wanted: int) -> None:
        super().__init__(owner, wanted=wanted)
        self.seats: list[AsyncChildHandle] = []

    def room(self, now: float) -> int:
        """How many jobs to claim now."""
        return max(0, sum(seat.free_slots for seat in self.seats) - self.backlog.count)

    def dispatch(self, now: float) -> None:
        """Give the backlog to free slots, spread over the children."""
        while self.backlog:
            seat = max(self.seats, key=lambda s: s.free_slots, default=None)
            if seat is None or not seat.free_slots:
                return
            worker_id, jobs = self.backlog.head
            share = -(-self.backlog.count // len(self.seats))
            count = min(len(jobs), seat.free_slots, share)
            seat.hand(worker_id, self.backlog.take(count), self.queues, now)

    def balance(self, now: float) -> None:
        """Nothing waits in these children."""

    def next_balance(self, now: float) -> float | None:
        """Never."""
        return None
