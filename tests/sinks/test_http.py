"""The HTTP sink, and receivers that misbehave."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from hammerflow.alerts.posting import TargetError, post
from hammerflow.alerts.targets import check_target, shown_target
from hammerflow.errors import ConfigError
from hammerflow.events.event import Event
from hammerflow.options.variables import CLOSED, Bounds
from hammerflow.sinks.base import Message, SinkError
from hammerflow.sinks.http import HttpSink
from hammerflow.sinks.registry import (
    KINDS,
    check_config,
    kind_class,
    open_sink,
    shown_config,
)
from hammerflow.webhooks import guarded_http
from tests.sinks.receiver import LOCAL, Receiver
from tests.sinks.test_delivery import OK, add, deliver
from tests.stores.kit import Desk
from tests.support.misbehaving import SLOW, Server
from tests.support.waiting import until

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
        post(url, b"{}", {}, 5, None)


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


def test_a_slow_receiver_gets_smaller_batches_until_it_manages_them(
    desk: Desk, receiver: Receiver
) -> None:
    receiver.most = 3
    add(desk, kind="http", url=receiver.url, kinds=["job.completed"], batch=16, backoff=0.01)
    desk.settle(*((job, OK) for job in desk.run(*(desk.job() for _ in range(20)))))
    one = deliver(desk)

    until("all have arrived", lambda: one.step() > 0 and len(receiver.events) == 20)

    assert max(map(len, receiver.batches)) == 2
    positions = [int(event["sequence"]) for event in receiver.events]
    assert positions == sorted(positions)
    receiver.most = 5_000
    desk.settle(*((job, OK) for job in desk.run(*(desk.job() for _ in range(40)))))
    deliver(desk, one)
    assert max(map(len, receiver.batches)) == 16


def test_a_sink_that_no_code_declares_reaches_public_and_allowed_addresses(server: Server) -> None:
    config = {"url": f"http://127.0.0.1:{server.port}/fine"}
    for bounds in (CLOSED, Bounds(networks=["10.0.0.0/8"])):
        sink = open_sink("ops", "http", config, bounds)
        sink.open()
        with pytest.raises(SinkError, match=r"127\.0\.0\.1 is not on the public internet"):
            sink.send([MESSAGE])
        sink.close()
    assert server.requests == []
    for allowed in (None, LOCAL):
        sink = open_sink("ops", "http", config, allowed)
        sink.open()
        assert sink.send([MESSAGE]).delivered == {MESSAGE.position}
        sink.close()


def test_an_address_that_was_checked_is_the_one_that_is_reached(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = iter([["93.184.216.34"], ["127.0.0.1"]])

    def resolve(host: str, port: int, **_: object) -> list[Any]:
        return [(socket.AF_INET, 1, 6, "", (address, port)) for address in next(answers)]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    config = {"url": f"http://rebinding.example:{server.port}/fine", "timeout": 0.2}
    sink = open_sink("ops", "http", config, CLOSED)
    sink.open()
    for words in ("no whole answer|OSError|Error", "is not on the public internet"):
        with pytest.raises(SinkError, match=words):
            sink.send([MESSAGE])
    assert server.requests == []


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://:s3c/ret@h:1/0", "redis://:********@h:1/0"),
        ("nats://u:s3cret@a:1,nats://u:s3c/ret@b:2", "nats://u:********@a:1,nats://u:********@b:2"),
        ("https://h/x?a=1&api_key=s3cret#y", "https://h/x?a=1&api_key=********#y"),
        ("https://h/x?access-token=s3cret", "https://h/x?access-token=********"),
        ("https://h:80/a@b?key=job", "https://h:80/a@b?key=job"),
        ("https://[::1]:80/a@b", "https://[::1]:80/a@b"),
        ("https://h/x?token=${HAMMERFLOW_SINK_X}", "https://h/x?token=${HAMMERFLOW_SINK_X}"),
    ],
)
def test_no_secret_of_a_url_is_shown(url: str, shown: str) -> None:
    assert shown_config("http", {"url": url}) == {"url": shown}


def test_what_is_shown_instead_of_a_secret_is_not_taken_for_it() -> None:
    """A program reads a sink, changes an option, and writes all of them."""
    shown = shown_config("http", {"url": "https://h/x?token=s3cret"})
    with pytest.raises(ConfigError, match="in url is shown instead of a secret"):
        check_config("http", shown)
    target = shown_target("slack", {"url": "https://hooks.example/s3cret"})
    with pytest.raises(ConfigError, match="give the secret again"):
        check_target("slack", target)


def test_what_a_driver_says_is_kept_without_secrets(embedded_desk: Desk, server: Server) -> None:
    desk = embedded_desk
    add(
        desk,
        kind="http",
        url=f"http://127.0.0.1:{server.port}/a b?token=s3cret",
        kinds=["job.enqueued"],
    )
    desk.put(desk.job())
    deliver(desk)
    error = desk.store.sinks.get("s").error
    assert "InvalidURL" in error and "s3cret" not in error


@pytest.mark.parametrize("kind", sorted({*KINDS} - {"none", "log", "hook"}))
def test_a_row_names_no_variable_of_others(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the option, and however deep."""
    monkeypatch.setenv("DATABASE_PASSWORD", "s3cret")
    names = [option.name for option in kind_class(kind).OPTIONS]
    for name in names:
        for value in ("${DATABASE_PASSWORD}", {"X": "a ${DATABASE_PASSWORD}"}):
            with pytest.raises(ConfigError) as caught:
                open_sink("ops", kind, {name: value}, CLOSED)
            assert "must not read the environment variable DATABASE_PASSWORD" in str(caught.value)
