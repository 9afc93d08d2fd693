"""Tells systemd, or what speaks its protocol, how the worker does."""

from __future__ import annotations

import contextlib
import math
import os
import socket
import time
from collections.abc import MutableMapping

__all__ = ["ServiceManager"]

#: Seconds by which a start is extended, and between two requests for that.
_EXTENSION = 60
_EXTEND_EVERY = 10.0
_MICRO = 1_000_000


class ServiceManager:
    """Sends the states of a worker to the socket that ``NOTIFY_SOCKET`` names, if there is one.

    Nothing here waits or fails: a message that cannot be sent is dropped, as sd_notify(3) has it.

    Args:
        environ: its variables are removed, so that no body speaks for the worker.

    Attributes:
        watchdog: seconds between two signs of life, at most; None if nobody waits for them.
        interval: seconds between two calls of :meth:`turn`, at most.
    """

    def __init__(self, environ: MutableMapping[str, str]) -> None:
        address = environ.pop("NOTIFY_SOCKET", "")
        given, pid = environ.pop("WATCHDOG_USEC", ""), environ.pop("WATCHDOG_PID", "")
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self.watchdog: float | None = None
        if given.isdigit() and int(given) > 0 and pid in ("", str(os.getpid())):
            self.watchdog = int(given) / _MICRO / 2
        self.interval = math.inf if self.watchdog is None else self.watchdog / 2
        self._alive_at = self._extended_at = float("-inf")
        self._is_reloading = self._is_ready = False

    def starting(self, what: str) -> None:
        """The start goes on, for as long as it takes."""
        if (now := time.monotonic()) >= self._extended_at + _EXTEND_EVERY:
            self._extended_at = now
            self._send(f"EXTEND_TIMEOUT_USEC={_EXTENSION * _MICRO}", f"STATUS={what}")

    def ready(self) -> None:
        """It works; again after a reload."""
        if not self._is_ready or self._is_reloading:
            self._is_ready, self._is_reloading = True, False
            self._send("READY=1", "STATUS=working")

    def reloading(self) -> None:
        """Fresh code was asked for."""
        self._is_reloading = True
        now = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1_000
        self._send("RELOADING=1", f"MONOTONIC_USEC={now}", "STATUS=loading fresh code")

    def stopping(self) -> None:
        """It drains."""
        self._send("STOPPING=1", "STATUS=draining")

    def turn(self, now: float) -> None:
        """The loop turns."""
        if self.watchdog is not None and now >= self._alive_at + self.watchdog / 2:
            self._alive_at = now
            self._send("WATCHDOG=1")

    def _send(self, *lines: str) -> None:
        if not self._address:
            return
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
            s.setblocking(False)
            s.sendto("\n".join(lines).encode(), self._address)
