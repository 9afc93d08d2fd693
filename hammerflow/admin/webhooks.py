"""Webhooks: what is known of endpoints, as JSON, and what operators do with them."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from itertools import islice
from typing import Any

from hammerflow.errors import ConfigError
from hammerflow.events.envelope import EVENT_TYPE, cloud_event, to_json
from hammerflow.events.event import Event
from hammerflow.events.filter import EventFilter
from hammerflow.events.kinds import EventKind
from hammerflow.jobs.job import NewJob
from hammerflow.results.pauses import PauseBackend
from hammerflow.settings import Settings
from hammerflow.sinks.base import Refused
from hammerflow.sinks.delivery import Delivery
from hammerflow.sinks.reader import EventReader
from hammerflow.sinks.registry import shown_config
from hammerflow.sinks.webhook import WebhookCall, WebhookSink, attempt_delivery
from hammerflow.stores.events.webhooks import WEBHOOK_QUEUE, LoggedDelivery, Webhook
from hammerflow.stores.store import Store
from hammerflow.webhooks import is_private, new_key_pair, new_secret
from hammerflow.webhooks.guarded_http import local_address

__all__ = [
    "address_warning", "delivery_json", "events_again", "named_webhook_json", "put_webhook",
    "remove_webhook", "replay_events", "rotate_secret", "try_webhook", "webhook_json",
    "webhooks_json",
]  # fmt: skip

#: Deliveries that a replay enqueues in one transaction.
_AT_ONCE = 500


def webhook_json(hook: Webhook, waiting: int = 0) -> dict[str, Any]:
    """An endpoint as JSON.

    Args:
        waiting: how many deliveries wait for it.
    """
    config = shown_config("webhook", hook.config)
    return {
        "name": hook.name, "url": config.pop("url", None), "config": config,
        "filters": hook.filters.to_plain(), "app": hook.app, "state": hook.state,
        "sink_state": hook.sink_state, "position": hook.position, "since": hook.since,
        "failures": hook.failures, "waiting": waiting, "success_at": hook.success_at,
        "disabled_at": hook.disabled_at, "probe_at": hook.probe_at, "rest_until": hook.rest_until,
        "reason": hook.reason,
        "old_secret_until": hook.old_secret_until, "delivered": hook.delivered,
        "failed": hook.failed, "changed_by": hook.changed_by,
    }  # fmt: skip


def webhooks_json(store: Store) -> list[dict[str, Any]]:
    """All endpoints as JSON, by name."""
    hooks = store.webhooks.list()
    waiting = store.webhooks.waiting(hook.name for hook in hooks) if hooks else {}
    return [webhook_json(hook, waiting[hook.name]) for hook in hooks]


def named_webhook_json(store: Store, name: str) -> dict[str, Any]:
    """Read one endpoint.

    Raises:
        ConfigError: there is none of this name.
    """
    return webhook_json(store.webhooks.get(name), store.webhooks.waiting([name])[name])


def delivery_json(one: LoggedDelivery) -> dict[str, Any]:
    """An attempt as JSON."""
    return {
        "id": str(uuid.UUID(bytes=one.id)), "message": one.message, "position": one.position,
        "attempt": one.attempt, "at": one.at, "status": one.status, "ms": one.ms,
        "address": one.address, "error": one.error, "answer": one.answer,
    }  # fmt: skip


def put_webhook(
    store: Store, name: str, config: Mapping[str, Any], wanted: EventFilter, *, by: str,
    position: int | None, signature: str = "hmac",
) -> tuple[bool, str | None]:  # fmt: skip
    """Add an endpoint, or change its URL and filter.

    Args:
        config: options of a sink of the kind webhook, checked.
        position: where a new one begins; None: behind the last event.
        signature: of a new one: ``hmac`` or ``ed25519``.

    Returns:
        Whether anything has changed, and what the receiver of a new one needs: its secret, which
        nobody can read again, or its public key.

    Raises:
        ConfigError: the name is that of another sink.
    """
    for row in store.sinks.list():
        if row.name == name and row.kind != "webhook":
            raise ConfigError(f"there is a sink {name!r} of kind {row.kind} already")
    secret, shown = _secret_of(signature)
    is_new = name not in {hook.name for hook in store.webhooks.list()}
    changed = store.sinks.put(name, "webhook", config, wanted, by=by, position=position)
    if not is_new:
        return changed, None
    store.webhooks.rotate(name, secret, overlap=0.0)
    return changed, shown


def address_warning(url: str, settings: Settings) -> str | None:
    """What to tell whoever adds an endpoint whose address is not public; None if nothing is wrong.

    It is not refused: the workers that deliver may have other settings.
    """
    if "${" in url:  # the workers know the variable
        return None
    host = local_address(url, settings.webhook_allow_networks)
    if host is None:
        return None
    return (
        f"{host} is not on the public internet, so workers refuse to deliver there unless their "
        "setting webhook_allow_networks has its network"
    )


def _secret_of(signature: str) -> tuple[str, str]:
    """A new secret or private key, and what its receiver needs of it."""
    if signature == "ed25519":
        return new_key_pair()
    secret = new_secret()
    return secret, secret


def rotate_secret(store: Store, name: str, signature: str | None = None) -> str:
    """Make another secret, or pair of keys; for 24 hours the old one signs as well.

    Args:
        signature: ``hmac`` or ``ed25519``; None: as before.

    Returns:
        What the receiver needs: the secret, or the public key.

    Raises:
        ConfigError: the code that declares it sets the secret.
    """
    if store.webhooks.get(name).config.get("secret"):
        raise ConfigError(
            f"the secret of the webhook {name} is set by the code that declares it: change it there"
        )
    if signature is None:
        target = store.webhooks.target(name)
        is_pair = target is not None and target.secrets[:1] and is_private(target.secrets[0])
        signature = "ed25519" if is_pair else "hmac"
    secret, shown = _secret_of(signature)
    store.webhooks.rotate(name, secret)
    return shown


def remove_webhook(store: Store, name: str) -> None:
    """Remove an endpoint with its log; its deliveries that wait are cancelled."""
    store.webhooks.forget(name)
    store.sinks.remove(name)


def try_webhook(store: Store, name: str, settings: Any) -> tuple[str, Any]:
    """Send one event of the kind test, from this process; the message's id, and the attempt."""
    store.webhooks.get(name)
    target = store.webhooks.target(name)
    if target is None:
        raise ConfigError(f"the webhook {name} was removed just now")
    event = Event(0, "test", datetime.now(UTC), name, {"message": "a test of the webhook"})
    body = to_json(cloud_event(event, settings.namespace, name))
    message = f"msg_test_{uuid.uuid4().hex}"
    call = WebhookCall(name, target.generation, 0, message, {"Content-Type": EVENT_TYPE}, body)
    made, _ = attempt_delivery(target, call, settings.bounds)
    store.webhooks.note(name, message, 0, 0, made)
    return message, made


def events_again(store: Store, name: str, after: int, last: int) -> Iterator[Event]:
    """The events that an endpoint wants, behind one position and up to another."""
    hook = store.webhooks.get(name)
    reader = EventReader(store, hook.filters, include=hook.config.get("include", ()))
    for event in reader.read(after):
        if event.position > last:
            return
        if event.kind != EventKind.LOG_GAP.label:
            yield event


def replay_events(
    backend: PauseBackend, settings: Any, name: str, after: int, last: int,
    refused: Callable[[Event, Exception], None] = lambda event, error: None,
) -> None:  # fmt: skip
    """Deliver the events of a range again, with the ids that they had.

    Args:
        refused: gets events that cannot be sent.

    Raises:
        ConfigError: the endpoint is disabled.
    """
    store = backend.store
    if store.webhooks.get(name).state != "enabled":
        raise ConfigError(f"webhook {name} is disabled: hammerflow webhook enable {name}")
    jobs = _jobs(store, settings.namespace, name, after, last, refused)
    while page := list(islice(jobs, _AT_ONCE)):
        store.jobs.insert(page)
        backend.notifier.ring({WEBHOOK_QUEUE})


def _jobs(
    store: Store, source: str, name: str, after: int, last: int,
    refused: Callable[[Event, Exception], None],
) -> Iterator[NewJob]:  # fmt: skip
    once = uuid.uuid4().hex
    row = store.sinks.get(name)
    sink = WebhookSink(name, row.config)
    sink.use_store(store, source)
    sink.open()
    maker = Delivery(store, row, holder=0, source=source)
    for event in events_again(store, name, after, last):
        try:
            yield sink.job(maker.message(event), "replay", once)
        except Refused as error:
            refused(event, error)
