"""The supervisor's ends of the pipes to one child: messages, and the tokens that start jobs."""

from __future__ import annotations

import os
import sys
from fcntl import ioctl
from termios import FIONREAD
from typing import Any

from hammerflow.worker.protocol import Pipes, Unpacker

__all__ = ["ChildChannel"]

_READ = 1 << 18


class ChildChannel:
    """Three pipes that never block the supervisor, however slow the child is.

    Attributes:
        child_ends: what the fork server gives to the child; closed here by :meth:`handed_over`.
        jobs: descriptor that messages are written to; watch it while ``is_clogged``. -1 if closed.
    """

    def __init__(self) -> None:
        ends: list[int] = []
        try:
            for _ in range(3):
                ends += os.pipe()
        except OSError:
            for fd in ends:
                os.close(fd)
            raise
        jobs_in, self.jobs, self._tokens, self._tokens_in, self.results, results_out = ends
        self.child_ends = Pipes(jobs_in, self._tokens, results_out)
        self._unsent = bytearray()
        self._unpacker = Unpacker()
        for fd in (self.jobs, self._tokens, self._tokens_in, self.results):
            os.set_blocking(fd, False)

    @property
    def is_clogged(self) -> bool:
        """Whether bytes wait for the child to read."""
        return bool(self._unsent)

    def handed_over(self) -> None:
        """Close the child's ends here. The reading end of the tokens stays open: both read it."""
        os.close(self.child_ends.jobs)
        os.close(self.child_ends.results)

    def send(self, message: bytes, tokens: bytes = b"") -> None:
        """Send a message, after one token for each job in it that the child may start.

        The tokens go first: a child that finds none concludes that the jobs were taken back.
        """
        if tokens:
            os.write(self._tokens_in, tokens)
        self._unsent += message
        self.flush()

    def flush(self, *_: object) -> None:
        """Write as much as the pipe takes now; also a callback of the event loop."""
        try:
            while self._unsent:
                del self._unsent[: os.write(self.jobs, self._unsent)]
        except BlockingIOError:
            pass
        except BrokenPipeError:
            self._unsent.clear()  # the child is dead; the end of its results reports that

    def take_tokens(self) -> bytes:
        """Read all tokens that are left: the child cannot start their jobs any more."""
        try:
            return os.read(self._tokens, 1 << 16)
        except BlockingIOError:
            return b""

    @property
    def tokens_left(self) -> int:
        """How many tokens the child has not read."""
        size = ioctl(self._tokens, FIONREAD, bytes(4))
        return int.from_bytes(size, sys.byteorder)

    def messages(self) -> list[Any] | None:
        """The messages that have arrived; None once the child has closed its end."""
        try:
            received = os.read(self.results, _READ)
        except BlockingIOError:
            return []
        return self._unpacker.frames(received) if received else None

    def close_jobs(self) -> None:
        """Tell the child that nothing more comes: it ends when it has run what it has."""
        if self.jobs >= 0:
            os.close(self.jobs)
            self.jobs = -1
            self._unsent.clear()

    def close(self) -> None:
        """Close all ends."""
        self.close_jobs()
        for fd in (self._tokens, self._tokens_in, self.results):
            os.close(fd)
