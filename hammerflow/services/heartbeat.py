"""Heartbeat: renews this worker's leases in the database, and knows when it last could."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable

from hammerflow.services.lease_clock import LeaseClock
from hammerflow.services.lease_clock import now as lease_now
from hammerflow.stores.store import Store

__all__ = ["Heartbeat"]

_MOST = 5.0  # seconds between two beats
_BEATS_PER_LEASE = 6  # at least: one lost beat, or one slow statement, costs no lease


class Heartbeat:
    """Beats for this worker's registrations.

    Args:
        lease_clock: extended at each beat; the children read it.
        lease: seconds after a beat for which the leases hold.
        on_gone: called with a worker id whose row is gone: others took over its leases.
    """

    def __init__(
        self, store: Store, lease_clock: LeaseClock, *, lease: float, on_gone: Callable[[int], None]
    ) -> None:
        self._store = store
        self._lease_clock = lease_clock
        self._lease = lease
        self._on_gone = on_gone
        self._beat_at = lease_now()
        self._lock = threading.Lock()
        self._worker_ids: tuple[int, ...] = ()

    @property
    def silent_for(self) -> float:
        """Seconds since the start of the last beat that succeeded."""
        return lease_now() - self._beat_at

    def add(self, worker_id: int, written_after: float) -> None:
        """Beat for this registration, too.

        Args:
            written_after: an instant of the lease clock just before its row was written.
        """
        with self._lock:
            if not self._worker_ids:
                self._extend(written_after)
            self._worker_ids = (*self._worker_ids, worker_id)

    def drop(self, worker_id: int) -> None:
        """Stop beating for this registration."""
        with self._lock:
            self._worker_ids = tuple(i for i in self._worker_ids if i != worker_id)

    def tick(self, now: float) -> float:
        """Beat once for each registration."""
        # The lease counts from before the statements: when they return is too late by their time.
        gone = [i for i in self._worker_ids if not self._store.workers.beat(i)]
        for worker_id in gone:
            self.drop(worker_id)
            self._on_gone(worker_id)
        with self._lock:
            if self._worker_ids:
                self._extend(now)
        return min(self._lease / _BEATS_PER_LEASE, _MOST) * random.uniform(0.9, 1.0)

    def _extend(self, beat_at: float) -> None:
        self._beat_at = beat_at
        self._lease_clock.extend(beat_at + self._lease)
