"""DatabaseStatus: whether the database can be used now, shared by all threads of a process."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable

from hammerflow.errors import StoreUnavailable

__all__ = ["DatabaseStatus"]

log = logging.getLogger("hammerflow.database")
#: Seconds between tries of the thread that probes: doubled from the first to the most.
_FIRST_RETRY = 0.1
_MOST_RETRY = 2.0
#: Seconds that the other threads wait; :meth:`DatabaseStatus.mark_up` ends the wait early.
_PATIENCE = 5.0


class DatabaseStatus:
    """Logs one line when the database goes down and one when it is back, whoever notices first.

    While it is down, only the thread of the heartbeat probes it; the others sleep until that one
    has succeeded, so that a database that restarts meets one connection and not a crowd.

    Args:
        answers: gives how many units of work the database has answered so far. A tick that
            returned is not proof enough: it may have had nothing to ask.

    Attributes:
        on_down: called when the database goes down, to let the heartbeat probe at once.
        on_up: called when it is back, to wake the others.
        recoveries: how often it came back. Each time, leases may have been granted whose reply
            never arrived.
    """

    def __init__(self, answers: Callable[[], int]) -> None:
        self._answers = answers
        self._answers_when_down = 0
        self.on_down: Callable[[], None] = lambda: None
        self.on_up: Callable[[], None] = lambda: None
        self._changed = threading.Condition()
        self._down_since: float | None = None
        self._tries = 0
        self.recoveries = 0

    @property
    def is_up(self) -> bool:
        """Whether the last one to use the database could."""
        return self._down_since is None

    def mark_up(self) -> None:
        """A duty succeeded: the database is back if it has answered since it went down."""
        if self.is_up or self._answers() == self._answers_when_down:
            return
        with self._changed:
            down_since, self._down_since, self._tries = self._down_since, None, 0
            if down_since is None:  # another thread was first
                return
            self.recoveries += 1
            self._changed.notify_all()
        log.info("the database is back after %.1f s", time.monotonic() - down_since)
        self.on_up()

    def mark_down(self, error: StoreUnavailable, *, probes: bool = False) -> float:
        """The database could not be used.

        Args:
            probes: the caller is the thread that finds out when the database is back.

        Returns:
            Seconds to wait before the next try.
        """
        with self._changed:
            self._answers_when_down = self._answers()
            is_news = self._down_since is None
            if is_news:
                self._down_since = time.monotonic()
            self._tries += 1
            tries = self._tries
        if is_news:
            log.warning("the database is down, retrying until it answers: %s", error)
            self.on_down()
        if not probes:
            return _PATIENCE
        return random.uniform(0.5, 1) * min(_FIRST_RETRY * 2.0 ** min(tries, 10), _MOST_RETRY)

    def wait(self, seconds: float) -> None:
        """Wait until the database is back, ``seconds`` at most."""
        with self._changed:
            if not self.is_up:
                self._changed.wait(seconds)
