"""KafkaSink: events as messages of a Kafka topic, in order for each key."""

from __future__ import annotations

import contextlib
import logging
import re
import time
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from hammerflow.errors import ConfigError
from hammerflow.events.envelope import EVENT_TYPE
from hammerflow.options.checks import FLAG, choice, duration, text
from hammerflow.options.option import Option, OptionTable
from hammerflow.sinks.base import HEADERS, Message, Report, SinkError
from hammerflow.sinks.drivers import import_driver, need_driver

__all__ = ["KafkaSink"]

#: What may be set of librdkafka. Not what the promise rests on (acks, idempotence, retries), and
#: nothing that would load a library or run a command: a row must never do that.
_SETTINGS = re.compile(
    r"batch\.size|batch\.num\.messages|linger\.ms|compression\.(type|level)|message\.max\.bytes"
    r"|partitioner|client\.(id|rack)|request\.timeout\.ms|retry\.backoff(\.max)?\.ms"
    r"|reconnect\.backoff(\.max)?\.ms|metadata\.max\.age\.ms|broker\.address\.family"
    r"|socket\.(timeout\.ms|keepalive\.enable|connection\.setup\.timeout\.ms)"
    r"|ssl\.(ca|certificate|key)\.location|ssl\.key\.password"
    r"|ssl\.endpoint\.identification\.algorithm"
)
#: librdkafka writes fatal errors to stderr else; we tell of them ourselves.
_SILENT = logging.Logger("librdkafka", logging.CRITICAL + 1)  # noqa: LOG001 - in no tree of loggers
_TOPIC = re.compile(r"[A-Za-z0-9._-]+")


class KafkaSink:
    """Produces with acks=all and idempotence: within a partition, no message is stored before an
    earlier one, whatever is retried.

    The producer never gives a message up: at the timeout all that is left is dropped together, and
    sent again by a new producer. A batch that the broker finds too large is sent one by one; what
    is too large alone is refused.
    """

    OPTIONS = OptionTable((
        Option(
            "servers", text(2_000, least=1), "(required)",
            "Brokers to begin with: host:port, several with commas.",
        ),
        Option(
            "topic", text(249, least=1), "(required)",
            "The topic. `{kind}` in it becomes the kind of the event, such as job.failed.",
        ),
        Option("tls", FLAG, "False", "Connect by TLS."),
        Option("username", text(500, least=1), "None", "The user to log in as, by SASL."),
        Option("password", text(2_000, least=1), "None", "The password; never printed."),
        Option(
            "mechanism", choice("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"), '"SCRAM-SHA-512"',
            "How to log in.",
        ),
        Option("headers", HEADERS, "{}", "Further headers of each message; never printed."),
        Option(
            "settings", HEADERS, "{}",
            "Settings of librdkafka for batches, compression, timeouts and certificates, such as "
            '`{"compression.type": "zstd"}`; never printed.',
        ),
        Option("timeout", duration(zero=False, most=30), "10", "Seconds for a batch."),
    ))  # fmt: skip
    SECRETS = frozenset({"password", "headers", "settings"})

    def __init__(self, name: str, options: Mapping[str, Any]) -> None:
        for needed in ("servers", "topic"):
            if needed not in options:
                raise ConfigError(f"the sink {name} needs {needed}=...")
        self._topic = str(options["topic"])
        if not _TOPIC.fullmatch(self._topic.replace("{kind}", "job.failed")):
            raise ConfigError(
                f"the topic of the sink {name} must have letters, digits, dots, - and _ only"
            )
        self._timeout = float(options.get("timeout", 10.0))
        self._headers = [(n, v.encode()) for n, v in options.get("headers", {}).items()]
        self._config = _config(name, options)
        need_driver("confluent_kafka", "kafka")
        self._kafka: Any = None
        self._producer: Any = None
        self._said = ""  # the last error that belongs to no message

    def open(self) -> None:
        """Connect to a broker."""
        self._kafka = import_driver("confluent_kafka", "kafka")
        self._said = ""
        self._producer = self._make(gapless=True)
        try:
            found = self._producer.cluster_id(self._timeout)
        except self._kafka.KafkaException as error:
            raise SinkError(_text(error.args[0])) from error
        if found is None:
            raise SinkError(self._said or f"no broker has answered within {self._timeout:g} s")

    def send(self, messages: Sequence[Message]) -> Report:
        """Produce the batch, and wait until nothing of it is on its way."""
        ends = time.monotonic() + self._timeout
        sent = _Sent()
        self._produce(self._producer, messages, ends, sent)
        if self._too_large(sent):
            todo = [m for m in messages if m.position not in sent.delivered | sent.refused.keys()]
            sent.errors.clear()
            self._send_each(todo, time.monotonic() + self._timeout, sent)
            _drop(self._producer)  # it does nothing any more
            self._producer = self._make(gapless=True)
        settled = sent.delivered | sent.refused.keys()
        missing = [m for m in messages if m.position not in settled]
        error = self._why(missing, sent) if missing else ""
        return Report(frozenset(sent.delivered), sent.refused, error)

    def close(self) -> None:
        """Drop what is on its way, and close the connections."""
        producer, self._producer = self._producer, None
        if producer is not None:
            _drop(producer)

    # -- steps

    def _make(self, *, gapless: bool) -> Any:
        """A producer.

        Args:
            gapless: after an error that it does not retry, everything that follows fails, too.
        """
        return self._kafka.Producer({
            **self._config, "enable.gapless.guarantee": gapless, "error_cb": self._note_error,
            "logger": _SILENT,
        })  # fmt: skip

    def _note_error(self, error: Any) -> None:
        self._said = _text(error)

    def _produce(
        self, producer: Any, messages: Sequence[Message], ends: float, sent: _Sent
    ) -> None:
        """Produce messages in order, up to the first that is not accepted, and wait for all."""
        for message in messages:
            try:
                producer.produce(
                    self._topic.replace("{kind}", str(message.event.kind)),
                    key=message.key.encode(), value=message.body,
                    headers=[*_headers(message), *self._headers],
                    on_delivery=partial(sent.note, message.position),
                )  # fmt: skip
            except BufferError:
                break  # the rest comes with the next batch
            except self._kafka.KafkaException as error:
                reason = error.args[0]
                if reason.code() != self._kafka.KafkaError.MSG_SIZE_TOO_LARGE:
                    sent.errors[message.position] = reason
                    break
                sent.refused[message.position] = _text(reason)
        if not self._wait(producer, ends):
            producer.purge()
            self._wait(producer, time.monotonic() + 2.0)

    def _wait(self, producer: Any, ends: float) -> bool:
        """Serve the reports until there is one for each message; False if the time is over.

        Not by flush(): it goes on to call Python while the exception of a fatal error is raised.
        """
        while len(producer):
            if (left := ends - time.monotonic()) <= 0:
                return False
            try:
                producer.poll(min(left, 0.5))
            except self._kafka.KafkaException as error:
                self._said = _text(error.args[0])
        return True

    def _send_each(self, messages: Sequence[Message], ends: float, sent: _Sent) -> None:
        """Produce one message after another, to find those that are too large alone."""
        producer = self._make(gapless=False)
        try:
            for message in messages:
                self._produce(producer, [message], ends, sent)
                if self._too_large(sent):
                    sent.refused[message.position] = _text(sent.errors.pop(message.position))
                elif message.position not in sent.delivered | sent.refused.keys():
                    return
        finally:
            _drop(producer)

    def _too_large(self, sent: _Sent) -> bool:
        return any(
            error.code() == self._kafka.KafkaError.MSG_SIZE_TOO_LARGE
            for error in sent.errors.values()
        )

    def _why(self, missing: Sequence[Message], sent: _Sent) -> str:
        """Why messages were not delivered: not that they were dropped, but what came before."""
        dropped = {self._kafka.KafkaError._PURGE_QUEUE, self._kafka.KafkaError._PURGE_INFLIGHT}
        found = [sent.errors[m.position] for m in missing if m.position in sent.errors]
        for error in found:
            if error.code() not in dropped and not error.fatal():
                return _text(error)
        waited = f"not acknowledged within {self._timeout:g} s"
        return f"{waited}: {self._said}" if self._said else waited


class _Sent:
    """What has become of messages, by position."""

    def __init__(self) -> None:
        self.delivered: set[int] = set()
        self.refused: dict[int, str] = {}
        self.errors: dict[int, Any] = {}

    def note(self, position: int, error: Any, _message: Any) -> None:
        """The report of a delivery."""
        if error is None:
            self.delivered.add(position)
        else:
            self.errors[position] = error


def _config(name: str, options: Mapping[str, Any]) -> dict[str, Any]:
    settings = {str(key): str(value) for key, value in options.get("settings", {}).items()}
    for key in settings:
        if not _SETTINGS.fullmatch(key):
            raise ConfigError(
                f"the sink {name} cannot set {key}: see its options in the reference, and there "
                "what settings= takes"
            )
    user, password = options.get("username"), options.get("password")
    if (user is None) != (password is None):
        raise ConfigError(f"the sink {name} needs username= and password= together")
    login = {} if user is None else {
        "sasl.mechanism": options.get("mechanism", "SCRAM-SHA-512"), "sasl.username": user,
        "sasl.password": password,
    }  # fmt: skip
    protocol = ("SASL_" if login else "") + ("SSL" if options.get("tls") else "PLAINTEXT")
    return {
        "client.id": "hammerflow", "partitioner": "murmur2", "log_level": 0, **settings, **login,
        "bootstrap.servers": options["servers"], "security.protocol": protocol, "acks": "all",
        "enable.idempotence": True, "message.timeout.ms": 0,
        # A broker that knows nothing of a producer takes any sequence number: the second of two
        # requests on their way, where it has refused the first.
        "max.in.flight": 1,
    }  # fmt: skip


def _headers(message: Message) -> list[tuple[str, bytes]]:
    """The mapping of CloudEvents to Kafka: structured, or binary with the attributes in headers."""
    found = [("content-type", message.content_type.encode())]
    if message.content_type != EVENT_TYPE:
        found += [
            (f"ce_{name}", value.encode())
            for name, value in message.attributes.items()
            if name != "datacontenttype"
        ]
    return found


def _drop(producer: Any) -> None:
    with contextlib.suppress(Exception):
        producer.purge()
        producer.poll(0.0)
    with contextlib.suppress(Exception):
        producer.close()


def _text(error: Any) -> str:
    return f"{error.name()}: {error.str()}"
