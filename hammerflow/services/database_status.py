"""DatabaseStatus: whether the database can be used now, shared by all threads of a process."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable
from typing import NamedTuple

from hammerflow.errors import StoreUnavailable
from hammerflow.stores.database import Database

__all__ = ["PATIENCE", "DatabaseStatus"]

log = logging.getLogger("hammerflow.database")
#: Seconds between tries of the thread that probes: doubled from the first to the most.
_FIRST_RETRY = 0.1
_MOST_RETRY = 2.0
#: Seconds that the other threads wait; :meth:`DatabaseStatus.mark_up` ends the wait early.
PATIENCE = 5.0


class _Failing(NamedTuple):
    """A duty that fails."""

    tries: int
    writes: int  # of this process by then


class DatabaseStatus:
    """Logs one line when the database goes down and one when it is back, whoever notices first.

    It is back once every duty that failed has succeeded, and after a write: a database that has
    become read-only still answers, and one whose table is locked still takes other writes. While it
    is down, only the thread of the heartbeat probes it; the others sleep until that one has
    written, so that a database that restarts meets one connection and not a crowd.

    Args:
        database: tells what an error means, and counts the units of work that it has accepted.

    Attributes:
        on_down: called when the database goes down, to let the heartbeat probe at once.
        on_up: called when it may be back, to wake the others.
        recoveries: how often it came back. Each time, leases may have been granted whose reply
            never arrived.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self.on_down: Callable[[], None] = lambda: None
        self.on_up: Callable[[], None] = lambda: None
        self._changed = threading.Condition()
        self._failing: dict[object, _Failing] = {}
        self._down_since = 0.0
        self._is_lost = False  # it did not even answer at some time since it went down
        self._is_silent = False
        self.recoveries = 0

    @property
    def is_up(self) -> bool:
        """Whether all that use the database can."""
        return not self._failing

    @property
    def is_silent(self) -> bool:
        """Whether nothing has come through since it was lost: only the thread that probes tries."""
        return self._is_silent

    def mark_up(self, duty: object, *, probes: bool = False) -> None:
        """A duty succeeded: it counts if this process has written since the duty failed.

        Args:
            duty: the same object as for :meth:`mark_down`.
            probes: as there; the others try again.
        """
        if self.is_up:
            return
        with self._changed:
            failing = self._failing.get(duty)
            if failing is not None and self._database.writes != failing.writes:
                del self._failing[duty]
            elif not probes:
                return
            is_back, seconds = not self._failing, time.monotonic() - self._down_since
            if is_back or probes:
                self._is_silent = False
            self.recoveries += is_back
            self._changed.notify_all()
        if is_back:
            log.info("the database is back after %.1f s", seconds)
        if is_back or probes:
            self.on_up()

    def note(self, error: Exception, duty: object, *, probes: bool = False) -> float | None:
        """A duty has failed. It carries no data of a job's body, so whatever the database says to
        it is about the database: a trigger, constraint or column may have been changed.

        Returns:
            As :meth:`mark_down`; None if the error is not the database's.
        """
        unavailable = self._database.refusal(error)
        return None if unavailable is None else self.mark_down(unavailable, duty, probes=probes)

    def mark_down(self, error: StoreUnavailable, duty: object, *, probes: bool = False) -> float:
        """The database could not be used.

        Args:
            duty: whose work it was.
            probes: the caller is the thread that finds out when the database is back.

        Returns:
            Seconds to wait before the next try.
        """
        with self._changed:
            before = self._failing.get(duty)
            tries = 1 if before is None else before.tries + 1
            is_news = self.is_up or not (error.is_refusal or self._is_lost)
            if self.is_up:
                self._down_since, self._is_lost = time.monotonic(), False
            self._is_lost |= not error.is_refusal
            self._is_silent |= not error.is_refusal
            self._failing[duty] = _Failing(tries, self._database.writes)
        if is_news:
            if error.is_refusal:
                log.warning("the database refuses work, retrying until it accepts it: %s", error)
            else:
                log.warning("the database is down, retrying until it answers: %s", error)
            self.on_down()
        if not (probes or error.is_refusal):
            return PATIENCE
        most = _MOST_RETRY if probes else PATIENCE
        return random.uniform(0.5, 1) * min(_FIRST_RETRY * 2.0 ** min(tries, 10), most)

    def wait(self, seconds: float) -> None:
        """Wait until the database may be back, ``seconds`` at most."""
        with self._changed:
            if not self.is_up:
                self._changed.wait(seconds)
