"""Endpoints: brokers and a receiver that sinks send to, how each is broken, and what it holds."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from hammerflow.webhooks import new_secret
from tests.proof.streams.clouds import STREAM, TOPIC
from tests.support.kafka import BROKERS, Kafka
from tests.support.nats_server import Nats
from tests.support.proxy import Proxy
from tests.support.servers import Redis, open_redis
from tests.support.waiting import until

__all__ = [
    "Endpoint", "Fault", "HttpEndpoint", "KafkaEndpoint", "KinesisEndpoint", "NatsEndpoint",
    "PubSubEndpoint", "RedisEndpoint", "WebhookEndpoint",
]  # fmt: skip

_STREAM, _PARTITIONS = "events", 8
#: Options of all sinks here: many small batches, and tries that follow soon.
_COMMON: Mapping[str, Any] = {"batch": 200, "backoff": 1.0, "timeout": 2.0}
#: Errors of the protocol that a producer or the sink tries again: NOT_LEADER, TIMED_OUT,
#: NOT_ENOUGH_REPLICAS, NOT_AUTHORIZED.
_CODES = (6, 7, 19, 29)
_NOT_LEADER = _CODES[0]


class Fault(NamedTuple):
    """One way to break an endpoint."""

    name: str
    seconds: float  # for which it lasts, at most
    begin: Callable[[random.Random], Any]
    end: Callable[[], Any]


class Endpoint(ABC):
    """One place that gets events.

    Attributes:
        name: of the sink.
        kind: of the sink.
        options: of the sink, with those that all here have.
        kinds: of events that it wants; names as users write them.
        tasks: only jobs of these, if any.
        ports: that the sink connects to.
        is_once: the sink promises each event once.
        is_ordered: it promises those of a key in order.
    """

    name: str
    kind: str
    kinds: Sequence[str] = ("*",)
    tasks: Sequence[str] = ()
    is_once = False
    is_ordered = True
    common: Mapping[str, Any] = _COMMON

    def __init__(self, options: Mapping[str, Any]) -> None:
        self.options = {**self.common, **options}
        place = str(options.get("url") or options.get("endpoint") or options["servers"])
        self.ports = {int(port) for port in re.findall(r":(\d+)", place)}

    @abstractmethod
    def faults(self) -> Sequence[Fault]:
        """The ways to break it."""

    @abstractmethod
    def read(self) -> list[dict[str, Any]]:
        """The events that it holds, each as JSON of CloudEvents; those of a key in the order in
        which they came."""

    @abstractmethod
    def close(self) -> None:
        """End it."""


class KafkaEndpoint(Endpoint):
    """Three brokers, whose data is in memory: what a killed cluster has acknowledged was read
    before. The next one is empty, and has other addresses behind that of the first connection."""

    name = kind = "kafka"

    def __init__(self) -> None:
        self._earlier: list[Mapping[int, Sequence[bytes]]] = []  # of killed clusters
        self._wire = Proxy("kafka://127.0.0.1:1")
        super().__init__({"servers": self._wire.url.split("/")[2], "topic": _STREAM})
        self._start()

    def _start(self) -> None:
        self._kafka = Kafka()
        self._kafka.topic(_STREAM, _PARTITIONS)
        self._follower = _Follower(self._kafka.servers)
        self.ports = {int(port) for port in re.findall(r":(\d+)", self._kafka.servers)}
        self._wire.lead_to(f"kafka://{self._kafka.servers.split(',')[0]}")

    def _kill(self) -> None:
        """Kill the process, once it takes nothing more and all that it has taken was read."""
        self._kafka.fail(*[_NOT_LEADER] * 5_000)
        self._earlier.append(self._follower.finish())
        self._kafka.kill()

    def faults(self) -> Sequence[Fault]:
        kafka = self._kafka
        killed = Fault("Kafka killed", 3, lambda _: self._kill(), self._start)
        return (
            killed,
            killed,
            Fault("Kafka down", 4, lambda _: kafka.down(), kafka.up),
            Fault("Kafka broker down", 6, lambda d: kafka.down(d.choice(BROKERS)), kafka.up),
            Fault("Kafka slow", 4, lambda d: kafka.slow(d.choice((200, 1_500, 3_000))), self._fast),
            Fault("Kafka errors", 1, lambda d: kafka.fail(*d.choices(_CODES, k=4)), _nothing),
        )

    def _fast(self) -> None:
        self._kafka.slow(0)

    def read(self) -> list[dict[str, Any]]:
        places: dict[str, int] = {}
        events = []
        for found in (*self._earlier, self._follower.finish()):
            for partition, values in found.items():
                for value in values:
                    events.append(event := json.loads(value))
                    place = places.setdefault(event["partitionkey"], partition)
                    assert place == partition, f"{event['partitionkey']} is in two partitions"
        return events

    def close(self) -> None:
        self._wire.close()
        self._follower.stop()
        self._kafka.kill()


class _Follower:
    """Reads the topic as it grows, as the cluster keeps no more than 5 MB of a partition."""

    def __init__(self, servers: str) -> None:
        self._consumer = Consumer({
            "bootstrap.servers": servers, "group.id": "follower", "enable.auto.commit": False,
            "auto.offset.reset": "error", "log_level": 0, "reconnect.backoff.max.ms": 200,
            "topic.metadata.refresh.interval.ms": 1_000,
        })  # fmt: skip
        self._consumer.list_topics(
            _STREAM, timeout=20
        )  # else its partitions are unknown for a while
        self._parts = [TopicPartition(_STREAM, number, 0) for number in range(_PARTITIONS)]
        self._consumer.assign(self._parts)
        self._found: dict[int, list[bytes]] = {number: [] for number in range(_PARTITIONS)}
        self._failure = ""
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="follower", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._take()

    def _take(self) -> None:
        for message in self._consumer.consume(500, 0.2):
            if error := message.error():
                if error.code() == KafkaError._AUTO_OFFSET_RESET:
                    self._failure = str(error)  # the others pass
                continue
            partition = message.partition()
            assert partition is not None
            values = self._found[partition]
            if message.offset() != len(values):
                self._failure = f"offset {message.offset()} follows {len(values) - 1}"
            values.append(message.value() or b"")

    def stop(self) -> None:
        """End the thread."""
        self._stopping.set()
        self._thread.join()

    def _end(self, part: Any) -> int:
        try:
            _, end = self._consumer.get_watermark_offsets(part, timeout=20)
        except KafkaException as error:
            if error.args[0].code() == KafkaError._UNKNOWN_PARTITION:
                return 0  # nothing was ever sent to it
            raise
        return int(end)

    def finish(self) -> dict[int, list[bytes]]:
        """The messages by partition, once nothing more is coming."""
        self.stop()
        deadline = time.monotonic() + 60
        for part in self._parts:
            end = self._end(part)
            while len(self._found[part.partition]) < end and not self._failure:
                assert time.monotonic() < deadline, f"{part} cannot be read"
                self._take()
        self._consumer.close()
        assert not self._failure, f"the test's reader was too slow for the topic: {self._failure}"
        return self._found


class _SyncedRedis(Redis):
    """Redis that has each change on disk before it answers."""

    def _command(self) -> list[str]:
        command = super()._command()
        command[command.index("--appendonly") + 1] = "yes"
        return [*command, "--appendfsync", "always"]


class RedisEndpoint(Endpoint):
    """A stream of Redis."""

    name = kind = "redis"
    is_once = True

    def __init__(self) -> None:
        self._redis = _SyncedRedis()
        self._redis.start()
        self._wire = Proxy(self._redis.url())
        super().__init__({"url": self._wire.url, "stream": _STREAM})

    def faults(self) -> Sequence[Fault]:
        redis = self._redis
        return (
            Fault("Redis killed", 3, lambda _: redis.kill(), redis.start),
            Fault("Redis stopped", 5, lambda _: redis.pause(), redis.resume),
            *_faults_of_a_wire("Redis", self._wire),
        )

    def read(self) -> list[dict[str, Any]]:
        with open_redis(self._redis.url()) as client:
            found = client.xrange(_STREAM)
            assert client.xinfo_stream(_STREAM)["entries-added"] == len(found)
        events = [json.loads(fields[b"body"]) for _, fields in found]
        ids = [int(id_.partition(b"-")[0]) for id_, _ in found]
        assert ids == [int(event["sequence"]) for event in events]
        return events

    def close(self) -> None:
        self._wire.close()
        self._redis.close()


class NatsEndpoint(Endpoint):
    """A stream of a NATS server, for what becomes of jobs and workflows."""

    name = kind = "nats"
    kinds = (
        "job.completed", "job.failed", "job.cancelled", "job.retrying", "job.lost", "workflow.*",
    )  # fmt: skip

    def __init__(self, folder: Path) -> None:
        self._nats = Nats(folder)
        self._nats.call(lambda stream: stream.add_stream(name="EVENTS", subjects=["jobs.>"]))
        self._wire = Proxy(self._nats.url)
        super().__init__({"url": self._wire.url, "subject": "jobs.{kind}"})

    def faults(self) -> Sequence[Fault]:
        nats = self._nats
        return (
            Fault("NATS killed", 3, lambda _: nats.kill(), nats.start),
            Fault("NATS stopped", 5, lambda _: nats.pause(), nats.resume),
            *_faults_of_a_wire("NATS", self._wire),
        )

    def read(self) -> list[dict[str, Any]]:
        async def read(stream: Any) -> list[dict[str, Any]]:
            left = (await stream.stream_info("EVENTS")).state.messages
            messages = await stream.subscribe("jobs.>", ordered_consumer=True)
            return [json.loads((await messages.next_msg(20)).data) for _ in range(left)]

        found: list[dict[str, Any]] = self._nats.call(read)
        return found

    def close(self) -> None:
        self._wire.close()
        self._nats.kill()


class _Process(Endpoint):
    """A receiver or a service, which is a process that keeps what it gets in a file."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / f"{self.name}.jsonl"
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port = free.getsockname()[1]
        self._start()
        self._wire = Proxy(f"http://127.0.0.1:{self._port}/events")
        super().__init__(self._own_options())

    @abstractmethod
    def _own_options(self) -> Mapping[str, Any]:
        """Options of the sink, besides those that all have."""

    @abstractmethod
    def _arguments(self) -> Sequence[str]:
        """The module of the process, and its arguments."""

    def _start(self) -> None:
        self._process = subprocess.Popen([sys.executable, "-m", *self._arguments()])
        until("the receiver listens", self._listens, 60)

    def _listens(self) -> bool:
        assert self._process.poll() is None, "another process has taken the port of the receiver"
        try:
            socket.create_connection(("127.0.0.1", self._port), 1).close()
        except OSError:
            return False
        return True

    def _kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def _signal(self, number: signal.Signals) -> None:
        os.kill(self._process.pid, number)

    def faults(self) -> Sequence[Fault]:
        return (
            Fault(f"{self.name} receiver killed", 3, lambda _: self._kill(), self._start),
            Fault(
                f"{self.name} receiver stopped", 5, lambda _: self._signal(signal.SIGSTOP),
                lambda: self._signal(signal.SIGCONT),
            ),
            *_faults_of_a_wire(f"{self.name} receiver", self._wire),
        )  # fmt: skip

    def lines(self) -> list[dict[str, Any]]:
        """What was kept, in the order in which it came; not a line that a kill has cut."""
        lines = self._path.read_text().splitlines()
        return [json.loads(line) for line in lines if line.endswith("}")]

    def close(self) -> None:
        self._wire.close()
        self._kill()


class _Received(_Process):
    """A receiver of requests."""

    def __init__(self, folder: Path, *secret: str) -> None:
        self._secret = secret
        super().__init__(folder)

    def _own_options(self) -> Mapping[str, Any]:
        secret = {"secret": self._secret[0]} if self._secret else {}
        return {"url": self._wire.url, **secret}

    def _arguments(self) -> Sequence[str]:
        port, path = str(self._port), str(self._path)
        return "tests.proof.streams.receiver", port, path, *self._secret

    def read(self) -> list[dict[str, Any]]:
        return [event for request in self.lines() for event in request["events"]]


class _Cloud(_Process):
    """A service of a cloud, which gets every event."""

    def _arguments(self) -> Sequence[str]:
        return "tests.proof.streams.clouds", self.kind, str(self._port), str(self._path)

    def read(self) -> list[dict[str, Any]]:
        found = []
        for line in self.lines():
            found.append(event := json.loads(line["body"]))
            assert event["partitionkey"] == line["key"]
        return found


class KinesisEndpoint(_Cloud):
    """A stream of Kinesis."""

    name = kind = "kinesis"

    def _own_options(self) -> Mapping[str, Any]:
        return {
            "stream": STREAM, "endpoint": self._wire.url.removesuffix("/events"),
            "region": "eu-central-1", "access_key_id": "id", "secret_access_key": "s3cret",
        }  # fmt: skip


class PubSubEndpoint(_Cloud):
    """A topic of Pub/Sub, whose address is in the environment of the relays."""

    name = kind = "pubsub"

    def _own_options(self) -> Mapping[str, Any]:
        os.environ["PUBSUB_EMULATOR_HOST"] = self._wire.url.split("/")[2]
        return {"topic": TOPIC, "endpoint": self._wire.url.split("/")[2]}


class HttpEndpoint(_Received):
    """A receiver of batches, for the jobs of one task."""

    name = kind = "http"
    kinds = ("job.*",)
    tasks = ("*.leaf",)

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)


class WebhookEndpoint(_Received):
    """A receiver of signed messages, for workflows and what goes wrong; each is a durable job."""

    name = kind = "webhook"
    kinds = ("workflow.*", "job.failed", "job.lost")
    is_ordered = False  # four are under way at a time
    common: Mapping[str, Any] = {"batch": 200}

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, new_secret())
        self._gone = Path(f"{self._path}.gone")

    def faults(self) -> Sequence[Fault]:
        gone = Fault(
            "webhook gone", 4, lambda _: self._gone.touch(),
            lambda: self._gone.unlink(missing_ok=True),
        )  # fmt: skip
        return (*super().faults(), gone, gone)


def _faults_of_a_wire(whose: str, wire: Proxy) -> Sequence[Fault]:
    def speak() -> None:
        wire.speak()
        wire.drop_all()

    return (
        Fault(
            f"{whose} slow", 3, lambda dice: wire.delay(dice.uniform(0.02, 0.5)),
            lambda: wire.delay(0.0),
        ),
        Fault(f"{whose} mute", 4, lambda _: wire.silence(), speak),
        Fault(f"{whose} cut", 0, lambda _: wire.drop_all(), _nothing),
    )  # fmt: skip


def _nothing() -> None:
    """The end of what ends by itself."""
