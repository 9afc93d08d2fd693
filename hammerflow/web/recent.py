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
        self._locks: dict[str, threading.Lock] = {}
        self._lock = threading.Lock()

    def get(self, name: str, seconds: float, read: Callable[[], T]) -> T:
        """What ``read`` gave within the last ``seconds``; one thread reads, the others wait."""
        with self._lock:
            lock = self._locks.setdefault(name, threading.Lock())
        with lock:
            at, value = self._found.get(name, (-math.inf, None))
            if time.monotonic() - at >= seconds:
                value = read()
                self._found[name] = time.monotonic(), value
            found: T = value
            return found
