"""Progress: keeps the latest word of running jobs, and writes it now and then."""

from __future__ import annotations

import threading

from hammerflow.stores.store import Store

__all__ = ["Progress"]

_EVERY = 0.5


class Progress:
    """Many words of a job between two writes cost one row."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._latest: dict[bytes, tuple[bytes, float, str]] = {}

    def say(self, job_id: bytes, fraction: float, note: str) -> None:
        """A job says how far it is."""
        with self._lock:
            self._latest[job_id] = (job_id, fraction, note)

    def tick(self) -> float:
        with self._lock:
            latest, self._latest = self._latest, {}
        if latest:
            self._store.jobs.progress([*latest.values()])
        return _EVERY
