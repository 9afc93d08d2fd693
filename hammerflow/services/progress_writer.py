"""Progress: keeps the latest word of running jobs, and writes it now and then."""

from __future__ import annotations

import threading
from collections.abc import Callable

from hammerflow.stores.store import Store

__all__ = ["ProgressWriter"]

#: Seconds from a first word to its row.
DELAY = 0.5
_EVERY = 60.0


class ProgressWriter:
    """Many words of a job between two writes cost one row.

    Args:
        on_word: called when there is something to write and was not before.
    """

    def __init__(self, store: Store, *, on_word: Callable[[], None]) -> None:
        self._store = store
        self._on_word = on_word
        self._lock = threading.Lock()
        self._latest: dict[bytes, tuple[bytes, float, str]] = {}

    def say(self, job_id: bytes, fraction: float, note: str) -> None:
        """A job says how far it is."""
        with self._lock:
            is_first = not self._latest
            self._latest[job_id] = (job_id, fraction, note)
        if is_first:
            self._on_word()

    def tick(self) -> float:
        with self._lock:
            latest, self._latest = self._latest, {}
        if latest:
            self._store.jobs.progress([*latest.values()])
        return _EVERY
