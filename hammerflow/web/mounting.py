"""Mounting: the API inside an application that has a log-in of its own, below any path.

FastAPI and Starlette mount an ASGI app; Flask and Django get a view, so that their own decorators
and sessions protect it. Whoever they let in is told to us as a :class:`Principal`.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple, TypeAlias

from starlette.applications import Starlette
from starlette.requests import Request

from hammerflow.web.access import Principal, Role
from hammerflow.web.application import create_application
from hammerflow.web.backend import Backend, start_thread
from hammerflow.web.guard import check_ambient
from hammerflow.web.warmth import LazyWarmth

__all__ = ["MountedApi", "Principal", "Role", "sent_path", "web_app"]

#: Says who asks; None for nobody. It gets the request as the framework has it.
Who: TypeAlias = Callable[[Any], Principal | None]
_SCOPE = "hammerflow.principal"
#: From 2.4 on, no answer listens for a client that goes away: a host without an event loop cannot
#: tell.
_ASGI = {"version": "3.0", "spec_version": "2.4"}


def web_app(
    backend: Backend, *, who: Callable[[Request], Principal | Awaitable[Principal | None] | None],
    title: str = "hammerflow",
) -> Starlette:  # fmt: skip
    """An ASGI app for ``site.mount("/jobs", web_app(app, who=...))`` of FastAPI or Starlette.

    Args:
        backend: the app.
        who: says who asks, from the session or the headers of a request; it may be async. A change
            without a token in the header ``Authorization`` needs the header ``X-Hammerflow``, which
            a form of another site cannot send.
        title: what the API's description is headed with.
    """

    async def authorize(request: Request) -> Principal | None:
        found = who(request)
        principal = await found if inspect.isawaitable(found) else found
        if principal is not None:
            check_ambient(request)
            warmth.touch()
        return principal

    app = create_application(backend, authorize=authorize, title=title)
    warmth = LazyWarmth(app.state.warm, partial(start_thread, backend))
    return app


class MountedAnswer(NamedTuple):
    """What a view gives back."""

    status: int
    headers: Sequence[tuple[str, str]]
    body: bytes


class MountedApi:
    """The API for a host without an event loop: each request runs to its end in its thread.

    It cannot stream: clients poll.

    Args:
        backend: the app.
    """

    def __init__(self, backend: Backend, *, title: str = "hammerflow") -> None:
        async def authorize(request: Request) -> Principal | None:
            found: Principal | None = request.scope.get(_SCOPE)
            if found is not None:
                check_ambient(request)
                warmth.touch()
            return found

        self._app = create_application(
            backend, authorize=authorize, title=title, streams=False, threads=None
        )
        warmth = LazyWarmth(self._app.state.warm, partial(start_thread, backend))

    def answer(
        self, who: Principal | None, method: str, path: str, *, prefix: str, query: str,
        headers: Iterable[tuple[str, str]], body: bytes, address: str, sent_path: str = "",
    ) -> MountedAnswer:  # fmt: skip
        """Answer one request.

        Args:
            path: below the prefix, decoded, with its first slash.
            prefix: the path at which it is mounted.
            query: as it was sent.
            sent_path: the whole path as it was sent, or the address; empty where the host has not
                kept it.
        """
        raw = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers]
        scope: dict[str, Any] = {
            "type": "http", "asgi": _ASGI, "http_version": "1.1", "method": method,
            "scheme": "http", "path": prefix + path, "raw_path": _path_of(sent_path),
            "root_path": prefix, "query_string": query.encode("latin-1"), "headers": raw,
            "client": (address, 0), "server": None, _SCOPE: who,
        }  # fmt: skip
        return asyncio.run(self._run(scope, body))

    async def _run(self, scope: Mapping[str, Any], body: bytes) -> MountedAnswer:
        sent: list[dict[str, Any]] = [{"type": "http.request", "body": body, "more_body": False}]
        status, headers, parts = 500, list[tuple[str, str]](), list[bytes]()

        async def receive() -> dict[str, Any]:
            return sent.pop() if sent else {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            nonlocal status, headers
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = [
                    (n.decode("latin-1"), v.decode("latin-1")) for n, v in message["headers"]
                ]
            else:
                parts.append(message.get("body", b""))

        await self._app(dict(scope), receive, send)
        return MountedAnswer(status, headers, b"".join(parts))


def _path_of(sent: str) -> bytes:
    """The path of a request's line, which a proxy may send with the host before it."""
    found = sent if sent.startswith("/") else "/" + sent.partition("://")[2].partition("/")[2]
    return found.encode("latin-1", "replace") if sent else b""


def sent_path(environ: Mapping[str, Any]) -> str:
    """The path as it was sent, by what servers of WSGI call it."""
    return str(environ.get("REQUEST_URI") or environ.get("RAW_URI") or "")
