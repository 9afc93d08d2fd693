"""LeaseClock: until when a worker surely holds its leases, in memory shared by its processes."""

from __future__ import annotations

import asyncio
import mmap
import os
import struct
import tempfile
import time

__all__ = ["LeaseClock", "now"]

_INSTANT = struct.Struct("d")
_POLL = 0.02  # seconds between two reads while waiting for the next heartbeat


def now() -> float:
    """Seconds on a clock that also runs while the machine sleeps, where the OS has one.

    Source: CLOCK_BOOTTIME of Linux (clock_gettime(2)); else the monotonic clock.
    """
    clock = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if clock is None else time.clock_gettime(clock)


class LeaseClock:
    """Extended at each heartbeat by the supervisor, read by its children before each body.

    A process that was frozen for longer than its lease therefore starts none of the jobs it holds:
    it waits until the supervisor has renewed the lease, or has learnt that the lease is lost and
    kills it.

    Args:
        fd: file descriptor of the memory, inherited from the process that made it; None makes it.
    """

    def __init__(self, fd: int | None = None) -> None:
        self.fd = _new_memory() if fd is None else fd
        self._memory = mmap.mmap(self.fd, _INSTANT.size)
        if fd is not None:
            os.close(fd)  # so that programs started by a body do not inherit it

    def extend(self, until: float) -> None:
        """The leases hold until this instant of :func:`now`."""
        _INSTANT.pack_into(self._memory, 0, until)

    @property
    def is_expired(self) -> bool:
        """Whether other workers may have taken over the leases."""
        until: float = _INSTANT.unpack_from(self._memory)[0]
        return now() >= until

    def wait(self) -> None:
        """Block until the leases are surely held."""
        while self.is_expired:
            time.sleep(_POLL)

    async def wait_async(self) -> None:
        """As :meth:`wait`, on an event loop."""
        while self.is_expired:
            await asyncio.sleep(_POLL)


def _new_memory() -> int:
    if hasattr(os, "memfd_create"):
        fd = os.memfd_create("hammerflow-lease-clock")
    else:  # macOS
        with tempfile.TemporaryFile() as file:
            fd = os.dup(file.fileno())
    os.truncate(fd, _INSTANT.size)
    return fd
