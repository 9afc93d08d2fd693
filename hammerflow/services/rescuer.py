"""Rescuer: takes over the leases of silent workers, and parks jobs that no worker can run."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Iterable

from hammerflow.stores.store import Store

__all__ = ["Rescuer"]

log = logging.getLogger("hammerflow.rescuer")
_PARK_EVERY = 6  # sweeps


class Rescuer:
    """Sweeps; any number of workers may do so at once.

    Args:
        interval: seconds between sweeps.
        lease: seconds without a heartbeat after which a worker counts as dead.
        poison_limit: lost leases after which a job is parked.
        queues: gives the names of the queues of this worker.
        on_ready: called with the names of queues that have new work.
        may_sweep: whether this worker has beaten lately. One that could not (the database was
            held up, the machine slept) would take over its own jobs and those of its peers.
    """

    def __init__(
        self,
        store: Store,
        *,
        interval: float,
        lease: float,
        poison_limit: int,
        queues: Callable[[], Iterable[str]],
        on_ready: Callable[[Iterable[str]], None],
        may_sweep: Callable[[], bool],
    ) -> None:
        self._store = store
        self._interval = interval
        self._lease = lease
        self._poison_limit = poison_limit
        self._queues = queues
        self._on_ready = on_ready
        self._may_sweep = may_sweep
        self._sweeps = 0
        self._offset: float | None = None  # database clock minus ours, at the most
        self._wait_until = 0.0  # by time.monotonic()

    def tick(self, now: float) -> float:
        """Sweep once; park unserved jobs at every sixth sweep."""
        if not self._may_sweep() or not self._clock_is_steady():
            return min(1.0, self._interval)
        self._sweep()
        if self._sweeps % _PARK_EVERY == 0:
            parked = self._store.workers.park_unserved(list(self._queues()))
            if parked:
                log.warning("parked %d jobs: no live worker has registered their task", parked)
        self._sweeps += 1
        return self._interval * random.uniform(0.8, 1.2)

    def _sweep(self) -> None:
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

    def _clock_is_steady(self) -> bool:
        """Whether every worker had time to beat since the database's clock last jumped ahead.

        A jump ages all heartbeats at once, so every worker looks dead until its next beat. Measured
        against our monotonic clock, which stands still while the machine sleeps: a machine that
        slept together with its database counts as a jump, too.
        """
        before = time.monotonic()
        clock = self._store.clock()
        after = time.monotonic()
        offset, self._offset = self._offset, clock - before
        jump = 0.0 if offset is None else clock - after - offset  # at the least
        if jump > self._lease / 3:
            log.warning(
                "the database's clock jumped ahead %.1f s: no sweep for %g s", jump, self._lease
            )
            self._wait_until = after + self._lease
        return after >= self._wait_until
