"""The HTTP sink, and receivers that misbehave."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from hammerflow import guarded_http
from hammerflow.alerts.posting import TargetError, post
from hammerflow.events.event import Event
from hammerflow.sinks.base import Message, SinkError
from hammerflow.sinks.http import HttpSink
from tests.support.misbehaving import SLOW, Server

EVENT = Event(1, "job.completed", datetime(2026, 11, 27, tzinfo=UTC), "7")
MESSAGE = Message(EVENT, "shop/1", "7", b"{}", "application/json", {})


@pytest.fixture
def server() -> Iterator[Server]:
    found = Server()
    yield found
    found.close()


@pytest.mark.parametrize("path", SLOW)
def test_the_timeout_is_that_of_the_whole_request(server: Server, path: str) -> None:
    sink = HttpSink("ops", {"url": f"http://127.0.0.1:{server.port}{path}", "timeout": 0.3})
    sink.open()
    begin = time.monotonic()

    with pytest.raises(SinkError, match=r"no whole answer within 0\.3 seconds"):
        sink.send([MESSAGE])
    assert time.monotonic() - begin < 5
    sink.close()


def test_nothing_is_sent_to_what_gives_credentials_of_the_cloud(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guarded_http, "_CLOUD", guarded_http.networks(["127.0.0.0/8"]))
    url = f"http://127.0.0.1:{server.port}/fine"
    sink = HttpSink("ops", {"url": url})
    sink.open()

    with pytest.raises(SinkError, match="nothing is sent to 127.0.0.1"):
        sink.send([MESSAGE])
    sink.close()
    with pytest.raises(TargetError, match="nothing is sent to 127.0.0.1"):
        post(url, b"{}", {}, 5)


@pytest.mark.parametrize("address", ["169.254.169.254", "::ffff:169.254.169.254", "fd00:ec2::254"])
def test_addresses_of_the_cloud_are_known(address: str) -> None:
    assert guarded_http.is_of_cloud(address)
    assert not guarded_http.is_of_cloud("10.0.0.7")


def test_after_a_cut_the_next_batch_has_a_connection_of_its_own(server: Server) -> None:
    sink = HttpSink(
        "ops", {"url": f"http://127.0.0.1:{server.port}/slow_then_fine", "timeout": 0.3}
    )
    sink.open()

    with pytest.raises(SinkError):
        sink.send([MESSAGE])
    for _ in range(2):
        assert sink.send([MESSAGE]).delivered == {MESSAGE.position}
    sink.close()
