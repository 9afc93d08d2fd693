"""A private NATS server with JetStream, whose streams are files and survive its death."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import nats

__all__ = ["Nats"]


class Nats:
    """A server, running from the constructor to :meth:`kill`.

    Args:
        folder: of its streams.
    """

    def __init__(self, folder: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"nats://127.0.0.1:{self.port}"
        self._folder = folder
        self.start()

    def start(self) -> None:
        """Start on the same port and files, and return when it accepts connections."""
        program = shutil.which("nats-server", path=str(Path(sys.executable).parent))
        assert program is not None
        where = ("-a", "127.0.0.1", "-p", str(self.port), "-js", "-sd", str(self._folder))
        self._process = subprocess.Popen([program, *where], stderr=subprocess.DEVNULL)
        for _ in range(200):
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                time.sleep(0.02)
        raise AssertionError("the server does not start")

    def kill(self) -> None:
        """kill -9."""
        self._process.kill()
        self._process.wait()

    def pause(self) -> None:
        """Stop it: connections stay open, nothing answers."""
        os.kill(self._process.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        os.kill(self._process.pid, signal.SIGCONT)

    def call(self, work: Any) -> Any:
        """What a coroutine function returns that gets the JetStream of a client."""

        async def run() -> Any:
            client = await nats.connect(self.url)
            try:
                return await work(client.jetstream())
            finally:
                await client.close()

        return asyncio.run(run())

    def ids(self) -> list[int]:
        """The positions of the events in the stream EVENTS."""

        async def read(stream: Any) -> list[int]:
            count = (await stream.stream_info("EVENTS")).state.messages
            found = [await stream.get_msg("EVENTS", one) for one in range(1, count + 1)]
            return [int(one.headers["Nats-Msg-Id"].split("/")[1]) for one in found]

        found: list[int] = self.call(read)
        return found
