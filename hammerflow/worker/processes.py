"""Processes: titles, stop signals, the end of a process, and its memory."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import os
import resource
import signal
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

__all__ = [
    "die_with_parent", "exit_now", "ignore_stop_signals", "resident_mebibytes", "set_title",
]  # fmt: skip

_PR_SET_PDEATHSIG = 1
_PR_SET_NAME = 15
_PAGE = resource.getpagesize()


@functools.cache
def _title_setter() -> Callable[[str], Any]:
    try:
        from setproctitle import setproctitle  # type: ignore[import-not-found,unused-ignore]
    except ImportError:
        return lambda title: _prctl(
            _PR_SET_NAME, ctypes.c_char_p(title.removeprefix("hammerflow: ").encode()[:15])
        )
    return setproctitle  # type: ignore[no-any-return,unused-ignore]


@functools.cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _prctl(option: int, value: object) -> None:
    if sys.platform == "linux":
        _libc().prctl(option, value, 0, 0, 0)


def set_title(words: str) -> None:
    """Set what ``ps`` shows of this process: "hammerflow: ``words``" if setproctitle is installed,
    else the first 15 characters of ``words`` as its name."""
    _title_setter()(f"hammerflow: {words}")


def die_with_parent(parent: int) -> None:
    """Ask for SIGKILL when the thread of ``parent`` (a pid) that has started this process ends.

    That is a service of Linux (prctl(2), PR_SET_PDEATHSIG); elsewhere the end of a pipe must do.
    """
    _prctl(_PR_SET_PDEATHSIG, ctypes.c_ulong(signal.SIGKILL))
    if os.getppid() != parent:
        os._exit(1)  # it had died before we asked


def ignore_stop_signals() -> None:
    """Leave SIGINT, SIGTERM and SIGHUP, which a terminal or systemd sends to all processes, to the
    supervisor. By a handler and not SIG_IGN, which programs that a body starts would inherit."""
    pid = os.getpid()

    def ignore(number: int, frame: types.FrameType | None) -> None:
        if os.getpid() != pid:  # a process that a body has forked may be stopped
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, ignore)


def exit_now(code: int) -> NoReturn:
    """End this process at once: exit handlers belong to the fork server, which registered them."""
    try:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(Exception):  # a border: a body may have closed them
                stream.flush()
    finally:  # or replaced them with what raises anything
        os._exit(code)


def resident_mebibytes() -> float:
    """How much memory this process holds now, in MiB; its peak where there is no /proc."""
    try:
        pages = int(Path("/proc/self/statm").read_bytes().split()[1])
    except OSError:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak / (1 << 20 if sys.platform == "darwin" else 1 << 10)
    return pages * _PAGE / (1 << 20)
