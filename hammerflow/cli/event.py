"""``hammerflow event``: list the events of the log, and follow them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

import click

from hammerflow.cli import output
from hammerflow.cli.exit import INTERRUPTED
from hammerflow.cli.options import interval, limit, shared, updates, watch_count
from hammerflow.cli.output import TableView
from hammerflow.cli.session import Session
from hammerflow.cli.sink import (
    filter_of,
    filter_options,
    from_position,
    from_time,
    position_of,
)
from hammerflow.events.event import Event
from hammerflow.events.filter import EventFilter
from hammerflow.events.kinds import EventKind
from hammerflow.sinks.reader import EventReader
from hammerflow.text import timestamp

__all__ = ["command"]


@click.group("event")
def command() -> None:
    """List the events of the log, and follow them.

    The log holds the kinds that sinks subscribe to, for as long as the setting event_retention
    says. To turn it on without any receiver, run hammerflow sink add NAME none.
    """


@command.command("list")
@filter_options
@from_position
@from_time
@limit(None, "At most this many events.")
@shared
def list_events(
    session: Session, from_position: str | None, from_time: datetime | None, limit: int | None,
    **filters: Any,
) -> None:  # fmt: skip
    """List events: the newest ones, or those from a position or a time on."""
    wanted = _filter(**filters)
    count = limit or (1_000 if session.as_json else 50)
    with session.store() as store:
        reader = EventReader(store, wanted)
        position = position_of(store, from_position, from_time)
        found = reader.newest(count) if position is None else reader.read(position, limit=count)
        events = [*found]
        hint = "" if store.events.status().wanted else _HINT
    session.show_list(events, _EVENTS, empty=f"there are no such events{hint}")


@command.command("tail")
@filter_options
@from_position
@from_time
@interval(default=0.5)
@watch_count
@shared
def tail(
    session: Session, from_position: str | None, from_time: datetime | None, interval: float,
    count: int | None, **filters: Any,
) -> int:  # fmt: skip
    """Print events as they come, until Ctrl-C; with --json one document a line.

    It begins with the next event, unless a position or a time is given.
    """
    wanted = _filter(**filters)
    with session.store() as store:
        reader = EventReader(store, wanted)
        position = position_of(store, from_position, from_time)
        if not store.events.status().wanted:
            session.warn(f"nothing is written to the log now{_HINT}")
        after = store.events.head() if position is None else position
        try:
            for _ in updates(interval, count):
                _print(session, reader.read(after))
                after = reader.after
        except KeyboardInterrupt:
            return INTERRUPTED
    return 0


_HINT = ": no sink asks for events (hammerflow sink add NAME none turns the log on)"


def _filter(kinds: Sequence[str], **parts: Any) -> EventFilter:
    return filter_of(kinds=kinds or ["*"], **parts)


def _print(session: Session, events: Iterator[Event]) -> None:
    for event in events:
        if session.as_json:
            output.show_json(_EVENTS.as_json(event), is_line=True)
        elif event.kind == EventKind.LOG_GAP.label:
            gap = event.data
            session.warn(f"the events {gap['first']} to {gap['last']} were removed from the log")
        else:
            output.say("  ".join(str(part) for part in _EVENTS.row(event)))


def _row(event: Event) -> Sequence[Any]:
    data = event.data
    told = [data[name] for name in ("task", "queue", "name") if data.get(name)]
    error = data.get("error")
    if error:
        told.append(f"{error['type']}: {error['message']}"[:200])
    elif data.get("reason"):
        told.append(data["reason"])
    at = timestamp(event.at.astimezone())
    return event.position, at, event.kind, event.subject, ", ".join(map(str, told))


_EVENTS = TableView(("position", "at", "kind", "subject", "tells"), _row, Event.to_plain)
