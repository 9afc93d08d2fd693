"""An HTTP server whose paths misbehave: endless, slow, cut, too large, elsewhere."""

from __future__ import annotations

import socket
import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

__all__ = ["SLOW", "Server"]

#: Paths whose answers never end, though a byte comes every 20 ms.
SLOW = ["/slow_headers", "/slow_body", "/slow_last_body", "/continues"]


class Server:
    """A server whose paths misbehave.

    Attributes:
        requests: path, headers and body of each request.
    """

    def __init__(self, host: str = "127.0.0.1", tls: ssl.SSLContext | None = None) -> None:
        self.requests: list[tuple[str, dict[str, str], bytes]] = []
        self.released = threading.Event()
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                server.requests.append((self.path, dict(self.headers), body))
                getattr(server, self.path.strip("/").partition("?")[0] or "fine")(self)

            def log_message(self, *_: Any) -> None:
                pass

        self.http = ThreadingHTTPServer((host, 0), Handler)
        self.http.daemon_threads = True
        self.http.block_on_close = False
        if tls is not None:
            self.http.socket = tls.wrap_socket(self.http.socket, server_side=True)
        threading.Thread(target=self.http.serve_forever, args=(0.01,), daemon=True).start()

    @property
    def port(self) -> int:
        return int(self.http.server_address[1])

    def close(self) -> None:
        self.released.set()
        self.http.shutdown()
        self.http.server_close()

    def fine(self, handler: BaseHTTPRequestHandler) -> None:
        self.answer(handler, b"HTTP/1.1 200 OK\r\nRetry-After: 7\r\nContent-Length: 4\r\n\r\nfine")

    def redirect(self, handler: BaseHTTPRequestHandler) -> None:
        place = f"http://127.0.0.1:{self.port}/fine"
        self.answer(
            handler,
            f"HTTP/1.1 302 Found\r\nLocation: {place}\r\nContent-Length: 0\r\n\r\n".encode(),
        )

    def big(self, handler: BaseHTTPRequestHandler) -> None:
        self.answer(handler, b"HTTP/1.1 200 OK\r\nContent-Length: 10000000\r\n\r\n" + b"x" * 10**7)

    def cut(self, handler: BaseHTTPRequestHandler) -> None:
        chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nbegin\r\n5\r\nbr"
        self.answer(handler, chunked)
        handler.connection.shutdown(socket.SHUT_RDWR)

    def slow_headers(self, handler: BaseHTTPRequestHandler) -> None:
        self.drip(handler, b"HTTP/1.1 200 OK\r\n", b"x-a: 1\r\n")

    def slow_body(self, handler: BaseHTTPRequestHandler) -> None:
        self.drip(handler, b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n", b"x")

    def slow_last_body(self, handler: BaseHTTPRequestHandler) -> None:
        self.drip(handler, b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n", b"x")

    def continues(self, handler: BaseHTTPRequestHandler) -> None:
        self.drip(handler, b"", b"HTTP/1.1 100 Continue\r\n\r\n")

    def slow_then_fine(self, handler: BaseHTTPRequestHandler) -> None:
        if len(self.requests) == 1:
            self.slow_headers(handler)
        else:
            handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfine")

    def answer(self, handler: BaseHTTPRequestHandler, data: bytes) -> None:
        handler.close_connection = True
        try:
            handler.wfile.write(data)
            handler.wfile.flush()
        except OSError:
            self.released.wait(0)

    def drip(self, handler: BaseHTTPRequestHandler, begin: bytes, drop: bytes) -> None:
        handler.close_connection = True
        try:
            handler.wfile.write(begin)
            while not self.released.wait(0.02):
                handler.wfile.write(drop)
        except OSError:
            pass
