"""Waits until a descriptor is ready, or until another thread wakes it."""

from __future__ import annotations

import contextlib
import os
import selectors
from collections.abc import Callable
from typing import Any

__all__ = ["EventLoop"]

#: Seconds of one wait: epoll takes 24 days, and a timeout may be longer.
_LONGEST = 3600.0


class EventLoop:
    """Descriptors and their callbacks. Callers hold the pool's lock, but for :meth:`wait`."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._writing: set[int] = set()
        self._wake_in, self._wake_out = os.pipe()
        os.set_blocking(self._wake_in, False)
        os.set_blocking(self._wake_out, False)
        self._selector.register(self._wake_in, selectors.EVENT_READ, self._on_wake)

    def watch_reading(self, source: Any, callback: Callable[..., None]) -> None:
        """Call back whenever there is something to read."""
        self._selector.register(source, selectors.EVENT_READ, callback)

    def watch_writing(self, source: int, callback: Callable[..., None]) -> None:
        """Call back whenever more can be written."""
        if source not in self._writing:
            self._selector.register(source, selectors.EVENT_WRITE, callback)
            self._writing.add(source)

    def forget_reading(self, source: Any) -> None:
        """Watch it no longer; call it before the descriptor is closed, as for writing."""
        self._selector.unregister(source)

    def forget_writing(self, source: int) -> None:
        """Watch it no longer, if it was watched."""
        if source in self._writing:
            self._selector.unregister(source)
            self._writing.remove(source)

    def wake(self) -> None:
        """End the current or the next :meth:`wait`; from any thread."""
        with contextlib.suppress(BlockingIOError):
            os.write(self._wake_out, b"w")

    def wait(self, timeout: float) -> list[Callable[..., None]]:
        """The callbacks of all descriptors that are ready, after ``timeout`` seconds at most."""
        ready = self._selector.select(min(max(0.0, timeout), _LONGEST))
        return [key.data for key, _ in ready]

    def _on_wake(self, *_: object) -> None:
        os.read(self._wake_in, 4096)
