"""The sink ``nats``: messages of a JetStream, in order, repeats dropped."""

from __future__ import annotations

import asyncio
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nats
import pytest

from hammerflow.errors import ConfigError
from hammerflow.sinks.registry import open_sink, shown_config
from tests.sinks.test_delivery import add, deliver
from tests.stores.kit import Desk


class Nats:
    """A NATS server with JetStream."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"nats://127.0.0.1:{self.port}"
        self._folder = folder
        self.start()

    def start(self) -> None:
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
        self._process.kill()
        self._process.wait()

    def call(self, work: Any) -> Any:
        async def run() -> Any:
            client = await nats.connect(self.url)
            try:
                return await work(client.jetstream())
            finally:
                await client.close()

        return asyncio.run(run())

    def ids(self) -> list[int]:
        async def read(stream: Any) -> list[int]:
            count = (await stream.stream_info("EVENTS")).state.messages
            found = [await stream.get_msg("EVENTS", one) for one in range(1, count + 1)]
            return [int(one.headers["Nats-Msg-Id"].split("/")[1]) for one in found]

        return self.call(read)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Nats]:
    server = Nats(tmp_path / "nats")
    yield server
    server.kill()


def make(server: Nats, **options: Any) -> None:
    server.call(lambda s: s.add_stream(name="EVENTS", subjects=["jobs.>"], **options))


def test_messages_come_in_order_and_repeats_are_dropped(embedded_desk: Desk, server: Nats) -> None:
    desk = embedded_desk
    make(server)
    add(desk, kind="nats", url=server.url, subject="jobs.{kind}")
    desk.end(*desk.run(*(desk.job() for _ in range(3))))
    one = deliver(desk)
    assert server.ids() == [1, 2, 3]
    server.kill()
    desk.end(*desk.run(desk.job()))
    deliver(desk, one)
    row = desk.store.sinks.get("s")
    assert row.failures == 1 and row.position == 3
    server.start()
    one._retry_at = 0.0
    deliver(desk, one).close()
    assert server.ids() == [1, 2, 3, 4]
    desk.store.sinks.rewind("s", 0, by="me")
    deliver(desk)
    assert server.ids() == [1, 2, 3, 4] and desk.store.sinks.get("s").sent == 8


def test_a_message_that_is_too_large_is_parked(embedded_desk: Desk, server: Nats) -> None:
    desk = embedded_desk
    make(server, max_msg_size=2_000)
    add(desk, kind="nats", url=server.url, subject="jobs.{kind}")
    large = desk.job(headers='{"note": "' + "x" * 3_000 + '"}')
    desk.end(*desk.run(desk.job()))
    desk.end(*desk.run(large))
    desk.end(*desk.run(desk.job()))
    deliver(desk)
    assert server.ids() == [1, 3]
    message = server.call(lambda stream: stream.get_msg("EVENTS", 1))
    assert message.subject == "jobs.job.completed" and b"specversion" in message.data
    assert [one.position for one in desk.store.sinks.parked("s")] == [2]


def test_secrets_are_not_shown() -> None:
    config = {"url": "nats://me:s3cret@host:4222", "subject": "jobs", "token": "s3cret"}
    assert "s3cret" not in str(shown_config("nats", config))
    with pytest.raises(ConfigError, match="as token="):
        open_sink("s", "nats", {"url": "nats://s3cret@host", "subject": "jobs"})
