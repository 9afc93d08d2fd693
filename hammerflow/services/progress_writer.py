"""ProgressWriter: keeps the latest progress of each running job and writes it now and then."""

from __future__ import annotations

import threading
from collections.abc import Callable

from hammerflow.stores.store import Store

__all__ = ["DELAY", "ProgressWriter"]

#: Seconds from the first report after a write to the next write.
DELAY = 0.5
_IDLE = 60.0


class ProgressWriter:
    """Coalesces the reports of a job between two writes into one row.

    Args:
        on_pending: called when there is something to write and there was nothing before.
    """

    def __init__(self, store: Store, *, on_pending: Callable[[], None]) -> None:
        self._store = store
        self._on_pending = on_pending
        self._lock = threading.Lock()
        self._latest: dict[bytes, tuple[bytes, float, str]] = {}

    def record(self, job_id: bytes, fraction: float, note: str) -> None:
        """Take the progress that a job reports.

        Args:
            fraction: from 0 to 1.
        """
        with self._lock:
            is_first = not self._latest
            self._latest[job_id] = (job_id, fraction, note)
        if is_first:
            self._on_pending()

    def tick(self, now: float) -> float:
        """Write what was reported since the last tick."""
        with self._lock:
            latest, self._latest = self._latest, {}
        if latest:
            self._store.jobs.progress([*latest.values()])
        return _IDLE
