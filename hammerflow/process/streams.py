"""Standard streams that are always there, and that neither hold up nor fail whoever writes.

A worker goes on when nobody reads what it writes: a log driver hangs, a terminal was closed, a disk
is full. A write waits for :data:`PATIENCE` at most, then the rest is dropped. The number of dropped
lines is written as soon as stderr takes it.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import select
import stat
import sys
from collections.abc import Callable
from time import monotonic
from typing import Any

__all__ = ["LOSSES", "PATIENCE", "Losses", "Output", "guard_streams", "open_missing_streams"]

#: Seconds that a write waits for a reader that was not known to be slow.
PATIENCE = 0.5
#: What the kernel says of a descriptor on which it cannot write without waiting, or not like this.
_UNABLE = {errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS, errno.ESPIPE}
_NOWAIT: int | None = getattr(os, "RWF_NOWAIT", None)  # Linux: of pipes since 6.5


def open_missing_streams() -> None:
    """Open stdin, stdout and stderr on the null device where they are closed.

    Otherwise the next files, pipes or connections would get their numbers, and what is printed.
    """
    for fd in range(3):
        try:
            os.fstat(fd)
        except OSError:
            null = os.open(os.devnull, os.O_RDWR)  # it gets the lowest free number: this one
            os.set_inheritable(null, True)
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115 - for good


def guard_streams() -> None:
    """Let stdout and stderr of this process write through :class:`Output`."""
    for fd, name in ((1, "stdout"), (2, "stderr")):
        stream = getattr(sys, name)
        if not isinstance(stream, io.TextIOWrapper) or stream is not getattr(sys, f"__{name}__"):
            continue  # not what Python has opened
        with contextlib.suppress(OSError):
            stream.flush()
        raw = Output(fd)
        is_buffered = isinstance(stream.buffer, io.BufferedWriter)  # not with python -u
        guarded: Any = io.TextIOWrapper(
            io.BufferedWriter(raw) if is_buffered else raw,
            encoding=stream.encoding, errors=stream.errors,
            line_buffering=stream.line_buffering, write_through=stream.write_through,
        )  # fmt: skip
        guarded.mode = "w"
        setattr(sys, name, guarded)
        setattr(sys, f"__{name}__", guarded)


class Losses:
    """The lines that this process has dropped and not yet told of.

    Attributes:
        line: makes the line that tells of a number of lost lines.
    """

    def __init__(self) -> None:
        self.line: Callable[[int], str] = "dropped {} lines that could not be written".format
        self._count = 0
        self._pid = os.getpid()

    def add(self, data: bytes) -> None:
        """This was dropped."""
        self._count = self._current() + (data.count(b"\n") or 1)

    def tell(self) -> None:
        """Write how many lines were lost, if any; called when a write has just succeeded."""
        if not (count := self._current()):
            return
        with contextlib.suppress(OSError):
            notice = self.line(count).encode(errors="backslashreplace") + b"\n"
            _write_at_once(2, notice)
            self._count -= count

    def _current(self) -> int:
        """What the process that forked this one has lost is its own business."""
        if self._pid != os.getpid():
            self._pid, self._count = os.getpid(), 0
        return self._count


LOSSES = Losses()


class Output(io.RawIOBase):
    """Writes to a descriptor within :data:`PATIENCE`, or drops; a write never raises.

    The descriptor is looked at for each write: a body may have put another file in its place.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._is_stuck = False  # then nobody waits until a write succeeds
        self._is_cut = False  # the last line was written in part
        self.name = f"<{'stdout' if fd == 1 else 'stderr'}>"
        self.mode = "wb"

    def writable(self) -> bool:
        """See :class:`io.RawIOBase`."""
        return True

    def fileno(self) -> int:
        """See :class:`io.RawIOBase`."""
        return self._fd

    def isatty(self) -> bool:
        """See :class:`io.RawIOBase`."""
        return os.isatty(self._fd)

    def write(self, data: Any) -> int:
        """Write all of it, or drop the rest after a while; its length in either case."""
        given = bytes(data)
        rest = b"\n" + given if self._is_cut else given
        gives_up_at = monotonic() + PATIENCE
        try:
            while rest:
                try:
                    rest = rest[_write_at_once(self._fd, rest) :]
                    self._is_stuck = self._is_cut = False
                except BlockingIOError:
                    seconds = gives_up_at - monotonic()
                    if self._is_stuck or seconds <= 0 or not self._wait(seconds):
                        raise
        except OSError:
            self._is_stuck = True
            self._is_cut = self._is_cut or 0 < len(rest) < len(given)
            LOSSES.add(rest[-len(given) :])  # not the end of the line before
        else:
            LOSSES.tell()
        return len(given)

    def _wait(self, seconds: float) -> bool:
        poll = select.poll()
        poll.register(self._fd, select.POLLOUT)
        return bool(poll.poll(seconds * 1000))


def _write_at_once(fd: int, data: bytes) -> int:
    """Write what fits without waiting; how many bytes that was.

    The descriptor itself stays as it is: a flag set on it would hold for all who share it.

    Raises:
        BlockingIOError: nothing fits.
        OSError: nothing can be written there.
    """
    mode = os.fstat(fd).st_mode
    if stat.S_ISREG(mode):
        return os.write(fd, data)
    if _NOWAIT is not None:
        try:
            return os.pwritev(fd, [data], -1, _NOWAIT)
        except OSError as error:
            if error.errno not in _UNABLE:
                raise
    if stat.S_ISFIFO(mode) or stat.S_ISCHR(mode):
        flags = os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
        try:
            another = os.open(f"/dev/fd/{fd}", flags)
        except OSError:  # of another user, without /proc, or gone: the write below tells
            pass
        else:
            try:
                return os.write(another, data)
            finally:
                os.close(another)
    poll = select.poll()
    poll.register(fd, select.POLLOUT)
    if not poll.poll(0):
        raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
    return os.write(fd, data[: select.PIPE_BUF])  # that much fits into a pipe that is not full
