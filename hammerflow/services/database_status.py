"""Weather: whether the database can be used now, said once per change by all threads together."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable

from hammerflow.errors import StoreUnavailable

__all__ = ["DatabaseStatus"]

log = logging.getLogger("hammerflow.database")
_FIRST = 0.1
_MOST = 2.0
_PATIENCE = 5.0


class DatabaseStatus:
    """One log line when the database is lost and one when it is back, whoever notices first.

    While it is lost one thread tries, the heart's; the others sleep until it has come through.

    Args:
        answers: how often the database has answered so far. That a duty came to its end says
            nothing: it may have had nothing to ask.

    Attributes:
        on_lost: called when it is lost, to let the heart try at once.
        on_fine: called when it is back, to wake the others.
        changes: how often it came back: leases may have been taken unheard.
    """

    def __init__(self, answers: Callable[[], int]) -> None:
        self._answers = answers
        self._answers_when_lost = 0
        self.on_lost: Callable[[], None] = lambda: None
        self.on_fine: Callable[[], None] = lambda: None
        self._back = threading.Condition()
        self._lock = threading.Lock()
        self._lost_at: float | None = None
        self._tries = 0
        self.changes = 0

    @property
    def is_fine(self) -> bool:
        """Whether the last one to use the database could."""
        return self._lost_at is None

    def fine(self) -> None:
        """A duty has ended well: the database is back if it has answered since it was lost."""
        if self._lost_at is None or self._answers() == self._answers_when_lost:
            return
        with self._lock:
            lost_at, self._lost_at, self._tries = self._lost_at, None, 0
            self.changes += lost_at is not None
        if lost_at is not None:
            log.info("the database is back after %.1f s", time.monotonic() - lost_at)
            with self._back:
                self._back.notify_all()
            self.on_fine()

    def wait(self, seconds: float) -> None:
        """Until the database is back, so many seconds at most."""
        with self._back:
            if not self.is_fine:
                self._back.wait(seconds)

    def lost(self, error: StoreUnavailable, *, tries_first: bool = False) -> float:
        """The database could not be used; how many seconds to wait before the next try.

        Args:
            tries_first: for the one who finds out whether it is back.
        """
        with self._lock:
            self._answers_when_lost = self._answers()
            is_news = self._lost_at is None
            if is_news:
                self._lost_at = time.monotonic()
            self._tries += 1
            tries = self._tries
        if is_news:
            log.warning("the database is lost, trying again until it is back: %s", error)
            self.on_lost()
        if not tries_first:
            return _PATIENCE
        return float(random.uniform(0.5, 1) * min(_FIRST * 2 ** min(tries, 10), _MOST))
