"""Weather: whether the database can be used now, said once per change by all threads together."""

from __future__ import annotations

import logging
import random
import threading
import time

from hammerflow.errors import StoreUnavailable

__all__ = ["Weather"]

log = logging.getLogger("hammerflow.database")
_FIRST = 0.1
_MOST = 2.0


class Weather:
    """One log line when the database is lost and one when it is back, whoever notices first."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lost_at: float | None = None
        self._tries = 0
        self.changes = 0  # how often it came back: leases may have been taken unheard

    @property
    def is_fine(self) -> bool:
        """Whether the last one to use the database could."""
        return self._lost_at is None

    def fine(self) -> None:
        """The database was used."""
        if self._lost_at is None:
            return
        with self._lock:
            lost_at, self._lost_at, self._tries = self._lost_at, None, 0
            self.changes += lost_at is not None
        if lost_at is not None:
            log.info("the database is back after %.1f s", time.monotonic() - lost_at)

    def lost(self, error: StoreUnavailable) -> float:
        """The database could not be used; how many seconds to wait before the next try."""
        with self._lock:
            is_news = self._lost_at is None
            if is_news:
                self._lost_at = time.monotonic()
            self._tries += 1
            tries = self._tries
        if is_news:
            log.warning("the database is lost, trying again until it is back: %s", error)
        return float(random.uniform(0.5, 1) * min(_FIRST * 2 ** min(tries, 10), _MOST))
