"""Signals that come before a worker handles them: they wait instead of ending it, or being lost.

The kernel drops a signal without a handler that is sent to process 1 of a container, unless it is
blocked (pid_namespaces(7)). So ``hammerflow worker`` blocks what it will handle before it
imports anything else, and unblocks it when the handlers are there.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Iterator

__all__ = ["WORKER_SIGNALS", "release_signals", "signals_held"]

#: What the supervisor of a worker handles.
WORKER_SIGNALS = (
    signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2
)  # fmt: skip


def _hold_signals() -> None:
    """Block the signals if this process is the command ``hammerflow worker``."""
    given = sys.orig_argv
    is_module = ["-m", "hammerflow"] in [given[at : at + 2] for at in range(len(given))]
    is_command = is_module or os.path.basename(sys.argv[0] if sys.argv else "") == "hammerflow"
    if is_command and "worker" in given:
        signal.pthread_sigmask(signal.SIG_BLOCK, WORKER_SIGNALS)


@contextlib.contextmanager
def signals_held() -> Iterator[None]:
    """Block them, also for processes that are started meanwhile, which release them."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, WORKER_SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def release_signals() -> None:
    """Unblock them: their handlers are there, or another command runs."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, WORKER_SIGNALS)


_hold_signals()
