"""The sink ``nats``: messages of a JetStream, in order, repeats dropped."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hammerflow.errors import ConfigError
from hammerflow.sinks.registry import open_sink, shown_config
from tests.sinks.test_delivery import add, deliver
from tests.stores.kit import Desk
from tests.support.nats_server import Nats


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
