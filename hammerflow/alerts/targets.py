"""Targets: who is told of alerts, each kind with its options and the form of its messages."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from hammerflow.alerts.posting import TargetError, post, signature_headers
from hammerflow.errors import ConfigError
from hammerflow.options.checks import FLAG, Unfit, ValueCheck, choice, duration, text, whole
from hammerflow.options.option import Option, OptionTable, checked, unknown_option
from hammerflow.options.variables import (
    HIDDEN,
    Bounds,
    filled,
    is_variable,
    redacted,
    refuse_hidden,
)
from hammerflow.text import plain_text, safe_repr
from hammerflow.webhooks import check_secret

__all__ = [
    "TARGETS", "AlertDelivery", "TargetError", "check_target", "send", "shown_target",
    "target_of_text",
]  # fmt: skip

Change = Mapping[str, Any]  # rule, subject, state, severity, value, text, since
#: Seconds after which Alertmanager ends an alert that is not repeated; it is each minute.
_ENDS_AFTER = 300.0


@dataclass(frozen=True, slots=True)
class AlertDelivery:
    """What is sent to a target at once.

    Attributes:
        id: the same at every try.
        namespace: of the app whose alerts these are.
    """

    id: str
    namespace: str
    changes: Sequence[Change]


#: What requests may reach though it is not public; None: all.
Networks = Sequence[str] | None
_Send = Callable[[Mapping[str, Any], AlertDelivery, Networks], None]


class _TargetKind(NamedTuple):
    send: _Send
    options: OptionTable
    required: Sequence[str]
    secrets: frozenset[str]


def _lines(delivery: AlertDelivery) -> list[str]:
    return [
        f"{'RESOLVED' if one['state'] == 'resolved' else str(one['severity']).upper()} "
        f"[{one['rule']}] {one['text']}"
        for one in delivery.changes
    ]


def _title(delivery: AlertDelivery) -> str:
    firing = [one for one in delivery.changes if one["state"] == "fired"]
    worst = "critical" if any(one["severity"] == "critical" for one in firing) else "warning"
    what = f"{len(firing)} firing ({worst})" if firing else ""
    ended = len(delivery.changes) - len(firing)
    parts = [part for part in (what, f"{ended} resolved" if ended else "") if part]
    return f"hammerflow {delivery.namespace}: {', '.join(parts)}"


def _time(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat()


def _webhook(options: Mapping[str, Any], delivery: AlertDelivery, networks: Networks) -> None:
    alerts = [{**one, "since": _time(one["since"])} for one in delivery.changes]
    payload = {
        "type": "hammerflow.alerts", "timestamp": _time(time.time()),
        "data": {"source": delivery.namespace, "title": _title(delivery), "alerts": alerts},
    }  # fmt: skip
    body = json.dumps(payload).encode()
    headers = {}
    if options.get("secret"):
        headers = signature_headers(options["secret"], delivery.id, body, time.time())
    post(options["url"], body, headers, options.get("timeout", 10.0), networks)


def _chat(make: Callable[[str, str], Any]) -> _Send:
    def send_chat(options: Mapping[str, Any], delivery: AlertDelivery, networks: Networks) -> None:
        said = "\n".join(_lines(delivery))
        body = json.dumps(make(_title(delivery), said)).encode()
        post(options["url"], body, {}, options.get("timeout", 10.0), networks)

    return send_chat


def _slack(title: str, said: str) -> Any:
    plain = said.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return {"text": f"*{title}*\n{plain[:3_500]}"}


def _mattermost(title: str, said: str) -> Any:
    return {"username": "hammerflow", "text": f"**{title}**\n```\n{said[:10_000]}\n```"}


def _discord(title: str, said: str) -> Any:
    body = f"**{title}**\n{said}"[:2_000]
    return {"username": "hammerflow", "content": body, "allowed_mentions": {"parse": []}}


def _teams(title: str, said: str) -> Any:
    """An Adaptive Card, as hooks of Teams' workflows take it."""
    blocks = [{"type": "TextBlock", "text": title, "weight": "Bolder", "wrap": True}]
    blocks += [
        {"type": "TextBlock", "text": line, "wrap": True} for line in said[:10_000].split("\n")
    ]
    card = {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json", "type": "AdaptiveCard",
        "version": "1.4", "body": blocks,
    }  # fmt: skip
    kind = "application/vnd.microsoft.card.adaptive"
    return {"type": "message", "attachments": [{"contentType": kind, "content": card}]}


def _alertmanager(options: Mapping[str, Any], delivery: AlertDelivery, networks: Networks) -> None:
    alerts = []
    for one in delivery.changes:
        is_over = one["state"] == "resolved"
        labels = {
            "alertname": f"hammerflow_{one['rule']}", "subject": one["subject"],
            "namespace": delivery.namespace,
        }  # fmt: skip
        # A label that changes makes another alert there, so the severity is an annotation.
        notes = {"summary": one["text"], "severity": one["severity"], "value": f"{one['value']:g}"}
        end = one["since"] if is_over else time.time() + _ENDS_AFTER
        found = {"labels": labels, "annotations": notes, "endsAt": _time(end)}
        alerts.append(found if is_over else {**found, "startsAt": _time(one["since"])})
    url = f"{str(options['url']).rstrip('/')}/api/v2/alerts"
    post(url, json.dumps(alerts).encode(), {}, options.get("timeout", 10.0), networks)


def _email(options: Mapping[str, Any], delivery: AlertDelivery, networks: Networks) -> None:
    from hammerflow.alerts.mail import send_mail  # with smtplib and ssl: 30 ms of each start

    said = "\n".join(
        f"{line}\n  {one['subject']}, since {_time(one['since'])}"
        for line, one in zip(_lines(delivery), delivery.changes, strict=True)
    )
    send_mail(options, delivery.id, _title(delivery), said)


def _secret(value: Any) -> str:
    try:
        return check_secret(plain_text(value) or "")
    except ConfigError:
        raise Unfit(value="...") from None


_URL = Option("url", text(2_000, least=1), "(required)", "Its address: http or https.")
_TIMEOUT = Option("timeout", duration(zero=False, most=60), "10", "Seconds for one message.")
_HTTP = OptionTable((_URL, _TIMEOUT))
_WEBHOOK = OptionTable((
    _URL,
    Option(
        "secret", ValueCheck("str", "whsec_ and 24 to 64 bytes in base64", _secret), "None",
        "Signs each message as Standard Webhooks do; `hammerflow.webhooks.new_secret()` makes one.",
    ),
    _TIMEOUT,
))  # fmt: skip
_MAIL = OptionTable((
    Option("host", text(255, least=1), "(required)", "The mail server."),
    Option("port", whole(1, 65_535), "587", "Its port."),
    Option("to", text(2_000, least=3), "(required)", "Addresses, with commas between them."),
    Option("sender", text(300, least=3), "(required)", "The address in From."),
    Option("user", text(300, least=1), "None", "The name to log in with."),
    Option("password", text(1_000, least=1), "None", "The password to log in with."),
    Option(
        "security", choice("starttls", "tls", "none"), '"starttls"',
        "`starttls`, `tls` from the first byte, or `none`, which takes no password.",
    ),
    Option("verify", FLAG, "True", "Whether the certificate of the server is checked."),
    _TIMEOUT,
))  # fmt: skip
_HOOK = ("url",), frozenset({"url"})
#: Every kind of target. The address of a chat's hook is its secret.
TARGETS: Final[Mapping[str, _TargetKind]] = {
    "webhook": _TargetKind(_webhook, _WEBHOOK, ("url",), frozenset({"secret"})),
    "slack": _TargetKind(_chat(_slack), _HTTP, *_HOOK),
    "mattermost": _TargetKind(_chat(_mattermost), _HTTP, *_HOOK),
    "teams": _TargetKind(_chat(_teams), _HTTP, *_HOOK),
    "discord": _TargetKind(_chat(_discord), _HTTP, *_HOOK),
    "email": _TargetKind(_email, _MAIL, ("host", "to", "sender"), frozenset({"password"})),
    "alertmanager": _TargetKind(_alertmanager, _HTTP, ("url",), frozenset()),
}


def check_target(kind: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """The options of a target as JSON takes them, checked; a text may name ``${VARIABLE}`` of the
    environment of the workers.

    Raises:
        ConfigError: there is no such kind, or an option is unknown, missing or wrong.
    """
    if kind not in TARGETS:
        raise ConfigError(
            f"unknown kind of alert target {safe_repr(kind)}: use one of {', '.join(TARGETS)}"
        )
    found, owner = TARGETS[kind], f"the alert target of kind {kind}"
    refuse_hidden(owner, given)
    plain: dict[str, Any] = {}
    for name, value in given.items():
        is_open = is_variable(value)
        try:
            one = checked(
                found.options, {name: None if is_open else value}, owner, unknown=ConfigError
            )
        except ConfigError:
            if name not in found.secrets:
                raise
            raise ConfigError(
                f"{owner}: {name} must be {found.options.by_name[name].check.wanted}"
            ) from None
        plain |= {name: value} if is_open else one
    if missing := [name for name in found.required if name not in plain]:
        raise ConfigError(f"{owner} needs {', '.join(missing)}")
    url = str(plain.get("url", "http://"))
    if not is_variable(url) and not url.startswith(("http://", "https://")):
        raise ConfigError(f"{owner}: url must begin with http:// or https://")
    return plain


def target_of_text(kind: str, pairs: Mapping[str, str]) -> dict[str, Any]:
    """:func:`check_target` of texts, as the command line has them."""
    given: dict[str, Any] = dict(pairs)
    if kind in TARGETS:
        table, secrets = TARGETS[kind].options.by_name, TARGETS[kind].secrets
        for name, value in pairs.items():
            if name not in table:
                raise ConfigError(unknown_option(name, table, f"the alert target of kind {kind}"))
            if not is_variable(value) and name not in secrets:
                given[name] = table[name].check.from_text(value, name)
    return check_target(kind, given)


def shown_target(kind: str, config: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration as it may be printed: no secret, and no password of a URL."""
    secrets = TARGETS[kind].secrets if kind in TARGETS else frozenset(config)
    return {
        name: HIDDEN if name in secrets and not is_variable(value) else redacted(value)
        for name, value in config.items()
    }


def send(
    name: str, kind: str, config: Mapping[str, Any], delivery: AlertDelivery,
    bounds: Bounds | None = None,
) -> None:  # fmt: skip
    """Send one message, and wait for the answer.

    Args:
        bounds: what a target that no code declares may read and reach.

    Raises:
        TargetError: the target has not taken it.
        ConfigError: an option is wrong, or names a variable that is not set or out of bounds.
    """
    options = check_target(kind, filled(f"the alert target {name}", dict(config), bounds))
    TARGETS[kind].send(options, delivery, None if bounds is None else bounds.networks)
