"""python -m tests.proof.streams.clouds kinesis|pubsub PORT FILE: a service that can be killed.

Kinesis is moto behind a proxy, which lets some records of some calls fail, as the service does, and
some calls as a whole; Pub/Sub a server of its own protocol. What was taken is a line of the file
before the answer is sent, so that a kill loses nothing that was acknowledged. Of a hundred requests
ten fail for now, and three were taken though the answer says that they were not.
"""

from __future__ import annotations

import base64
import http.client
import json
import logging
import os
import random
import sys
import threading
from collections.abc import Iterable
from typing import Any

from tests.support.clouds import kinesis_server, publisher_server

__all__ = ["STREAM", "TOPIC"]

STREAM, TOPIC = "events", "projects/p/topics/events"
_FAILED, _DENIED = 0.10, 0.13


class _Kept:
    """The file of what was taken."""

    def __init__(self, path: str) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(self._file, b"\n")  # ends a line that a killed process has left half
        self.lock = threading.Lock()

    def add(self, messages: Iterable[tuple[str, bytes]]) -> None:
        """Keep messages with their keys; the caller has the lock."""
        lines = [json.dumps({"key": key, "body": body.decode()}) for key, body in messages]
        if lines:
            os.write(self._file, "".join(f"{line}\n" for line in lines).encode())


class _Kinesis:
    """The proxy before moto."""

    def __init__(self, kept: _Kept) -> None:
        from moto.server import ThreadedMotoServer

        logging.getLogger("werkzeug").setLevel(logging.ERROR)  # it tells each request
        self._kept = kept
        moto = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        moto.start()
        self._at = moto.get_host_and_port()
        headers = {
            "X-Amz-Target": "Kinesis_20131202.CreateStream",
            "Content-Type": "application/x-amz-json-1.1",
            "Authorization": "AWS4-HMAC-SHA256 Credential=id/20260101/eu-central-1/kinesis/"
            "aws4_request, SignedHeaders=host, Signature=0",
        }  # fmt: skip
        self._forward(headers, json.dumps({"StreamName": STREAM, "ShardCount": 4}).encode())

    def handle(self, headers: dict[str, str], body: bytes) -> tuple[int, bytes]:
        """The answer to a call."""
        given = json.loads(body)
        if headers["X-Amz-Target"].partition(".")[2] != "PutRecords":
            return self._forward(headers, body)
        chance, records = random.random(), given["Records"]
        if chance < _FAILED / 2:
            return 500, b'{"__type":"InternalFailure"}'
        failing = {
            place for place in range(len(records)) if chance < _FAILED and random.random() < 0.5
        }
        given["Records"] = [r for place, r in enumerate(records) if place not in failing]
        taken: list[Any] = []
        if given["Records"]:
            with self._kept.lock:
                status, answer = self._forward(headers, json.dumps(given).encode())
                if status != 200:
                    return status, answer
                taken = json.loads(answer)["Records"]
                self._kept.add(
                    (r["PartitionKey"], base64.b64decode(r["Data"])) for r in given["Records"]
                )
        if _FAILED <= chance < _DENIED:
            return 500, b'{"__type":"InternalFailure"}'
        slow = {"ErrorCode": "ProvisionedThroughputExceededException", "ErrorMessage": "slow down"}
        found = [slow if place in failing else taken.pop(0) for place in range(len(records))]
        return 200, json.dumps({"FailedRecordCount": len(failing), "Records": found}).encode()

    def _forward(self, headers: dict[str, str], body: bytes) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection(*self._at)
        kept = {n: v for n, v in headers.items() if n not in ("Host", "Content-Length")}
        connection.request("POST", "/", body, kept)
        answer = connection.getresponse()
        found = answer.status, answer.read()
        connection.close()
        return found


def _serve_kinesis(port: int, kept: _Kept) -> None:
    kinesis_server(port, _Kinesis(kept).handle).serve_forever()


def _serve_pubsub(port: int, kept: _Kept) -> None:
    import grpc
    from google.pubsub_v1.types import PublishResponse

    def publish(request: Any, context: Any) -> Any:
        chance = random.random()
        if chance < _FAILED:
            context.abort(grpc.StatusCode.UNAVAILABLE, "for now")
        with kept.lock:
            kept.add((message.ordering_key, message.data) for message in request.messages)
        if chance < _DENIED:
            context.abort(grpc.StatusCode.UNAVAILABLE, "it was taken")
        return PublishResponse(message_ids=["1"] * len(request.messages))

    server = publisher_server(publish, 4)
    assert server.add_insecure_port(f"127.0.0.1:{port}") == port
    server.start()
    server.wait_for_termination()


def _main() -> None:
    _, kind, port, path = sys.argv
    serve = {"kinesis": _serve_kinesis, "pubsub": _serve_pubsub}[kind]
    serve(int(port), _Kept(path))


if __name__ == "__main__":
    _main()
