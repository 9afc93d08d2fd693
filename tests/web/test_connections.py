"""Connections whose client does nothing: closed, so that they keep nobody out."""

from __future__ import annotations

import contextlib
import select
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import uvicorn

from hammerflow.web import connections
from hammerflow.web.connections import BoundedProtocol, WatchedServer

_ANSWERED = threading.Event()
_HEAD = b"GET / HTTP/1.1\r\nHost: x\r\n"


async def _app(scope: Any, receive: Any, send: Any) -> None:
    """Answers 20 MB; below /slow once the client has left."""
    if scope["path"] == "/slow":
        await receive()
        while (await receive())["type"] != "http.disconnect":
            pass
    await send({"type": "http.response.start", "status": 200, "headers": []})
    for _ in range(20):
        await send({"type": "http.response.body", "body": b"x" * 1_000_000, "more_body": True})
    await send({"type": "http.response.body", "body": b"", "more_body": False})
    _ANSWERED.set()


@pytest.fixture
def address(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setattr(connections, "_CHECK", 0.05)
    monkeypatch.setattr(connections, "_PATIENT", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as bound:
        config = uvicorn.Config(
            _app, log_config=None, lifespan="off", ws="none", limit_concurrency=8,
            http=BoundedProtocol,
        )  # fmt: skip
        server = WatchedServer(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]})
        thread.start()
        yield bound.getsockname()
        server.should_exit = True
        thread.join()


def _has_ended(client: socket.socket, seconds: float) -> bool:
    """Whether the server ends a connection; what it has sent before is left where it is."""
    poll = select.poll()
    poll.register(client, select.POLLHUP | select.POLLERR | select.POLLRDHUP)
    return bool(poll.poll(1_000 * seconds))


@pytest.mark.parametrize("sent", [b"", _HEAD], ids=["nothing", "half"])
def test_a_client_that_does_nothing_is_cut_off(address: Any, sent: bytes) -> None:
    with socket.create_connection(address) as client:
        client.sendall(sent)
        assert _has_ended(client, 10)


def test_an_answer_that_nobody_takes_is_given_up(address: Any) -> None:
    _ANSWERED.clear()
    with socket.create_connection(address) as client:
        client.sendall(_HEAD + b"\r\n")
        assert _ANSWERED.wait(10)
        taken = 0
        while data := client.recv(1_000_000):
            taken += len(data)
    assert 0 < taken < 20_000_000


def test_a_head_that_comes_byte_by_byte_has_as_long(address: Any) -> None:
    with socket.create_connection(address) as client:
        client.sendall(_HEAD + b"X: ")
        for _ in range(200):
            if _has_ended(client, 0.05):
                return
            client.sendall(b"x")
    pytest.fail("it was not cut off")


def test_who_waits_for_an_answer_is_left_alone(address: Any) -> None:
    with socket.create_connection(address) as slow:
        slow.sendall(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")
        with socket.create_connection(address) as silent:
            assert _has_ended(silent, 10)
        with socket.create_connection(address) as silent:
            assert _has_ended(silent, 10)
        assert not _has_ended(slow, 0)


def test_silent_clients_make_room_for_one_that_asks(
    address: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "_PATIENT", 60.0)
    monkeypatch.setattr(connections, "_CROWDED", 60.0)
    with contextlib.ExitStack() as opened:
        for _ in range(40):
            silent = opened.enter_context(socket.create_connection(address))
            silent.sendall(_HEAD)
        client = opened.enter_context(socket.create_connection(address, timeout=10))
        client.sendall(_HEAD + b"\r\n")
        assert client.recv(12) == b"HTTP/1.1 200"
