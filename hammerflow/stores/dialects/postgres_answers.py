"""What a PostgreSQL server says to who cannot connect, in any language: its SQLSTATE."""

from __future__ import annotations

import os
import re
import select
import sys
import time

from psycopg import pq

__all__ = ["is_answer", "sqlstate_of_connecting"]

#: A server's own words begin after its severity, in its language, and two spaces; libpq's do not.
_ANSWER = re.compile(r"failed: \S+:  ")
_SQLSTATE = re.compile(rb'ErrorResponse\t.*? C "([0-9A-Z]{5})"')
_FAILED, _DONE = pq.PollingStatus.FAILED, pq.PollingStatus.OK
_EVENTS = {
    pq.PollingStatus.READING: select.POLLIN,
    pq.PollingStatus.WRITING: select.POLLOUT,
}


def is_answer(error: Exception) -> bool:
    """Whether an error of connecting holds the words of a server."""
    return _ANSWER.search(str(error)) is not None


def sqlstate_of_connecting(conninfo: str, seconds: float) -> str | None:
    """Connect once more, and return the SQLSTATE with which the server refuses that.

    libpq keeps it to itself, but its trace of the protocol shows it (from libpq 17 on, on Linux).
    None where it cannot be found out. The trace stays in memory, as it may hold secrets.

    Args:
        conninfo: as for libpq, with all options.
        seconds: how long it may take.
    """
    if sys.platform != "linux":
        return None
    deadline = time.monotonic() + seconds
    with open(os.memfd_create("trace"), "r+b") as trace:
        connection = pq.PGconn.connect_start(conninfo.encode())
        try:
            connection.trace(trace.fileno())
            while (status := connection.connect_poll()) not in (_FAILED, _DONE):
                poll = select.poll()
                poll.register(connection.socket, _EVENTS[pq.PollingStatus(status)])
                left = deadline - time.monotonic()
                if left <= 0 or not poll.poll(left * 1000):
                    return None
            connection.untrace()
        finally:
            connection.finish()
        trace.seek(0)
        found = _SQLSTATE.findall(trace.read())
        return found[-1].decode() if found else None
