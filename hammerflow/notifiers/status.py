"""Whether the doorbell works, said in one log line for each change."""

from __future__ import annotations

import logging
import threading

__all__ = ["DoorbellStatus"]

log = logging.getLogger("hammerflow.notifiers")


class DoorbellStatus:
    """The state of one doorbell in this process, shared by those who ring, listen and wait."""

    def __init__(self, label: str) -> None:
        self.is_down = False
        self._label = label
        self._lock = threading.Lock()

    def down(self, error: BaseException) -> None:
        """It failed."""
        with self._lock:
            was_down, self.is_down = self.is_down, True
        if not was_down:
            reason = " ".join(str(error).split())[:200] or type(error).__name__
            log.warning("doorbell down: %s (%s); jobs are found by polling", self._label, reason)

    def up(self) -> None:
        """A connection was made."""
        with self._lock:
            was_down, self.is_down = self.is_down, False
        if was_down:
            log.info("doorbell up: %s", self._label)

    def forget(self) -> None:
        """Be usable in a forked child, whoever held the lock in its parent."""
        self._lock = threading.Lock()
