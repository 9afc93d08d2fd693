"""Posting: one HTTP request with a deadline, and the signature of Standard Webhooks."""

from __future__ import annotations

import base64
import binascii
import contextlib
import hashlib
import hmac
import http.client
import socket
import ssl
import threading
import urllib.parse
from collections.abc import Mapping

from hammerflow.errors import ConfigError, HammerflowError

__all__ = ["TargetError", "post", "signature_headers"]

_ANSWER = 2_048  # bytes of an answer that are read


class TargetError(HammerflowError):
    """A target has not taken a message; it is sent again later."""


def post(url: str, body: bytes, headers: Mapping[str, str], timeout: float) -> None:
    """POST a JSON body; no redirect is followed, and no proxy is used.

    Args:
        timeout: seconds for all of it, however slowly the answer comes.

    Raises:
        TargetError: there was no answer of 2xx in time. The message never has the URL, which may
            be a secret.
    """
    try:
        parts = urllib.parse.urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise ConfigError("the url of the alert target cannot be read") from None
    connection = (
        http.client.HTTPSConnection(
            host, port, timeout=timeout, context=ssl.create_default_context()
        )
        if parts.scheme == "https"
        else http.client.HTTPConnection(host, port, timeout=timeout)
    )
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    own = {"Content-Type": "application/json", "User-Agent": "hammerflow", **headers}
    if parts.username is not None:
        login = f"{parts.username}:{parts.password or ''}"
        own["Authorization"] = (
            "Basic " + base64.b64encode(urllib.parse.unquote(login).encode()).decode()
        )
    is_late = threading.Event()

    def cut() -> None:
        is_late.set()
        with contextlib.suppress(OSError, AttributeError):
            connection.sock.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(timeout, cut)
    timer.daemon = True
    timer.start()
    try:
        connection.request("POST", path, body, own)
        with contextlib.closing(connection.getresponse()) as answer:
            status, said = answer.status, answer.read(_ANSWER).decode("utf-8", "replace")
    except (OSError, http.client.HTTPException, ValueError) as error:
        late = f"no answer within {timeout:g} s" if is_late.is_set() else ""
        raise TargetError(late or f"{type(error).__name__}: {_plain(error)}") from None
    finally:
        timer.cancel()
        connection.close()
    if is_late.is_set():  # a head that was cut looks whole
        raise TargetError(f"no answer within {timeout:g} s")
    if not 200 <= status < 300:
        raise TargetError(f"HTTP {status}: {' '.join(said.split())[:300]}")


def _plain(error: Exception) -> str:
    """What an error says, unless it may hold the URL."""
    return str(error) if isinstance(error, OSError) else ""


def signature_headers(secret: str, id_: str, body: bytes, now: float) -> dict[str, str]:
    """The headers of https://www.standardwebhooks.com: id, time, and an HMAC of both and the
    body."""
    key = secret.encode()
    if secret.startswith("whsec_"):
        try:
            key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
        except (binascii.Error, ValueError):
            raise ConfigError("the secret of the alert target is not whsec_ and base64") from None
    at = str(int(now))
    signed = hmac.new(key, f"{id_}.{at}.".encode() + body, hashlib.sha256).digest()
    return {
        "webhook-id": id_, "webhook-timestamp": at,
        "webhook-signature": f"v1,{base64.b64encode(signed).decode()}",
    }  # fmt: skip
