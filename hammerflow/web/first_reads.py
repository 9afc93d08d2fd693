"""First reads: what a page of the dashboard reads first, told in the page itself.

A page that has to ask for it is drawn twice, and later by what two more requests take. It is told
as a block of JSON, which no browser runs, to whoever may read the same of the API.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import NamedTuple, TypeAlias

import anyio
import msgspec
from anyio.to_thread import run_sync
from starlette.requests import Request

from hammerflow.web.access import Principal
from hammerflow.web.backend import Backend
from hammerflow.web.headers import tag_of
from hammerflow.web.paths import name_of
from hammerflow.web.recent import Recent
from hammerflow.web.routes import ROUTES
from hammerflow.web.routing import ApiCall, Text

__all__ = ["FirstReads"]

log = logging.getLogger("hammerflow.web")
Authorize: TypeAlias = Callable[[Request], Awaitable[Principal | None]]
#: Seconds for which a page waits for its reads, while the browser fetches the code; it asks for
#: later ones itself.
_PATIENCE = 0.1
_MOST = 64 << 10  # bytes of one read; what is longer is fetched while the code runs
_ROUTES = {route.path: route for route in ROUTES if route.method == "GET"}


class _Read(NamedTuple):
    """A read, as the code of its page makes it.

    Attributes:
        path: its parameter is the thing that the page shows.
        fixed: parameters of the query that are always the same.
        defaults: those that the page's own query may change; empty ones are left out.
        passes: the page's whole query is passed on, but for the names in ``without``.
        named: the parameter that is the name of what the page shows.
    """

    path: str
    fixed: Mapping[str, str] = {}
    defaults: Mapping[str, str] = {}
    passes: bool = False
    without: Sequence[str] = ()
    named: str = ""

    def query(self, asked: Mapping[str, str], name: str) -> dict[str, str]:
        """The parameters of its query, for a page with this query and of this name."""
        given: dict[str, str] = {} if self.named == "" else {self.named: name}
        if self.passes:
            given |= {key: value for key, value in asked.items() if key not in self.without}
        given |= {key: asked.get(key, value) for key, value in self.defaults.items()}
        return {key: value for key, value in {**given, **self.fixed}.items() if value}


_DAY, _PAGE = {"hours": "24"}, {"limit": "50"}
_SPAWNS = {**_DAY, "queue": ""}
#: Of each page by the name of its module; of all pages, those of its frame.
_FRAME = (_Read("/api/session"), _Read("/api/counts"))
_READS: Mapping[str, Sequence[_Read]] = {
    "overview": (
        _Read("/api/overview"),
        _Read("/api/workers"),
        _Read("/api/queues", {"sort": "oldest", "limit": "8"}),
    ),
    "jobs": (_Read("/api/jobs", _PAGE, passes=True),),
    "job": (_Read("/api/jobs/{job_id}"),),
    "failures": (_Read("/api/failures", passes=True),),
    "tasks": (_Read("/api/tasks"), _Read("/api/task-stats", defaults=_DAY)),
    "queues": (_Read("/api/queues"), _Read("/api/queue-health")),
    "queue": (
        _Read("/api/queues/{queue}"),
        _Read("/api/queue-health", named="queue"),
        _Read("/api/statistics", defaults={"hours": "1"}, named="queue"),
    ),
    "workers": (_Read("/api/workers"),),
    "workflows": (
        _Read("/api/workflows", _PAGE, passes=True, without=("hours", "name")),
        _Read("/api/workflow-stats", defaults=_DAY),
    ),
    "workflow": (_Read("/api/workflows/{workflow_id}"),),
    "spawns": (
        _Read("/api/spawn/stats", defaults=_SPAWNS),
        _Read("/api/spawn/pending", {"limit": "20"}),
        _Read("/api/spawn/operations", _PAGE, _SPAWNS),
    ),
    "spawn": (_Read("/api/jobs/{job_id}"),),
    "schedules": (_Read("/api/schedules", {"limit": "100"}, passes=True, without=("show",)),),
    "limits": (_Read("/api/limits"),),
    "events": (_Read("/api/events", {"limit": "100"}, passes=True),),
    "sinks": (_Read("/api/sinks"),),
    "webhooks": (_Read("/api/webhooks"),),
    "alerts": (
        _Read("/api/alerts", {"all": "true"}),
        _Read("/api/alert-rules"),
        _Read("/api/alert-targets"),
    ),
    "archive": (
        _Read("/api/archive/jobs", _PAGE, passes=True),
        _Read("/api/archive/stats"),
        _Read("/api/retention"),
    ),
    "settings": (_Read("/api/tokens"),),
    "audit": (_Read("/api/audit", {"limit": "100"}, passes=True),),
}


class _Told(NamedTuple):
    """One read of a page: its path and query, the tag of the answer, and the answer."""

    path: str
    query: dict[str, str]
    tag: str
    answer: msgspec.Raw


class FirstReads:
    """Reads what pages read first.

    Args:
        authorize: asked who wants the page.
        limiter: of the threads in which handlers run; None where each request has an event loop of
            its own.
        recent: what clients share.
    """

    def __init__(
        self, backend: Backend, authorize: Authorize, limiter: anyio.CapacityLimiter | None,
        recent: Recent,
    ) -> None:  # fmt: skip
        self._backend = backend
        self._authorize = authorize
        self._limiter = limiter
        self._recent = recent
        self._running: set[asyncio.Task[None]] = set()

    async def of(self, request: Request, page: str, segment: str) -> bytes:
        """The block of a page, to be put into its HTML; empty for nobody.

        Args:
            page: the name of its module.
            segment: what names the thing that it shows, as a segment of a path.
        """
        try:
            who = await self._authorize(request)
        except Exception as error:  # noqa: BLE001 - a border: a page is public, and asks again
            log.debug("a page is sent without its first reads: %s", error)
            return b""
        if who is None:
            return b""
        found, is_over = list[_Told](), threading.Event()
        asked = dict(request.query_params)
        read = partial(self._read, who, page, segment, asked, found, is_over)
        is_apart = self._limiter is None  # then nobody may wait for a thread that is left behind
        task = asyncio.ensure_future(
            run_sync(read, abandon_on_cancel=is_apart, limiter=self._limiter)
        )
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        await asyncio.wait({task}, timeout=_PATIENCE)
        is_over.set()
        # In a block of JSON, an end tag or a comment can only begin with this sign.
        told = msgspec.json.encode([tuple(one) for one in found]).replace(b"<", b"\\u003c")
        return b'<script type="application/json" id="first">' + told + b"</script>"

    def _read(
        self, who: Principal, page: str, segment: str, asked: Mapping[str, str],
        found: list[_Told], is_over: threading.Event,
    ) -> None:  # fmt: skip
        """Read one after the other, until the page waits no longer."""
        for read in (*_FRAME, *_READS.get(page, ())):
            if is_over.is_set():
                return
            try:
                found.extend(self._answers(who, read, segment, asked))
            except Exception as error:  # noqa: BLE001 - a border: the page asks, and is told
                log.debug("%s was not read for a page: %s", read.path, error)

    def _answers(
        self, who: Principal, read: _Read, segment: str, asked: Mapping[str, str]
    ) -> Iterator[_Told]:
        """The answer, if who asks may have it, and it is not too long."""
        route = _ROUTES[read.path]
        if who.role < route.role:
            return
        name = name_of(segment)
        given, path = read.query(asked, name), read.path
        for parameter in route.parameters:
            path = path.replace(f"{{{parameter}}}", segment)
        query = msgspec.convert(given, route.query, strict=False)
        named = dict.fromkeys(route.parameters, name)
        answer = route.handler(ApiCall(self._backend, who, named, query, None, self._recent))
        body = msgspec.json.encode(answer)
        if len(body) <= _MOST and not isinstance(answer, Text):
            yield _Told(path, given, tag_of(body), msgspec.Raw(body))
