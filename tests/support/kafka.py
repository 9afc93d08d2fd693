"""Kafka: a cluster in a process of its own, whose brokers go down, lag and fail as they are told.

It is librdkafka's mock cluster: the real protocol over TCP, its data in memory. Its controls are in
the C library only, so the process calls them by ctypes:

    python -m tests.support.kafka

prints the servers, then obeys one line of JSON at a time, and answers each with a line; it ends
with its input.
"""

from __future__ import annotations

import ctypes
import glob
import json
import os
import subprocess
import sys
from typing import Any, NamedTuple

__all__ = ["BROKERS", "Kafka", "Record"]

#: The numbers of the brokers.
BROKERS = (1, 2, 3)
#: The kind of request that :meth:`Kafka.fail` lets fail: Produce.
_PRODUCE = 0


class Record(NamedTuple):
    """A message of a topic."""

    partition: int
    offset: int
    key: str
    headers: dict[str, str]
    value: bytes


class Kafka:
    """A cluster, running from the constructor to :meth:`kill` or the end of this process.

    Attributes:
        servers: for ``bootstrap.servers``.
    """

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip
        self.servers = str(self._answer())

    def topic(self, name: str, partitions: int = 4) -> None:
        """Create a topic; others come into being, with four partitions, when they are used."""
        self._call("topic", name, partitions)

    def down(self, *brokers: int) -> None:
        """Cut the connections of these brokers, or of all, and accept no more; data stays."""
        for broker in brokers or BROKERS:
            self._call("down", broker)

    def up(self, *brokers: int) -> None:
        """Accept connections again."""
        for broker in brokers or BROKERS:
            self._call("up", broker)

    def slow(self, milliseconds: int, *brokers: int) -> None:
        """Answer each request that much later; 0: at once."""
        for broker in brokers or BROKERS:
            self._call("rtt", broker, milliseconds)

    def fail(self, *codes: int) -> None:
        """Let the next requests to produce fail with these codes of the protocol, one each."""
        self._call("fail", *codes)

    def read(self, topic: str) -> list[Record]:
        """All messages of a topic, by partition and offset."""
        from confluent_kafka import Consumer, TopicPartition

        consumer = Consumer({
            "bootstrap.servers": self.servers, "group.id": "reader", "enable.auto.commit": False,
            "enable.partition.eof": True, "log_level": 0, "fetch.wait.max.ms": 10,
        })  # fmt: skip
        try:
            found = consumer.list_topics(topic, timeout=10).topics[topic].partitions
            consumer.assign([TopicPartition(topic, one, 0) for one in found])
            records, left = [], set(found)
            while left:
                message = consumer.poll(10)
                if message is None:
                    raise AssertionError(f"partitions {left} of {topic} cannot be read")
                if message.error():
                    left.discard(message.partition())
                else:
                    records.append(_record(message))
            return sorted(records)
        finally:
            consumer.close()

    def kill(self) -> None:
        """Kill the process; all data is lost."""
        self._process.kill()
        self._process.communicate()

    def _call(self, *command: Any) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(command) + "\n")
        self._process.stdin.flush()
        if self._answer() != 0:
            raise AssertionError(f"the mock cluster refuses {command}")

    def _answer(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise AssertionError("the mock cluster has died")
        return json.loads(line)


def _record(message: Any) -> Record:
    headers = {name: value.decode() for name, value in message.headers() or ()}
    key = (message.key() or b"").decode()
    return Record(message.partition(), message.offset(), key, headers, message.value())


# -- the process


def _library() -> Any:
    """librdkafka of the wheel of confluent-kafka, with the types of what is called."""
    import confluent_kafka

    folder = os.path.dirname(os.path.dirname(confluent_kafka.__file__))
    [path] = glob.glob(f"{folder}/confluent_kafka.libs/librdkafka*")
    found = ctypes.CDLL(path)
    pointer, text = ctypes.c_void_p, ctypes.c_char_p
    found.rd_kafka_conf_new.restype = pointer
    found.rd_kafka_conf_set.argtypes = [pointer, text, text, text, ctypes.c_size_t]
    found.rd_kafka_new.restype = pointer
    found.rd_kafka_new.argtypes = [ctypes.c_int, pointer, text, ctypes.c_size_t]
    found.rd_kafka_mock_cluster_new.restype = pointer
    found.rd_kafka_mock_cluster_new.argtypes = [pointer, ctypes.c_int]
    found.rd_kafka_mock_cluster_bootstraps.restype = text
    found.rd_kafka_mock_cluster_bootstraps.argtypes = [pointer]
    found.rd_kafka_mock_topic_create.argtypes = [pointer, text, ctypes.c_int, ctypes.c_int]
    found.rd_kafka_mock_push_request_errors_array.argtypes = [
        pointer, ctypes.c_int16, ctypes.c_size_t, ctypes.POINTER(ctypes.c_int),
    ]  # fmt: skip
    found.rd_kafka_mock_broker_set_down.argtypes = [pointer, ctypes.c_int32]
    found.rd_kafka_mock_broker_set_up.argtypes = [pointer, ctypes.c_int32]
    found.rd_kafka_mock_broker_set_rtt.argtypes = [pointer, ctypes.c_int32, ctypes.c_int]
    return found


def _main() -> None:
    library = _library()
    settings = library.rd_kafka_conf_new()
    library.rd_kafka_conf_set(settings, b"log_level", b"0", None, 0)
    cluster = library.rd_kafka_mock_cluster_new(
        library.rd_kafka_new(0, settings, None, 0), len(BROKERS)
    )
    _say(library.rd_kafka_mock_cluster_bootstraps(cluster).decode())
    for line in sys.stdin:
        _say(_obey(library, cluster, *json.loads(line)))


def _say(answer: str | int) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


def _obey(library: Any, cluster: Any, command: str, *given: Any) -> int:
    match command:
        case "topic":
            found = library.rd_kafka_mock_topic_create(
                cluster, given[0].encode(), given[1], len(BROKERS)
            )
        case "fail":
            codes = (ctypes.c_int * len(given))(*given)
            library.rd_kafka_mock_push_request_errors_array(cluster, _PRODUCE, len(given), codes)
            return 0
        case "down":
            found = library.rd_kafka_mock_broker_set_down(cluster, *given)
        case "up":
            found = library.rd_kafka_mock_broker_set_up(cluster, *given)
        case "rtt":
            found = library.rd_kafka_mock_broker_set_rtt(cluster, *given)
        case _:
            return 1
    return int(found)


if __name__ == "__main__":
    _main()
