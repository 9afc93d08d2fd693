"""python -m benchmarks.far HOST PORT SECONDS: a TCP proxy that holds each message for a while.

Prints its own port. Messages are held side by side: only the way gets longer, not narrower.
"""

from __future__ import annotations

import contextlib
import queue
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from urllib.parse import urlsplit


@contextlib.contextmanager
def proxied(url: str, round_trip: float) -> Iterator[str]:
    """The URL of the same server, this many seconds of round trip away."""
    parts = urlsplit(url)
    command = [sys.executable, "-m", "benchmarks.far", str(parts.hostname), str(parts.port)]
    process = subprocess.Popen([*command, str(round_trip / 2)], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        port = int(process.stdout.readline())
        login = parts.netloc.rpartition("@")[0]
        yield parts._replace(netloc=f"{login}@127.0.0.1:{port}").geturl()
    finally:
        process.terminate()
        process.wait()


def main(host: str, port: int, seconds: float) -> None:
    """Serve until killed."""
    listener = socket.create_server(("127.0.0.1", 0))
    print(listener.getsockname()[1], flush=True)
    while True:
        near, _ = listener.accept()
        far = socket.create_connection((host, port))
        for end in (near, far):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for source, target in ((near, far), (far, near)):
            held: queue.SimpleQueue[tuple[float, bytes]] = queue.SimpleQueue()
            threading.Thread(target=_read, args=(source, held, seconds), daemon=True).start()
            threading.Thread(target=_write, args=(target, held), daemon=True).start()


def _read(source: socket.socket, held: queue.SimpleQueue[tuple[float, bytes]], by: float) -> None:
    data = b"-"
    while data:
        try:
            data = source.recv(1 << 18)
        except OSError:
            data = b""
        held.put((time.monotonic() + by, data))


def _write(target: socket.socket, held: queue.SimpleQueue[tuple[float, bytes]]) -> None:
    with contextlib.suppress(OSError):
        while True:
            due, data = held.get()
            time.sleep(max(0.0, due - time.monotonic()))
            if not data:
                break
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]))
