"""DoorbellStatus: whether the doorbell works; logs one line for each change."""

from __future__ import annotations

import logging
import threading

__all__ = ["DoorbellStatus"]

log = logging.getLogger("hammerflow.notifiers")


class DoorbellStatus:
    """The state of one doorbell in this process, shared by its publisher and subscribers."""

    def __init__(self, label: str) -> None:
        self.is_down = False
        self._label = label
        self._lock = threading.Lock()

    def mark_down(self, error: BaseException) -> None:
        """Note a failure."""
        with self._lock:
            was_down, self.is_down = self.is_down, True
        if not was_down:
            reason = " ".join(str(error).split())[:200] or type(error).__name__
            log.warning("doorbell down: %s (%s); jobs are found by polling", self._label, reason)

    def mark_up(self) -> None:
        """Note a connection."""
        with self._lock:
            was_down, self.is_down = self.is_down, False
        if was_down:
            log.info("doorbell up: %s", self._label)

    def reset_after_fork(self) -> None:
        """Replace the lock in a forked child: a thread of the parent may have held it."""
        self._lock = threading.Lock()
