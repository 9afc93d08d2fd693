"""Interrupts: a signal that stops a body in the child's main thread: soft timeout or cancel."""

from __future__ import annotations

import os
import signal
import types
from typing import Protocol

from hammerflow.errors import SoftTimeout

__all__ = ["CANCEL_SIGNAL", "CancelAsked", "Interrupts", "NoInterrupts", "SignalInterrupts"]

CANCEL_SIGNAL = signal.SIGUSR1


class CancelAsked(BaseException):
    """Raised inside a body whose job was cancelled while it runs.

    No ``Exception``, so that a body's ``except Exception`` lets it pass.
    """


class Interrupts(Protocol):
    """What may strike while a body runs, and only then."""

    def arm(self, soft_timeout: float | None) -> None:
        """The body begins."""

    def disarm(self) -> None:
        """The body is over; harmless when it was over already."""


class NoInterrupts:
    """For bodies outside a child's main thread: nothing strikes."""

    def arm(self, soft_timeout: float | None) -> None:
        pass

    def disarm(self) -> None:
        pass


class SignalInterrupts:
    """SIGALRM for the soft timeout, SIGUSR1 for a cancel."""

    def __init__(self) -> None:
        self._pid = os.getpid()
        self._in_body = False
        self._soft: float | None = None

    def install(self) -> None:
        """Take the two signals; in the main thread."""
        signal.signal(signal.SIGALRM, self._on_alarm)
        signal.signal(CANCEL_SIGNAL, self._on_cancel)

    def arm(self, soft_timeout: float | None) -> None:
        self._in_body = True
        if soft_timeout is not None:
            self._soft = soft_timeout
            signal.setitimer(signal.ITIMER_REAL, soft_timeout)

    def disarm(self) -> None:
        self._in_body = False
        if self._soft is not None:
            self._soft = None
            signal.setitimer(signal.ITIMER_REAL, 0)

    def _on_alarm(self, number: int, frame: types.FrameType | None) -> None:
        soft = self._soft
        if self._strikes() and soft is not None:
            raise SoftTimeout(f"the soft timeout of {soft:g} s is over")

    def _on_cancel(self, number: int, frame: types.FrameType | None) -> None:
        if self._strikes():
            raise CancelAsked

    def _strikes(self) -> bool:
        """Once per body, and never in a process that the body has forked."""
        struck = self._in_body and os.getpid() == self._pid
        self._in_body = False
        return struck
