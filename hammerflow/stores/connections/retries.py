"""Retries: whether a unit that failed runs again, and when."""

from __future__ import annotations

import random
import time

from hammerflow.stores.connections.error_codes import ErrorKind

__all__ = ["RETRY_SECONDS", "Retries"]

#: Seconds for which a unit is retried on contention: deadlocks, lock timeouts, a busy database.
RETRY_SECONDS = 30.0
#: How often a unit is run again on a fresh connection after it lost one.
_RECONNECTS = 2


class Retries:
    """Decides whether a unit that failed may run again, and waits as long as that takes."""

    def __init__(self) -> None:
        self._deadline = time.monotonic() + RETRY_SECONDS
        self._collisions = 0
        self._reconnects = 0
        self._has_met_itself = False

    def wait(self, kind: ErrorKind, *, repeated: bool = False) -> bool:
        """After an error; False where the unit must not run again.

        Args:
            repeated: an earlier run may have been committed. Then a duplicate may be what that one
                has written: the server was still at it when this run looked for its rows.
        """
        if kind is ErrorKind.DUPLICATE and repeated and not self._has_met_itself:
            self._has_met_itself = True
            return True
        if kind is ErrorKind.LOST:
            self._reconnects += 1
            return self._reconnects <= _RECONNECTS
        if kind is not ErrorKind.CONTENTION or time.monotonic() >= self._deadline:
            return False
        self._collisions += 1
        # Full jitter: each of the units that collided draws its own pause, doubled each time.
        time.sleep(random.random() * min(0.002 * 2**self._collisions, 0.25))
        return True
