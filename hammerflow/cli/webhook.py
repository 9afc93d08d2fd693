"""``hammerflow webhook``: endpoints that get each event as a signed request."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import partial
from typing import Any

import click

from hammerflow.admin.webhooks import (
    address_warning,
    events_again,
    named_webhook_json,
    put_webhook,
    remove_webhook,
    replay_events,
    rotate_secret,
    try_webhook,
    webhooks_json,
)
from hammerflow.cli.confirming import confirm
from hammerflow.cli.options import (
    argument,
    checked,
    flag,
    limit,
    number_option,
    seconds_option,
    shared,
    text_option,
)
from hammerflow.cli.session import Session
from hammerflow.cli.sink import (
    MOMENT,
    filter_of,
    filter_options,
    from_position,
    from_time,
    position_of,
)
from hammerflow.cli.webhook_view import DELIVERIES, WEBHOOKS, webhook_facts
from hammerflow.errors import HammerflowError
from hammerflow.events.event import Event
from hammerflow.options.checks import NAME_CHECK, choice, text
from hammerflow.options.variables import check_variables
from hammerflow.sinks.registry import check_config
from hammerflow.text import counted, user_at_host
from hammerflow.webhooks.ed25519 import PUBLIC

__all__ = ["command"]

_name = argument("name", NAME_CHECK)
_to_position = checked(
    "--to-position", check=text(20, least=1), metavar="POSITION",
    help="The last position [default: the end of the log].",
)  # fmt: skip
_to_time = checked(
    "--to-time", check=MOMENT, metavar="TIME", help="Only events before this time.",
)  # fmt: skip
_signature = partial(checked, check=choice("hmac", "ed25519"), metavar="KIND")
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
        found = webhooks_json(store)
    empty = "there are no webhooks: add one with hammerflow webhook add"
    session.show_list(found, WEBHOOKS, empty=empty)


@command.command("show")
@_name
@shared
def show(session: Session, name: str) -> None:
    """Show an endpoint: its filter, its state and its failures; its secret is never shown."""
    with session.store() as store:
        found = named_webhook_json(store, name)
    session.show_facts(found, webhook_facts(found))


@command.command("add")
@_name
@argument("url", text(2_000, least=1))
@filter_options
@_include("--include", help="Tell args or result of jobs, too; may be given again.")
@_signature(
    "--signature",
    default="hmac",
    help="How the requests to a new one are signed: hmac, with a secret that its receiver has, "
    "too; or ed25519, whose receiver has a public key (extra webhooks) [default: hmac].",
)
@number_option(
    "--disable-failures", 1, 1_000_000, help="Failures in a row that disable it [default: 20] ..."
)
@seconds_option("--disable-after", help="... after this long without success [default: 5 days].")
@from_position
@from_time
@shared
def add(
    session: Session, name: str, url: str, include: Sequence[str], signature: str,
    disable_failures: int | None, disable_after: float | None, from_position: str | None,
    from_time: datetime | None, **filters: Any,
) -> None:  # fmt: skip
    """Add an endpoint, or change its URL, options and filter.

    The secret of a new one is printed once, for the receiver, or its public key; webhook rotate
    makes another.

    \b
    Example:
      hammerflow webhook add ops https://ops.example/hooks --kinds job.failed --queue mail
    """
    given = {
        "url": url, "include": [*include], "disable_failures": disable_failures,
        "disable_after": disable_after,
    }  # fmt: skip
    config = check_config("webhook", {n: one for n, one in given.items() if one not in (None, [])})
    wanted = filter_of(**filters)
    check_variables(f"the webhook {name}", config, session.settings.bounds)
    with session.store() as store:
        position, by = position_of(store, from_position, from_time), user_at_host()
        changed, secret = put_webhook(
            store, name, config, wanted, by=by, position=position, signature=signature
        )
        found = named_webhook_json(store, name)
    done = "added" if secret is not None else "changed" if changed else "nothing changed"
    said = f"webhook {name}: {done}"
    if warning := address_warning(config["url"], session.settings):
        session.warn(warning)
    if secret is None:
        session.tell(found, said)
    else:
        session.tell({**found, **_shown(secret)}, said, _line(secret))


@command.command("rotate")
@_name
@_signature("--signature", help="hmac or ed25519, as of webhook add [default: as before].")
@shared
def rotate(session: Session, name: str, signature: str | None) -> None:
    """Make another secret and print it, or a public key; for 24 hours the old one signs, too."""
    with session.store() as store:
        secret = rotate_secret(store, name, signature)
        found = named_webhook_json(store, name)
    session.tell(
        {**found, **_shown(secret)}, f"webhook {name}: both secrets sign for 24 hours",
        _line(secret),
    )  # fmt: skip


def _shown(secret: str) -> dict[str, str]:
    """What a receiver needs, as JSON."""
    return {"public_key" if secret.startswith(PUBLIC) else "secret": secret}


def _line(secret: str) -> str:
    kind = "public key" if secret.startswith(PUBLIC) else "secret"
    return f"{kind}, shown only now: {secret}"


@command.command("enable")
@_name
@shared
def enable(session: Session, name: str) -> None:
    """Deliver to an endpoint again, from where it was disabled."""
    with session.store() as store:
        store.webhooks.enable(name, by=user_at_host())
        found = named_webhook_json(store, name)
    session.tell(
        found, f"webhook {name} is enabled; it goes on after position {found['position']}",
        "deliveries that wait are due now; those that were given up: hammerflow webhook replay",
    )  # fmt: skip


@command.command("disable")
@_name
@text_option("--reason", default="disabled by hand", help="Why; kept in the database.")
@shared
def disable(session: Session, name: str, reason: str) -> None:
    """Deliver nothing to an endpoint until webhook enable; deliveries wait for up to a week."""
    with session.store() as store:
        store.webhooks.disable(name, reason, by=user_at_host())
        found = named_webhook_json(store, name)
    session.tell(found, f"webhook {name} is disabled after position {found['position']}")


@command.command("remove")
@_name
@flag("--yes", help="Do not ask.")
@flag("--dry-run", help="Only show what would be removed.")
@shared
def remove(session: Session, name: str, yes: bool, dry_run: bool) -> None:
    """Remove an endpoint with its log; pending deliveries are cancelled."""
    with session.store() as store:
        found = named_webhook_json(store, name)
        if not dry_run:
            confirm(session, f"remove 1 webhook, {name}, with its secret and its log", yes=yes)
            remove_webhook(store, name)
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
    """Send one event of the kind test to an endpoint, from this process, and print its answer."""
    with session.store() as store:
        message, made = try_webhook(store, name, session.settings)
    if not made.is_delivered:
        raise HammerflowError(f"webhook {name} did not accept the test event: {made.error}")
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
    """Deliver the events of a range again, with their original ids, as long as the log has them."""

    def refused(event: Event, error: Exception) -> None:
        session.warn(f"the event {event.position} is left out: {error}")

    with session.backend() as backend:
        store = backend.store
        store.webhooks.get(name)
        after, last = position_of(store, from_position, from_time), store.events.head()
        if after is None:
            raise click.UsageError("say from where: --from-position POSITION or --from-time TIME")
        end = position_of(store, to_position, to_time)
        last = last if end is None else min(end, last)
        count = sum(1 for _ in events_again(store, name, after, last))
        deed = f"deliver {counted(count, 'event')} again to webhook {name}"
        if not dry_run and count:
            confirm(session, deed, yes=yes)
            replay_events(backend, session.settings, name, after, last, refused)
    found = {"name": name, "events": count, "after": after, "to": last}
    session.tell(found, f"{'would ' if dry_run else ''}{deed}")
