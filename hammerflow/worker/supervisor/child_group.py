"""All children of one kind, the jobs that wait for them, and which child gets which job."""

from __future__ import annotations

import math
import threading
from collections.abc import Mapping, Sequence
from itertools import islice
from operator import attrgetter
from typing import Generic, TypeVar

from hammerflow.jobs.job import Claimed
from hammerflow.worker.run_options import TaskCatalog
from hammerflow.worker.supervisor.async_handle import AsyncChildHandle
from hammerflow.worker.supervisor.backlog import Backlog
from hammerflow.worker.supervisor.child_channel import ChildChannel
from hammerflow.worker.supervisor.prefetch import CHUNK_JOBS, TINY, Prefetch
from hammerflow.worker.supervisor.round_results import HeldJob
from hammerflow.worker.supervisor.serial_handle import SerialChildHandle
from hammerflow.worker.supervisor.suspects import SUSPECTS, Suspects, SuspectTurns

__all__ = [
    "AsyncChildGroup", "ChildGroup", "Group", "Handle", "LimitedAsyncChildGroup",
    "SerialChildGroup",
]  # fmt: skip

#: Seconds without an ended job after which a child counts as busy with a long one.
STUCK = 0.050
#: While this many suspects wait, nothing is claimed.
_MOST_SUSPECTS = 1_000
#: Suspects that run at a time, at least; more where there are more children usually.
_ISOLATED = 8
_FLAGS = attrgetter("flags")
_IS_BUSY = attrgetter("is_busy")

Handle = SerialChildHandle | AsyncChildHandle
H = TypeVar("H", SerialChildHandle, AsyncChildHandle)


class ChildGroup(Generic[H]):
    """What both kinds share. Everything here is guarded by the pool's lock.

    Attributes:
        wanted: how many children there should be.
        spare: for how many more children jobs may be claimed, though none is free; an elastic
            worker starts them if the claim finds any.
        has_room: condition on the pool's lock; notified when a claim is worth while.
        wants_room: whether the claimer waits for that.
        not_before: when the next child may be forked (after deaths in quick succession).
        quick_deaths: children in a row that died young, without having ended a job.
        refusals: children in a row that could not be forked.
    """

    is_async: bool
    runs_alone = False
    _handle_type: type[H]

    def __init__(
        self, lock: threading.RLock, queues: Mapping[int, str], turns: SuspectTurns
    ) -> None:
        self.children: list[H] = []
        self.backlog = Backlog()
        self.suspects = Suspects(turns)
        self.prefetch = Prefetch()
        self.wanted = 0
        self.spare = 0
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
        self.suspects.forget(child)
        self.children = [other for other in self.children if other is not child]

    @property
    def missing(self) -> int:
        """How many children there are too few, or, if negative, too many: there is one more for
        each suspect that may start."""
        staying = sum(child.is_staying for child in self.children)
        return self.wanted + self._startable_suspects() - staying

    def retire_surplus(self, now: float, *, with_busy: bool = False) -> None:
        """Let idle children end that were started for suspects that are gone.

        Args:
            with_busy: where too few are idle, let others end after the jobs that they run.
        """
        fit = [c for c in self.children if c.is_staying and (with_busy or not c.is_busy)]
        for child in sorted(fit, key=_IS_BUSY)[: max(0, -self.missing)]:
            child.is_retiring = True
            self.put_back(child.take_back(), now)

    @property
    def is_starting(self) -> bool:
        """Whether a child has been requested and is not ready yet."""
        return any(child.is_staying and not child.is_ready for child in self.children)

    @property
    def has_waiting(self) -> bool:
        """Whether jobs wait for a child."""
        return bool(self.backlog or self.suspects)

    def held(self) -> list[HeldJob]:
        """All jobs of this kind that were claimed and have not ended."""
        in_children = [held for child in self.children for held in child.held()]
        return in_children + self.backlog.held() + self.suspects.held()

    def add_jobs(self, worker_id: int, jobs: Sequence[Claimed], now: float) -> None:
        """Append jobs that were claimed under one registration."""
        if any(map(_FLAGS, jobs)):
            self.suspects.add(worker_id, [job for job in jobs if job.flags & SUSPECTS], now)
            jobs = [job for job in jobs if not job.flags & SUSPECTS]
        if jobs:
            self.backlog.add(worker_id, jobs, now)

    def put_back(self, held: Sequence[HeldJob], now: float) -> None:
        """Prepend jobs that a child had and did not start."""
        self.backlog.put_back([one for one in held if not one.job.flags & SUSPECTS], now)
        for one in held:
            if one.job.flags & SUSPECTS:
                self.suspects.put_back(one, now)

    def take_back(self, now: float) -> None:
        """Take what the children have not started."""
        for child in self.children:
            self.put_back(child.take_back(), now)

    def take_waiting(self) -> list[HeldJob]:
        """Remove the jobs that wait for a child."""
        return self.backlog.take_all() + self.suspects.take_before(math.inf)

    def isolate(self, now: float) -> None:
        """Give each suspect a child of its own: a fresh one, for what an earlier body has left in
        the memory of a child is the fault of neither."""
        for child in self.children:
            if not self._startable_suspects():
                return
            if child.takes_jobs and not child.is_busy and not child.jobs_ended:
                self.suspects.give_next(child, now)

    def take_unstarted(self, job_id: bytes, now: float) -> list[HeldJob]:
        """Remove one job, if it is here and was not started."""
        for child in self.children:
            if any(held.job.id == job_id for held in child.held()):
                self.put_back(child.take_back(), now)
        return self.backlog.take_job(job_id) + self.suspects.take_job(job_id)

    def _startable_suspects(self) -> int:
        """How many suspects may start now."""
        if not self.suspects:
            return 0
        isolated = sum(child.is_isolated for child in self.children)
        return max(0, min(self.suspects.startable, max(self.wanted, _ISOLATED) - isolated))


class SerialChildGroup(ChildGroup[SerialChildHandle]):
    """Children that run one job at a time; tiny jobs are given to them in chunks."""

    is_async = False
    _handle_type = SerialChildHandle

    def room(self, now: float) -> int:
        """How many jobs to claim now. A child that is stuck in a long job makes no room."""
        if self.suspects.count >= _MOST_SUSPECTS:
            return 0
        idle = sum(child.is_free for child in self.children)
        moving = idle + sum(c.is_busy and now - c.active_at < STUCK for c in self.children)
        held = self.backlog.count + sum(child.load for child in self.children)
        backlog = self.backlog.count
        room = self.prefetch.room(children=moving, idle=idle, held=held, backlog=backlog)
        return max(room, self.spare - backlog)

    @property
    def waiting(self) -> int:
        """How many jobs wait because no child is free."""
        if any(child.is_free for child in self.children):
            return 0
        return self.backlog.count + sum(child.unstarted for child in self.children)

    def dispatch(self, now: float) -> None:
        """Give the backlog to children that are free, and tiny jobs to those that soon will be."""
        if self.suspects:
            self.isolate(now)
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
                self.put_back(child.take_back(), now)
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

    def __init__(
        self, lock: threading.RLock, queues: Mapping[int, str], turns: SuspectTurns, *, slots: int
    ) -> None:
        super().__init__(lock, queues, turns)
        self._slots = slots

    def room(self, now: float) -> int:
        """How many jobs to claim now."""
        if self.suspects.count >= _MOST_SUSPECTS:
            return 0
        free = sum(map(self._free_slots, self.children))
        return max(0, max(free, self.spare) - self.backlog.count)

    @property
    def waiting(self) -> int:
        """How many jobs wait because no slot is free."""
        return 0 if any(map(self._free_slots, self.children)) else self.backlog.count

    def dispatch(self, now: float) -> None:
        """Give the backlog to free slots, spread over the children."""
        if self.suspects:
            self.isolate(now)
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


class LimitedAsyncChildGroup(AsyncChildGroup):
    """Async children for jobs with limits, one at a time in each: what the process takes is what
    the body takes, and killing it harms no other one."""

    runs_alone = True

    def __init__(
        self, lock: threading.RLock, queues: Mapping[int, str], turns: SuspectTurns
    ) -> None:
        super().__init__(lock, queues, turns, slots=1)


Group = SerialChildGroup | AsyncChildGroup
