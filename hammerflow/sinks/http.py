"""HttpSink: batches of events as POST requests, CloudEvents in JSON."""

from __future__ import annotations

import contextlib
import http.client
import ssl
import time
from collections.abc import Mapping, Sequence
from typing import Any

from hammerflow.errors import ConfigError
from hammerflow.events.envelope import BATCH_TYPE
from hammerflow.options.checks import duration, text
from hammerflow.options.option import Option, OptionTable
from hammerflow.sinks.base import HEADERS, Message, Report, SinkError, split_url
from hammerflow.webhooks.guarded_http import Cutoff, GuardedError, guarded_connection, refuse_cloud

__all__ = ["HttpSink"]

#: Bytes of an answer that are read.
_ANSWER = 4_096
_AGAIN = frozenset({408, 409, 425, 429})


class HttpSink:
    """Sends the batch as one JSON list. An answer of 2xx acknowledges all of it; 4xx (but 408, 409,
    425 and 429) refuses it, and each event is then sent alone to find the one at fault; all else is
    tried again.

    It follows no redirect, and uses no proxy. One that no code declares reaches public addresses
    only, and allowed networks. For single calls with signatures and endpoints of
    strangers use webhooks.
    """

    OPTIONS = OptionTable((
        Option("url", text(2_000, least=1), "(required)", "Where the batches go: http or https."),
        Option(
            "headers", HEADERS, "{}",
            "Further headers, such as Authorization; printed by their names only.",
        ),
        Option("timeout", duration(zero=False, most=60), "15", "Seconds for a request."),
    ))  # fmt: skip
    SECRETS = frozenset({"headers"})

    def __init__(self, name: str, options: Mapping[str, Any]) -> None:
        if "url" not in options:
            raise ConfigError(f"the sink {name} needs the address of its receiver: url=...")
        self._url = split_url(name, str(options["url"]), ("http", "https"))
        if not self._url.hostname:
            raise ConfigError(f"the url of the sink {name} must have a host")
        self._headers = dict(options.get("headers", {}))
        self._timeout = float(options.get("timeout", 15.0))
        self._connection: http.client.HTTPConnection | None = None
        self._networks: Sequence[str] | None = None

    def keep_to(self, networks: Sequence[str]) -> None:
        """Reach no private address but in these networks."""
        self._networks = networks

    def open(self) -> None:
        """Nothing: the connection opens with the first request."""
        if self._networks is None:
            self._connection = self._plain_connection()

    def _plain_connection(self) -> http.client.HTTPConnection:
        host, port = self._url.hostname or "", self._url.port
        if self._url.scheme == "https":
            context = ssl.create_default_context()
            return http.client.HTTPSConnection(host, port, timeout=self._timeout, context=context)
        return http.client.HTTPConnection(host, port, timeout=self._timeout)

    def _connected(self) -> http.client.HTTPConnection:
        if self._networks is None:
            assert self._connection is not None
            if self._connection.sock is None:
                self._connection.connect()
        elif self._connection is None or self._connection.sock is None:
            self._connection = guarded_connection(
                self._url.hostname or "", self._url.port, is_tls=self._url.scheme == "https",
                allow_networks=self._networks, timeout=self._timeout,
            )  # fmt: skip
        refuse_cloud(self._connection.sock)
        return self._connection

    def send(self, messages: Sequence[Message]) -> Report:
        """Send the batch; where it is refused as a whole, one event after another."""
        status, answer = self._post(_batch(messages), BATCH_TYPE)
        if 200 <= status < 300:
            return Report.all(messages)
        if not _is_refusal(status):
            raise SinkError(f"HTTP {status}: {answer}")
        if len(messages) == 1:
            return Report(frozenset(), {messages[0].position: f"HTTP {status}: {answer}"})
        return self._send_each(messages)

    def _send_each(self, messages: Sequence[Message]) -> Report:
        delivered: set[int] = set()
        refused: dict[int, str] = {}
        for message in messages:
            status, answer = self._post(_batch([message]), BATCH_TYPE)
            if 200 <= status < 300:
                delivered.add(message.position)
            elif _is_refusal(status):
                refused[message.position] = f"HTTP {status}: {answer}"
            else:
                return Report(frozenset(delivered), refused, f"HTTP {status}: {answer}")
        return Report(frozenset(delivered), refused)

    def _post(self, body: bytes, content_type: str) -> tuple[int, str]:
        path = self._url.path or "/"
        if self._url.query:
            path += f"?{self._url.query}"
        headers = {"Content-Type": content_type, "User-Agent": "hammerflow", **self._headers}
        deadline = time.monotonic() + self._timeout
        try:
            connection = self._connected()
            with Cutoff(connection.sock, deadline) as cutoff:
                connection.request("POST", path, body, headers)
                answer = connection.getresponse()
                text = answer.read(_ANSWER).decode("utf-8", "replace")
            if cutoff.is_over:
                raise TimeoutError
            if not answer.isclosed():  # more than we read: the connection is of no use any more
                connection.close()
            return answer.status, " ".join(text.split())[:300]
        except GuardedError as error:
            raise SinkError(str(error)) from error
        except (OSError, http.client.HTTPException) as error:
            if self._connection is not None:
                self._connection.close()
            if time.monotonic() >= deadline:
                message = f"no whole answer within {self._timeout:g} seconds"
                raise SinkError(message) from error
            raise SinkError(f"{type(error).__name__}: {error}") from error

    def close(self) -> None:
        """Close the connection."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(OSError):
                connection.close()


def _batch(messages: Sequence[Message]) -> bytes:
    return b"[" + b",".join(message.body for message in messages) + b"]"


def _is_refusal(status: int) -> bool:
    return 400 <= status < 500 and status not in _AGAIN
