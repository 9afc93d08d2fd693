"""The signals that a worker obeys."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import types
from time import monotonic
from typing import Any, Self

from hammerflow.process.early_signals import WORKER_SIGNALS, release_signals

__all__ = ["Signals"]

_STOPS = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)
#: Seconds after a SIGHUP in which the end of the terminal explains it: a shell sends it first.
_HANGUP = 5.0


class Signals:
    """Counts the signals that stop a worker, and remembers the others; a context handles them.

    SIGTERM, SIGINT and SIGQUIT stop it. SIGHUP does so if the terminal has gone from which it was
    started, unless that was under ``nohup``; otherwise it asks for a reload. SIGUSR1 asks for a
    report. SIGUSR2 does nothing, like everything else that must not end a worker by habit.

    Attributes:
        stops: how many signals came that stop it.
        wake: descriptor that becomes readable with a signal, or by :meth:`poke`.
    """

    def __init__(self) -> None:
        self.stops = 0
        self._reload = self._report = False
        self._hung_up_at = float("-inf")
        self._ends_with_terminal = _has_terminal()
        self.wake, self._wake_out = os.pipe()
        os.set_blocking(self.wake, False)
        os.set_blocking(self._wake_out, False)
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        if signal.getsignal(signal.SIGHUP) == signal.SIG_IGN:  # nohup
            self._ends_with_terminal = False
        for number in WORKER_SIGNALS:
            self._before[number] = signal.signal(number, self._on_signal)
        release_signals()
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
        if monotonic() < self._hung_up_at + _HANGUP and self._is_hung_up():
            self.stops = self.stops or 1  # the kernel and a shell may both have told

    def poke(self) -> None:
        """End the current or the next :meth:`wait`; from any thread."""
        with contextlib.suppress(BlockingIOError):
            os.write(self._wake_out, b"p")

    def stop(self) -> None:
        """Stop as after a first signal; from any thread."""
        self.stops = self.stops or 1
        self.poke()

    def take_reload(self) -> bool:
        """Whether a reload was asked for since the last call."""
        asked, self._reload = self._reload, False
        return asked

    def take_report(self) -> bool:
        """Whether a report was asked for since the last call."""
        asked, self._report = self._report, False
        return asked

    def _on_signal(self, number: int, frame: types.FrameType | None) -> None:
        if number in _STOPS:
            self.stops += 1
        elif number == signal.SIGHUP and self._is_hung_up():
            self.stops = self.stops or 1
        elif number == signal.SIGHUP:
            self._reload, self._hung_up_at = True, monotonic()
        elif number == signal.SIGUSR1:
            self._report = True
        self.poke()

    def _is_hung_up(self) -> bool:
        return self._ends_with_terminal and not _has_terminal()


def _has_terminal() -> bool:
    """Whether this process has a controlling terminal (tty(4), credentials(7))."""
    try:
        os.close(os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC))
    except OSError:
        return False
    return True
