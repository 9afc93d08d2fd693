"""RedisStreamSink: events as entries of a Redis stream, each appended once."""

from __future__ import annotations

import contextlib
import urllib.parse
from collections.abc import Mapping, Sequence
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from hammerflow.errors import ConfigError
from hammerflow.options.checks import duration, text, whole
from hammerflow.options.option import Option, OptionTable
from hammerflow.sinks.base import Message, Report, SinkError, split_url
from hammerflow.urls.redis import checked_redis_url

__all__ = ["RedisStreamSink"]


class RedisStreamSink:
    """Appends to a stream under the id ``<position>-0``. Redis takes an id once, so an event that
    is sent again after a lost answer is found there, and not appended twice.

    A batch is one MULTI: all of it is appended, or nothing. An event whose id the stream has passed
    without holding it (another app writes there, or it was trimmed) is refused.
    """

    OPTIONS = OptionTable((
        Option(
            "url", text(2_000, least=1), "(required)",
            "The server: redis://[user:password@]host:port/db, rediss:// for TLS, or unix://path.",
        ),
        Option("stream", text(500, least=1), "(required)", "The key of the stream."),
        Option(
            "max_length", whole(1, 10**12), "None",
            "Entries that Redis keeps, about; older ones are trimmed (`MAXLEN ~`).",
        ),
        Option("timeout", duration(zero=False, most=30), "10", "Seconds for an answer."),
    ))  # fmt: skip
    SECRETS: frozenset[str] = frozenset()

    def __init__(self, name: str, options: Mapping[str, Any]) -> None:
        for needed in ("url", "stream"):
            if needed not in options:
                raise ConfigError(f"the sink {name} needs {needed}=...")
        url = split_url(name, str(options["url"]), ("redis", "rediss", "unix"))
        if "password" in urllib.parse.parse_qs(url.query):
            raise ConfigError(
                f"write the password of the sink {name} before the host of its url, where it is "
                "not printed"
            )
        checked_redis_url(str(options["url"]))
        self._name = name
        self._url = str(options["url"])
        self._stream = str(options["stream"])
        self._most = options.get("max_length")
        self._timeout = float(options.get("timeout", 10.0))
        self._found = 0
        self._client: Any = None

    def open(self) -> None:
        """Connect, and read how far the stream is."""
        self._client = redis.Redis.from_url(
            self._url, socket_timeout=self._timeout, socket_connect_timeout=self._timeout,
            retry=Retry(NoBackoff(), 0),
        )  # fmt: skip
        self._found = self._last_id(self._client.pipeline())

    def _last_id(self, pipe: Any) -> int:
        """The last id of the stream, asked by the connection that the pipeline keeps."""
        try:
            found = pipe.immediate_execute_command("XINFO STREAM", self._stream)
            return int(bytes(found["last-generated-id"]).partition(b"-")[0])
        except redis.ResponseError as error:
            if "no such key" not in str(error):
                raise SinkError(str(error)) from error
            return 0
        except redis.RedisError as error:
            raise SinkError(f"{type(error).__name__}: {error}") from error

    def send(self, messages: Sequence[Message]) -> Report:
        """Append the batch in one transaction, and look up what the stream has passed already."""
        pipe = self._client.pipeline(transaction=True)
        if self._last_id(pipe) < self._found:  # of the connection that appends
            raise SinkError("the stream was lost, or the server is another one: connecting again")
        for message in messages:
            pipe.xadd(
                self._stream, _fields(message), id=f"{message.position}-0",
                maxlen=self._most, approximate=True,
            )  # fmt: skip
        try:
            answers = pipe.execute(raise_on_error=False)
        except redis.RedisError as error:
            raise SinkError(f"{type(error).__name__}: {error}") from error
        delivered: set[int] = set()
        refused: dict[int, str] = {}
        for message, answer in zip(messages, answers, strict=True):
            if not isinstance(answer, Exception):
                delivered.add(message.position)
            elif "equal or smaller" not in str(answer):
                raise SinkError(str(answer)) from answer
            elif self._has(message):
                delivered.add(message.position)
            else:
                refused[message.position] = (
                    f"the stream {self._stream} is past the id {message.position}-0 and does not "
                    "hold this event: it was trimmed, or something else writes to the stream"
                )
        self._found = max(self._found, *delivered, 0)
        return Report(frozenset(delivered), refused)

    def last_position(self) -> int:
        """The last id of the stream when it was opened: ids only grow."""
        return self._found

    def _has(self, message: Message) -> bool:
        name = f"{message.position}-0"
        try:
            found = self._client.xrange(self._stream, name, name)
        except redis.RedisError as error:
            raise SinkError(f"{type(error).__name__}: {error}") from error
        wanted = {b"id": message.id.encode(), b"subject": str(message.event.subject).encode()}
        return any(wanted.items() <= fields.items() for _, fields in found)

    def close(self) -> None:
        """Close the connection."""
        client, self._client = self._client, None
        if client is not None:
            with contextlib.suppress(Exception):
                client.close()


def _fields(message: Message) -> dict[str, Any]:
    return {
        "id": message.id,
        "subject": str(message.event.subject),
        "key": message.key,
        "content_type": message.content_type,
        "body": message.body,
    }
