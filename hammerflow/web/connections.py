"""Connections: those whose client does nothing are closed, so that they keep nobody else out."""

from __future__ import annotations

import asyncio
import resource
import time
from typing import Any

import uvicorn
from uvicorn.protocols.http.auto import AutoHTTPProtocol

__all__ = ["BACKLOG", "BoundedProtocol", "WatchedServer", "most_connections"]

#: Connections that are accepted at once: fewer than the files that are left, as asyncio goes on
#: with all of them where there are none.
BACKLOG = 64

#: Seconds between two checks of the connections, and for which a client may do nothing: as a rule,
#: and where half of the connections are taken.
_CHECK, _PATIENT, _CROWDED = 1.0, 45.0, 5.0
#: Connections at a time, and files that the process needs for all else.
_MOST, _FILES = 2_000, 200


def most_connections() -> int:
    """How many connections the process has files for; its limit is raised if it may be."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _MOST + _FILES
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        soft = wanted
    room = _MOST if soft == resource.RLIM_INFINITY else max(soft - _FILES, soft // 2)
    return min(_MOST, room)


class BoundedProtocol(AutoHTTPProtocol):  # type: ignore[misc, valid-type]
    """Makes room for a new connection: closes the oldest whose client sends nothing."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin, if there is room for it."""
        super().connection_made(transport)
        self.made_at = time.monotonic()
        if len(self.connections) < self.limit_concurrency:
            return
        idle = (one for one in self.connections if one is not self and _is_idle(one))
        oldest = min(idle, key=lambda one: one.made_at, default=self)
        oldest.transport.abort()


def _is_idle(connection: Any) -> bool:
    return not connection.transport.is_closing() and _owed(connection) is not None


class WatchedServer(uvicorn.Server):
    """Closes a connection whose client sends no whole request, or takes nothing of an answer.

    uvicorn waits for either without end. The fuller the server is, the sooner they are closed.
    """

    async def main_loop(self) -> None:
        """Serve, and watch the connections."""
        watching = asyncio.create_task(self._watch())
        try:
            await super().main_loop()
        finally:
            watching.cancel()

    async def _watch(self) -> None:
        since: dict[Any, tuple[object, float]] = {}
        while True:
            await asyncio.sleep(_CHECK)
            now, connections = time.monotonic(), [*self.server_state.connections]
            is_crowded = 2 * len(connections) > (self.config.limit_concurrency or _MOST)
            patience = _CROWDED if is_crowded else _PATIENT
            before, since = since, {}
            for connection in connections:
                owed = _owed(connection)
                if owed is None:
                    continue
                known, at = before.get(connection, (None, now))
                since[connection] = owed, at if known == owed else now
                if now - since[connection][1] > patience:
                    connection.transport.abort()  # close() would wait for what nobody takes


def _owed(connection: Any) -> object | None:
    """What the client is to do next, and how far it is: send a request behind the last one, or
    take an answer. None while the server is to act."""
    cycle = connection.cycle
    if cycle is None or cycle.response_complete:
        return "request", cycle
    if connection.flow.write_paused:
        return "answer", cycle, connection.transport.get_write_buffer_size()
    return None
