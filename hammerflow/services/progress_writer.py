"""ProgressWriter: keeps the latest progress of each running job and writes it now and then."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass, field

from hammerflow.stores.store import Store

__all__ = ["DELAY", "ProgressWriter"]

#: Seconds from the first report after a write to the next write.
DELAY = 0.5
_IDLE = 60.0


@dataclass(eq=False)
class ProgressWriter:
    """Coalesces the reports of a job between two writes into one row."""

    store: Store
    _: KW_ONLY
    on_pending: Callable[[], None]  # called at the first report after a write
    _lock: threading.Lock = field(init=False, default_factory=threading.Lock)
    _latest: dict[bytes, tuple[bytes, float, str]] = field(init=False, default_factory=dict)

    def record(self, job_id: bytes, fraction: float, note: str) -> None:
        """Take the progress that a job reports; ``fraction`` from 0 to 1."""
        with self._lock:
            is_first = not self._latest
            self._latest[job_id] = (job_id, fraction, note)
        if is_first:
            self.on_pending()

    def tick(self, now: float) -> float:
        """Write what was reported since the last tick."""
        with self._lock:
            latest, self._latest = self._latest, {}
        if latest:
            self.store.jobs.progress([*latest.values()])
        return _IDLE
