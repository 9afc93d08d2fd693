"""``hammerflow sink``: who gets the events: list, add, pause, rewind, test and remove sinks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any, TypeVar

import click

from hammerflow.admin.sinks import named_sink_json, resume_sink, try_sink
from hammerflow.cli.confirming import confirm
from hammerflow.cli.options import (
    argument,
    checked,
    flag,
    number_option,
    seconds_option,
    shared,
    text_option,
)
from hammerflow.cli.session import Session
from hammerflow.cli.sink_view import PARKED, facts_of, sinks_table
from hammerflow.errors import ConfigError
from hammerflow.events.filter import EventFilter
from hammerflow.options.checks import NAME_CHECK, Unfit, ValueCheck, text
from hammerflow.options.variables import check_variables
from hammerflow.sinks.registry import code_of, config_of_text, open_sink
from hammerflow.stores.outbox import BELIEVED
from hammerflow.stores.store import Store
from hammerflow.text import counted, timestamp, user_at_host

__all__ = [
    "command", "filter_of", "filter_options", "from_position", "from_time", "position_of",
]  # fmt: skip

F = TypeVar("F", bound=Callable[..., Any])


def _pair(given: Any) -> tuple[str, str]:
    name, sign, value = str(given).partition("=")
    if not sign or not name:
        raise Unfit
    return name, value


_PAIR = ValueCheck("str", "NAME=VALUE", _pair)


def _moment(given: Any) -> datetime:
    """A time of the command line, with its zone."""
    try:
        found = datetime.fromisoformat(given)
    except (TypeError, ValueError):
        raise Unfit from None
    return found.astimezone(UTC)


MOMENT = ValueCheck("datetime", 'a time such as "2026-03-29 01:00"', _moment)
_name = argument("name", NAME_CHECK)
_place = partial(checked, check=text(20, least=1), metavar="POSITION")
_time = partial(checked, check=MOMENT, metavar="TIME")
from_position = _place("--from-position", help="Begin after this position; 0: with the first.")
from_time = _time("--from-time", help="Begin with the events from this time on.")
to_position = _place("--to-position", help="Deliver events after this position; 0: the whole log.")
to_time = _time("--to-time", help="Deliver the events from this time on.")


def filter_options(command: F) -> F:
    """The flags of a filter of events."""
    for name, parameter, check, metavar, help_ in reversed(_FILTERS):
        option = checked(
            name, parameter, check=check, metavar=metavar, help=help_, multiple=check is not _FLOOR
        )
        command = option(command)
    return seconds_option("--min-duration", help="Only attempts of at least this long.")(command)


_FLOOR, _TEXT = text(20, least=1), text(300, least=1)
_AGAIN = "may be given again."
_FILTERS = (
    ("--kinds", "kinds", _TEXT, "KIND", f"Only this kind, such as job.failed; {_AGAIN}"),
    ("--queue", "queues", _TEXT, "NAME", f"Only jobs of this queue; {_AGAIN}"),
    ("--task", "tasks", _TEXT, "NAME", f"Only jobs of this task; {_AGAIN}"),
    ("--header", "headers", _PAIR, "NAME=VALUE", f"Only jobs with this header; {_AGAIN}"),
    ("--metadata", "metadata", _PAIR, "NAME=VALUE", f"Only with this in the metadata; {_AGAIN}"),
    ("--min-priority", "min_priority", _FLOOR, "PRIORITY", "Only jobs of this priority or above."),
)


def filter_of(
    kinds: Sequence[str], queues: Sequence[str], tasks: Sequence[str],
    headers: Sequence[tuple[str, str]], metadata: Sequence[tuple[str, str]],
    min_priority: str | None, min_duration: float | None,
) -> EventFilter:  # fmt: skip
    """The filter of these flags."""
    priority: Any = min_priority
    if priority is not None and priority.isdecimal():
        priority = int(priority)
    return EventFilter.of(
        kinds=kinds or None, queues=queues, tasks=tasks, min_priority=priority,
        min_duration=min_duration, headers=dict(headers), metadata=dict(metadata),
    )  # fmt: skip


@click.group("sink")
def command() -> None:
    """List, add, pause, rewind, test and remove sinks, which get the events.

    If there are sinks, a worker starts a relay process; hammerflow relay runs one on its own.
    """


@command.command("list")
@shared
def list_sinks(session: Session) -> None:
    """List the sinks: how far each has come, how many events it is behind, and what is wrong."""
    with session.store() as store:
        rows, head = store.sinks.list(), store.events.head()
        parked = store.sinks.parked_counts()
    empty = "there are no sinks: add one with hammerflow sink add, or with app.sink() in the code"
    session.show_list(rows, sinks_table(head, parked), empty=empty)


@command.command("show")
@_name
@number_option("--parked", 0, 1_000, default=10, help="Last refused events to show.")
@shared
def show(session: Session, name: str, parked: int) -> None:
    """Show a sink: its options without secrets, its filter, and the events that it has refused."""
    with session.store() as store:
        found = named_sink_json(store, name)
        refused = store.sinks.parked(name, parked) if parked else []
    events = [PARKED.as_json(event) for event in refused]
    table = PARKED.heads, [PARKED.row(event) for event in refused]
    session.show_facts({**found, "refused": events}, facts_of(found), table)


@command.command("add")
@_name
@argument("kind", text(200, least=1))
@argument("options", _PAIR, nargs=-1, metavar="[NAME=VALUE]...")
@filter_options
@from_position
@from_time
@shared
def add(
    session: Session, name: str, kind: str, options: Sequence[tuple[str, str]],
    from_position: str | None, from_time: datetime | None, **filters: Any,
) -> None:  # fmt: skip
    """Add a sink, or change its options.

    KIND is none, log, file, http, redis, nats, kafka, kinesis or pubsub. NAME=VALUE are its
    options, which the reference lists; a value may name an environment variable of the relay, such
    as ${TOKEN}, so that no secret is in the database.

    \b
    Examples:
      hammerflow sink add audit file path=/var/log/jobs.jsonl
      hammerflow sink add ops http url=https://ops.example/events --kinds job.failed --queue mail
    """
    if names := code_of(kind, dict(options)) - {kind if ":" not in kind else ""}:
        raise ConfigError(
            f"{', '.join(sorted(names))} is your own code, and the relay imports nothing that only "
            "the database names: declare the sink in the app, with app.sink()"
        )
    config = config_of_text(kind, dict(options))
    check_variables(f"the sink {name}", config, session.settings.bounds)
    if "${" not in str(config):
        open_sink(name, kind, config)  # it checks what the kind needs
    wanted = filter_of(**filters)
    with session.store() as store:
        position = position_of(store, from_position, from_time)
        is_new = name not in {row.name for row in store.sinks.list()}
        changed = store.sinks.put(name, kind, config, wanted, by=user_at_host(), position=position)
        found = named_sink_json(store, name)
    start = timestamp(found["complete_from"].astimezone())
    what = "added" if is_new else "changed" if changed else "nothing changed"
    session.tell(
        found, f"sink {name}: {what}",
        f"it gets every event from {start} on: processes take {BELIEVED:g} s to learn of it",
    )  # fmt: skip


@command.command("pause")
@_name
@text_option("--reason", default="", help="Why; kept in the database.")
@shared
def pause(session: Session, name: str, reason: str) -> None:
    """Deliver nothing to a sink until sink resume; the log keeps its events for a time."""
    with session.store() as store:
        store.sinks.pause(name, by=user_at_host(), reason=reason)
        found = named_sink_json(store, name)
    session.tell(found, f"sink {name} is paused after position {found['position']}")


@command.command("resume")
@_name
@shared
def resume(session: Session, name: str) -> None:
    """Continue from where a sink was paused or has stopped."""
    with session.store() as store:
        resume_sink(store, name, by=user_at_host())
        found = named_sink_json(store, name)
    session.tell(found, f"sink {name} goes on; it is {found['behind']} events behind")


@command.command("rewind")
@_name
@to_position
@to_time
@flag("--yes", help="Do not ask.")
@flag("--dry-run", help="Only show how many events it would be.")
@shared
def rewind(
    session: Session, name: str, to_position: str | None, to_time: datetime | None, yes: bool,
    dry_run: bool,
) -> None:  # fmt: skip
    """Set the position of a sink: back, to deliver events again, or ahead, to skip some."""
    with session.store() as store:
        row = store.sinks.get(name)
        position = position_of(store, to_position, to_time)
        if position is None:
            raise click.UsageError("say where: --to-position POSITION or --to-time TIME")
        count, head = abs(row.position - position), store.events.head()
        if position > head:
            raise ConfigError(f"the log ends at the position {head}")
        what = "deliver" if position < row.position else "leave out"
        again = " again" if position < row.position else ""
        deed = f"{what} {counted(count, 'event')}{again}"
        if not dry_run:
            confirm(session, f"{deed} at sink {name}", yes=yes)
            store.sinks.rewind(name, position, by=user_at_host())
        found = named_sink_json(store, name)
    session.tell({**found, "events": count}, f"sink {name}: {'would ' if dry_run else ''}{deed}")


@command.command("remove")
@_name
@flag("--yes", help="Do not ask.")
@flag("--dry-run", help="Only show how many events it is behind.")
@shared
def remove(session: Session, name: str, yes: bool, dry_run: bool) -> None:
    """Remove a sink; events that it has not received are not delivered."""
    with session.store() as store:
        found = named_sink_json(store, name)
        behind = counted(found["behind"], "event")
        if not dry_run:
            confirm(session, f"remove sink {name}, which is {behind} behind", yes=yes)
            store.sinks.remove(name)
    would = "would be removed" if dry_run else "removed"
    session.tell(found, f"sink {name}: {would}; it was {behind} behind")


@command.command("test")
@_name
@shared
def test(session: Session, name: str) -> None:
    """Send one event of the kind test to a sink, from this process, and print the outcome."""
    settings, declared = session.settings, session.declared_sink_code
    with session.store() as store:
        found = try_sink(store, name, settings, declared)
    took = found["seconds"]
    session.tell(found, f"sink {name} has taken a test event within {took:.2f} s")


def position_of(store: Store, given: str | None, at: datetime | None) -> int | None:
    """The position that a flag names; None where none is given."""
    if given is not None and at is not None:
        raise click.UsageError("give a position or a time, not both")
    if at is not None:
        return store.events.position_at(at.timestamp())
    if given is None:
        return None
    if not given.isdecimal() or int(given) > 10**15:
        raise ConfigError(f"a position is a number from 0 to 10**15, not {given!r}")
    return int(given)
