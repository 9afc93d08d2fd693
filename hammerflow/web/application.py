"""Application: the ASGI app that serves the table of routes."""

from __future__ import annotations

import functools
import json
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Any, TypeAlias

import anyio
import msgspec
from anyio.to_thread import run_sync
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route as StarletteRoute

from hammerflow import __version__
from hammerflow.web.access import Principal
from hammerflow.web.backend import Backend, start_thread
from hammerflow.web.clients import CLIENT, TYPES
from hammerflow.web.first_reads import FirstReads
from hammerflow.web.guard import read_body
from hammerflow.web.headers import HEADERS as _HEADERS
from hammerflow.web.headers import tag_of
from hammerflow.web.idempotency import answer_once, key_of
from hammerflow.web.openapi import describe
from hammerflow.web.pages import Pages
from hammerflow.web.paths import EncodedPaths, name_of
from hammerflow.web.problems import RequestRefused, problem_of, problem_response
from hammerflow.web.recent import Recent
from hammerflow.web.routes import ROUTES
from hammerflow.web.routes.overview import warm
from hammerflow.web.routing import ApiCall, Route, Text
from hammerflow.web.streams import MOST_STREAMS, EventHub
from hammerflow.web.validation import told

__all__ = ["Authorize", "create_application"]

log = logging.getLogger("hammerflow.web")
#: Says who asks, or None if it lets nobody in; it may raise :class:`RequestRefused`.
Authorize: TypeAlias = Callable[[Request], Awaitable[Principal | None]]
_LARGEST_BODY = 4 << 20  # bytes
_SLOWEST_BODY = 30.0  # seconds
_THREADS = 8  # handlers that run at a time, each with a connection of its own at most
_JSON = "application/json"
#: What is polled in place of each stream.
_POLLED = {
    "/api/events/stream": "/api/events?after=", "/api/changes/stream": "/api/overview",
    "/api/jobs/{job_id}/logs/stream": "/api/jobs/{job_id}/logs",
}  # fmt: skip


def create_application(
    backend: Backend, *, authorize: Authorize, title: str, more: Sequence[StarletteRoute] = (),
    ways: str = "", streams: bool = True, most_streams: int = MOST_STREAMS,
    threads: int | None = _THREADS,
) -> Starlette:  # fmt: skip
    """The ASGI app. Its ``state.warm`` reads what costs most of the first page, if it is old.

    Args:
        authorize: asked of every request.
        title: what the API's description is headed with.
        more: routes besides, as those of a log-in.
        ways: how a browser logs in by them: ``link``, ``token``, or both.
        threads: handlers that run at a time; None where each request has an event loop of its own.
        streams: whether the server can stream: one of WSGI would lose a thread to each client.
        most_streams: how many at a time.
    """
    limiter = None if threads is None else anyio.CapacityLimiter(threads)
    each = backend.settings.streams_per_user
    hub = EventHub(backend.store, limiter, most_streams, each) if streams else None
    recent = Recent(partial(start_thread, backend))
    serve = partial(_serve, backend, authorize, limiter, recent, hub)
    by_path: dict[str, dict[str, Route]] = {}
    for route in ROUTES:
        by_path.setdefault(route.path, {})[route.method] = route
    routes = [_endpoint(path, methods, serve) for path, methods in by_path.items()]

    async def openapi(request: Request) -> Response:
        return Response(_description(title), media_type=_JSON, headers=_HEADERS)

    routes += [
        StarletteRoute("/api/openapi.json", openapi),
        *(StarletteRoute(f"/client/{file.name}", _file(file)) for file in (CLIENT, TYPES)),
        *more,
        *Pages(ways, FirstReads(backend, authorize, limiter, recent).of).routes(),
    ]
    app = Starlette(
        routes=routes,
        middleware=[Middleware(EncodedPaths, templates=[*by_path])],
        exception_handlers={HTTPException: _http_problem, Exception: _defect},
    )
    app.state.warm = lambda: warm(backend.store, recent)  # a mounted one opens it when it is used
    return app


@functools.cache
def _description(title: str) -> bytes:
    """The document of OpenAPI, made when it is first asked for: it takes a tenth of a second."""
    return json.dumps(describe(ROUTES, title=title, version=__version__)).encode()


def _file(file: Path) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        return Response(file.read_bytes(), 200, _HEADERS, "text/javascript; charset=utf-8")

    return endpoint


def _endpoint(
    path: str, methods: Mapping[str, Route], serve: Callable[[Route, Request], Awaitable[Response]]
) -> StarletteRoute:
    """One path for all methods: whoever uses another one is told which there are."""
    allowed = ", ".join(sorted({*methods, *(["HEAD"] if "GET" in methods else []), "OPTIONS"}))

    async def endpoint(request: Request) -> Response:
        method = "GET" if request.method == "HEAD" else request.method
        if method == "OPTIONS":
            return Response(status_code=204, headers={**_HEADERS, "allow": allowed})
        route = methods.get(method)
        if route is None:
            detail = f"{request.method} is not allowed here: use {allowed}"
            headers = {**_HEADERS, "allow": allowed}
            return problem_response(HTTPStatus.METHOD_NOT_ALLOWED, detail, headers)
        try:
            return await serve(route, request)
        except Exception as error:  # a border: what a handler raises becomes an answer
            refused = problem_of(error)
            if refused is None:
                raise
            return refused.response(_HEADERS)

    every = ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "QUERY"]
    return StarletteRoute(path, endpoint, methods=every)


async def _serve(
    backend: Backend, authorize: Authorize, limiter: anyio.CapacityLimiter | None, recent: Recent,
    hub: EventHub | None, route: Route, request: Request,
) -> Response:  # fmt: skip
    who = await authorize(request)
    if who is None:
        raise RequestRefused(
            HTTPStatus.UNAUTHORIZED, "log in, or send a token: Authorization: Bearer ..."
        )
    if who.role < route.role:
        raise RequestRefused(
            HTTPStatus.FORBIDDEN, f"this needs the role {route.role.label}; {who.name} has "
            f"{who.role.label}",
        )  # fmt: skip
    query = _query(request, route.query)
    path = {name: name_of(value) for name, value in request.path_params.items()}
    if route.is_stream:
        call = ApiCall(backend, who, path, query, None)
        return await _stream(hub, authorize, limiter, route, request, call)
    sent = b"" if route.body is None else await _body(request)
    body = None if route.body is None else _decoded(sent, route.body)
    call = ApiCall(backend, who, path, query, body, recent)
    if not route.is_change:
        return _answer(request, route, await run_sync(route.handler, call, limiter=limiter))
    address = request.client.host if request.client is not None else ""

    def change() -> Response:
        try:
            return _answer(request, route, _audited(route, call, address))
        finally:
            recent.forget()

    key = key_of(request, who)
    if key is None:
        return await run_sync(change, limiter=limiter)
    if route.is_secret:
        detail = "the answer has a secret, which is not kept: send no Idempotency-Key"
        raise RequestRefused(HTTPStatus.UNPROCESSABLE_ENTITY, detail)
    once = partial(answer_once, backend.store.answers, key, sent, dict(_HEADERS), change)
    return await run_sync(once, limiter=limiter)


async def _stream(
    hub: EventHub | None, authorize: Authorize, limiter: anyio.CapacityLimiter | None,
    route: Route, request: Request, call: ApiCall[Any, Any],
) -> Response:  # fmt: skip
    if hub is None:
        detail = f"this server cannot stream: poll instead, as GET {_POLLED[route.path]}"
        raise RequestRefused(HTTPStatus.NOT_IMPLEMENTED, detail)
    if (given := request.headers.get("last-event-id")) and "after" in route.query.__struct_fields__:
        query = _converted(
            lambda: msgspec.convert({"after": given}, route.query, strict=False), route.query
        )
        call = replace(call, query=msgspec.structs.replace(call.query, after=query.after))

    sees_values = call.who.sees_values

    async def may_go_on() -> bool:
        who = await authorize(request)
        return who is not None and who.role >= route.role and who.sees_values >= sees_values

    what = await run_sync(route.handler, call, limiter=limiter)
    return hub.response(what, call.who.name, may_go_on, dict(_HEADERS))


def _audited(route: Route, call: ApiCall[Any, Any], address: str) -> Any:
    """Make a change and write down who asked for it, before, and how it went, after."""
    access, told = call.backend.store.access, route.told(call.body)
    target = " ".join(call.path[name] for name in route.parameters)
    entry = access.begin(call.who.name, address, route.name, target, told)
    try:
        found = route.handler(call)
    except Exception as error:
        refused = problem_of(error)
        access.end(entry, f"{refused.status.value} {refused.detail}" if refused else "a defect")
        raise
    access.end(entry, "done")
    return found


def _query(request: Request, wanted: type[msgspec.Struct]) -> Any:
    """The parameters of the query, checked."""
    found: dict[str, Any] = {}
    for name, value in request.query_params.multi_items():
        if name in found:
            raise RequestRefused(HTTPStatus.UNPROCESSABLE_ENTITY, f"{name} is given twice")
        found[name] = value
    return _converted(lambda: msgspec.convert(found, wanted, strict=False), wanted)


async def _body(request: Request) -> bytes:
    """What was sent, which must be JSON."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != _JSON:
        raise RequestRefused(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"send {_JSON}")
    return await read_body(request, largest=_LARGEST_BODY, within=_SLOWEST_BODY)


def _decoded(sent: bytes, wanted: type[msgspec.Struct]) -> Any:
    return _converted(lambda: msgspec.json.decode(sent, type=wanted), wanted)


def _converted(convert: Callable[[], Any], wanted: type[msgspec.Struct]) -> Any:
    try:
        return convert()
    except msgspec.ValidationError as error:
        raise RequestRefused(HTTPStatus.UNPROCESSABLE_ENTITY, told(error, wanted)) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RequestRefused(
            HTTPStatus.BAD_REQUEST, f"the body is not valid JSON: {error}"
        ) from None


def _answer(request: Request, route: Route, found: Any) -> Response:
    body, kind = msgspec.json.encode(found), _JSON
    if isinstance(found, Text):
        body, kind = found.text.encode("utf-8", "replace"), found.media_type
    if route.is_change:
        return Response(body, int(route.status), _HEADERS, kind)
    tag = tag_of(body)
    headers = {**_HEADERS, "etag": tag, "cache-control": "private, no-cache"}
    if tag in _tags(request.headers.get("if-none-match", "")):
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
    return Response(body, int(route.status), headers, kind)


def _tags(text: str) -> Sequence[str]:
    return [tag.strip().removeprefix("W/") for tag in text.split(",")]


async def _http_problem(request: Request, error: Exception) -> Response:
    status, headers = HTTPStatus(404), dict[str, str]()
    if isinstance(error, HTTPException):
        status, headers = HTTPStatus(error.status_code), dict(error.headers or {})
    return problem_response(
        status, f"there is nothing at {request.url.path}", {**_HEADERS, **headers}
    )


async def _defect(request: Request, error: Exception) -> Response:
    log.error("a defect of hammerflow: %s %s", request.method, request.url.path, exc_info=error)
    detail = "a defect of hammerflow: its log has the traceback"
    return problem_response(HTTPStatus.INTERNAL_SERVER_ERROR, detail, dict(_HEADERS))
