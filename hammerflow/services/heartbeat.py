"""Heartbeat: renews this worker's leases in the database, and knows when it last could."""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable, Mapping
from dataclasses import KW_ONLY, dataclass, field
from typing import Any

from hammerflow.services.lease_clock import LeaseClock
from hammerflow.services.lease_clock import now as lease_now
from hammerflow.stores.store import Store

__all__ = ["Heartbeat"]

log = logging.getLogger("hammerflow.heartbeat")
_MOST = 5.0  # seconds between two beats
_BEATS_PER_LEASE = 6  # at least: one lost beat, or one slow statement, costs no lease


@dataclass(eq=False)
class Heartbeat:
    """Beats for this worker's registrations."""

    store: Store
    lease_clock: LeaseClock  # extended at each beat; the children read it
    _: KW_ONLY
    lease: float  # seconds after a beat for which the leases hold
    on_gone: Callable[[int], None]  # called with a worker id whose leases others took over
    describe: Callable[[], Mapping[str, Any]]  # what the worker does, written with each beat
    _beat_at: float = field(init=False, default_factory=lease_now)
    _lock: threading.Lock = field(init=False, default_factory=threading.Lock)
    _worker_ids: tuple[int, ...] = field(init=False, default=())

    @property
    def silent_for(self) -> float:
        """Seconds since the start of the last beat that succeeded."""
        return lease_now() - self._beat_at

    @property
    def worker_ids(self) -> tuple[int, ...]:
        """The registrations for which it beats."""
        return self._worker_ids

    def add(self, worker_id: int, written_after: float) -> None:
        """Beat for this registration, too, whose row was written after that lease-clock instant."""
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
        state = self._state()
        # The lease counts from before the statements: when they return is too late by their time.
        gone = [i for i in self._worker_ids if not self.store.workers.beat(i, state)]
        for worker_id in gone:
            self.drop(worker_id)
            self.on_gone(worker_id)
        with self._lock:
            if self._worker_ids:
                self._extend(now)
        return min(self.lease / _BEATS_PER_LEASE, _MOST) * random.uniform(0.9, 1.0)

    def _state(self) -> Mapping[str, Any] | None:
        try:
            return self.describe()
        except Exception:  # a border: what people may read must not cost the worker its leases
            log.exception("cannot describe what the children do")
            return None

    def _extend(self, beat_at: float) -> None:
        self._beat_at = beat_at
        self.lease_clock.extend(beat_at + self.lease)
