"""Stacks: where the Python code of a child is, whatever it is busy with.

A child registers a signal with ``faulthandler``, whose handler is C code: it writes the frames of
the main thread into a file in memory without the GIL, also while a body computes, waits for a lock
or is inside a function of C. The supervisor reads the file through ``/proc``. So a child needs no
thread for it, a body cannot hold it up, and a job costs nothing more. Of a body in C it shows the
line that has called the C function.
"""

from __future__ import annotations

import contextlib
import faulthandler
import os
import re
import signal
import sys
import time
import traceback
from collections.abc import Coroutine, Iterable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any, BinaryIO, TypeAlias

from hammerflow.worker.descriptors import move_up

__all__ = ["Frame", "ask_for_stack", "await_chain", "offer_stack", "shown_stack"]

#: File, line and function; a stack lists the innermost one last.
Frame: TypeAlias = tuple[str, int, str]

_NAME = "hammerflow-stack"
#: One that no program uses by habit; None on systems without such signals.
_SIGNAL: int | None = getattr(signal, "SIGRTMAX", 0) - 3 if hasattr(signal, "SIGRTMAX") else None
_PACKAGE = str(Path(__file__).parents[1]) + os.sep
#: Calls the function of a task; what it calls may come back into the package.
_BODY = _PACKAGE + os.path.join("worker", "child", "execution.py")
_LINE = re.compile(r'  File "(.*)", line (\d+) in (.*)')
#: Seconds that a child may take for its answer.
_PATIENCE = 5.0
#: Of a stack of more than a hundred frames the handler leaves the outer ones out.
_CUT = b"\n  ...\n"


def offer_stack() -> int:
    """Let this process tell its stack; the descriptor of the file, -1 where that is impossible."""
    if _SIGNAL is None or not hasattr(os, "memfd_create"):
        return -1
    fd = move_up(os.memfd_create(_NAME))
    outermost = sys._getframe()
    while outermost.f_back is not None:
        outermost = outermost.f_back
    # The first line of the file is the end of the last line of each stack.
    os.write(fd, f", line {outermost.f_lineno} in {outermost.f_code.co_name}\n".encode())
    faulthandler.register(_SIGNAL, file=fd, all_threads=False)
    return fd


def ask_for_stack(pid: int, fd: int) -> list[Frame] | None:
    """The stack of the main thread of a process that has offered it; None if it does not answer.

    A process that is stopped, or waits in the kernel in a way that no signal ends, does not. Nor
    does one whose body has closed the descriptor or has taken the signal.
    """
    path = f"/proc/{pid}/fd/{fd}"
    with contextlib.suppress(OSError):
        if _SIGNAL is not None and _NAME in os.readlink(path):  # else it is a file of the body
            with open(path, "rb") as file:
                end = file.readline()
                file.seek(0, os.SEEK_END)
                os.kill(pid, _SIGNAL)
                return _frames(file, end) or None
    return None


def _frames(file: BinaryIO, end: bytes) -> list[Frame]:
    """Read a stack that is written from here on, to its outermost frame."""
    text, ends_at = b"", time.monotonic() + _PATIENCE
    while end not in text and _CUT not in text and time.monotonic() < ends_at:
        time.sleep(0.01)
        text += file.read()
    found = _LINE.findall(text.decode(errors="replace"))
    return [(name, int(line), function) for name, line, function in reversed(found)]


def await_chain(coroutine: Coroutine[Any, Any, Any]) -> list[Frame]:
    """The stack of a coroutine that waits: itself, what it awaits, what that awaits ..."""
    return [
        (frame.f_code.co_filename, frame.f_lineno, frame.f_code.co_qualname)
        for frame in _awaited(coroutine)
    ]


def _awaited(waiting: Any) -> Iterator[FrameType]:
    while waiting is not None:
        for kind in ("cr", "gi", "ag"):
            frame = getattr(waiting, f"{kind}_frame", None)
            if isinstance(frame, FrameType):
                yield frame
                break
        else:
            return
        names = ("cr_await", "gi_yieldfrom", "ag_await")
        waiting = next((getattr(waiting, name) for name in names if hasattr(waiting, name)), None)


def shown_stack(frames: Iterable[Frame]) -> str:
    """A stack as a traceback has it, without the frames of the worker around the body."""
    shown = [*frames]
    ours = [n for n, (name, _, _) in enumerate(shown) if name.startswith(_PACKAGE)]
    body = [n for n in ours if shown[n][0] == _BODY]
    if body:  # the body comes after the first run of our frames from there on
        ours = [n for n in ours if all(m in ours for m in range(body[0], n + 1))]
    shown = shown[ours[-1] + 1 :] if ours else shown
    summary = traceback.StackSummary.from_list(
        [traceback.FrameSummary(name, line, function) for name, line, function in shown]
    )
    return "".join(summary.format()).rstrip()
