"""Recent: answers that several clients may share, each read once in a while."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

__all__ = ["Recent"]

log = logging.getLogger("hammerflow.web")
_NEVER: tuple[float, Any] = (-math.inf, None)
T = TypeVar("T")


def _start(work: Callable[[], object], name: str) -> None:
    threading.Thread(target=work, name=name, daemon=True).start()


class Recent:
    """Keeps what was read, so that many browsers cost the database no more than one.

    Args:
        start: runs what it is given in a thread of this name.
    """

    def __init__(self, start: Callable[[Callable[[], object], str], None] = _start) -> None:
        self._start = start
        self._found: dict[str, tuple[float, Any]] = {}
        self._changes = 0
        self._locks: dict[str, threading.Lock] = {}
        self._lock = threading.Lock()
        self._behind: set[str] = set()  # what other threads read

    def forget(self) -> None:
        """Something was changed: whoever asks from now on is told of it."""
        with self._lock:
            self._changes += 1
            self._found.clear()

    def get(self, name: str, seconds: float, read: Callable[[], T], *, stale: float = 0.0) -> T:
        """What ``read`` gave within the last ``seconds``; one thread reads, the others wait.

        Args:
            stale: what is older, but not as old as this, is given at once, and read again in
                another thread for those who ask next.
        """
        at, value = self._found.get(name, _NEVER)
        if seconds <= time.monotonic() - at < stale:
            self._read_behind(name, seconds, read)
            found: T = value
            return found
        with self._lock_of(name):
            at, value = self._found.get(name, _NEVER)
            if time.monotonic() - at >= seconds:
                value = self._read(name, read)
            return value  # type: ignore[no-any-return]

    def _lock_of(self, name: str) -> threading.Lock:
        with self._lock:
            return self._locks.setdefault(name, threading.Lock())

    def _read(self, name: str, read: Callable[[], T]) -> T:
        changes = self._changes
        value = read()
        with self._lock:
            if changes == self._changes:  # else it may be of before a change
                self._found[name] = time.monotonic(), value
        return value

    def _read_behind(self, name: str, seconds: float, read: Callable[[], object]) -> None:
        with self._lock:
            if name in self._behind:
                return
            self._behind.add(name)

        def run() -> None:
            try:
                self.get(name, seconds, read)
            except Exception as error:  # noqa: BLE001 - a border: who asks next is told
                log.debug("%s could not be read: %s", name, error)
            finally:
                self._behind.discard(name)

        self._start(run, f"read {name}")
