"""The signals that a worker obeys."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import types
from typing import Any, Self

__all__ = ["Signals"]

_NUMBERS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class Signals:
    """SIGTERM and SIGINT are counted, SIGHUP is remembered; a context installs the handlers.

    Attributes:
        stops: how many SIGTERM and SIGINT came.
        wake: descriptor that becomes readable with a signal, or by :meth:`poke`.
    """

    def __init__(self) -> None:
        self.stops = 0
        self._reload = False
        self.wake, self._wake_out = os.pipe()
        os.set_blocking(self.wake, False)
        os.set_blocking(self._wake_out, False)
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        for number in _NUMBERS:
            self._before[number] = signal.signal(number, self._on_signal)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _NUMBERS)  # its parent may have blocked them
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def wait(self, timeout: float, *others: int) -> None:
        """Wait for a signal or a poke, ``timeout`` seconds at most.

        Args:
            others: descriptors that end the wait when there is something to read, too.
        """
        poll = select.poll()
        for fd in (self.wake, *others):
            poll.register(fd, select.POLLIN)
        if any(fd == self.wake for fd, _ in poll.poll(1000 * timeout)):
            with contextlib.suppress(BlockingIOError):
                os.read(self.wake, 4096)

    def poke(self) -> None:
        """End the current or the next :meth:`wait`; from any thread."""
        with contextlib.suppress(BlockingIOError):
            os.write(self._wake_out, b"p")

    def take_reload(self) -> bool:
        """Whether SIGHUP came since the last call."""
        asked, self._reload = self._reload, False
        return asked

    def _on_signal(self, number: int, frame: types.FrameType | None) -> None:
        if number == signal.SIGHUP:
            self._reload = True
        else:
            self.stops += 1
        self.poke()
