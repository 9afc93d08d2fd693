"""Guard: what is checked of every request before a route sees it."""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Collection
from http import HTTPStatus
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from hammerflow.web.problems import RequestRefused, problem_response

__all__ = ["HostCheck", "check_ambient", "check_origin", "host_name", "read_body"]

#: Set by our own pages and clients; a form of another site cannot send it without asking first.
_HEADER = "x-hammerflow"
_SAFE = ("GET", "HEAD", "OPTIONS")
#: Schemes of ``Authorization`` that a browser sends on its own; the first is none at all.
_AMBIENT = ("", "basic", "digest", "negotiate", "ntlm", "kerberos")


def host_name(authority: str) -> str:
    """The host of a ``Host`` header, without its port, in lower case."""
    try:
        return (urlsplit(f"//{authority}").hostname or "").lower()
    except ValueError:
        return ""


class HostCheck:
    """Refuses requests for hosts that this server is not.

    A page of another site can have its own name point here after it was loaded (DNS rebinding); the
    browser then lets it read the answers, and only the ``Host`` header tells.

    Args:
        hosts: the names by which this server may be called.
        any_address: it may also be called by any IP address, as nobody else can own one.
    """

    def __init__(self, app: ASGIApp, hosts: Collection[str], *, any_address: bool = False) -> None:
        self._app = app
        self._hosts = frozenset(hosts)
        self._any_address = any_address

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] == "http":
            given = [value for name, value in scope["headers"] if name == b"host"]
            host = host_name(given[0].decode("latin-1")) if len(given) == 1 else ""
            if host not in self._hosts and not (self._any_address and _is_address(host)):
                detail = (
                    f"this server does not answer for the host {host!r}: "
                    "name it with --allowed-host if it is meant to"
                )
                answer = problem_response(HTTPStatus.MISDIRECTED_REQUEST, detail)
                await answer(scope, receive, send)
                return
        await self._app(scope, receive, send)


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


async def read_body(request: Request, *, largest: int, within: float) -> bytes:
    """What was sent; a client may send slowly or without end.

    Args:
        largest: bytes.
        within: seconds.

    Raises:
        RequestRefused: it was more, or took longer.
    """
    parts, size = [], 0
    try:
        async with asyncio.timeout(within):
            async for part in request.stream():
                size += len(part)
                if size > largest:
                    detail = f"send {largest:,} bytes or fewer"
                    raise RequestRefused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, detail)
                parts.append(part)
    except TimeoutError:
        detail = f"send the body within {within:g} s"
        raise RequestRefused(HTTPStatus.REQUEST_TIMEOUT, detail) from None
    return b"".join(parts)


def check_ambient(request: Request) -> None:
    """:func:`check_origin`, unless the request has a token: no browser sends one on its own, as it
    does cookies and the log-ins of HTTP (Basic, Digest, Negotiate).

    Raises:
        RequestRefused: as there.
    """
    scheme = request.headers.get("authorization", "").partition(" ")[0].lower()
    if scheme in _AMBIENT:
        check_origin(request)


def check_origin(request: Request) -> None:
    """Refuse a change that a page of another site has sent with this browser's cookie.

    Raises:
        RequestRefused: the request lacks the header of our own pages, or names another origin.
    """
    if request.method in _SAFE:
        return
    if request.headers.get(_HEADER) is None:
        detail = "a change from a browser's session needs the header X-Hammerflow: 1"
        raise RequestRefused(HTTPStatus.FORBIDDEN, detail)
    origin = request.headers.get("origin")
    if origin is None:
        return
    host = origin.partition("://")[2]  # none of "null", which a page of a file is
    if not host or host != request.headers.get("host"):
        raise RequestRefused(
            HTTPStatus.FORBIDDEN, f"a page of {origin} may not change anything here"
        )
