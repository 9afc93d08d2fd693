"""RelayBell: tells relays that events were written."""

from __future__ import annotations

import time
from collections.abc import Callable

from hammerflow.notifiers.base import RELAYS, Notifier

__all__ = ["RelayBell"]

#: Seconds from one ring to the next: after one, a relay polls more often than this.
_PAUSE = 0.1


class RelayBell:
    """Called after each commit of events (``Database.on_events``); rings ten times a second at
    most, as relays poll often for some time after a ring.

    Two threads that call at the same time may both ring, which costs one query.

    Args:
        also: called with each ring.
    """

    __slots__ = ("_also", "_notifier", "_rings_at")

    def __init__(self, notifier: Notifier, also: Callable[[], None] | None = None) -> None:
        self._notifier = notifier
        self._also = also
        self._rings_at = 0.0

    def __call__(self) -> None:
        now = time.monotonic()
        if now < self._rings_at:
            return
        self._rings_at = now + _PAUSE
        if self._also is not None:
            self._also()
        self._notifier.ring([RELAYS])
