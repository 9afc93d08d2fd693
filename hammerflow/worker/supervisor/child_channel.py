"""Line: a supervisor's ends of the pipes to one child; it never blocks on a slow one."""

from __future__ import annotations

import os
from typing import Any

from hammerflow.worker.protocol import Pipes, Unpacker

__all__ = ["ChildChannel"]

_READ = 1 << 18


class ChildChannel:
    """Frames to a child and back, and its tokens.

    Attributes:
        results: descriptor that is readable when the child has said something.
        jobs: descriptor that frames go into; to be watched while ``is_clogged``.
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
        """The child has its ends: close ours, but for the tokens, which both read."""
        os.close(self.child_ends.jobs)
        os.close(self.child_ends.results)

    def send(self, frame: bytes, tokens: bytes = b"") -> None:
        """Give the child the right to start so many jobs, and then the jobs."""
        if tokens:
            os.write(self._tokens_in, tokens)
        self._unsent += frame
        self.flush()

    def flush(self) -> None:
        """Write what the pipe takes now."""
        try:
            while self._unsent:
                del self._unsent[: os.write(self.jobs, self._unsent)]
        except BlockingIOError:
            pass
        except BrokenPipeError:
            self._unsent.clear()  # it is dead; the end of its results tells

    def take_tokens(self) -> bytes:
        """Take back the right to start what is not started yet; all of it at once."""
        try:
            return os.read(self._tokens, 1 << 16)
        except BlockingIOError:
            return b""

    def frames(self) -> list[Any] | None:
        """What the child has said since; None at the end of its life."""
        try:
            data = os.read(self.results, _READ)
        except BlockingIOError:
            return []
        return self._unpacker.frames(data) if data else None

    def close_jobs(self) -> None:
        """Tell the child that nothing more comes: it ends when it has done what it has."""
        if self.jobs >= 0:
            os.close(self.jobs)
            self.jobs = -1
            self._unsent.clear()

    def close(self) -> None:
        """Close all ends."""
        self.close_jobs()
        for fd in (self._tokens, self._tokens_in, self.results):
            os.close(fd)
