"""Processes: titles, the wish to die with one's parent, and memory, as the system offers them."""

from __future__ import annotations

import ctypes
import functools
import os
import resource
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

__all__ = ["die_with_parent", "resident_mebibytes", "set_title"]

_PR_SET_PDEATHSIG = 1
_PR_SET_NAME = 15
_PAGE = resource.getpagesize()


@functools.cache
def _titler() -> Callable[[str], Any]:
    try:
        from setproctitle import setproctitle  # type: ignore[import-not-found,unused-ignore]
    except ImportError:
        return _set_name
    return setproctitle  # type: ignore[no-any-return,unused-ignore]


@functools.cache
def _libc() -> ctypes.CDLL | None:
    return ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


def set_title(words: str) -> None:
    """What ``ps`` shows: the whole with setproctitle installed, else the first 15 characters of
    what comes after "hammerflow: " as the name of the process."""
    _titler()(f"hammerflow: {words}")


def _set_name(title: str) -> None:
    libc = _libc()
    if libc is not None:
        name = title.removeprefix("hammerflow: ")
        libc.prctl(_PR_SET_NAME, ctypes.c_char_p(name.encode()[:15]), 0, 0, 0)


def die_with_parent(parent: int) -> None:
    """Ask for SIGKILL when the thread that started this process ends (Linux; elsewhere the end of
    a pipe must do)."""
    libc = _libc()
    if libc is not None:
        libc.prctl(_PR_SET_PDEATHSIG, ctypes.c_ulong(signal.SIGKILL), 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)  # it died before we asked


def resident_mebibytes() -> float:
    """How much memory this process holds now."""
    try:
        pages = int(Path("/proc/self/statm").read_bytes().split()[1])
    except OSError:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak / (1 << 20 if sys.platform == "darwin" else 1 << 10)
    return pages * _PAGE / (1 << 20)
