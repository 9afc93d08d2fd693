"""WebhookSink: each event becomes a job that delivers it to one endpoint, signed."""

from __future__ import annotations

import email.utils
import random
import re
import time
import urllib.parse
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from hammerflow.codec.codec import Codec
from hammerflow.errors import ConfigError, NotEncodable
from hammerflow.events.event import Event
from hammerflow.events.kinds import EventKind
from hammerflow.jobs.job import NewJob
from hammerflow.jobs.limit import Limit
from hammerflow.jobs.outcome import Cancel, Retry, Snooze
from hammerflow.options.checks import Unfit, ValueCheck, duration, whole
from hammerflow.options.option import Option, OptionTable
from hammerflow.options.variables import Bounds, filled
from hammerflow.sinks.base import Message, Refused, Report
from hammerflow.sinks.jobs import job_id, report_of
from hammerflow.stores.events.webhooks import (
    DELIVER,
    DELIVERY_PRIORITY,
    DISABLE_AFTER,
    DISABLE_FAILURES,
    WEBHOOK_QUEUE,
    WebhookAttempt,
    WebhookTarget,
    endpoint_key,
)
from hammerflow.stores.store import Store
from hammerflow.text import plain_text
from hammerflow.webhooks import check_secret, sign
from hammerflow.webhooks.guarded_http import GuardedError, check_url, post

__all__ = [
    "WebhookCall", "WebhookSink", "attempt_delivery", "declare_limit", "delivery_job",
    "message_id", "run_delivery",
]  # fmt: skip

#: Who a URL logs in as.
_USER = re.compile(r"//[^/@]*@")
#: Seconds from a failed attempt to the next, as in the example of Standard Webhooks.
_DELAYS = (5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400)
_JITTER = 0.1
#: Deliveries to one endpoint at a time, and the least and the longest pause in seconds that it may
#: ask for.
_AT_ONCE, _LEAST, _LONGEST = 4, 5.0, 3_600.0
#: Seconds between two tries of a delivery to an endpoint that is paused or disabled by hand (to
#: enable it lets them go on at once), and for which it waits for that.
_LOOK, _WAIT = 3_600.0, 7 * 86_400.0
#: Bytes of an answer that are kept.
_ANSWER = 4_096
#: Characters of an attribute that a header has as they are, as CloudEvents' HTTP binding says.
_PLAIN: Final = "".join(map(chr, range(0x21, 0x7F))).replace("%", "").replace('"', "")


def _url(value: Any) -> str:
    text = plain_text(value) or ""
    if not 0 < len(text) <= 2_000:
        raise Unfit
    try:
        check_url(text)
    except GuardedError as error:
        shown = _USER.sub("//***@", text)
        if not text.lower().startswith(("http://", "https://")):
            raise Unfit(value=shown) from None
        advice = str(error).replace("the URL", "it", 1)
        raise Unfit(value=shown, advice=advice) from None
    return text


def _secret(value: Any) -> str:
    try:
        return ",".join(check_secret(one) for one in _parts(plain_text(value) or ""))
    except ConfigError:
        raise Unfit(value="...") from None


def _parts(secret: str) -> list[str]:
    return [one.strip() for one in secret.split(",")]


class WebhookCall(NamedTuple):
    """The arguments of the job that delivers one event to one endpoint.

    Attributes:
        name: of the endpoint.
        generation: the endpoint was removed if it has another one now.
        position: of the event in the log.
        message: the header ``webhook-id``.
        headers: further ones, as Content-Type.
    """

    name: str
    generation: int
    position: int
    message: str
    headers: Mapping[str, str]
    body: str | bytes


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
            "secret", ValueCheck("str", "whsec_ or whsk_ and base64", _secret), "None",
            "Signs the requests: a secret, or a private key (`whsk_...`, with the extra webhooks); "
            "by default hammerflow makes a secret. Several, separated by commas, all sign, for "
            "rotation.",
        ),
        Option(
            "disable_failures", whole(1, 1_000_000), str(DISABLE_FAILURES),
            "Failures in a row after which the endpoint is disabled, ...",
        ),
        Option(
            "disable_after", duration(most=365 * 86_400), f"{DISABLE_AFTER:g}",
            "... once it has also had no success for this long.",
        ),
    ))  # fmt: skip
    SECRETS = frozenset({"secret"})
    #: Whose variables are those of the workers that deliver, and not of the relay.
    READ_LATER = frozenset({"url", "secret"})

    def __init__(self, name: str, options: Mapping[str, Any]) -> None:
        if "url" not in options:
            raise ConfigError(f"the webhook {name} needs the address of its endpoint: url=...")
        self._name = name
        self._is_binary = options.get("encoding") == "binary" and not options.get("encode")
        self._store: Store | None = None
        self._generation = 0

    def use_store(self, store: Store, source: str) -> None:
        """Keep the store, for the limit of deliveries."""
        self._store = store

    def open(self) -> None:
        """Declare the limit of deliveries, before the first of them."""
        if self._store is not None:
            declare_limit(self._store)
            self._generation = self._store.webhooks.generation(self._name)

    def send(self, messages: Sequence[Message]) -> Report:
        """The deliveries of a batch."""
        return report_of(messages, self._jobs)

    def close(self) -> None:
        """Nothing to close."""

    def _jobs(self, message: Message) -> Iterator[NewJob]:
        if message.event.kind != EventKind.LOG_GAP.label:  # the list of sinks tells it
            yield self.job(message)

    def job(self, message: Message, *parts: str) -> NewJob:
        """The job that delivers a message.

        Args:
            parts: what tells a replay from the first delivery.

        Raises:
            Refused: the event is too large for a job.
        """
        headers = {"Content-Type": message.content_type}
        if self._is_binary:
            quoted = {n: urllib.parse.quote(v, safe=_PLAIN) for n, v in message.attributes.items()}
            headers |= {f"ce-{n}": value for n, value in quoted.items()}
        return delivery_job(self._name, self._generation, message, headers, *parts)


def declare_limit(store: Store) -> None:
    """Have the database know how many deliveries to one endpoint may run at a time."""
    store.limits.declare({DELIVER: Limit(max_running=_AT_ONCE)})


def message_id(event: Event, name: str) -> str:
    """The header ``webhook-id``: the same in each attempt, and in a replay."""
    return f"msg_{job_id(event, name, 'webhook').hex()}"


def delivery_job(
    name: str, generation: int, message: Message, headers: Mapping[str, str], *parts: str
) -> NewJob:
    """The job that delivers a message; its arguments are those of WebhookCall, and no secret is
    among them."""
    event = message.event
    try:
        body: str | bytes = message.body.decode()
    except UnicodeDecodeError:
        body = message.body
    call = WebhookCall(
        name, generation, event.position, message_id(event, name), dict(headers), body
    )
    try:
        encoded = Codec().encode_call([*call], {})
    except NotEncodable as error:
        raise Refused(str(error)) from error
    return NewJob(
        job_id(event, name, "webhook", *parts), DELIVER, WEBHOOK_QUEUE, DELIVERY_PRIORITY, encoded,
        limit_id=endpoint_key(name), limit_key=name,
    )  # fmt: skip


def run_delivery(store: Store, bounds: Bounds, attempt: int, call: WebhookCall) -> int:
    """One attempt of a delivery; the status of a good answer.

    Args:
        bounds: the networks that any endpoint may reach, and the variables that one may name which
            no code declares.

    Raises:
        Retry: it failed.
        Snooze: the endpoint rests, is paused, or is disabled until it is tried again.
        Cancel: the endpoint was removed, or has been disabled for a week.
    """
    target = store.webhooks.target(call.name)
    _check_state(store, call, target)
    assert target is not None
    made, pause = attempt_delivery(target, call, bounds)
    store.webhooks.note(call.name, call.message, call.position, attempt, made, pause=pause)
    if made.is_delivered:
        assert made.status is not None
        return made.status
    target = store.webhooks.target(call.name)
    if target is None or not target.is_enabled:
        _check_state(store, call, target, is_tried=True)
    if pause is not None:
        raise Snooze(pause)
    delay = _DELAYS[min(attempt, len(_DELAYS)) - 1]
    raise Retry(made.error, after=delay * random.uniform(1 - _JITTER, 1 + _JITTER))


def _check_state(
    store: Store, call: WebhookCall, target: WebhookTarget | None, *, is_tried: bool = False
) -> None:
    """Go on only with an endpoint that takes deliveries now.

    What is due while it is disabled after failures waits, and one delivery a day tries it again.
    """
    if target is None or target.generation != call.generation:
        raise Cancel(f"the webhook {call.name} was removed")
    if target.is_enabled and not target.is_paused:
        if target.rest_in > 0:
            raise Snooze(target.rest_in + random.uniform(0.0, min(target.rest_in, 60.0)))
        return
    if target.is_paused or target.probe_in is None:
        if target.disabled_for > _WAIT:
            raise Cancel(f"the webhook {call.name} has been disabled for a week")
        raise Snooze(_LOOK * random.uniform(1.0, 1.5))
    if is_tried or not store.webhooks.take_probe(call.name):
        raise Snooze(max(target.probe_in, 1.0) + random.uniform(0.0, 60.0))


def attempt_delivery(
    target: WebhookTarget, call: WebhookCall, bounds: Bounds
) -> tuple[WebhookAttempt, float | None]:
    """Send one request.

    Args:
        bounds: those of :func:`run_delivery`.

    Returns:
        What became of it, and the seconds after which the endpoint wants to be asked again.
    """
    body = call.body.encode() if isinstance(call.body, str) else call.body
    timestamp, began = int(time.time()), time.monotonic()
    named = None if target.app else bounds
    try:
        url, given = (
            filled(f"the webhook {call.name}", target.config.get(option), named)
            for option in ("url", "secret")
        )
        secrets = _parts(str(given)) if given else target.secrets
        headers = {
            **call.headers,
            "webhook-id": call.message,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": sign(secrets, call.message, timestamp, body),
        }
        answer = post(str(url), body, headers, allow_networks=bounds.networks)
    except GuardedError as error:
        ms = round((time.monotonic() - began) * 1000)
        return WebhookAttempt(None, ms, error.address, str(error), ""), None
    except ConfigError as error:  # of a variable that is not set in this environment
        return WebhookAttempt(None, 0, None, str(error), ""), None
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
    return min(max(seconds, _LEAST), _LONGEST)
