"""DoorbellStatus: whether the doorbell works; logs one line for each change."""

from __future__ import annotations

import contextlib
import logging
import threading

__all__ = ["DoorbellStatus", "log_safely"]

log = logging.getLogger("hammerflow.notifiers")


class DoorbellStatus:
    """The state of one doorbell in this process, shared by its publisher and subscribers.

    Its methods never raise: those who ring have committed already.
    """

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
            text = "doorbell down: %s (%s); jobs are found by polling"
            log_safely(logging.WARNING, text, self._label, reason)

    def mark_up(self) -> None:
        """Note a connection."""
        with self._lock:
            was_down, self.is_down = self.is_down, False
        if was_down:
            log_safely(logging.INFO, "doorbell up: %s", self._label)

    def reset_after_fork(self) -> None:
        """Replace the lock in a forked child: a thread of the parent may have held it."""
        self._lock = threading.Lock()


def log_safely(level: int, text: str, *values: object, with_traceback: bool = False) -> None:
    """Log a line; where a handler of the application raises, there is nobody left to tell."""
    with contextlib.suppress(Exception):
        log.log(level, text, *values, exc_info=with_traceback)
