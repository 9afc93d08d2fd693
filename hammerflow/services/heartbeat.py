"""Heart: says in the database that this worker lives, and knows when it last could."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable

from hammerflow.services.lease_clock import LeaseClock, now
from hammerflow.stores.store import Store

__all__ = ["Heartbeat"]

_MOST = 5.0  # seconds between two beats


class Heartbeat:
    """Beats for this worker's registrations.

    Args:
        pulse: what the children see of it.
        lease: seconds after a beat for which the leases hold; it beats six times in these, or more.
        on_gone: called with a worker id whose row is gone: its leases were taken over.
    """

    def __init__(
        self, store: Store, pulse: LeaseClock, *, lease: float, on_gone: Callable[[int], None]
    ) -> None:
        self._store = store
        self._pulse = pulse
        self._lease = lease
        self._on_gone = on_gone
        self._beaten = now()
        self._lock = threading.Lock()
        self.worker_ids: tuple[int, ...] = ()

    @property
    def silent_for(self) -> float:
        """Seconds since the beginning of the last beat that was heard."""
        return now() - self._beaten

    def add(self, worker_id: int, begun: float) -> None:
        """Beat for this registration, too; it was written just after ``begun``."""
        with self._lock:
            if not self.worker_ids:
                self._heard(begun)
            self.worker_ids = (*self.worker_ids, worker_id)

    def drop(self, worker_id: int) -> None:
        """Beat for it no more."""
        with self._lock:
            self.worker_ids = tuple(i for i in self.worker_ids if i != worker_id)

    def tick(self) -> float:
        begun = now()
        gone = [i for i in self.worker_ids if not self._store.workers.beat(i)]
        for worker_id in gone:
            self.drop(worker_id)
            self._on_gone(worker_id)
        with self._lock:
            if self.worker_ids:
                self._heard(begun)
        return min(self._lease / 6, _MOST) * random.uniform(0.9, 1.0)

    def _heard(self, begun: float) -> None:
        self._beaten = begun
        self._pulse.beat(begun + self._lease)
