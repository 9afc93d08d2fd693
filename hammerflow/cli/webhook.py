"""``hammerflow webhook``: endpoints that get each event as a signed request."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from functools import partial
from itertools import islice
from typing import Any

import click

from hammerflow.cli.confirming import confirm
from hammerflow.cli.options import argument, checked, flag, limit, shared, text_option
from hammerflow.cli.session import Session
from hammerflow.cli.sink import (
    MOMENT,
    filter_of,
    filter_options,
    from_position,
    from_time,
    position_of,
)
from hammerflow.cli.webhook_view import DELIVERIES, WEBHOOKS, webhook_facts, webhook_json
from hammerflow.errors import ConfigError, HammerflowError
from hammerflow.events.envelope import EVENT_TYPE, cloud_event, to_json
from hammerflow.events.event import Event
from hammerflow.events.kinds import EventKind
from hammerflow.jobs.job import NewJob
from hammerflow.options.checks import NAME_CHECK, choice, text
from hammerflow.sinks.base import Refused
from hammerflow.sinks.delivery import Delivery
from hammerflow.sinks.reader import EventReader
from hammerflow.sinks.registry import config_of_text
from hammerflow.sinks.webhook import WebhookCall, WebhookSink, attempt_delivery
from hammerflow.stores.store import Store
from hammerflow.stores.webhooks import WEBHOOK_QUEUE
from hammerflow.text import counted, user_at_host
from hammerflow.webhooks import new_secret

__all__ = ["command"]

#: Deliveries that a replay enqueues in one transaction.
_AT_ONCE = 500
_name = argument("name", NAME_CHECK)
_to_position = checked(
    "--to-position", check=text(20, least=1), metavar="POSITION",
    help="The last position [default: the end of the log].",
)  # fmt: skip
_to_time = checked(
    "--to-time", check=MOMENT, metavar="TIME", help="Only events before this time.",
)  # fmt: skip
_include = partial(checked, check=choice("args", "result"), metavar="PART", multiple=True)


@click.group("webhook")
def command() -> None:
    """Add, list, test, replay and remove webhooks: each event as a signed request.

    Workers deliver them as jobs of the queue _webhooks; those that serve named queues need it, too.
    """


@command.command("list")
@shared
def list_webhooks(session: Session) -> None:
    """List the endpoints: whether each is enabled, and its failures in a row."""
    with session.store() as store:
        found = store.webhooks.list()
    empty = "there are no webhooks: add one with hammerflow webhook add"
    session.show_list(found, WEBHOOKS, empty=empty)


@command.command("show")
@_name
@shared
def show(session: Session, name: str) -> None:
    """Show an endpoint: its filter, its state and its failures; its secret is never shown."""
    with session.store() as store:
        found = webhook_json(store.webhooks.get(name))
    session.show_facts(found, webhook_facts(found))


@command.command("add")
@_name
@argument("url", text(2_000, least=1))
@filter_options
@_include("--include", help="Tell args or result of jobs, too; may be given again.")
@from_position
@from_time
@shared
def add(
    session: Session, name: str, url: str, include: Sequence[str], from_position: str | None,
    from_time: datetime | None, **filters: Any,
) -> None:  # fmt: skip
    """Add an endpoint, or change its URL and filter.

    The secret of a new one is printed once, for the receiver; webhook rotate makes another.

    \b
    Example:
      hammerflow webhook add ops https://ops.example/hooks --kinds job.failed --queue mail
    """
    options = {"url": url, **({"include": ",".join(include)} if include else {})}
    config, wanted = config_of_text("webhook", options), filter_of(**filters)
    with session.store() as store:
        for row in store.sinks.list():
            if row.name == name and row.kind != "webhook":
                raise ConfigError(f"there is a sink {name!r} of kind {row.kind} already")
        is_new = name not in {hook.name for hook in store.webhooks.list()}
        position, by = position_of(store, from_position, from_time), user_at_host()
        changed = store.sinks.put(name, "webhook", config, wanted, by=by, position=position)
        secret = new_secret() if is_new else None
        if secret is not None:
            store.webhooks.rotate(name, secret, overlap=0.0)
        found = webhook_json(store.webhooks.get(name))
    said = f"webhook {name}: added, or changed" if changed else f"webhook {name}: nothing changed"
    if secret is None:
        session.tell(found, said)
    else:
        session.tell({**found, "secret": secret}, said, f"secret, shown only now: {secret}")


@command.command("rotate")
@_name
@shared
def rotate(session: Session, name: str) -> None:
    """Make another secret and print it; for 24 hours the old one signs as well."""
    secret = new_secret()
    with session.store() as store:
        if store.webhooks.get(name).config.get("secret"):
            raise ConfigError(
                f"the secret of the webhook {name} is set by the code that declares it: change it "
                "there"
            )
        store.webhooks.rotate(name, secret)
        found = webhook_json(store.webhooks.get(name))
    session.tell(
        {**found, "secret": secret}, f"webhook {name}: both secrets sign for 24 hours",
        f"secret, shown only now: {secret}",
    )  # fmt: skip


@command.command("enable")
@_name
@shared
def enable(session: Session, name: str) -> None:
    """Deliver to an endpoint again, from where it was disabled."""
    with session.store() as store:
        store.webhooks.enable(name, by=user_at_host())
        found = webhook_json(store.webhooks.get(name))
    session.tell(
        found, f"webhook {name} is enabled; it goes on behind the position {found['position']}",
        "deliveries that wait are due now; those that were given up: hammerflow webhook replay",
    )  # fmt: skip


@command.command("disable")
@_name
@text_option("--reason", default="disabled by hand", help="Why; kept in the database.")
@shared
def disable(session: Session, name: str, reason: str) -> None:
    """Deliver nothing to an endpoint until webhook enable; deliveries wait for that, for a week."""
    with session.store() as store:
        store.webhooks.disable(name, reason, by=user_at_host())
        found = webhook_json(store.webhooks.get(name))
    session.tell(found, f"webhook {name} is disabled behind the position {found['position']}")


@command.command("remove")
@_name
@flag("--yes", help="Do not ask.")
@flag("--dry-run", help="Only show what would be removed.")
@shared
def remove(session: Session, name: str, yes: bool, dry_run: bool) -> None:
    """Remove an endpoint with its log; its deliveries that wait are cancelled."""
    with session.store() as store:
        found = webhook_json(store.webhooks.get(name))
        if not dry_run:
            confirm(session, f"remove 1 webhook, {name}, with its secret and its log", yes=yes)
            store.webhooks.forget(name)
            store.sinks.remove(name)
    session.tell(found, f"webhook {name}: {'would be ' if dry_run else ''}removed")


@command.command("deliveries")
@_name
@limit(50, "Show at most this many attempts.")
@shared
def deliveries(session: Session, name: str, limit: int) -> None:
    """List the last attempts of an endpoint, the newest first; they are kept for a week."""
    with session.store() as store:
        store.webhooks.get(name)
        found = store.webhooks.deliveries(name, limit)
    session.show_list(found, DELIVERIES, empty=f"webhook {name} has had no delivery within a week")


@command.command("test")
@_name
@shared
def test(session: Session, name: str) -> None:
    """Send one event of the kind test to an endpoint, from this process, and say its answer."""
    settings = session.settings
    with session.store() as store:
        store.webhooks.get(name)
        target = store.webhooks.target(name)
        assert target is not None
        data = {"message": "sent by hammerflow webhook test"}
        event = Event(0, "test", datetime.now(UTC), name, data)
        body = to_json(cloud_event(event, settings.namespace, name))
        message = f"msg_test_{uuid.uuid4().hex}"
        headers = {"Content-Type": EVENT_TYPE}
        call = WebhookCall(name, target.generation, 0, message, headers, body)
        made, _ = attempt_delivery(target, call, settings.webhook_allow_networks)
        store.webhooks.note(name, message, 0, 0, made)
    if not made.is_delivered:
        raise HammerflowError(f"webhook {name} has not taken it: {made.error}")
    found = {"name": name, "message": message, **made._asdict()}
    session.tell(found, f"webhook {name} has answered HTTP {made.status} within {made.ms} ms")


@command.command("replay")
@_name
@from_position
@from_time
@_to_position
@_to_time
@flag("--yes", help="Do not ask.")
@flag("--dry-run", help="Only show how many events it would be.")
@shared
def replay(
    session: Session, name: str, from_position: str | None, from_time: datetime | None,
    to_position: str | None, to_time: datetime | None, yes: bool, dry_run: bool,
) -> None:  # fmt: skip
    """Deliver the events of a range again, with the ids that they had; the log must have them."""
    with session.backend() as backend:
        store = backend.store
        if store.webhooks.get(name).state != "enabled" and not dry_run:
            raise ConfigError(f"webhook {name} is disabled: hammerflow webhook enable {name}")
        after, last = position_of(store, from_position, from_time), store.events.head()
        if after is None:
            raise click.UsageError("say from where: --from-position POSITION or --from-time TIME")
        end = position_of(store, to_position, to_time)
        last = last if end is None else min(end, last)
        count = sum(1 for _ in _events(store, name, after, last))
        deed = f"deliver {counted(count, 'event')} again to webhook {name}"
        if not dry_run and count:
            confirm(session, deed, yes=yes)
            jobs = _jobs(session, store, name, after, last)
            while page := list(islice(jobs, _AT_ONCE)):
                store.jobs.insert(page)
                backend.notifier.ring({WEBHOOK_QUEUE})
    found = {"name": name, "events": count, "after": after, "to": last}
    session.tell(found, f"{'would ' if dry_run else ''}{deed}")


def _events(store: Store, name: str, after: int, last: int) -> Iterator[Event]:
    """The events that the endpoint wants, behind one position and up to another."""
    hook = store.webhooks.get(name)
    reader = EventReader(store, hook.filters, include=hook.config.get("include", ()))
    for event in reader.read(after):
        if event.position > last:
            return
        if event.kind != EventKind.LOG_GAP.label:
            yield event


def _jobs(session: Session, store: Store, name: str, after: int, last: int) -> Iterator[NewJob]:
    once = uuid.uuid4().hex
    row = store.sinks.get(name)
    sink = WebhookSink(name, row.config)
    sink.use_store(store, session.settings.namespace)
    sink.open()
    maker = Delivery(store, row, holder=0, source=session.settings.namespace)
    for event in _events(store, name, after, last):
        try:
            yield sink.job(maker.message(event), "replay", once)
        except Refused as error:
            session.warn(f"the event {event.position} is left out: {error}")
