"""A small HTTP server inside the supervisor, for probes and figures. It cannot hurt the worker."""

from __future__ import annotations

import logging
import os
import selectors
import socket
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import NamedTuple

from hammerflow.errors import ConfigError
from hammerflow.worker.limits import why_refused

__all__ = ["Answer", "HttpRequest", "HttpServer", "Route"]

log = logging.getLogger("hammerflow.http")

_PATIENCE = 5.0
#: Connections at a time; a further one takes the place of the oldest.
_MOST = 16
#: Clients that wait for a connection; further ones are told to come again.
_BACKLOG = 128
_LONGEST_HEAD = 8 << 10  # bytes
_READ = 4 << 10
_AFTER_ERROR, _AFTER_REFUSAL = 1.0, 0.1  # seconds
_END = b"\r\n\r\n"


class HttpRequest(NamedTuple):
    """The head of a request."""

    head: bytes

    def header(self, name: str) -> str | None:
        """The first value of a header; None without one."""
        for line in self.head.split(b"\r\n")[1:]:
            key, _, value = line.partition(b":")
            if key.strip().lower() == name.lower().encode():
                return value.strip().decode("latin-1")
        return None


class Answer(NamedTuple):
    """What a route answers."""

    status: HTTPStatus
    body: bytes
    content_type: str = "text/plain; charset=utf-8"

    def to_bytes(self, *, with_body: bool = True) -> bytes:
        """As it is sent."""
        head = (
            f"HTTP/1.1 {self.status.value} {self.status.phrase}\r\n"
            f"Content-Type: {self.content_type}\r\n"
            f"Content-Length: {len(self.body)}\r\n"
            "Cache-Control: no-store\r\n"
            "Connection: close\r\n\r\n"
        )
        return head.encode() + (self.body if with_body else b"")


Route = Callable[[HttpRequest], Answer]


@dataclass(eq=False, slots=True)
class _HttpClient:
    """A client: its request comes in, then its answer goes out."""

    socket: socket.socket
    ends_at: float
    head: bytearray = field(default_factory=bytearray)
    answer: memoryview | None = None
    is_answered: bool = False


class HttpServer:
    """Answers GET and HEAD of a few paths, in a thread of its own.

    One thread serves all connections, so a client can hold up neither the worker nor another
    client: each connection has a deadline for everything, a head may have 8 KiB, a body is not
    read, and of too many connections the oldest is closed. Each connection gets one answer.

    Args:
        host: name or address to listen on.
        port: 0 for any free one.
        routes: what answers each path. It runs in the thread of the server, so it must be fast, and
            must not wait for the database.
        patience: seconds that a client has, from its connection to the last byte of its answer.

    Attributes:
        address: where it listens, as HOST:PORT.

    Raises:
        ConfigError: it cannot listen there.
    """

    def __init__(
        self, host: str, port: int, routes: Mapping[str, Route], *, patience: float = _PATIENCE
    ) -> None:
        self._routes = routes
        self._patience = patience
        try:
            family, *_, place = socket.getaddrinfo(
                host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            )[0]
            self._listener = socket.create_server(place[:2], family=family, backlog=_BACKLOG)
        except OSError as error:
            raise ConfigError(f"cannot listen on {host}:{port}: {error.strerror}") from error
        self._listener.setblocking(False)
        name, number = self._listener.getsockname()[:2]
        self.address = f"[{name}]:{number}" if ":" in name else f"{name}:{number}"
        self._wake, self._wake_out = os.pipe()
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._wake, selectors.EVENT_READ)
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._connections: dict[socket.socket, _HttpClient] = {}  # the oldest first
        self._is_over = self._is_exhausted = False
        self._thread = threading.Thread(target=self._run, name="http", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def close(self) -> None:
        """End the thread, and every connection."""
        self._is_over = True
        os.write(self._wake_out, b"x")
        if self._thread.is_alive():
            self._thread.join(_AFTER_ERROR + 1.0)
        for connection in [*self._connections.values()]:
            self._drop(connection)
        self._selector.close()
        self._listener.close()
        os.close(self._wake)
        os.close(self._wake_out)

    def _run(self) -> None:
        while not self._is_over:
            try:
                self._turn()
            except Exception:  # a border: the worker goes on, and so should its probes
                log.exception("the HTTP server failed")
                time.sleep(_AFTER_ERROR)

    def _turn(self) -> None:
        ends = (connection.ends_at for connection in self._connections.values())
        wait = min(ends, default=None)
        timeout = None if wait is None else max(0.0, wait - time.monotonic())
        for key, _ in self._selector.select(timeout):
            if key.fileobj is self._listener:
                self._accept()
            elif (connection := self._connections.get(key.fileobj)) is not None:  # type: ignore[call-overload]
                self._serve(connection)
        now = time.monotonic()
        for connection in [*self._connections.values()]:
            if connection.ends_at <= now:
                self._drop(connection)

    def _accept(self) -> None:
        try:
            client, _ = self._listener.accept()
        except (BlockingIOError, ConnectionError):
            return
        except OSError as error:  # of no more files, mostly: the client waits
            if not self._is_exhausted:
                log.warning("the HTTP server can take no client: %s", why_refused(error))
            self._is_exhausted = True
            time.sleep(_AFTER_REFUSAL)
            return
        self._is_exhausted = False
        client.setblocking(False)
        if len(self._connections) >= _MOST:
            self._drop(next(iter(self._connections.values())))
        self._connections[client] = _HttpClient(client, time.monotonic() + self._patience)
        self._selector.register(client, selectors.EVENT_READ)

    def _serve(self, connection: _HttpClient) -> None:
        try:
            if connection.is_answered:
                self._discard(connection)
            elif connection.answer is not None or self._read(connection):
                self._write(connection)
        except BlockingIOError:
            pass
        except OSError:  # the client is gone
            self._drop(connection)

    def _read(self, connection: _HttpClient) -> bool:
        """Read what has come; whether that completes the head, and there is an answer."""
        data = connection.socket.recv(_READ)
        connection.head += data
        if _END in connection.head:
            answer = self._answer(bytes(connection.head))
        elif len(connection.head) > _LONGEST_HEAD:
            answer = _said(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE).to_bytes()
        elif not data:
            raise ConnectionAbortedError  # of half a request, or of none
        else:
            return False
        connection.answer = memoryview(answer)
        self._selector.modify(connection.socket, selectors.EVENT_WRITE)
        return True

    def _write(self, connection: _HttpClient) -> None:
        assert connection.answer is not None
        connection.answer = connection.answer[connection.socket.send(connection.answer) :]
        if not connection.answer:
            connection.is_answered = True
            connection.socket.shutdown(socket.SHUT_WR)
            self._selector.modify(connection.socket, selectors.EVENT_READ)

    def _discard(self, connection: _HttpClient) -> None:
        """Read what nobody wanted, as a body: closed before that, a connection is reset, and the
        client may lose its answer."""
        if not connection.socket.recv(_READ):
            self._drop(connection)

    def _answer(self, head: bytes) -> bytes:
        method, _, rest = head.partition(b"\r\n")[0].partition(b" ")
        target, _, version = rest.rpartition(b" ")
        if not version.startswith(b"HTTP/1.") or not target.startswith(b"/"):
            return _said(HTTPStatus.BAD_REQUEST).to_bytes()
        if method not in (b"GET", b"HEAD"):
            return _said(HTTPStatus.METHOD_NOT_ALLOWED).to_bytes()
        route = self._routes.get(target.partition(b"?")[0].decode("ascii", "replace"))
        if route is None:
            return _said(HTTPStatus.NOT_FOUND).to_bytes()
        try:
            answer = route(HttpRequest(head))
        except Exception:  # a border: the client learns that it failed
            log.exception("a route of the HTTP server failed")
            answer = _said(HTTPStatus.INTERNAL_SERVER_ERROR)
        return answer.to_bytes(with_body=method == b"GET")

    def _drop(self, connection: _HttpClient) -> None:
        del self._connections[connection.socket]
        self._selector.unregister(connection.socket)
        connection.socket.close()


def _said(status: HTTPStatus) -> Answer:
    return Answer(status, f"{status.phrase}\n".encode())
