"""Routes of events: pages of the log."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from hammerflow.admin.events import event_page
from hammerflow.events.filter import EventFilter
from hammerflow.web.routes.types import Limit, Name, converted
from hammerflow.web.routing import ApiCall, Nothing, Route
from hammerflow.web.streams import EventsWanted, HintsWanted, shown_event

__all__ = ["ROUTES", "EventShown", "Kinds", "Position", "filter_of"]

Position = Annotated[int, Meta(ge=0, le=10**15, description="Begin after this position.")]
Kinds = Annotated[
    str,
    Meta(min_length=1, max_length=1000, description="Such as job.failed,workflow.*; all if left."),
]


class EventsQuery(msgspec.Struct, forbid_unknown_fields=True):
    """Which events; the newest ones if there is no after."""

    after: Position | None = None
    kinds: Kinds | None = None
    queue: Name | None = None
    task: Name | None = None
    limit: Limit = 50


class EventShown(msgspec.Struct):
    """An event; a tombstone has lost the rows that it tells of."""

    position: int
    kind: str
    at: datetime
    subject: str
    data: dict[str, Any]
    is_tombstone: bool


class EventPageShown(msgspec.Struct):
    """Some events, in order.

    Attributes:
        after: give it to read on, also where nothing passed the filter.
        head: the position of the last event of the log.
        is_on: whether any sink wants events; without one nothing is logged.
    """

    items: list[EventShown]
    after: int
    head: int
    is_on: bool


def filter_of(kinds: str | None, queue: str | None, task: str | None) -> EventFilter:
    """The filter of a query."""
    names = ["*"] if kinds is None else [name.strip() for name in kinds.split(",")]
    return EventFilter.of(
        kinds=names, queues=[queue] if queue else [], tasks=[task] if task else []
    )


def list_events(call: ApiCall[EventsQuery, None]) -> EventPageShown:
    """List events of the log: the newest ones, or those behind a position."""
    query = call.query
    wanted = filter_of(query.kinds, query.queue, query.task)
    page = event_page(call.backend.store, wanted, query.after, query.limit)
    items = [converted(shown_event(event, call.texts), EventShown) for event in page.events]
    return EventPageShown(items, page.after, page.head, page.is_on)


class EventStreamQuery(msgspec.Struct, forbid_unknown_fields=True):
    """Which events; without after, and without the header Last-Event-ID, those from now on."""

    after: Position | None = None
    kinds: Kinds | None = None
    queue: Name | None = None
    task: Name | None = None


def stream_events(call: ApiCall[EventStreamQuery, None]) -> EventsWanted:
    """Stream events as they are logged, as server-sent events.

    The id of each is its position: with the header Last-Event-ID a stream resumes right after
    it. Messages of the type position only advance it; log.gap tells of removed events.
    """
    query = call.query
    wanted = filter_of(query.kinds, query.queue, query.task)
    return EventsWanted(wanted, query.after, call.texts)


def stream_changes(call: ApiCall[Nothing, None]) -> HintsWanted:
    """Stream hints at what has changed, at most one a second, as server-sent events.

    They need no log of events. The data has topics (jobs, pauses, workers, alerts, names; all at
    first) and the counts of each.
    """
    return HintsWanted()


_SSE = "text/event-stream"
ROUTES: Sequence[Route] = (
    Route(
        "GET",
        "/api/events/stream",
        stream_events,
        str,
        query=EventStreamQuery,
        text=_SSE,
        is_stream=True,
    ),
    Route("GET", "/api/changes/stream", stream_changes, str, text=_SSE, is_stream=True),
    Route("GET", "/api/events", list_events, EventPageShown, query=EventsQuery),
)
