"""Stream: the messages of server-sent events that wait for one client."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

__all__ = ["RETRY", "Stream", "position_message"]

#: Seconds after which a silent stream says that it lives.
_ALIVE = 15.0
#: Messages that one stream holds.
_HELD = 1_000
#: Begins each stream: after how long a browser comes back.
RETRY = b"retry: 2000\n\n"


@dataclass(eq=False)
class Stream:
    """What waits for one client.

    Attributes:
        position: of the log of events, up to which all that it wants is held or sent.
    """

    position: int = 0
    held: deque[bytes] = field(default_factory=deque)
    _news: asyncio.Event = field(default_factory=asyncio.Event)
    _is_cut: bool = False
    _is_over: bool = False

    def put(self, message: bytes) -> None:
        """Hold a message; too many cut the stream off."""
        if len(self.held) >= _HELD:
            self._is_cut = True
        elif not (self._is_cut or self._is_over):
            self.held.append(message)
        self._news.set()

    def end(self, message: bytes) -> None:
        """Hold the last message."""
        self.put(message)
        self._is_over = True

    async def messages(self) -> AsyncIterator[bytes]:
        """What is held, as it comes, until the stream is cut or has ended."""
        told = self.position
        while True:
            while self.held:
                yield self.held.popleft()
            if self._is_cut or self._is_over:
                break
            self._news.clear()
            try:
                async with asyncio.timeout(_ALIVE):
                    await self._news.wait()
            except TimeoutError:
                alive = b": alive\n\n"
                yield alive if self.position == told else position_message(self.position)
                told = self.position
        if self._is_cut:
            yield b": too slow, resume with Last-Event-ID\n\n"


def position_message(position: int) -> bytes:
    """Moves the client's position on where nothing was for it."""
    return f"id: {position}\nevent: position\ndata: {position}\n\n".encode()
