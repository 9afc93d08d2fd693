"""Rescuer: takes over the leases of workers that went silent, and parks what no one serves."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Iterable

from hammerflow.stores.store import Store

__all__ = ["Rescuer"]

log = logging.getLogger("hammerflow.rescuer")
#: Unserved jobs are looked for at every so-manieth sweep.
_SELDOM = 6


class Rescuer:
    """Sweeps; any number of workers may do so at once.

    Args:
        every: seconds between sweeps.
        queues: gives the names of the queues of this worker.
        on_ready: called with the names of queues that have new work.
        may_judge: whether this worker itself has beaten lately: one that could not (a database
            held up, a machine that slept) would take over its own jobs, and those of its peers.
    """

    def __init__(
        self,
        store: Store,
        *,
        every: float,
        lease: float,
        poison_limit: int,
        queues: Callable[[], Iterable[str]],
        on_ready: Callable[[Iterable[str]], None],
        may_judge: Callable[[], bool],
    ) -> None:
        self._store = store
        self._every = every
        self._lease = lease
        self._poison_limit = poison_limit
        self._queues = queues
        self._on_ready = on_ready
        self._may_judge = may_judge
        self._ticks = 0
        self._ahead: float | None = None  # of our clock, by which the database's is, at the most
        self._patient_until = 0.0

    def tick(self) -> float:
        if not self._may_judge() or not self._clock_is_steady():
            return min(1.0, self._every)
        swept = self._store.workers.sweep(lease=self._lease, poison_limit=self._poison_limit)
        if swept.queues:
            self._on_ready(swept.queues)
        if swept.workers or swept.rescued or swept.parked:
            log.warning(
                "took over from %d silent workers: %d jobs rescued, %d parked",
                swept.workers,
                swept.rescued,
                swept.parked,
            )
        if self._ticks % _SELDOM == 0:
            parked = self._store.workers.park_unserved(list(self._queues()))
            if parked:
                log.warning("parked %d jobs whose task no live worker has registered", parked)
        self._ticks += 1
        return self._every * random.uniform(0.8, 1.2)

    def _clock_is_steady(self) -> bool:
        """Whether all workers had time to beat since the database's clock last jumped ahead: it
        makes them look silent. A machine that sleeps with its database counts as a jump."""
        before = time.monotonic()
        clock = self._store.clock()
        after = time.monotonic()
        ahead, self._ahead = self._ahead, clock - before
        jump = 0.0 if ahead is None else clock - after - ahead  # at the least
        if jump > self._lease / 3:
            log.warning("the database's clock jumped ahead by %.1f s: no sweep for a lease", jump)
            self._patient_until = after + self._lease
        return after >= self._patient_until
