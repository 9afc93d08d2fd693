"""The proxy that tests put before a server is as slow as it was told to be."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from tests.support.proxy import Proxy


@pytest.fixture
def echo() -> Iterator[str]:
    """The URL of a server that sends everything back."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        peer, _ = listener.accept()
        with peer:
            while data := peer.recv(65536):
                peer.sendall(data)

    threading.Thread(target=serve, daemon=True).start()
    yield f"tcp://me@127.0.0.1:{listener.getsockname()[1]}"
    listener.close()


def _seconds_for(size: int, peer: socket.socket) -> float:
    began = time.monotonic()
    peer.sendall(b"x" * size)
    while size:
        size -= len(peer.recv(65536))
    return time.monotonic() - began


def test_a_proxy_is_slow_when_told_and_only_then(echo: str) -> None:
    with Proxy(echo) as proxy:
        parts = urlsplit(proxy.url)
        with socket.create_connection((parts.hostname or "", parts.port or 0)) as peer:
            assert _seconds_for(1, peer) < 0.2

            proxy.delay(0.2)
            assert 0.4 <= _seconds_for(1, peer) < 1

            proxy.delay(0)
            proxy.limit(10_000)
            assert 0.5 <= _seconds_for(5_000, peer) < 2  # both ways at once: 0.5 s and a piece

            proxy.limit(None)
            assert _seconds_for(5_000, peer) < 0.2
