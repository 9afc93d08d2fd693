"""Recent: answers that several clients may share, each read once in a while."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

__all__ = ["Recent"]

T = TypeVar("T")


class Recent:
    """Keeps what was read, so that many browsers cost the database no more than one."""

    def __init__(self) -> None:
        self._found: dict[str, tuple[float, Any]] = {}
        self._changes = 0
        self._locks: dict[str, threading.Lock] = {}
        self._lock = threading.Lock()

    def forget(self) -> None:
        """Something was changed: whoever asks from now on is told of it."""
        with self._lock:
            self._changes += 1
            self._found.clear()

    def get(self, name: str, seconds: float, read: Callable[[], T]) -> T:
        """What ``read`` gave within the last ``seconds``; one thread reads, the others wait."""
        with self._lock:
            lock = self._locks.setdefault(name, threading.Lock())
        with lock:
            at, value = self._found.get(name, (-math.inf, None))
            if time.monotonic() - at >= seconds:
                changes = self._changes
                value = read()
                with self._lock:
                    if changes == self._changes:  # else it may be of before a change
                        self._found[name] = time.monotonic(), value
            found: T = value
            return found
