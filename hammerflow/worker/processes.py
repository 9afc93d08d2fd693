"""Processes: titles, groups, the end of a process and of what it has started, and its memory."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import os
import signal
import subprocess
import sys
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

__all__ = [
    "die_with_parent", "exit_now", "exit_status", "family", "flush_streams", "has_ended",
    "keep_from_reaping", "kill_family", "kill_group", "lead_group", "outlive_parent",
    "reap_orphans", "resident_mebibytes", "resident_mebibytes_of", "set_title",
]  # fmt: skip

_PR_SET_PDEATHSIG = 1
_PR_SET_NAME = 15
_PR_GET_CHILD_SUBREAPER = 37
_PAGE = os.sysconf("SC_PAGE_SIZE")


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


def outlive_parent() -> None:
    """Undo :func:`die_with_parent`: this process will notice by itself that its parent is gone."""
    _prctl(_PR_SET_PDEATHSIG, ctypes.c_ulong(0))


def lead_group() -> None:
    """Make this process the leader of a process group: what it starts can be killed with it, and
    signals to its group, which a body may send, reach no other process of the worker.

    The group is in the background of the worker's terminal, which must not stop it for writing.
    """
    with contextlib.suppress(OSError):  # a sandbox may forbid it; then kills reach less
        os.setpgid(0, 0)
    for number in (signal.SIGTTIN, signal.SIGTTOU):
        signal.signal(number, signal.SIG_IGN)


def family(pid: int) -> Iterator[int]:
    """A process and its descendants; the children of each are listed after it was yielded.

    Without the lists of /proc, as on macOS, it is the process alone.
    """
    yield pid
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):  # that thread has ended
            for child in path.read_text().split():
                yield from family(int(child))


def kill_family(pid: int) -> None:
    """Kill a process, its group, and its descendants in other groups.

    A process whose parent has ended is found only by its group: daemons, which have left both, live
    on.
    """
    members = []
    for member in family(pid):
        _send(os.kill, member, signal.SIGSTOP)  # so that it starts none that is not listed
        members.append(member)
    kill_group(pid)
    for member in members:
        _send(os.kill, member, signal.SIGKILL)


def kill_group(pid: int) -> None:
    """Kill the process group that a process leads or, before its end, has led."""
    _send(os.killpg, pid, signal.SIGKILL)


def _send(send: Callable[[int, int], None], pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        send(pid, number)


def has_ended(pid: int) -> bool:
    """Whether a process runs no more, even if its parent has not read its status yet."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        try:
            os.kill(pid, 0)  # without /proc
        except ProcessLookupError:
            return True
        return False
    return state in "ZX"


def exit_status(pid: int) -> int | None:
    """The exit code of a process that has ended, or minus the signal that killed it, if its parent
    has not read it yet; None if that is not known.

    Source: the field exit_code of proc(5), which is 0 also where it may not be read.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return os.waitstatus_to_exitcode(int(fields[49])) or None
    except (OSError, LookupError, ValueError):
        return None


_started: weakref.WeakSet[subprocess.Popen[Any]] = weakref.WeakSet()


def keep_from_reaping(process: subprocess.Popen[Any]) -> None:
    """Leave the exit status of this process to whoever has started it."""
    _started.add(process)


def reap_orphans() -> None:
    """Read the exit statuses of processes whose parents have ended, if it is this process that gets
    them: process 1 of a container, or a "subreaper" (prctl(2)). They stay zombies otherwise."""
    if not _gets_orphans():
        return
    own = {process.pid: process for process in _started}
    with contextlib.suppress(ChildProcessError):  # there is no other process
        while ended := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            if (process := own.pop(ended.si_pid, None)) is not None:
                process.poll()  # or it would be the first again
            else:
                os.waitpid(ended.si_pid, os.WNOHANG)


@functools.cache
def _gets_orphans() -> bool:
    answer = ctypes.c_int(0)
    _prctl(_PR_GET_CHILD_SUBREAPER, ctypes.byref(answer))
    return os.getpid() == 1 or bool(answer.value)


def flush_streams() -> None:
    """Write what ``print`` has buffered."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):  # a border: the user may have closed or replaced them
            stream.flush()


def exit_now(code: int) -> NoReturn:
    """End this process at once: exit handlers belong to the fork server, which registered them."""
    try:
        flush_streams()
    finally:  # a body may have replaced the streams with what raises anything
        os._exit(code)


def resident_mebibytes_of(pid: int) -> float | None:
    """How much memory a process holds now, in MiB; None where that is not known."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_bytes().split()[1])
    except (OSError, LookupError):  # it has ended
        return None
    return pages * _PAGE / (1 << 20)


def resident_mebibytes() -> float:
    """How much memory this process holds now, in MiB; its peak where there is no /proc."""
    try:
        pages = int(Path("/proc/self/statm").read_bytes().split()[1])
    except OSError:
        import resource  # where it is loaded, children check limits after each job

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak / (1 << 20 if sys.platform == "darwin" else 1 << 10)
    return pages * _PAGE / (1 << 20)
