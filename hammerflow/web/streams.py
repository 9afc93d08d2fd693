"""Streams: server-sent events. One poller of the process reads for all browsers.

A stream of events is exact: the id of each message is its position in the log, and a browser that
comes back sends the last one, so nothing is lost or told twice. Behind what the poller has read, a
stream reads the log itself, page by page, until it has caught up. Each stream holds a bounded
number of messages: a client that is too slow is cut off, and goes on from its last position.
Hints at what has changed, and the logs of jobs, have a poller each.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sized
from contextlib import AbstractContextManager
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import anyio
import msgspec
from anyio.to_thread import run_sync
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from hammerflow.admin.shown_texts import ShownTexts
from hammerflow.errors import HammerflowError
from hammerflow.events.event import Event
from hammerflow.events.filter import EventFilter
from hammerflow.sinks.reader import EventReader
from hammerflow.stores.store import Store
from hammerflow.web.held_messages import RETRY, Stream, position_message
from hammerflow.web.log_streams import LogStreams, LogsWanted
from hammerflow.web.problems import RequestRefused

__all__ = ["MOST_STREAMS", "EventHub", "EventsWanted", "HintsWanted", "shown_event"]

log = logging.getLogger("hammerflow.web")
#: Seconds between two reads of the log, and of what the hints are made of.
POLL, HINT = 0.5, 1.0
#: Seconds after which a client that takes nothing is given up, and between two checks that it may
#: still read.
_STUCK, _CHECKED = 30.0, 60.0
#: Events that are read at once.
_PAGE = 500
#: Streams at a time.
MOST_STREAMS = 5_000
#: Seconds after which somebody with too many streams may try again.
_RETRY_AFTER = 15


@dataclass(frozen=True, slots=True)
class EventsWanted:
    """A stream of events behind a position; None: from now on.

    Attributes:
        texts: what is shown of their data.
    """

    wanted: EventFilter
    after: int | None
    texts: ShownTexts


@dataclass(frozen=True, slots=True)
class HintsWanted:
    """A stream of hints at what has changed."""


class _Readers:
    """The streams with one filter, which is asked once for all of them."""

    def __init__(self, wanted: EventFilter, texts: ShownTexts) -> None:
        self._wanted = wanted
        self._texts = texts
        self._kinds = {kind.label for kind in wanted.kinds}
        self.streams: set[Stream] = set()

    def give(self, event: Event) -> None:
        """Hand an event on, if it passes."""
        is_kind = event.kind in self._kinds or event.kind.startswith("log.")
        if is_kind and self._wanted.wants(event):
            message = _message(event, self._texts)
            for stream in self.streams:
                stream.put(message)


class EventHub:
    """The streams of one process.

    Args:
        most: how many at a time.
        most_each: how many of one person or token.
    """

    def __init__(
        self, store: Store, limiter: anyio.CapacityLimiter | None, most: int, most_each: int
    ) -> None:
        self._store = store
        self._most = most
        self._most_each = most_each
        self._open: Counter[str] = Counter()  # by who has asked
        self._limiter = limiter
        self._readers: dict[tuple[str, bool], _Readers] = {}
        self._hints: set[Stream] = set()
        self._reader = EventReader(store, EventFilter.of(kinds=["*"]))
        self._after = 0
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._last_hint: dict[str, Any] = {}
        self._starting = asyncio.Lock()
        self._logs = LogStreams(store, self._read, self._patiently)
        self._is_down = False

    @property
    def count(self) -> int:
        """How many clients there are."""
        return self._open.total()

    def response(
        self, what: EventsWanted | HintsWanted | LogsWanted, who: str,
        may_go_on: Callable[[], Awaitable[bool]], headers: dict[str, str],
    ) -> Response:  # fmt: skip
        """The answer that goes on until the client leaves.

        Args:
            who: the name of who asks.
            may_go_on: asked each minute.

        Raises:
            RequestRefused: there are too many, of this name or in all.
        """
        if self._open[who] >= self._most_each:
            detail = (
                f"{who} has {self._most_each:,} streams open already: close one, poll instead, or "
                "raise the setting streams_per_user"
            )
            raise RequestRefused(HTTPStatus.TOO_MANY_REQUESTS, detail, retry_after=_RETRY_AFTER)
        if self.count >= self._most:
            detail = f"there are {self._most:,} streams already: try again later"
            raise RequestRefused(HTTPStatus.SERVICE_UNAVAILABLE, detail)
        return _StreamResponse(self._messages(what), self._counted(who), may_go_on, headers)

    def _messages(self, what: EventsWanted | HintsWanted | LogsWanted) -> AsyncIterator[bytes]:
        match what:
            case EventsWanted():
                return self._events(what)
            case LogsWanted():
                return self._logs.messages(what)
            case HintsWanted():
                return self._hinted()

    @contextlib.contextmanager
    def _counted(self, who: str) -> Iterator[None]:
        """Count a stream while it is open; nothing runs between the check and its begin."""
        self._open[who] += 1
        try:
            yield
        finally:
            self._open[who] -= 1
            if not self._open[who]:
                del self._open[who]

    async def _events(self, what: EventsWanted) -> AsyncIterator[bytes]:
        async with self._starting:
            if "events" not in self._tasks:
                self._after = await self._read(self._store.events.head)
                self._tasks["events"] = asyncio.create_task(self._poll_events())
        key = what.wanted.to_json(), what.texts.sees_values
        stream = Stream(position=self._after)
        readers = self._readers.setdefault(key, _Readers(what.wanted, what.texts))
        readers.streams.add(stream)  # from here on it gets all that is behind its position
        try:
            yield RETRY
            if what.after is not None and what.after < stream.position:
                async for message in self._catch_up(what, stream.position):
                    yield message
            async for message in stream.messages():
                yield message
        finally:
            readers.streams.discard(stream)
            if not readers.streams:
                self._readers.pop(key, None)
            self._stop_idle("events", self._readers)

    async def _catch_up(self, what: EventsWanted, end: int) -> AsyncIterator[bytes]:
        """What is in the log behind the client's position, up to where its stream begins."""
        reader = EventReader(self._store, what.wanted)
        after = what.after or 0
        while after < end:
            page = await self._read(lambda: [*reader.read(after, limit=_PAGE)])  # noqa: B023
            for event in page:
                if event.position <= end:
                    yield _message(event, what.texts)
            if reader.after <= after:
                break
            after = reader.after
        yield position_message(end)

    async def _hinted(self) -> AsyncIterator[bytes]:
        stream = Stream()
        self._hints.add(stream)
        if "hints" not in self._tasks:
            self._tasks["hints"] = asyncio.create_task(self._poll_hints())
        elif self._last_hint:
            stream.put(_hint(["all"], self._last_hint))
        try:
            yield RETRY
            async for message in stream.messages():
                yield message
        finally:
            self._hints.discard(stream)
            self._stop_idle("hints", self._hints)

    def _stop_idle(self, name: str, clients: Sized) -> None:
        if not clients and name in self._tasks:
            self._tasks.pop(name).cancel()

    async def _poll_events(self) -> None:
        """Read what is new and give it to all streams."""
        while True:
            await asyncio.sleep(POLL)
            with self._patiently():
                events = await self._read(
                    lambda: [*self._reader.read(self._after, limit=4 * _PAGE)]
                )
                self._after = max(self._after, self._reader.after)
                for event in events:
                    for readers in self._readers.values():
                        readers.give(event)
                for readers in self._readers.values():
                    for stream in readers.streams:
                        stream.position = self._after

    async def _poll_hints(self) -> None:
        """Tell what has changed since the last look."""
        before: dict[str, Any] = {}
        while True:
            with self._patiently():
                now = await self._read(self._store.queue_stats.look)
                before = {} if self._is_down else before  # pages show an error: read it all again
                topics = [name for name in now if now[name] != before.get(name)] if before else []
                topics = topics if before else ["all"]
                if before and now["jobs"]["running"] and "jobs" not in topics:
                    topics.append("jobs")  # what ends and what comes may be as many
                before = self._last_hint = now
                for stream in self._hints if topics else ():
                    stream.held.clear()  # the last hint says it all
                    stream.put(_hint(topics, now))
            await asyncio.sleep(HINT)

    @contextlib.contextmanager
    def _patiently(self) -> Any:
        """Wait where the database does not answer; pages learn of it when they read."""
        try:
            yield
            if self._is_down:
                log.info("the database is back: streams go on")
            self._is_down = False
        except Exception as error:  # a border: a poller that ends tells nobody
            if self._is_down:
                return
            self._is_down = True
            reason = None if isinstance(error, HammerflowError) else error
            log.warning("streams wait for the database: %s", error, exc_info=reason)
            for stream in self._hints:
                stream.put(_hint(["all"], self._last_hint))

    async def _read(self, read: Callable[[], Any]) -> Any:
        return await run_sync(read, limiter=self._limiter)


def shown_event(event: Event, texts: ShownTexts) -> dict[str, Any]:
    """An event as JSON, as somebody may see it."""
    plain = event.to_plain()
    return {**plain, "at": event.at, "data": texts.event(plain["data"])}


def _message(event: Event, texts: ShownTexts) -> bytes:
    data = msgspec.json.encode(shown_event(event, texts), enc_hook=str)
    return b"id: %d\nevent: %s\ndata: %s\n\n" % (event.position, event.kind.encode(), data)


def _hint(topics: list[str], now: dict[str, Any]) -> bytes:
    data = json.dumps({"topics": topics, **now}, default=str)
    return f"event: changed\ndata: {data}\n\n".encode()


class _StreamResponse(Response):
    """Sends messages until they end, the client leaves, takes nothing, or may read no more."""

    def __init__(
        self, messages: AsyncIterator[bytes], counted: AbstractContextManager[None],
        may_go_on: Callable[[], Awaitable[bool]], headers: dict[str, str],
    ) -> None:  # fmt: skip
        headers = {**headers, "cache-control": "no-store", "x-accel-buffering": "no"}
        super().__init__(b"", 200, headers, "text/event-stream; charset=utf-8")
        del self.headers["content-length"]
        self._messages = messages
        self._counted = counted
        self._may_go_on = may_go_on

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one client."""
        with self._counted:
            await self._serve(receive, send)

    async def _serve(self, receive: Receive, send: Send) -> None:
        sending = asyncio.ensure_future(self._send_all(send))
        leaving = asyncio.ensure_future(_left(receive))
        try:
            await asyncio.wait({sending, leaving}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (sending, leaving):
                task.cancel()
            await asyncio.gather(sending, leaving, return_exceptions=True)
            await self._messages.aclose()  # type: ignore[attr-defined]

    async def _send_all(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        loop = asyncio.get_running_loop()
        checked = loop.time()
        async for message in self._messages:
            if loop.time() - checked > _CHECKED:
                checked = loop.time()
                if not await self._is_allowed():
                    break
            try:
                async with asyncio.timeout(_STUCK):
                    await send({"type": "http.response.body", "body": message, "more_body": True})
            except TimeoutError:
                return  # the connection is closed, as the answer has no end
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _is_allowed(self) -> bool:
        try:
            return await self._may_go_on()
        except RequestRefused:
            return False


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
