"""Heart: says in the database that this worker lives, and knows when it last could."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable

from hammerflow.stores.store import Store

__all__ = ["Heart"]


def _now() -> float:
    """Seconds of a clock that goes on while the machine sleeps, where there is one."""
    clock = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if clock is None else time.clock_gettime(clock)


class Heart:
    """Beats for this worker's registrations.

    Args:
        every: seconds between beats.
        on_gone: called with a worker id whose row is gone: its leases were taken over.
    """

    def __init__(self, store: Store, *, every: float, on_gone: Callable[[int], None]) -> None:
        self._store = store
        self._every = every
        self._on_gone = on_gone
        self._beaten = _now()
        self._lock = threading.Lock()
        self.worker_ids: tuple[int, ...] = ()

    @property
    def silent_for(self) -> float:
        """Seconds since the beginning of the last beat that was heard."""
        return _now() - self._beaten

    def add(self, worker_id: int) -> None:
        """Beat for this registration, too; it has just been written."""
        with self._lock:
            self._beaten = _now()
            self.worker_ids = (*self.worker_ids, worker_id)

    def drop(self, worker_id: int) -> None:
        """Beat for it no more."""
        with self._lock:
            self.worker_ids = tuple(i for i in self.worker_ids if i != worker_id)

    def tick(self) -> float:
        begun = _now()
        gone = [i for i in self.worker_ids if not self._store.workers.beat(i)]
        self._beaten = begun
        for worker_id in gone:
            self.drop(worker_id)
            self._on_gone(worker_id)
        return self._every * random.uniform(0.9, 1.0)
