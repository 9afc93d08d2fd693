"""Interrupts: signals that stop a body in a child's main thread: timeout, CPU limit, cancel."""

from __future__ import annotations

import os
import signal
import types
from collections.abc import Callable

from hammerflow.errors import CpuLimitExceeded, SoftTimeout

__all__ = ["CANCEL_SIGNAL", "CancelAsked", "Interrupts"]

CANCEL_SIGNAL = signal.SIGUSR1
#: What cannot be handled, what reports a crash, what a terminal stops a reader or writer with, and
#: what does nothing unless it is handled.
_NOT_SURVIVED = {
    signal.SIGKILL, signal.SIGSTOP, signal.SIGABRT, signal.SIGBUS, signal.SIGFPE, signal.SIGILL,
    signal.SIGSEGV, signal.SIGSYS, signal.SIGTRAP, signal.SIGTTIN, signal.SIGTTOU, signal.SIGCHLD,
    signal.SIGCONT, signal.SIGURG, signal.SIGWINCH,
}  # fmt: skip


class CancelAsked(BaseException):
    """Raised inside a body whose job was cancelled while it runs.

    Not an ``Exception``, so that a body's ``except Exception`` lets it pass.
    """


class Interrupts:
    """SIGALRM raises SoftTimeout in a body, and only there; SIGUSR1 raises CancelAsked.

    Nothing interrupts a body before :meth:`install`, as in the testing kit.
    """

    def __init__(self) -> None:
        self._pid = 0
        self._in_body = False
        self._soft_timeout: float | None = None
        self._cpu_limit: float | None = None
        self._on_used_up: Callable[[CpuLimitExceeded], None] | None = None

    def install(self) -> None:
        """Handle the two signals in this process; call it in the main thread."""
        self._pid = os.getpid()
        signal.signal(signal.SIGALRM, self._on_alarm)
        signal.signal(CANCEL_SIGNAL, self._on_cancel)

    def survive_others(self) -> None:
        """Ignore what ends a process that does not handle it, but for crashes: a signal that a body
        sends to its own process must not end its neighbours'. By a handler and not SIG_IGN, which
        programs that a body starts would inherit. Call it after :meth:`install`."""
        handled = _handled()
        for number in signal.valid_signals() - _NOT_SURVIVED:
            if signal.getsignal(number) is signal.SIG_DFL and not handled >> (number - 1) & 1:
                signal.signal(number, self._on_other)

    def arm(self, soft_timeout: float | None) -> None:
        """A body begins; interrupt it after ``soft_timeout`` seconds."""
        self._in_body = True
        if soft_timeout is not None and self._pid:
            self._soft_timeout = soft_timeout
            signal.setitimer(signal.ITIMER_REAL, soft_timeout)

    def limit_cpu(
        self, seconds: float, on_used_up: Callable[[CpuLimitExceeded], None] | None = None
    ) -> None:
        """Interrupt the body that runs once this process has used ``seconds`` more of CPU time.

        Args:
            on_used_up: called instead, in the handler of the signal; what it raises is raised
                where the main thread is.
        """
        if self._pid:
            self._cpu_limit, self._on_used_up = seconds, on_used_up
            signal.signal(signal.SIGPROF, self._on_cpu_limit)
            signal.setitimer(signal.ITIMER_PROF, seconds)

    def disarm(self) -> None:
        """The body has ended; harmless if it had ended before."""
        self._in_body = False
        if self._cpu_limit is not None:
            self._cpu_limit = self._on_used_up = None
            signal.setitimer(signal.ITIMER_PROF, 0)
        if self._soft_timeout is not None:
            self._soft_timeout = None
            signal.setitimer(signal.ITIMER_REAL, 0)

    def _on_alarm(self, number: int, frame: types.FrameType | None) -> None:
        soft_timeout = self._soft_timeout
        if soft_timeout is not None and self._may_raise():
            raise SoftTimeout(f"the soft timeout of {soft_timeout:g} s is over")

    def _on_cpu_limit(self, number: int, frame: types.FrameType | None) -> None:
        cpu_limit, on_used_up = self._cpu_limit, self._on_used_up
        if cpu_limit is None:
            return
        error = CpuLimitExceeded(f"the CPU limit of {cpu_limit:g} s is used up")
        if on_used_up is not None:
            if os.getpid() == self._pid:
                self._on_used_up = lambda _: None  # once per body
                on_used_up(error)
        elif self._may_raise():
            raise error

    def _on_cancel(self, number: int, frame: types.FrameType | None) -> None:
        if self._may_raise():
            raise CancelAsked

    def _on_other(self, number: int, frame: types.FrameType | None) -> None:
        if os.getpid() != self._pid:  # a process that a body has forked may be ended
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)

    def _may_raise(self) -> bool:
        """Once per body, and never in a process that the body has forked."""
        may_raise = self._in_body and os.getpid() == self._pid
        self._in_body = False
        return may_raise


def _handled() -> int:
    """A bit for each signal that has a handler; those of ``faulthandler`` are none of Python's.

    Source: SigCgt in proc_pid_status(5). Without /proc, no signal counts as handled.
    """
    try:
        with open("/proc/self/status") as status:
            lines = dict(line.split(":", 1) for line in status)
        return int(lines["SigCgt"], 16)
    except (OSError, KeyError):
        return 0
