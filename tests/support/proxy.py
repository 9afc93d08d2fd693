"""A TCP proxy before a database server that loses or slows messages on command."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import suppress
from typing import Self
from urllib.parse import urlsplit

__all__ = ["Proxy"]

_PLAIN = {"postgresql": "sslmode=disable", "mysql": "ssl_disabled=true"}


class Proxy:
    """Forwards bytes both ways; can cut at a word, swallow replies, dawdle or drop connections.

    Its words are not to be seen in TLS, which newer servers offer by themselves.

    Args:
        url: of the server behind it.
        tls: clients may use TLS; else the proxy's URL tells them not to.
    """

    def __init__(self, url: str, *, tls: bool = False) -> None:
        parts = urlsplit(url)
        self._server = (parts.hostname or "127.0.0.1", parts.port or 0)
        self._listener = socket.create_server(("127.0.0.1", 0))
        port = self._listener.getsockname()[1]
        login = parts.netloc.rpartition("@")[0]
        parts = parts._replace(netloc=f"{login}@127.0.0.1:{port}".lstrip("@"))
        plain = "" if tls else _PLAIN.get(parts.scheme, "")
        parts = parts._replace(query="&".join(filter(None, (parts.query, plain))))
        self.url = parts.geturl()
        self._cut_word: bytes | None = None
        self._cut_before = False
        self._skip = 0
        self._silent = threading.Event()
        self._delay = 0.0
        self._rate: float | None = None
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self.cuts = 0  # how often a connection was cut at the word
        threading.Thread(target=self._accept, daemon=True).start()

    def cut_at(self, word: str, *, before: bool = False, skip: int = 0) -> None:
        """Cut the next connection that sends this word, once.

        Args:
            before: the server does not receive it; else it does, and its reply is dropped.
            skip: so many messages with this word pass first.
        """
        self._cut_before, self._skip, self._cut_word = before, skip, word.encode()

    def spare(self) -> None:
        """Cut at no word any more."""
        self._cut_word = None

    def silence(self) -> None:
        """Swallow the server's replies from now on; connections stay open."""
        self._silent.set()

    def speak(self) -> None:
        """Forward replies again (what was swallowed is lost)."""
        self._silent.clear()

    def delay(self, seconds: float) -> None:
        """Hold each message back for so long from now on, both ways."""
        self._delay = seconds

    def limit(self, bytes_per_second: float | None) -> None:
        """Let only so much through from now on, each way of each connection; None: all of it."""
        self._rate = bytes_per_second

    def lead_to(self, url: str) -> None:
        """Have new connections lead to another server from now on."""
        parts = urlsplit(url)
        self._server = (parts.hostname or "127.0.0.1", parts.port or 0)

    def drop_all(self) -> None:
        """Cut every connection there is now."""
        pairs, self._pairs = self._pairs, []
        for pair in pairs:
            _shut(*pair)

    def close(self) -> None:
        """Stop listening and cut everything."""
        self._listener.close()
        self.drop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- inside

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        try:
            server = socket.create_connection(self._server)
        except OSError:
            client.close()
            return
        for end in (client, server):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._pairs.append((client, server))
        cut = threading.Event()
        back = threading.Thread(target=self._replies, args=(client, server, cut), daemon=True)
        back.start()
        with suppress(OSError):
            while data := client.recv(65536):
                if self._is_cut(data):
                    cut.set()
                    if self._cut_before:
                        _shut(client, server)
                        return
                self._pass_on(data, server)
        if not cut.is_set():
            _shut(client, server)

    def _pass_on(self, data: bytes, to: socket.socket) -> None:
        if self._delay:
            time.sleep(self._delay)
        while data:
            rate = self._rate
            size = len(data) if rate is None else max(1, int(rate / 10))
            piece, data = data[:size], data[size:]
            if rate is not None:
                time.sleep(len(piece) / rate)
            to.sendall(piece)

    def _is_cut(self, data: bytes) -> bool:
        word = self._cut_word
        if word is None or word not in data:
            return False
        if self._skip:
            self._skip -= 1
            return False
        self._cut_word = None
        self.cuts += 1
        return True

    def _replies(self, client: socket.socket, server: socket.socket, cut: threading.Event) -> None:
        with suppress(OSError):
            while data := server.recv(65536):
                if cut.is_set():  # the server has done it; nobody hears of it
                    break
                if not self._silent.is_set():
                    self._pass_on(data, client)
        _shut(client, server)


def _shut(*ends: socket.socket) -> None:
    for end in ends:
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
        end.close()
