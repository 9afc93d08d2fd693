"""How many children an elastic worker has: more while jobs wait for them, fewer when idle."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

from hammerflow.worker.logs import facts
from hammerflow.worker.memory import available_bytes, private_bytes
from hammerflow.worker.options import ChildRange
from hammerflow.worker.supervisor.child_group import Group, Handle

__all__ = ["ChildSizer", "memory_room"]

log = logging.getLogger("hammerflow.pool")

#: Seconds for which jobs must wait for a child until there are more.
_PRESSURE = 0.1
#: Seconds until memory that was too short is measured again.
_MEMORY_WAIT = 5.0
#: A new child takes as much memory as the largest of this number of others, at least 16 MiB. A
#: tenth of what is left stays free.
_SAMPLE = 4
_LEAST_CHILD = 16 << 20
_USABLE = 0.9


class _MemoryRoom(NamedTuple):
    """For how many more children there is memory, and why."""

    children: float
    says: str


def memory_room(children: Sequence[Handle], available: Callable[[], float]) -> _MemoryRoom:
    """How much room memory has for more children like the last of these."""
    pids = [child.pid for child in children if child.pid is not None]
    each = max([_LEAST_CHILD, *map(private_bytes, pids[-_SAMPLE:])])
    left = available()
    if left == math.inf:
        return _MemoryRoom(left, "")
    says = f"one takes {each >> 20} MiB, and {int(left) >> 20} MiB are left"
    return _MemoryRoom(int(left * _USABLE / each), says)


class ChildSizer:
    """Sets how many children one group has. Callers hold the pool's lock.

    It grows by half as soon as jobs wait while no child is free or being started. While all
    children are busy nobody knows whether jobs wait in the database, so a few more are claimed
    than there are children (``spare``): if there are none, that was a claim that found nothing.

    A child that was idle for the cooldown is retired. It gets no jobs from then on, has none, and
    ends as its pipe is closed, so nothing is lost; a busy child is never retired.
    """

    def __init__(
        self,
        group: Group,
        limits: ChildRange,
        cooldown: float,
        available: Callable[[], float] = available_bytes,
    ) -> None:
        self._group = group
        self._limits = limits
        self._cooldown = cooldown
        self._available = available
        self._waits_since = math.inf
        self._memory_at = 0.0  # when to measure again

    def update(self, now: float) -> None:
        """Grow or shrink, if it is time for that."""
        group = self._group
        if not group.wanted:
            return
        is_short = group.waiting > 0 and group.missing <= 0 and not group.is_starting
        self._waits_since = min(self._waits_since, now) if is_short else math.inf
        if now >= self._waits_since + _PRESSURE:
            self._waits_since = math.inf
            self._resize(group.wanted + self._affordable(now))
        self._retire_idle(now)
        group.spare = self._step() if now >= self._memory_at else 0

    def next_update(self) -> float:
        """When :meth:`update` has something to do that no message announces."""
        at = self._waits_since + _PRESSURE
        if self._group.wanted > self._limits.least:
            idle = (c.idle_since for c in self._group.children if c.is_staying and c.is_ready)
            at = min(at, min(idle, default=math.inf) + self._cooldown)
        return at

    def _step(self) -> int:
        wanted = self._group.wanted
        return max(0, min(max(1, wanted // 2), self._limits.most - wanted))

    def _affordable(self, now: float) -> int:
        """How many more children to start: no more than jobs wait, and than memory is left for."""
        count = min(self._step(), self._group.waiting)
        if not count or now < self._memory_at:
            return 0
        room = memory_room(self._group.children, self._available)
        if room.children < count:
            count = int(room.children)
            self._memory_at = now + _MEMORY_WAIT
            log.warning("no memory is left for more children: %s", room.says)
        return count

    def _retire_idle(self, now: float) -> None:
        surplus = self._group.wanted - self._limits.least
        idle = [
            child
            for child in self._group.children
            if child.is_staying and child.is_ready and child.idle_since + self._cooldown <= now
        ][: max(0, surplus)]
        for child in idle:
            child.is_retiring = True
        self._resize(self._group.wanted - len(idle))

    def _resize(self, wanted: int) -> None:
        if wanted != self._group.wanted:
            change = "more" if wanted > self._group.wanted else "fewer"
            log.info("%s children: %d", change, wanted, extra=facts(children=wanted))
            self._group.wanted = wanted
