"""python -m tests.proof.streams.receiver PORT FILE: an HTTP receiver that can be killed.

It keeps each batch as a line of the file before it answers. Of a hundred requests it refuses three
for now, keeps three and says that it did not, and keeps three without an answer.
"""

from __future__ import annotations

import json
import os
import random
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

__all__: list[str] = []

_REFUSED, _DENIED, _SILENT = 0.03, 0.06, 0.09


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    file = -1
    lock = threading.Lock()

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        chance = random.random()
        if chance < _REFUSED:
            self._answer(503)
            return
        line = json.dumps(json.loads(body)).encode() + b"\n"
        with self.lock:
            os.write(self.file, line)
        if _DENIED <= chance < _SILENT:
            self.close_connection = True
            return
        self._answer(500 if chance < _DENIED else 200)

    def _answer(self, status: int) -> None:
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


def _main() -> None:
    _, port, path = sys.argv
    _Handler.file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(_Handler.file, b"\n")  # ends a line that a killed process has left half
    server = ThreadingHTTPServer(("127.0.0.1", int(port)), _Handler)
    server.daemon_threads = True
    server.serve_forever()


if __name__ == "__main__":
    _main()
