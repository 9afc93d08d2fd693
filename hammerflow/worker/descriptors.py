"""Descriptors: the worker's out of a body's way, and a sentinel that bodies meet first."""

from __future__ import annotations

import fcntl
import os
import secrets
import tempfile

__all__ = ["Sentinel", "move_up"]

#: This many descriptors below the limit are where the worker's are moved to.
_HIGH = 64


def move_up(fd: int) -> int:
    """Move a descriptor to a high number, which programs that close "all" others, or use numbers of
    their own, are not likely to hit; close-on-exec, so that no program inherits it.

    Returns:
        The new number, or the old one where the limit of open files leaves no room.
    """
    limit = os.sysconf("SC_OPEN_MAX")  # the soft limit; -1 if there is none
    highest = 1024 if limit < 0 else min(limit, 1024)  # FD_SETSIZE
    try:
        moved = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, max(3, highest - _HIGH))
    except OSError:
        os.set_inheritable(fd, False)
        return fd
    os.close(fd)
    return moved


class Sentinel:
    """A descriptor that tells whether a body has closed descriptors that are not its own.

    It is opened under the lowest free number: code that closes many descriptors, and files that are
    opened later, meet it first. What it opens is recognized by its offset, for which a child asks
    before each message: that takes a quarter of the time of ``fstat``.

    Args:
        fd: a descriptor of this process that is to be recognized later, too.
    """

    def __init__(self, fd: int) -> None:
        self._fd = _empty_file()
        self._offset = os.lseek(self._fd, 1 + secrets.randbits(40), os.SEEK_SET)
        self._inode = os.fstat(fd).st_ino

    @property
    def is_there(self) -> bool:
        """Whether it is open, and still the same."""
        try:
            return os.lseek(self._fd, 0, os.SEEK_CUR) == self._offset
        except OSError:
            return False

    def is_same(self, fd: int) -> bool:
        """Whether a descriptor is the one that was given, or a copy of it."""
        try:
            return os.fstat(fd).st_ino == self._inode
        except OSError:
            return False


def _empty_file() -> int:
    try:
        return os.memfd_create("hammerflow")
    except (AttributeError, OSError):  # not on this system
        with tempfile.TemporaryFile() as file:
            return os.dup(file.fileno())
