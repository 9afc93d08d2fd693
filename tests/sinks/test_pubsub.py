"""The sink ``pubsub``: every event in its topic, in order for each key, whatever requests fail."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from hammerflow.errors import ConfigError
from hammerflow.sinks.registry import open_sink, shown_config
from tests.sinks.test_delivery import add, deliver
from tests.stores.kit import Desk
from tests.support.clouds import publisher_server

TOPIC = "projects/p/topics/jobs"


class PubSub:
    """A server of the service Publisher.

    Attributes:
        got: the messages, in order.
        requests: how many messages each request had.
        plan: codes with which the next requests fail; a text: requests with it are refused.
    """

    def __init__(self) -> None:
        import grpc
        from google.pubsub_v1.types import PublishResponse

        self.got: list[Any] = []
        self.requests: list[int] = []
        self.plan: list[Any] = []
        self.poison = b""

        def publish(request: Any, context: Any) -> Any:
            self.requests.append(len(request.messages))
            if self.plan:
                context.abort(self.plan.pop(0), "as told")
            if self.poison and any(self.poison in message.data for message in request.messages):
                context.abort(grpc.StatusCode.INVALID_ARGUMENT, "poison")
            self.got += request.messages
            return PublishResponse(message_ids=["1"] * len(request.messages))

        self._server = publisher_server(publish, 2)
        self.port = self._server.add_insecure_port("127.0.0.1:0")
        self._server.start()
        self.codes = grpc.StatusCode

    def positions(self) -> list[int]:
        return [int(json.loads(message.data)["sequence"]) for message in self.got]

    def close(self) -> None:
        self._server.stop(None).wait()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[PubSub]:
    server = PubSub()
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", f"127.0.0.1:{server.port}")
    yield server
    server.close()


def end_jobs(desk: Desk, count: int) -> None:
    desk.end(*desk.run(*(desk.job() for _ in range(count))))


def test_events_are_published_in_order_and_again_after_an_error(
    embedded_desk: Desk, server: PubSub
) -> None:
    desk = embedded_desk
    add(desk, kind="pubsub", topic=TOPIC, batch=10)
    end_jobs(desk, 15)
    server.plan = [server.codes.UNAVAILABLE, server.codes.PERMISSION_DENIED]
    one = deliver(desk)
    row = desk.store.sinks.get("s")
    assert (row.position, row.failures) == (0, 1) and "ServiceUnavailable" in row.error
    for _ in range(2):
        one._retry_at = 0.0
        deliver(desk, one)
    assert server.positions() == list(range(1, 16))
    assert server.requests == [10, 5, 2, 4, 8, 1]  # of two errors each halves what comes next
    message = server.got[0]
    assert message.ordering_key == json.loads(message.data)["partitionkey"]
    assert dict(message.attributes) == {"content-type": "application/cloudevents+json"}


def test_binary_messages_have_attributes_and_a_refused_one_is_parked(
    embedded_desk: Desk, server: PubSub
) -> None:
    desk = embedded_desk
    add(desk, kind="pubsub", topic=TOPIC, encoding="binary", key="queue", headers={"team": "ops"})
    end_jobs(desk, 1)
    desk.end(*desk.run(desk.job(headers='{"note": "poison"}')))
    end_jobs(desk, 1)
    server.poison = b"poison"
    deliver(desk)
    attributes = [dict(message.attributes) for message in server.got]
    assert [found["ce-id"] for found in attributes] == ["shop/1", "shop/3"]
    wanted = {"content-type": "application/json", "team": "ops", "ce-specversion": "1.0"}
    assert wanted.items() <= attributes[0].items() and "ce-datacontenttype" not in attributes[0]
    assert {message.ordering_key for message in server.got} == {"q"}
    [parked] = desk.store.sinks.parked("s")
    assert parked.position == 2 and "InvalidArgument" in parked.error


def test_errors_and_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "s3cret" not in str(shown_config("pubsub", {"headers": {"token": "s3cret"}}))
    with pytest.raises(ConfigError, match="topic=projects/"):
        open_sink("s", "pubsub", {"topic": "jobs"})
    monkeypatch.setitem(sys.modules, "google.pubsub_v1", None)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"pip install 'hammerflow\[pubsub\]'"):
        open_sink("s", "pubsub", {"topic": TOPIC})
