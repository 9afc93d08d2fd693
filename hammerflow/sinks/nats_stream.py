"""NatsSink: events as messages of a NATS JetStream, which drops repeats by their ids."""

from __future__ import annotations

import asyncio
import contextlib
import re
import urllib.parse
from collections.abc import Coroutine, Mapping, Sequence
from typing import Any

import nats
from nats.js.errors import APIError

from hammerflow.errors import ConfigError
from hammerflow.options.checks import duration, text
from hammerflow.options.option import Option, OptionTable
from hammerflow.sinks.base import Message, Report, SinkError, split_url

__all__ = ["NatsSink"]

#: A reserved header of NATS; one that repeats within the window of the stream is dropped.
_ID = "Nats-Msg-Id"
#: The code of an answer: more than the ``max_msg_size`` of the stream.
_TOO_LARGE = 10_054


class NatsSink:
    """Publishes to JetStream, one message after another, and waits for the acknowledgement of each:
    a later event is not stored before an earlier one.

    A message above the ``max_payload`` of the server is refused.
    """

    OPTIONS = OptionTable((
        Option(
            "url", text(2_000, least=1), "(required)",
            "The servers: nats://[user:password@]host:port or tls://, several with commas.",
        ),
        Option(
            "subject", text(500, least=1), "(required)",
            "The subject; a stream must take it. `{kind}` in it becomes the kind of "
            "the event, such as job.failed.",
        ),
        Option("token", text(2_000, least=1), "None", "The token to log in with; never printed."),
        Option("timeout", duration(zero=False, most=30), "5", "Seconds for an acknowledgement."),
    ))  # fmt: skip
    SECRETS = frozenset({"token"})

    def __init__(self, name: str, options: Mapping[str, Any]) -> None:
        for needed in ("url", "subject"):
            if needed not in options:
                raise ConfigError(f"the sink {name} needs {needed}=...")
        self._urls = [part.strip() for part in str(options["url"]).split(",")]
        for url in self._urls:
            parts = split_url(name, url, ("nats", "tls"))
            if parts.username and not parts.password:
                raise ConfigError(f"give the token of the sink {name} as token=, not in its url")
        self._subject = str(options["subject"])
        if not re.fullmatch(r"[^\s*>]+", self._subject):
            raise ConfigError(f"the subject of the sink {name} must have no spaces, * and >")
        self._token = options.get("token")
        self._timeout = float(options.get("timeout", 5.0))
        self._loop: asyncio.AbstractEventLoop | None = None
        self._client: Any = None

    def open(self) -> None:
        """Connect, on an event loop of its own."""
        self._loop = asyncio.new_event_loop()
        self._run(self._connect())

    async def _connect(self) -> None:
        self._client = await nats.connect(
            servers=self._urls, token=self._token, connect_timeout=max(1, int(self._timeout)),
            allow_reconnect=False, max_reconnect_attempts=1, error_cb=_ignore,
        )  # fmt: skip

    def send(self, messages: Sequence[Message]) -> Report:
        """Publish the batch up to the first message without acknowledgement."""
        report: Report = self._run(self._publish(messages))
        return report

    async def _publish(self, messages: Sequence[Message]) -> Report:
        stream = self._client.jetstream(timeout=self._timeout)
        loop = asyncio.get_running_loop()
        ends = loop.time() + 40
        delivered: set[int] = set()
        refused: dict[int, str] = {}
        for message in messages:
            if loop.time() > ends:
                return Report(frozenset(delivered), refused, "NATS is slow; the rest comes later")
            if len(message.body) + 2_000 > self._client.max_payload:
                refused[message.position] = (
                    f"{len(message.body)} bytes are more than the max_payload of the server"
                )
                continue
            subject = self._subject.replace("{kind}", str(message.event.kind))
            headers = {**_headers(message), _ID: message.id}
            try:
                await stream.publish(subject, message.body, headers=headers)
            except APIError as error:
                if error.err_code != _TOO_LARGE:
                    return Report(frozenset(delivered), refused, str(error))
                refused[message.position] = str(error.description)
                continue
            except Exception as error:  # noqa: BLE001 - what the driver raises
                return Report(frozenset(delivered), refused, f"{type(error).__name__}: {error}")
            delivered.add(message.position)
        return Report(frozenset(delivered), refused)

    def _run(self, work: Coroutine[Any, Any, Any]) -> Any:
        assert self._loop is not None
        try:
            return self._loop.run_until_complete(asyncio.wait_for(work, 50))
        except Exception as error:
            raise SinkError(f"{type(error).__name__}: {error}") from error

    def close(self) -> None:
        """Close the connection and the loop."""
        loop, self._loop = self._loop, None
        client, self._client = self._client, None
        if loop is None:
            return
        with contextlib.suppress(Exception):
            if client is not None:
                loop.run_until_complete(asyncio.wait_for(client.close(), 2))
        loop.close()


def _headers(message: Message) -> dict[str, str]:
    ascii_only = {
        f"ce-{name}": urllib.parse.quote(value, safe=" !#$&'()*+,/:;=?@[]~")
        for name, value in message.attributes.items()
    }
    return {**ascii_only, "content-type": message.content_type}


async def _ignore(error: Exception) -> None:
    """Errors come to those who wait for an acknowledgement."""
