"""The sink ``kinesis``: every event in its stream, in order for each key, whatever calls fail."""

from __future__ import annotations

import base64
import http.client
import json
import socket
import sys
import threading
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from hammerflow.errors import ConfigError
from hammerflow.sinks.registry import open_sink, shown_config
from tests.sinks.test_delivery import add, deliver
from tests.sinks.test_http import MESSAGE
from tests.stores.kit import Desk
from tests.support.clouds import kinesis_server

ACCESS = {"region": "eu-central-1", "access_key_id": "id", "secret_access_key": "s3cret"}


class Kinesis:
    """A service in this process behind a proxy that lets calls fail in part.

    Attributes:
        plan: for each of the next calls of PutRecords the places of the records that it does not
            take, or an answer of HTTP 500 (``None``).
        calls: what each call has put: its name, and the partition keys.
    """

    def __init__(self) -> None:
        from moto.server import ThreadedMotoServer

        self._moto = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        self._moto.start()
        self._at = self._moto.get_host_and_port()
        self.plan: list[Sequence[int] | None] = []
        self.calls: list[tuple[str, list[str]]] = []
        self._proxy = kinesis_server(0, self.handle)
        self._thread = threading.Thread(target=self._proxy.serve_forever)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._proxy.server_port}"

    def handle(self, headers: dict[str, str], body: bytes) -> tuple[int, bytes]:
        name, given = headers["X-Amz-Target"].partition(".")[2], json.loads(body)
        if name == "PutRecord":
            self.calls.append((name, [given["PartitionKey"]]))
        if name != "PutRecords":
            return self._forward(headers, body)
        records = given["Records"]
        self.calls.append((name, [record["PartitionKey"] for record in records]))
        failing = self.plan.pop(0) if self.plan else ()
        if failing is None:
            return 500, b'{"__type":"InternalFailure"}'
        given["Records"] = [r for place, r in enumerate(records) if place not in failing]
        taken: list[Any] = []
        if given["Records"]:
            status, answer = self._forward(headers, json.dumps(given).encode())
            if status != 200:
                return status, answer
            taken = json.loads(answer)["Records"]
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

    def call(self, name: str, **values: Any) -> dict[str, Any]:
        headers = {
            "X-Amz-Target": f"Kinesis_20131202.{name}",
            "Content-Type": "application/x-amz-json-1.1",
            "Authorization": "AWS4-HMAC-SHA256 Credential=id/20260101/eu-central-1/kinesis/"
            "aws4_request, SignedHeaders=host, Signature=0",
        }  # fmt: skip
        status, answer = self._forward(headers, json.dumps(values).encode())
        assert status == 200, answer
        return json.loads(answer) if answer else {}

    def records(self, stream: str) -> list[tuple[str, int]]:
        """Key and position of each record, by shard and sequence number."""
        found = []
        for shard in self.call("ListShards", StreamName=stream)["Shards"]:
            where = {"StreamName": stream, "ShardId": shard["ShardId"]}
            at = self.call("GetShardIterator", **where, ShardIteratorType="TRIM_HORIZON")
            for one in self.call("GetRecords", ShardIterator=at["ShardIterator"])["Records"]:
                event = json.loads(base64.b64decode(one["Data"]))
                found.append((one["PartitionKey"], int(event["sequence"])))
        return found

    def close(self) -> None:
        self._proxy.shutdown()
        self._proxy.server_close()
        self._thread.join()
        self._moto.stop()


@pytest.fixture(scope="module")
def service() -> Iterator[Kinesis]:
    service = Kinesis()
    yield service
    service.close()


@pytest.fixture
def stream(service: Kinesis, request: pytest.FixtureRequest) -> str:
    """A stream of the test's own, with two shards."""
    service.plan.clear()
    service.calls.clear()
    service.call("CreateStream", StreamName=request.node.name, ShardCount=2)
    return str(request.node.name)


def put_jobs(desk: Desk, count: int) -> None:
    desk.end(*desk.run(*(desk.job() for _ in range(count))))


def test_what_a_call_does_not_take_is_sent_again_before_what_follows(
    embedded_desk: Desk, service: Kinesis, stream: str
) -> None:
    desk = embedded_desk
    options: dict[str, Any] = {**ACCESS, "endpoint": service.url, "stream": stream}
    add(desk, kind="kinesis", kinds=["job.*"], **options)
    put_jobs(desk, 6)  # three events each
    service.plan = [(0, 3, 5), (1,), (), (0, 1)]
    deliver(desk)
    found = service.records(stream)
    assert sorted(position for _, position in found) == list(range(1, 19))
    for key in {key for key, _ in found}:
        own = [position for other, position in found if other == key]
        assert own == sorted(own) and len(own) == 3
    assert all(len(keys) == len(set(keys)) for _, keys in service.calls)
    row = desk.store.sinks.get("s")
    assert (row.position, row.sent, row.failures) == (18, 18, 0)


def test_an_outage_keeps_the_cursor(embedded_desk: Desk, service: Kinesis, stream: str) -> None:
    desk = embedded_desk
    options: dict[str, Any] = {**ACCESS, "endpoint": service.url, "stream": stream}
    add(desk, kind="kinesis", **options)
    put_jobs(desk, 3)
    service.plan = [None]
    one = deliver(desk)
    row = desk.store.sinks.get("s")
    assert (row.position, row.failures) == (0, 1) and "InternalFailure" in row.error
    one._retry_at = 0.0
    deliver(desk, one)
    assert sorted(position for _, position in service.records(stream)) == [1, 2, 3]


def test_ordered_puts_one_record_after_another(
    embedded_desk: Desk, service: Kinesis, stream: str
) -> None:
    desk = embedded_desk
    options: dict[str, Any] = {**ACCESS, "endpoint": service.url, "stream": stream}
    add(desk, kind="kinesis", ordered=True, key="queue", max_record=2_000, **options)
    put_jobs(desk, 2)
    desk.end(*desk.run(desk.job(headers='{"note": "' + "x" * 3_000 + '"}')))
    put_jobs(desk, 1)
    deliver(desk)
    assert service.records(stream) == [("q", 1), ("q", 2), ("q", 4)]
    assert [name for name, _ in service.calls] == ["PutRecord"] * 3
    [parked] = desk.store.sinks.parked("s")
    assert parked.position == 3 and "max_record" in parked.error


def test_a_service_that_does_not_answer_is_named_as_the_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        where = f"http://127.0.0.1:{deaf.getsockname()[1]}"
        options = {**ACCESS, "endpoint": where, "stream": "t", "timeout": 0.1}
        sink = open_sink("s", "kinesis", options)
        sink.open()
        assert "ReadTimeoutError" in sink.send([MESSAGE]).error
        sink.close()


def test_errors_and_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "s3cret" not in str(shown_config("kinesis", ACCESS))
    with pytest.raises(ConfigError, match="together"):
        open_sink("s", "kinesis", {"stream": "t", "access_key_id": "id"})
    monkeypatch.setitem(sys.modules, "boto3", None)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"pip install 'hammerflow\[kinesis\]'"):
        open_sink("s", "kinesis", {"stream": "t"})
