"""What is known of events: pages of the log."""

from __future__ import annotations

from typing import NamedTuple

from hammerflow.events.event import Event
from hammerflow.events.filter import EventFilter
from hammerflow.sinks.reader import EventReader
from hammerflow.stores.store import Store

__all__ = ["EventPage", "event_page"]


class EventPage(NamedTuple):
    """Some events, in order.

    Attributes:
        after: the position from which to read on, also where nothing passed the filter.
        head: the position of the last event of the log.
        is_on: whether any sink wants events, so that there are some.
    """

    events: list[Event]
    after: int
    head: int
    is_on: bool


def event_page(store: Store, wanted: EventFilter, after: int | None, limit: int) -> EventPage:
    """The events behind a position; the newest ones if it is None."""
    status, reader = store.events.status(), EventReader(store, wanted)
    if after is None:
        events = reader.newest(limit)
        return EventPage(events, status.position, status.position, bool(status.wanted))
    events = [*reader.read(after, limit=limit)]
    return EventPage(events, reader.after, status.position, bool(status.wanted))
