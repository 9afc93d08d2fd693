"""Signals of the fork server and its children: what the worker handles, and what the app does."""

from __future__ import annotations

import os
import signal
import types
from typing import Any

from hammerflow.process.early_signals import release_signals

__all__ = ["STOP_SIGNALS", "AppSignals", "ignore_stop_signals"]

#: What a terminal, systemd or a container sends to all processes of a worker to end it.
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGQUIT, signal.SIGHUP)
#: What the worker handles also in its children: ends, broken pipes, soft timeouts, cancels.
_OF_WORKER = {*STOP_SIGNALS, signal.SIGPIPE, signal.SIGALRM, signal.SIGUSR1}
#: Handlers of stop signals that importing the app has set: for processes that a body forks.
_of_app: dict[int, Any] = {}


def ignore_stop_signals() -> None:
    """Leave these to the supervisor. By a handler and not SIG_IGN, which programs that bodies start
    would inherit."""
    pid = os.getpid()

    def ignore(number: int, frame: types.FrameType | None) -> None:
        if os.getpid() != pid:  # a process that a body has forked may be stopped
            signal.signal(number, _of_app.get(number, signal.SIG_DFL))
            os.kill(os.getpid(), number)

    for number in STOP_SIGNALS:
        signal.signal(number, ignore)


class AppSignals:
    """The signal handlers that importing the app sets. Make it before the import.

    The fork server runs without them: a handler of the app could end it, and with it all jobs that
    run. Its children get them back, but for the signals that mean something to the worker.
    """

    def __init__(self) -> None:
        for number in (signal.SIGUSR1, signal.SIGUSR2):  # whoever rotates logs may send them to all
            signal.signal(number, _do_nothing)
        release_signals()  # the supervisor has started this process with them blocked
        self._before = {number: signal.getsignal(number) for number in signal.valid_signals()}
        self._mask = signal.pthread_sigmask(signal.SIG_BLOCK, ())
        self._of_app: dict[int, Any] = {}

    def set_aside(self) -> list[str]:
        """Take the signals back after the import.

        Returns:
            The names of those that the app had handled and that the worker needs for itself.
        """
        for number, before in self._before.items():
            handler = signal.getsignal(number)
            if handler is not before and handler is not None:
                self._of_app[number] = handler
                signal.signal(number, signal.SIG_IGN if number == signal.SIGPIPE else _do_nothing)
        _of_app.update((n, self._of_app.pop(n)) for n in STOP_SIGNALS if n in self._of_app)
        ignore_stop_signals()
        signal.signal(signal.SIGUSR1, _do_nothing)
        signal.set_wakeup_fd(-1)
        # Not even a mask from whoever started the worker may hold these up.
        signal.pthread_sigmask(signal.SIG_SETMASK, self._mask - {*_OF_WORKER, signal.SIGCHLD})
        return sorted(signal.Signals(n).name for n in _OF_WORKER & {*self._of_app, *_of_app})

    def give_back(self) -> None:
        """Give the bodies' process what it would have without a worker."""
        for number, handler in self._of_app.items():
            if number != signal.SIGPIPE:  # a broken connection must not end a child
                signal.signal(number, handler)


def _do_nothing(number: int, frame: types.FrameType | None) -> None:
    """Unlike SIG_IGN, this is not inherited by programs, and SIGCHLD still reports exits."""
