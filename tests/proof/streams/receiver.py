"""python -m tests.proof.streams.receiver PORT FILE [SECRET]: an HTTP receiver that can be killed.

It keeps each request as a line of the file before it answers: its events and, if it is given the
secret of a webhook, the id of the message and whether the signature is right. Of a hundred requests
it refuses three for now, keeps three and says that it did not, keeps three without an answer, and
asks for a second of pause three times. While FILE.gone exists it answers 410, and keeps nothing.
"""

from __future__ import annotations

import json
import os
import random
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from standardwebhooks import Webhook, WebhookVerificationError

__all__: list[str] = []

_PAUSED, _REFUSED, _DENIED, _SILENT = 0.03, 0.06, 0.09, 0.12


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    file = -1
    gone = ""
    webhook: Webhook | None = None
    lock = threading.Lock()

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if os.path.exists(self.gone):
            self._answer(410)
            return
        chance = random.random()
        if chance < _REFUSED:
            self._answer(429 if chance < _PAUSED else 503)
            return
        line = json.dumps(self._told(body)).encode() + b"\n"
        with self.lock:
            os.write(self.file, line)
        if _DENIED <= chance < _SILENT:
            self.close_connection = True
            return
        self._answer(500 if chance < _DENIED else 200)

    def _told(self, body: bytes) -> dict[str, Any]:
        if self.webhook is None:
            return {"events": json.loads(body)}
        headers = {name.lower(): value for name, value in self.headers.items()}
        try:
            self.webhook.verify(body, headers)
        except WebhookVerificationError as error:
            return {"events": [], "refused": str(error)}
        return {"events": [json.loads(body)], "id": headers["webhook-id"]}

    def _answer(self, status: int) -> None:
        self.send_response(status)
        self.send_header("Content-Length", "0")
        if status == 429:
            self.send_header("Retry-After", "1")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


def _main() -> None:
    _, port, path, *secret = sys.argv
    _Handler.file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    _Handler.gone = f"{path}.gone"
    _Handler.webhook = Webhook(*secret) if secret else None
    os.write(_Handler.file, b"\n")  # ends a line that a killed process has left half
    server = ThreadingHTTPServer(("127.0.0.1", int(port)), _Handler)
    server.daemon_threads = True
    server.serve_forever()


if __name__ == "__main__":
    _main()
