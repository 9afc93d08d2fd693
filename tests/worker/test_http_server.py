"""The small HTTP server of the supervisor: what clients do to it hurts neither others nor it."""

from __future__ import annotations

import os
import resource
import socket
import time
from collections.abc import Callable, Iterator
from http import HTTPStatus

import pytest

from hammerflow.errors import ConfigError
from hammerflow.urls.listen import LISTEN, listen_address
from hammerflow.worker.supervisor.http_server import Answer, HttpRequest, HttpServer
from tests.support.waiting import until

Send = Callable[..., bytes]


def _broken(_: HttpRequest) -> Answer:
    raise ValueError("broken")


@pytest.fixture
def server() -> Iterator[HttpServer]:
    routes = {
        "/ok": lambda _: Answer(HTTPStatus.OK, b"fine\n"),
        "/broken": _broken,
        "/long": lambda _: Answer(HTTPStatus.OK, b"x" * (8 << 20)),
    }
    server = HttpServer("127.0.0.1", 0, routes, patience=2.0)
    server.start()
    yield server
    server.close()


@pytest.fixture
def send(server: HttpServer) -> Send:
    """Send bytes and return all that comes back."""

    def send(data: bytes) -> bytes:
        with socket.create_connection(listen_address(server.address), timeout=10) as client:
            client.sendall(data)
            return b"".join(iter(lambda: client.recv(1 << 16), b""))

    return send


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET /ok HTTP/1.1\r\nHost: a\r\n\r\n", 200),
        (b"GET /ok?x=1 HTTP/1.0\r\n\r\n", 200),
        (b"GET / HTTP/1.1\r\n\r\n", 404),
        (b"GET /\xff HTTP/1.1\r\n\r\n", 404),
        (b"GET /broken HTTP/1.1\r\n\r\n", 500),
        (b"POST /ok HTTP/1.1\r\nContent-Length: 900000\r\n\r\n" + b"x" * 900_000, 405),
        (b"GET http://a/ok HTTP/1.1\r\n\r\n", 400),
        (b"GET /ok\r\n\r\n", 400),
        (b"\x16\x03\x01\r\n\r\n", 400),
        (b"GET /ok HTTP/1.1\r\nA: " + b"x" * 20_000, 431),
    ],
)
def test_each_request_has_its_answer(send: Send, request_: bytes, status: int) -> None:
    answer = send(request_)
    assert int(answer.split()[1]) == status
    assert send(b"GET /ok HTTP/1.1\r\n\r\n").endswith(b"\r\n\r\nfine\n")


def test_head_has_no_body(send: Send) -> None:
    answer = send(b"HEAD /ok HTTP/1.1\r\n\r\n")
    assert b"Content-Length: 5\r\n" in answer and answer.endswith(b"\r\n\r\n")
    assert len(send(b"GET /long HTTP/1.1\r\n\r\n").partition(b"\r\n\r\n")[2]) == 8 << 20


def test_slow_clients_hold_up_nobody_and_are_cut(server: HttpServer, send: Send) -> None:
    address = listen_address(server.address)
    slow = [socket.create_connection(address, timeout=10) for _ in range(40)]
    for client in slow:
        client.send(b"GET /ok HT")
    deaf = socket.socket()
    deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)  # or the kernel takes the answer
    deaf.settimeout(10)
    deaf.connect(address)
    deaf.send(b"GET /long HTTP/1.1\r\n\r\n")

    begun = time.monotonic()
    assert send(b"GET /ok HTTP/1.1\r\n\r\n").endswith(b"fine\n")
    assert time.monotonic() - begun < 1.5
    for client in slow:  # those that were too many at once, the others after their time
        try:
            assert client.recv(1) == b""
        except ConnectionResetError:
            pass
        client.close()
    assert len(b"".join(iter(lambda: _received(deaf), b""))) < 8 << 20
    deaf.close()


def test_without_files_clients_wait(
    server: HttpServer, send: Send, caplog: pytest.LogCaptureFixture
) -> None:
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    with socket.socket() as client:
        free = os.dup(0)
        os.close(free)
        resource.setrlimit(resource.RLIMIT_NOFILE, (free, limits[1]))
        try:
            client.connect(listen_address(server.address))
            until("it is full", lambda: "can take no client: this process may open" in caplog.text)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        client.sendall(b"GET /ok HTTP/1.1\r\n\r\n")
        assert b"".join(iter(lambda: client.recv(1 << 16), b"")).endswith(b"fine\n")
    assert caplog.text.count("can take no client") == 1


def _received(client: socket.socket) -> bytes:
    try:
        return client.recv(1 << 16)
    except ConnectionResetError:
        return b""


def test_an_address_that_is_taken_is_named(server: HttpServer) -> None:
    with pytest.raises(ConfigError, match=r"cannot listen on 127\.0\.0\.1:\d+: Address already"):
        HttpServer(*listen_address(server.address), {})


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("127.0.0.1:80", ("127.0.0.1", 80)), ("[::1]:0", ("::1", 0)),
        ("localhost:65535", ("localhost", 65_535)), (":80", None), ("a:b", None), ("a", None),
        ("a:65536", None), ("::1:80", None), ("a b:1", None), ("", None), (80, None),
    ],
)  # fmt: skip
def test_addresses_are_read(text: str, wanted: tuple[str, int] | None) -> None:
    if wanted is None:
        with pytest.raises(ConfigError, match=r"health must be an address such as 127\.0\.0\.1"):
            LISTEN(text, "health")
    else:
        assert listen_address(LISTEN(text, "health")) == wanted
