"""EventReader: reads the log from a position on, filtered and with what each event tells."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from datetime import UTC, datetime

from hammerflow.events.event import Event
from hammerflow.events.filter import EventFilter
from hammerflow.events.kinds import EventKind
from hammerflow.events.record import LoggedRecord
from hammerflow.stores.events.bodies import EventBodies
from hammerflow.stores.store import Store

__all__ = ["EventReader", "gap_event"]

#: Events that are read at once, and those that a search for the newest passes over at most.
_PAGE, _SEARCHED = 500, 100_000


class EventReader:
    """Reads for one purpose.

    Attributes:
        after: the position up to which :meth:`read` has come, also where nothing passed.
    """

    def __init__(self, store: Store, wanted: EventFilter, *, include: Collection[str] = ()) -> None:
        self._store = store
        self._wanted = wanted
        self._bodies = EventBodies(store.database, store.names, include)
        self.after = 0

    def read(self, after: int, *, limit: int | None = None) -> Iterator[Event]:
        """The events behind a position, to the end of the log."""
        self.after, count = after, 0
        while True:
            page = self._store.events.read(self.after, limit=_PAGE)
            if page.gap is not None:
                yield gap_event(*page.gap, name="reader")
            for event in self.render(page.records):
                if count == limit:
                    return
                yield event
                self.after, count = event.position, count + 1
            self.after = page.after
            if not page.records and page.gap is None:
                return

    def newest(self, count: int) -> list[Event]:
        """The last events that pass, in order; a rare kind is searched for among the newest
        100 000 events."""
        events: list[Event] = []
        records: list[LoggedRecord] = []  # that are not rendered yet
        before, size, left = None, count, _SEARCHED
        while len(events) < count:
            while len(records) < size and left > 0:
                page, before = self._store.events.newest(
                    size, before=before, kinds=self._wanted.kinds
                )
                records[:0] = page
                left = 0 if before is None else left - size
            if not records:
                break
            events[:0] = self.render(records[-size:])
            records, size = records[:-size], size * 10
        return events[-count:] if count else []

    def render(self, records: Sequence[LoggedRecord]) -> list[Event]:
        """The events of those of these records that pass."""
        kinds = self._wanted.kinds
        some = [r for r in records if not isinstance(r.kind, EventKind) or r.kind in kinds]
        return [event for event in self._bodies.render(some) if self._wanted.wants(event)]


def gap_event(first: int, last: int, *, name: str) -> Event:
    """What a reader is told of events that were removed before it had read them."""
    data = {"first": first, "last": last, "reader": name}
    return Event(last, EventKind.LOG_GAP.label, datetime.now(UTC), name, data)
