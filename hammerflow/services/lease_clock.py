"""Pulse: until when a worker's leases are surely its own, in memory that its processes share."""

from __future__ import annotations

import asyncio
import mmap
import os
import struct
import tempfile
import time

__all__ = ["LeaseClock", "now"]

_INSTANT = struct.Struct("d")
_LOOK = 0.02  # seconds between two looks of who waits for the next beat


def now() -> float:
    """Seconds of a clock that goes on while the machine sleeps, where there is one."""
    clock = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if clock is None else time.clock_gettime(clock)


class LeaseClock:
    """Written at each beat by the supervisor, read by its children before each body.

    A process that was frozen beyond its lease so begins nothing of what it had in hand: it waits,
    until the supervisor has beaten again, or has learnt that the lease is lost and kills it.

    Args:
        fd: of the memory, as the process that made it has passed it on; None makes it.
    """

    def __init__(self, fd: int | None = None) -> None:
        self.fd = _new_memory() if fd is None else fd
        self._memory = mmap.mmap(self.fd, _INSTANT.size)
        if fd is not None:
            os.close(fd)  # programs that a body starts need not have it

    def beat(self, until: float) -> None:
        """The leases hold until then, by the clock of :func:`now`."""
        _INSTANT.pack_into(self._memory, 0, until)

    @property
    def is_over(self) -> bool:
        """Whether the leases may have been taken over."""
        until: float = _INSTANT.unpack_from(self._memory)[0]
        return now() >= until

    def wait(self) -> None:
        """Until the leases are surely held."""
        while self.is_over:
            time.sleep(_LOOK)

    async def wait_async(self) -> None:
        """As :meth:`wait`, on an event loop."""
        while self.is_over:
            await asyncio.sleep(_LOOK)


def _new_memory() -> int:
    if hasattr(os, "memfd_create"):
        fd = os.memfd_create("hammerflow-pulse")
    else:  # macOS
        with tempfile.TemporaryFile() as file:
            fd = os.dup(file.fileno())
    os.truncate(fd, _INSTANT.size)
    return fd
