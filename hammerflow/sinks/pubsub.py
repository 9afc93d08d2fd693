"""PubSubSink: events as messages of a Google Pub/Sub topic, in order for each key."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import time
from collections.abc import Mapping, Sequence
from typing import Any

from hammerflow.errors import ConfigError
from hammerflow.events.envelope import EVENT_TYPE
from hammerflow.options.checks import FLAG, duration, text
from hammerflow.options.option import Option, OptionTable
from hammerflow.sinks.base import HEADERS, Message, Report, SinkError
from hammerflow.sinks.drivers import import_driver, need_driver

__all__ = ["PubSubSink"]

#: Limits of a request, with room for what surrounds the bodies, and of an ordering key and of the
#: value of an attribute.
_MESSAGES, _BYTES, _VALUE = 1_000, 9_000_000, 1_024
#: Seconds for a batch.
_LONGEST = 30.0
_TOPIC = re.compile(r"projects/[^/\s]+/topics/[^/\s]+")


class PubSubSink:
    """Publishes requests one after another, each taken as a whole or not at all. A request that is
    refused is sent message by message, and what is refused alone is parked.

    It uses the generated client: the other one has threads, and pauses a key after an error.
    """

    OPTIONS = OptionTable((
        Option(
            "topic", text(1_000, least=1), "(required)",
            "projects/PROJECT/topics/NAME. Google's libraries find the credentials.",
        ),
        Option(
            "endpoint", text(500, least=1), "None",
            "The service of a region, such as europe-west1-pubsub.googleapis.com:443; keys are in "
            "order only if all publishers use the same region.",
        ),
        Option("ordered", FLAG, "True", "Send the key as ordering key."),
        Option("headers", HEADERS, "{}", "Further attributes of each message; never printed."),
        Option("timeout", duration(zero=False, most=20), "10", "Seconds for a request."),
    ))  # fmt: skip
    SECRETS = frozenset({"headers"})

    def __init__(self, name: str, options: Mapping[str, Any]) -> None:
        self._topic = str(options.get("topic", ""))
        if not _TOPIC.fullmatch(self._topic):
            raise ConfigError(f"the sink {name} needs topic=projects/PROJECT/topics/NAME")
        self._endpoint = options.get("endpoint")
        self._is_ordered = bool(options.get("ordered", True))
        self._headers = dict(options.get("headers", {}))
        self._timeout = float(options.get("timeout", 10.0))
        need_driver("google.pubsub_v1", "pubsub")
        self._pubsub: Any = None
        self._client: Any = None
        self._channel: Any = None

    def open(self) -> None:
        """Find credentials; the connection opens with the first request."""
        self._pubsub = import_driver("google.pubsub_v1", "pubsub")
        try:
            if emulator := os.environ.get("PUBSUB_EMULATOR_HOST"):
                self._channel = import_driver("grpc", "pubsub").insecure_channel(emulator)
                kind = self._pubsub.PublisherClient.get_transport_class("grpc")
                self._client = self._pubsub.PublisherClient(transport=kind(channel=self._channel))
            else:
                where = {"api_endpoint": self._endpoint} if self._endpoint else None
                self._client = self._pubsub.PublisherClient(client_options=where)
        except Exception as error:
            raise SinkError(f"{type(error).__name__}: {error}") from error

    def send(self, messages: Sequence[Message]) -> Report:
        """Publish the messages in as few requests as fit, up to the first that fails."""
        refused: dict[int, str] = {}
        todo = []
        for message in messages:
            if reason := self._unfit(message):
                refused[message.position] = reason
            else:
                todo.append(message)
        delivered: set[int] = set()
        limit, ends = _MESSAGES, time.monotonic() + _LONGEST
        while todo:
            if time.monotonic() > ends:
                error = f"not everything was taken within {_LONGEST:g} s"
                return Report(frozenset(delivered), refused, error)
            request = _next_request(todo, limit)
            try:
                self._publish(request)
            except _RequestRefused as refusal:
                if len(request) > 1:
                    limit = 1  # to find the one at fault
                    continue
                refused[request[0].position] = str(refusal)
            except SinkError as error:
                return Report(frozenset(delivered), refused, str(error))
            else:
                delivered |= {message.position for message in request}
            todo = todo[len(request) :]
        return Report(frozenset(delivered), refused)

    def close(self) -> None:
        """Close the connection."""
        client, self._client = self._client, None
        channel, self._channel = self._channel, None
        with contextlib.suppress(Exception):
            if channel is not None:
                channel.close()
            elif client is not None:
                client.transport.close()

    # -- steps

    def _publish(self, messages: Sequence[Message]) -> None:
        sent = [
            self._pubsub.PubsubMessage(
                data=message.body, attributes=self._attributes(message),
                ordering_key=_ordering_key(message) if self._is_ordered else "",
            )
            for message in messages
        ]  # fmt: skip
        errors = import_driver("google.api_core.exceptions", "pubsub")
        try:
            self._client.publish(
                topic=self._topic, messages=sent, retry=None, timeout=self._timeout
            )
        except errors.InvalidArgument as error:
            raise _RequestRefused(f"{type(error).__name__}: {error.message}") from error
        except Exception as error:
            raise SinkError(f"{type(error).__name__}: {error}") from error

    def _attributes(self, message: Message) -> dict[str, str]:
        """The mapping of CloudEvents: structured, or binary with what they say in attributes."""
        found = {"content-type": message.content_type, **self._headers}
        if message.content_type != EVENT_TYPE:
            found |= {
                f"ce-{name}": value
                for name, value in message.attributes.items()
                if name != "datacontenttype"
            }
        return found

    def _unfit(self, message: Message) -> str:
        if len(message.body) > _BYTES:
            return f"{len(message.body)} bytes are more than Pub/Sub takes"
        for name, value in self._attributes(message).items():
            if len(value.encode()) > _VALUE:
                return f"the attribute {name} has more than {_VALUE} bytes"
        return ""


class _RequestRefused(Exception):
    """Pub/Sub finds something wrong with what a request holds."""


def _next_request(todo: Sequence[Message], limit: int) -> Sequence[Message]:
    total = 0
    for count, message in enumerate(todo[:limit]):
        total += len(message.body) + 2_000
        if count and total > _BYTES:
            return todo[:count]
    return todo[:limit]


def _ordering_key(message: Message) -> str:
    """The ordering key: up to 1 024 bytes; a longer one by its hash."""
    if len(message.key.encode()) <= _VALUE:
        return message.key
    return hashlib.sha256(message.key.encode()).hexdigest()
