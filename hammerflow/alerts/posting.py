"""Posting: one HTTP request with a deadline, and its signature."""

from __future__ import annotations

import base64
import contextlib
import http.client
import ssl
import time
import urllib.parse
from collections.abc import Mapping, Sequence

from hammerflow.errors import ConfigError, HammerflowError
from hammerflow.webhooks import sign
from hammerflow.webhooks.guarded_http import Cutoff, GuardedError, guarded_connection, refuse_cloud

__all__ = ["TargetError", "post", "signature_headers"]

_ANSWER = 2_048  # bytes of an answer that are read


class TargetError(HammerflowError):
    """A target has not taken a message; it is sent again later."""


def post(
    url: str, body: bytes, headers: Mapping[str, str], timeout: float,
    networks: Sequence[str] | None,
) -> None:  # fmt: skip
    """POST a JSON body; no redirect is followed, and no proxy is used.

    Args:
        timeout: seconds for all of it, however slowly the answer comes.
        networks: those that the request may reach though they are not public; None: all.

    Raises:
        TargetError: there was no answer of 2xx in time. The message never has the URL, which may
            be a secret.
    """
    try:
        parts = urllib.parse.urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise ConfigError("the url of the alert target cannot be read") from None
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    own = {"Content-Type": "application/json", "User-Agent": "hammerflow", **headers}
    if parts.username is not None:
        login = f"{parts.username}:{parts.password or ''}"
        own["Authorization"] = (
            "Basic " + base64.b64encode(urllib.parse.unquote(login).encode()).decode()
        )
    deadline = time.monotonic() + timeout
    try:
        with contextlib.closing(
            _connected(host, port, parts.scheme == "https", timeout, networks)
        ) as connection:
            refuse_cloud(connection.sock)
            with Cutoff(connection.sock, deadline) as cutoff:
                connection.request("POST", path, body, own)
                with contextlib.closing(connection.getresponse()) as answer:
                    status, said = answer.status, answer.read(_ANSWER).decode("utf-8", "replace")
    except GuardedError as error:
        raise TargetError(str(error)) from None
    except (OSError, http.client.HTTPException, ValueError) as error:
        late = f"no answer within {timeout:g} s" if time.monotonic() >= deadline else ""
        raise TargetError(late or f"{type(error).__name__}: {_plain(error)}") from None
    if cutoff.is_over:  # a head that was cut looks whole
        raise TargetError(f"no answer within {timeout:g} s")
    if not 200 <= status < 300:
        raise TargetError(f"HTTP {status}: {' '.join(said.split())[:300]}")


def _connected(
    host: str, port: int | None, is_tls: bool, timeout: float, networks: Sequence[str] | None
) -> http.client.HTTPConnection:
    if networks is not None:
        return guarded_connection(
            host, port, is_tls=is_tls, allow_networks=networks, timeout=timeout
        )
    connection = (
        http.client.HTTPSConnection(
            host, port, timeout=timeout, context=ssl.create_default_context()
        )
        if is_tls
        else http.client.HTTPConnection(host, port, timeout=timeout)
    )
    try:
        connection.connect()
    except BaseException:
        connection.close()
        raise
    return connection


def _plain(error: Exception) -> str:
    """What an error says, unless it may hold the URL."""
    return str(error) if isinstance(error, OSError) else ""


def signature_headers(secret: str, id_: str, body: bytes, now: float) -> dict[str, str]:
    """The headers of a message of Standard Webhooks."""
    at = int(now)
    return {
        "webhook-id": id_, "webhook-timestamp": str(at),
        "webhook-signature": sign([secret], id_, at, body),
    }  # fmt: skip
