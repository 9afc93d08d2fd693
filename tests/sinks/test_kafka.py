"""The sink ``kafka``: every event in its topic, in order for each key, whatever brokers do."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from hammerflow.errors import ConfigError
from hammerflow.sinks.registry import check_config, open_sink, shown_config
from tests.sinks.test_delivery import add, deliver
from tests.stores.kit import Desk
from tests.support.kafka import Kafka, Record

#: Codes of the protocol.
NOT_LEADER, TIMED_OUT, TOO_LARGE, FEW_REPLICAS, NOT_AUTHORIZED = 6, 7, 10, 19, 29


@pytest.fixture(scope="module")
def cluster() -> Iterator[Kafka]:
    cluster = Kafka()
    yield cluster
    cluster.kill()


@pytest.fixture
def topic(cluster: Kafka, request: pytest.FixtureRequest) -> str:
    """A topic of the test's own."""
    name = request.node.name.replace("[", ".").rstrip("]")
    cluster.topic(name, 3)
    return str(name)


def end_jobs(desk: Desk, count: int) -> None:
    desk.end(*desk.run(*(desk.job() for _ in range(count))))


def numbers(records: list[Record]) -> list[int]:
    return [int(json.loads(one.value)["sequence"]) for one in records]


def first_order(records: list[Record]) -> bool:
    """Whether each partition got the events in order, repeats aside."""
    seen: dict[int, int] = {}
    known: set[int] = set()
    for one, number in zip(records, numbers(records), strict=True):
        if number not in known and number < seen.get(one.partition, 0):
            return False
        known.add(number)
        seen[one.partition] = max(number, seen.get(one.partition, 0))
    return True


def test_events_of_a_job_are_in_one_partition_in_order(
    desk: Desk, cluster: Kafka, topic: str
) -> None:
    add(desk, kind="kafka", servers=cluster.servers, topic=topic, batch=7, kinds=["job.*"])
    end_jobs(desk, 10)
    deliver(desk).close()
    records = cluster.read(topic)
    assert sorted(numbers(records)) == list(range(1, 31)) and first_order(records)
    partitions: dict[str, set[int]] = {}
    for one in records:
        partitions.setdefault(one.key, set()).add(one.partition)
        assert one.headers == {"content-type": "application/cloudevents+json"}
        assert json.loads(one.value)["partitionkey"] == one.key
    assert len(partitions) == 10 and all(len(found) == 1 for found in partitions.values())


def test_binary_messages_have_the_attributes_in_headers(
    embedded_desk: Desk, cluster: Kafka, topic: str
) -> None:
    desk = embedded_desk
    add(
        desk, kind="kafka", servers=cluster.servers, topic=topic, encoding="binary", key="queue",
        headers={"team": "ops"},
    )  # fmt: skip
    end_jobs(desk, 1)
    deliver(desk)
    [one] = cluster.read(topic)
    assert one.key == one.headers["ce_partitionkey"] == "q" and one.headers["team"] == "ops"
    assert one.headers["content-type"] == "application/json"
    assert "ce_datacontenttype" not in one.headers
    wanted = {"ce_specversion": "1.0", "ce_id": "shop/1", "ce_type": "hammerflow.job.completed.v1"}
    assert wanted.items() <= one.headers.items()
    assert json.loads(one.value)["task"] == "t"


def test_what_a_broker_may_take_later_is_retried_at_once(
    embedded_desk: Desk, cluster: Kafka, topic: str
) -> None:
    desk = embedded_desk
    add(desk, kind="kafka", servers=cluster.servers, topic=topic)
    end_jobs(desk, 5)
    cluster.fail(NOT_LEADER, TIMED_OUT, FEW_REPLICAS)
    deliver(desk)
    assert sorted(numbers(cluster.read(topic))) == [1, 2, 3, 4, 5]
    assert desk.store.sinks.get("s").sent == 5


def test_nothing_overtakes_what_a_broker_has_not_taken(
    embedded_desk: Desk, cluster: Kafka, topic: str
) -> None:
    """Such an error is not retried by the producer: what follows must fail with it."""
    desk = embedded_desk
    settings = {"batch.num.messages": "1"}  # a request for each
    add(desk, kind="kafka", servers=cluster.servers, topic=topic, key="queue", settings=settings)
    end_jobs(desk, 6)
    cluster.fail(NOT_AUTHORIZED)
    one = deliver(desk)
    row = desk.store.sinks.get("s")
    assert row.failures == 1 and "TOPIC_AUTHORIZATION_FAILED" in row.error
    one._retry_at = 0.0
    deliver(desk, one)
    records = cluster.read(topic)
    assert set(numbers(records)) == set(range(1, 7)) and first_order(records)


def test_a_batch_that_is_too_large_is_divided_and_an_event_parked(
    embedded_desk: Desk, cluster: Kafka, topic: str
) -> None:
    desk = embedded_desk
    settings = {"message.max.bytes": "2000"}
    add(desk, kind="kafka", servers=cluster.servers, topic=topic, settings=settings)
    desk.end(*desk.run(desk.job(headers='{"note": "' + "x" * 3_000 + '"}')))
    end_jobs(desk, 2)
    cluster.fail(TOO_LARGE)  # both together
    one = deliver(desk)
    assert sorted(numbers(cluster.read(topic))) == [2, 3]
    [parked] = desk.store.sinks.parked("s")
    assert parked.position == 1 and "MSG_SIZE_TOO_LARGE" in parked.error
    end_jobs(desk, 1)
    cluster.fail(TOO_LARGE, TOO_LARGE)  # also alone
    deliver(desk, one)
    assert [one.position for one in desk.store.sinks.parked("s")] == [4, 1]


def test_brokers_that_are_down_or_slow_lose_nothing(
    embedded_desk: Desk, cluster: Kafka, topic: str
) -> None:
    desk = embedded_desk
    add(
        desk, kind="kafka", servers=cluster.servers, topic=topic, key="queue", timeout=0.5, batch=20
    )
    end_jobs(desk, 20)
    one = deliver(desk)
    cluster.slow(1_500)  # taken, but not acknowledged in time
    end_jobs(desk, 30)
    deliver(desk, one)
    row = desk.store.sinks.get("s")
    assert row.failures == 1 and row.position == 20 and "within 0.5 s" in row.error
    cluster.down()
    one._retry_at = 0.0
    deliver(desk, one)
    row = desk.store.sinks.get("s")
    assert row.failures == 2 and row.position == 20 and row.error
    cluster.slow(0)
    cluster.up()
    for _ in range(20):
        one._retry_at = 0.0
        deliver(desk, one)
        if desk.store.sinks.get("s").position == 50:
            break
    records = cluster.read(topic)
    assert set(numbers(records)) == set(range(1, 51)) and first_order(records)
    assert {record.partition for record in records} == {records[0].partition}


def test_without_the_driver_an_error_names_the_extra(
    embedded_desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "confluent_kafka", None)  # type: ignore[arg-type]
    add(embedded_desk, kind="kafka", servers="127.0.0.1:1", topic="t")
    end_jobs(embedded_desk, 1)
    deliver(embedded_desk)
    row = embedded_desk.store.sinks.get("s")
    assert row.state == "stopped" and "pip install 'hammerflow[kafka]'" in row.reason


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"topic": "t"}, "needs servers="),
        ({"servers": "h:1", "topic": "a b"}, "letters, digits"),
        ({"servers": "h:1", "topic": "t", "username": "me"}, "password= together"),
        ({"servers": "h:1", "topic": "t", "settings": {"acks": "0"}}, "cannot set acks"),
        (
            {"servers": "h:1", "topic": "t", "settings": {"plugin.library.paths": "/tmp/x"}},
            "cannot set plugin.library.paths",
        ),
    ],
)
def test_options_are_checked(options: dict[str, Any], error: str) -> None:
    with pytest.raises(ConfigError, match=error):
        open_sink("s", "kafka", check_config("kafka", options))


def test_secrets_are_not_shown() -> None:
    config = {
        "servers": "h:1", "topic": "t", "username": "me", "password": "s3cret",
        "settings": {"ssl.key.password": "s3cret"}, "headers": {"token": "s3cret"},
    }  # fmt: skip
    assert "s3cret" not in str(shown_config("kafka", config))
