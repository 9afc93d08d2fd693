"""Routes of webhooks: endpoints, their deliveries, tests and replays."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import datetime
from http import HTTPStatus
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from hammerflow.admin.webhooks import (
    address_warning,
    delivery_json,
    events_again,
    named_webhook_json,
    put_webhook,
    remove_webhook,
    replay_events,
    rotate_secret,
    try_webhook,
    webhooks_json,
)
from hammerflow.options.checks import NAME_CHECK
from hammerflow.options.variables import check_variables
from hammerflow.sinks.registry import check_config
from hammerflow.stores.events.log import EventLog
from hammerflow.web.access import Role
from hammerflow.web.problems import RequestRefused
from hammerflow.web.routes.events import Position
from hammerflow.web.routes.sinks import FilterBody, filter_of_body
from hammerflow.web.routes.types import (
    Cursor,
    Done,
    Instant,
    Limit,
    NewName,
    Reason,
    converted,
    known,
)
from hammerflow.web.routing import ApiCall, ListPage, Nothing, Route, refuse_unseen
from hammerflow.webhooks.ed25519 import PUBLIC

__all__ = ["ROUTES"]


Signature = Literal["hmac", "ed25519"]


class WebhookShown(msgspec.Struct, kw_only=True):
    """An endpoint, without its secret.

    Attributes:
        failures: attempts in a row that have failed.
        waiting: deliveries that are due or come later; 10 000 are counted.
        probe_at: when a delivery tries a disabled one again.
    """

    name: str
    url: str | None
    config: dict[str, Any]
    filters: dict[str, Any]
    app: str
    state: str
    sink_state: str
    position: int
    since: datetime
    failures: int
    waiting: int
    success_at: datetime | None
    disabled_at: datetime | None
    probe_at: datetime | None
    rest_until: datetime | None
    reason: str
    old_secret_until: datetime | None
    delivered: int
    failed: int
    changed_by: str | None


class WebhookWithSecret(WebhookShown, kw_only=True):
    """An endpoint; the secret of a new one, or a rotated one, which no other answer has; of one
    whose requests are signed by ed25519 its public key."""

    secret: str | None = None
    public_key: str | None = None
    warning: Annotated[str, Meta(description="Why workers may refuse to deliver.")] | None = None


class WebhookList(msgspec.Struct):
    """All endpoints by name."""

    items: list[WebhookShown]


class WebhookBody(msgspec.Struct, forbid_unknown_fields=True):
    """An endpoint.

    Attributes:
        include: what is told of jobs besides.
        signature: of a new one, whose receiver has the secret, or a public key.
        disable_failures: failures in a row that disable it, 20 by default, ...
        disable_after: ... after this number of seconds without a success, five days by default.
        position: where a new one begins; by default after the last event.
    """

    url: Annotated[str, Meta(min_length=1, max_length=2000)]
    filters: FilterBody = msgspec.field(default_factory=FilterBody)
    include: list[Literal["args", "result"]] = []
    signature: Signature = "hmac"
    disable_failures: Annotated[int, Meta(ge=1, le=1_000_000)] | None = None
    disable_after: Annotated[float, Meta(ge=0, le=365 * 86_400)] | None = None
    position: Position | None = None


def list_webhooks(call: ApiCall[Nothing, None]) -> WebhookList:
    """List the endpoints."""
    found = webhooks_json(call.backend.store)
    return WebhookList([converted(_told(call, hook), WebhookShown) for hook in found])


def show_webhook(call: ApiCall[Nothing, None]) -> WebhookShown:
    """Show an endpoint; its secret is never shown."""
    return converted(_found(call), WebhookShown)


def _found(call: ApiCall[Any, Any]) -> dict[str, Any]:
    name = call.path["webhook"]
    return _told(call, known(lambda: named_webhook_json(call.backend.store, name)))


def _told(call: ApiCall[Any, Any], fields: dict[str, Any]) -> dict[str, Any]:
    """An endpoint with what is shown of its URL, which may name a secret, and its options."""
    url = fields["url"] and call.texts.remark(fields["url"])
    return {**fields, "url": url, "config": call.texts.fields(fields["config"])}


class NewWebhook(WebhookBody, forbid_unknown_fields=True, kw_only=True):
    """A new endpoint."""

    name: NewName


def create_webhook(call: ApiCall[Nothing, NewWebhook]) -> WebhookWithSecret:
    """Add an endpoint; the answer has its secret, which no other answer has."""
    store, name = call.backend.store, call.body.name
    if name in {row.name for row in store.sinks.list()}:
        detail = f"there is a sink {name!r} already: choose another name, or change it by PUT"
        raise RequestRefused(HTTPStatus.CONFLICT, detail)
    return _put(call, name)


def put_webhook_by_name(call: ApiCall[Nothing, WebhookBody]) -> WebhookWithSecret:
    """Add an endpoint, or change its URL and filter; the answer has the secret of a new one."""
    return _put(call, call.path["webhook"])


def _put(call: ApiCall[Any, Any], name: str) -> WebhookWithSecret:
    body, store = call.body, call.backend.store
    if body.include:
        refuse_unseen(call, "send them to nobody")
    given = {
        "url": body.url, "include": [*body.include], "disable_failures": body.disable_failures,
        "disable_after": body.disable_after,
    }  # fmt: skip
    config = check_config("webhook", {n: one for n, one in given.items() if one not in (None, [])})
    wanted = filter_of_body(body.filters)
    check_variables(f"the webhook {name}", config, call.backend.settings.bounds)
    name = NAME_CHECK(name, "the name of a webhook")
    _, secret = put_webhook(
        store, name, config, wanted, by=call.who.name, position=body.position,
        signature=body.signature,
    )  # fmt: skip
    fields = _told(call, named_webhook_json(store, name))
    fields["warning"] = address_warning(config["url"], call.backend.settings)
    return converted({**fields, **_shown(secret)}, WebhookWithSecret)


def _shown(secret: str | None) -> dict[str, str | None]:
    """What a receiver needs."""
    is_public = secret is not None and secret.startswith(PUBLIC)
    return {"public_key" if is_public else "secret": secret}


class WebhookRotation(msgspec.Struct, forbid_unknown_fields=True):
    """How requests are signed from now on; by default as before."""

    signature: Signature | None = None


def rotate_webhook(call: ApiCall[WebhookRotation, None]) -> WebhookWithSecret:
    """Rotate the secret or key pair; for 24 hours the old one signs, too."""
    secret = rotate_secret(call.backend.store, _found(call)["name"], call.query.signature)
    return converted({**_found(call), **_shown(secret)}, WebhookWithSecret)


class WebhookDisable(msgspec.Struct, forbid_unknown_fields=True):
    """Why."""

    reason: Reason = "disabled by hand"


def enable_webhook(call: ApiCall[Nothing, None]) -> WebhookShown:
    """Deliver to an endpoint again, from where it was disabled."""
    call.backend.store.webhooks.enable(_found(call)["name"], by=call.who.name)
    return converted(_found(call), WebhookShown)


def disable_webhook(call: ApiCall[Nothing, WebhookDisable]) -> WebhookShown:
    """Disable an endpoint; its deliveries wait up to a week for it to be enabled."""
    name = _found(call)["name"]
    call.backend.store.webhooks.disable(name, call.body.reason, by=call.who.name)
    return converted(_found(call), WebhookShown)


def remove_webhook_by_name(call: ApiCall[Nothing, None]) -> Done:
    """Remove an endpoint and its log; pending deliveries are cancelled."""
    name = _found(call)["name"]
    remove_webhook(call.backend.store, name)
    return Done(f"webhook {name} is removed")


class DeliveriesQuery(msgspec.Struct, forbid_unknown_fields=True):
    """Which attempts."""

    before: Cursor | None = None
    limit: Limit = 50


class DeliveryShown(msgspec.Struct):
    """An attempt; attempt is 0 for a test, and ms its duration.

    Attributes:
        answer: its first 4 KB, for those who may see arguments and results.
    """

    id: uuid.UUID
    message: str
    position: int
    attempt: int
    at: datetime
    status: int | None
    ms: int
    address: str
    error: str
    answer: str


def list_webhook_deliveries(
    call: ApiCall[DeliveriesQuery, None],
) -> ListPage[DeliveryShown]:
    """List the attempts of an endpoint within the last week, newest first."""
    name, query, before = _found(call)["name"], call.query, {}
    if query.before is not None:
        before = {"before": query.before.bytes}
    found = call.backend.store.webhooks.deliveries(name, query.limit + 1, **before)
    page = found[: query.limit]
    texts = call.texts
    items = [
        converted(
            {**delivery_json(one), "answer": texts.answer(one.answer),
             "error": texts.remark(one.error)},
            DeliveryShown,
        )
        for one in page
    ]  # fmt: skip
    return ListPage(items, str(items[-1].id) if len(found) > len(page) else None)


class WebhookTested(msgspec.Struct):
    """What the endpoint has answered to a test."""

    message: str
    is_delivered: bool
    status: int | None
    ms: int
    error: str


def test_webhook(call: ApiCall[Nothing, None]) -> WebhookTested:
    """Send one event of the kind test to an endpoint, from the server, and return its answer."""
    backend, name = call.backend, _found(call)["name"]
    message, made = try_webhook(backend.store, name, backend.settings)
    return WebhookTested(message, made.is_delivered, made.status, made.ms, made.error)


class ReplayBody(msgspec.Struct, forbid_unknown_fields=True):
    """Which events: behind a position or since a time, up to another or the end of the log.

    Attributes:
        to: the last position.
        until: only events before this time.
        dry_run: only count.
    """

    after: Position | None = None
    since: Instant | None = None
    to: Position | None = None
    until: Instant | None = None
    dry_run: bool = False


class Replayed(msgspec.Struct):
    """How many events are delivered again."""

    events: int
    after: int
    to: int


def replay_webhook(call: ApiCall[Nothing, ReplayBody]) -> Replayed:
    """Deliver a range of events again under their old ids; the log must still have them."""
    backend, body, name = call.backend, call.body, _found(call)["name"]
    events = backend.store.events
    after, end = _position(events, body.after, body.since), _position(events, body.to, body.until)
    if after is None:
        raise RequestRefused(HTTPStatus.UNPROCESSABLE_ENTITY, "say from where: after or since")
    last = events.head() if end is None else min(end, events.head())
    count = sum(1 for _ in events_again(backend.store, name, after, last))
    if count and not body.dry_run:
        replay_events(backend, backend.settings, name, after, last)
    return Replayed(count, after, last)


def _position(events: EventLog, given: int | None, at: datetime | None) -> int | None:
    if at is None:
        return given
    if given is not None:
        detail = "give a position or a time, not both"
        raise RequestRefused(HTTPStatus.UNPROCESSABLE_ENTITY, detail)
    return events.position_at(at.timestamp())


_ONE = "/api/webhooks/{webhook}"
_BY = Role.ADMIN
ROUTES: Sequence[Route] = (
    Route("GET", "/api/webhooks", list_webhooks, WebhookList),
    Route("POST", "/api/webhooks", create_webhook, WebhookWithSecret, _BY, body=NewWebhook,
          status=HTTPStatus.CREATED, is_secret=True),
    Route("GET", _ONE, show_webhook, WebhookShown),
    Route("PUT", _ONE, put_webhook_by_name, WebhookWithSecret, _BY, body=WebhookBody,
          is_secret=True),
    Route("DELETE", _ONE, remove_webhook_by_name, Done, _BY),
    Route("GET", f"{_ONE}/deliveries", list_webhook_deliveries, ListPage[DeliveryShown],
          query=DeliveriesQuery),
    Route("POST", f"{_ONE}/rotate", rotate_webhook, WebhookWithSecret, _BY, query=WebhookRotation,
          is_secret=True),
    Route("POST", f"{_ONE}/enable", enable_webhook, WebhookShown, Role.OPERATE),
    Route("POST", f"{_ONE}/disable", disable_webhook, WebhookShown, Role.OPERATE,
          body=WebhookDisable),
    Route("POST", f"{_ONE}/test", test_webhook, WebhookTested, Role.OPERATE),
    Route("POST", f"{_ONE}/replay", replay_webhook, Replayed, _BY, body=ReplayBody),
)  # fmt: skip
