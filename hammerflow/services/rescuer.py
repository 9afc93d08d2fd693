"""Rescuer: takes over the leases of silent workers, and parks jobs that no worker can run."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Iterable
from dataclasses import KW_ONLY, dataclass, field

from hammerflow.stores.store import Store
from hammerflow.text import counted

__all__ = ["Rescuer"]

log = logging.getLogger("hammerflow.rescuer")
_PARK_EVERY = 6  # sweeps
#: Seconds, at most, for which a worker that has just started watches the others before it believes
#: that they are silent. Two beats fall into it, and into a third of any lease.
_WATCH = 10.0


@dataclass(eq=False)
class Rescuer:
    """Sweeps; any number of workers may do so at once.

    A worker sweeps only while ``may_sweep`` says that it has beaten lately. One that could not (the
    database was held up, the machine slept) would take over its own jobs and those of its peers.

    Nobody is judged by instants alone, as the database's clock may have jumped before this worker
    started: whom it takes for dead has also not beaten while it, or workers before it, watched.
    """

    store: Store
    _: KW_ONLY
    interval: float  # seconds between sweeps
    lease: float  # seconds without a heartbeat after which a worker counts as dead
    poison_limit: int  # lost leases after which a job is parked
    queues: Callable[[], Iterable[str]]  # the queues of this worker
    on_ready: Callable[[Iterable[str]], None]  # called with the queues that have new work
    may_sweep: Callable[[], bool]
    on_rescued: Callable[[int], None] = lambda _: None  # called with how many jobs it took over
    _sweeps: int = field(init=False, default=0)
    _offset: float | None = field(init=False, default=None)  # database clock - ours, at most
    _wait_until: float = field(init=False, default=0.0)  # by time.monotonic()

    def tick(self, now: float) -> float:
        """Sweep once; park unserved jobs at every sixth sweep."""
        if not self.may_sweep() or not self._clock_is_steady():
            return min(1.0, self.interval)
        self._sweep()
        if self._sweeps % _PARK_EVERY == 0:
            parked = self.store.workers.park_unserved(list(self.queues()))
            if parked:
                log.warning(
                    "parked %s: no live worker has registered the task", counted(parked, "job")
                )
        self._sweeps += 1
        interval = min(1.0, self.interval) if self.store.workers.watches else self.interval
        return interval * random.uniform(0.8, 1.2)

    def _sweep(self) -> None:
        swept = self.store.workers.sweep(
            lease=self.lease, poison_limit=self.poison_limit, watch=min(_WATCH, self.lease / 3)
        )
        if swept.queues:
            self.on_ready(swept.queues)
        if swept.workers or swept.rescued or swept.parked:
            message = "took over from %s: %s rescued, %d parked"
            workers = counted(swept.workers, "silent worker")
            log.warning(message, workers, counted(swept.rescued, "job"), swept.parked)
            self.on_rescued(swept.rescued + swept.parked)

    def _clock_is_steady(self) -> bool:
        """Whether every worker had time to beat since the database's clock last jumped ahead.

        A jump ages all heartbeats at once, so every worker looks dead until its next beat. Measured
        against our monotonic clock, which stands still while the machine sleeps: a machine that
        slept together with its database counts as a jump, too.
        """
        before = time.monotonic()
        clock = self.store.clock()
        after = time.monotonic()
        offset, self._offset = self._offset, clock - before
        jump = 0.0 if offset is None else clock - after - offset  # at the least
        if jump > self.lease / 3:
            log.warning(
                "the database's clock jumped ahead %.1f s: no sweep for %g s", jump, self.lease
            )
            self._wait_until = after + self.lease
        return after >= self._wait_until
