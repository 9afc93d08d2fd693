"""WebhookSink: each event becomes a job that delivers it to one endpoint, signed."""

from __future__ import annotations

import email.utils
import random
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from hammerflow.codec.codec import Codec
from hammerflow.errors import ConfigError, NotEncodable
from hammerflow.events.event import Event
from hammerflow.events.kinds import EventKind
from hammerflow.guarded_http import GuardedError, check_url, post
from hammerflow.ids import name_id
from hammerflow.jobs.job import NewJob
from hammerflow.jobs.limit import Limit, key_id
from hammerflow.jobs.outcome import Cancel, Retry, Snooze
from hammerflow.options.checks import Unfit, ValueCheck
from hammerflow.options.option import Option, OptionTable
from hammerflow.options.variables import filled
from hammerflow.sinks.base import Message, Refused, Report
from hammerflow.sinks.jobs import job_id, report_of
from hammerflow.stores.store import Store
from hammerflow.stores.webhooks import WebhookAttempt, WebhookTarget
from hammerflow.text import plain_text
from hammerflow.webhooks import check_secret, sign

__all__ = [
    "DELIVER", "WEBHOOK_QUEUE", "WebhookSink", "attempt_delivery", "declare_limit", "delivery_job",
    "message_id", "run_delivery",
]  # fmt: skip

#: The task and the queue of deliveries.
DELIVER, WEBHOOK_QUEUE = "hammerflow.deliver", "_webhooks"
#: Seconds from a failed attempt to the next, as in the example of Standard Webhooks.
_DELAYS = (5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400)
_JITTER = 0.1
_PRIORITY = 2
#: Deliveries to one endpoint at a time, and the longest pause in seconds that it may ask for.
_AT_ONCE, _LONGEST = 4, 3_600.0
#: Bytes of an answer that are kept.
_ANSWER = 4_096


def _url(value: Any) -> str:
    text = plain_text(value) or ""
    if not 0 < len(text) <= 2_000:
        raise Unfit
    try:
        check_url(text)
    except GuardedError as error:
        raise Unfit(advice=str(error)) from None
    return text


def _secret(value: Any) -> str:
    try:
        return check_secret(plain_text(value) or "")
    except ConfigError:
        raise Unfit(value="...") from None


class WebhookSink:
    """Makes a delivery of each event, in the transaction that moves the cursor.

    The secrets are in the table ``webhooks``; one of the options is that of an app's code.
    """

    OPTIONS = OptionTable((
        Option(
            "url", ValueCheck("str", "a URL of http or https", _url), "(required)",
            "The endpoint, which gets one POST request for each event.",
        ),
        Option(
            "secret", ValueCheck("str", "whsec_ and 24 to 64 bytes in base64", _secret), "None",
            "What its requests are signed with; by default hammerflow makes one.",
        ),
    ))  # fmt: skip
    SECRETS = frozenset({"secret"})

    def __init__(self, name: str, options: Mapping[str, Any]) -> None:
        if "url" not in options:
            raise ConfigError(f"the webhook {name} needs the address of its endpoint: url=...")
        self._name = name
        self._store: Store | None = None

    def use_store(self, store: Store, source: str) -> None:
        """Keep the store, for the limit of deliveries."""
        self._store = store

    def open(self) -> None:
        """Declare the limit of deliveries, before the first of them."""
        if self._store is not None:
            declare_limit(self._store)

    def send(self, messages: Sequence[Message]) -> Report:
        """The deliveries of a batch."""
        return report_of(messages, self._jobs)

    def close(self) -> None:
        """Nothing to close."""

    def _jobs(self, message: Message) -> Iterator[NewJob]:
        if message.event.kind != EventKind.LOG_GAP.label:  # the list of sinks tells it
            yield delivery_job(self._name, message)


def declare_limit(store: Store) -> None:
    """Have the database know how many deliveries to one endpoint may run at a time."""
    store.limits.declare({DELIVER: Limit(max_running=_AT_ONCE)})


def message_id(event: Event, name: str) -> str:
    """The header ``webhook-id``: the same in each attempt, and in a replay."""
    return f"msg_{job_id(event, name, 'webhook').hex()}"


def delivery_job(name: str, message: Message, *parts: str) -> NewJob:
    """The job that delivers a message.

    Args:
        parts: what tells a replay from the first delivery.

    Raises:
        Refused: the event is too large for a job.
    """
    event = message.event
    body = message.body.decode("utf-8", "replace")
    args = [name, event.position, message_id(event, name), message.content_type, body]
    try:
        encoded = Codec().encode_call(args, {})
    except NotEncodable as error:
        raise Refused(str(error)) from error
    return NewJob(
        job_id(event, name, "webhook", *parts), DELIVER, WEBHOOK_QUEUE, _PRIORITY, encoded,
        limit_id=key_id(name_id(DELIVER), name), limit_key=name,
    )  # fmt: skip


def run_delivery(
    store: Store, allow_networks: Sequence[str], attempt: int, name: str, position: int,
    message: str, content_type: str, body: str,
) -> int:  # fmt: skip
    """One attempt of a delivery; the status of a good answer.

    Raises:
        Retry: it failed.
        Snooze: the endpoint asks for a pause, or is disabled until it is tried again.
        Cancel: the endpoint was removed, or is disabled for good.
    """
    target = store.webhooks.target(name)
    _check_state(store, name, target)
    assert target is not None
    made, pause = attempt_delivery(
        target, name, message, content_type, body.encode(), allow_networks
    )
    store.webhooks.note(name, message, position, attempt, made)
    if made.is_delivered:
        assert made.status is not None
        return made.status
    target = store.webhooks.target(name)
    if target is None or not target.is_enabled:
        _check_state(store, name, target, is_tried=True)
    if pause is not None:
        raise Snooze(pause)
    delay = _DELAYS[min(attempt, len(_DELAYS)) - 1]
    raise Retry(made.error, after=delay * random.uniform(1 - _JITTER, 1 + _JITTER))


def _check_state(
    store: Store, name: str, target: WebhookTarget | None, *, is_tried: bool = False
) -> None:
    """Go on only with an endpoint that takes deliveries now.

    What is due while it is disabled after failures waits, and one delivery a day tries it again.
    """
    if target is None:
        raise Cancel(f"the webhook {name} was removed")
    if target.is_enabled:
        return
    if target.probe_in is None:
        raise Cancel(f"the webhook {name} is disabled")
    if is_tried or not store.webhooks.take_probe(name):
        raise Snooze(max(target.probe_in, 1.0) + random.uniform(0.0, 60.0))


def attempt_delivery(
    target: WebhookTarget, name: str, message: str, content_type: str, body: bytes,
    allow_networks: Sequence[str],
) -> tuple[WebhookAttempt, float | None]:  # fmt: skip
    """Send one request.

    Args:
        message: its ``webhook-id``.

    Returns:
        What became of it, and the seconds after which the endpoint wants to be asked again.

    Raises:
        ConfigError: an environment variable that the URL or the secret names is not set here, or
            the secret in it is malformed.
    """
    url, given = (filled(f"the webhook {name}", target.config.get(n)) for n in ("url", "secret"))
    secrets = [str(given)] if given else target.secrets
    timestamp, began = int(time.time()), time.monotonic()
    headers = {
        "Content-Type": content_type,
        "webhook-id": message,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": sign(secrets, message, timestamp, body),
    }
    try:
        answer = post(str(url), body, headers, allow_networks=allow_networks)
    except GuardedError as error:
        ms = round((time.monotonic() - began) * 1000)
        return WebhookAttempt(None, ms, error.address, str(error), ""), None
    text = answer.body[:_ANSWER].decode("utf-8", "replace")
    is_good = 200 <= answer.status < 300
    made = WebhookAttempt(
        answer.status, round(answer.seconds * 1000), answer.address,
        "" if is_good else f"it has answered with HTTP {answer.status}", text,
    )  # fmt: skip
    wants_pause = answer.status in (429, 503)
    return made, _pause_of(answer.headers.get("retry-after", "")) if wants_pause else None


def _pause_of(text: str) -> float | None:
    """The seconds of a header Retry-After, at most an hour; None if it is missing or unreadable."""
    text = text.strip()
    if text.isascii() and text.isdecimal():
        seconds = float(text[:12])
    else:
        try:
            seconds = email.utils.parsedate_to_datetime(text).timestamp() - time.time()
        except (ValueError, OverflowError):
            return None
    return min(max(seconds, 1.0), _LONGEST)
