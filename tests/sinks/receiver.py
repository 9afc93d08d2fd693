"""An HTTP receiver of batches of events, that answers as it is told."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from hammerflow.options.variables import Bounds

__all__ = ["LOCAL", "Receiver"]

#: What lets sinks that no code declares reach receivers of tests.
LOCAL = Bounds(networks=("127.0.0.0/8",))


class Receiver:
    """Keeps what it gets.

    Attributes:
        batches: what was acknowledged.
        answers: statuses of the next answers; 200 once there are none.
        poison: kinds of events that it refuses with 400.
        most: events of a batch that it manages in time; it answers more with 503.
    """

    def __init__(self) -> None:
        self.batches: list[list[dict[str, Any]]] = []
        self.headers: list[dict[str, str]] = []
        self.answers: list[int] = []
        self.poison: set[str] = set()
        self.most = 5_000
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                batch = json.loads(body)
                status = receiver.answers.pop(0) if receiver.answers else 200
                if len(batch) > receiver.most:
                    status = 503
                if receiver.poison and any(event["type"] in receiver.poison for event in batch):
                    status = 400
                if status == 200:
                    receiver.batches.append(batch)
                    receiver.headers.append(dict(self.headers))
                self.send_response(status)
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"ok")

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/events"

    @property
    def events(self) -> list[dict[str, Any]]:
        return [event for batch in self.batches for event in batch]

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
