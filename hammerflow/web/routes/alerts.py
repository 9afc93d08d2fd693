"""Routes of alerts: what fires, the rules, mutes, and who is told."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from http import HTTPStatus
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from hammerflow.admin.alerts import alert_json, rule_json, target_json, try_target
from hammerflow.alerts.rules import KINDS, check_rule
from hammerflow.alerts.targets import check_target
from hammerflow.options.variables import check_variables
from hammerflow.web.access import Role
from hammerflow.web.problems import RequestRefused
from hammerflow.web.routes.sinks import TestTaken, tested
from hammerflow.web.routes.types import Done, Name, Reason, converted, known
from hammerflow.web.routing import ApiCall, Nothing, Route

__all__ = ["ROUTES", "AlertShown"]


class AlertsQuery(msgspec.Struct, forbid_unknown_fields=True):
    """Which alerts."""

    all: Annotated[
        bool, Meta(description="Also those that are pending, or have resolved within a day.")
    ] = False  # fmt: skip


class AlertShown(msgspec.Struct):
    """An alert: of a rule, about one queue, task, host ...

    Attributes:
        told: the severity last sent to the targets.
    """

    rule: str
    subject: str
    state: str
    severity: str
    since: datetime
    value: float
    text: str
    told: str | None
    told_at: datetime | None
    muted: bool
    muted_until: datetime | None


class AlertList(msgspec.Struct):
    """The alerts."""

    items: list[AlertShown]


def list_alerts(call: ApiCall[AlertsQuery, None]) -> AlertList:
    """List the alerts that are firing."""
    alerts = call.backend.store.alerts
    settings, found = alerts.settings(), alerts.list()
    shown = [one for one in found if call.query.all or one.state == "firing"]
    return AlertList([converted(alert_json(settings.mutes, one), AlertShown) for one in shown])


class AlertRuleShown(msgspec.Struct):
    """A rule: it warns at its threshold, and is critical at another.

    Attributes:
        hold: seconds for which a value must be too high before it fires.
        clear: likewise, be low before it resolves.
        cooldown: seconds between two messages about one alert.
        subjects: names that it watches; empty for all.
        set_by: who has set it: default, an app or a person.
    """

    name: str
    kind: str
    enabled: bool
    threshold: float
    critical: float
    unit: str
    hold: float
    clear: float
    cooldown: float
    window: float | None
    least: float | None
    subjects: list[str]
    subject: str
    set_by: str


class MuteShown(msgspec.Struct):
    """A mute; an empty subject mutes the whole rule."""

    rule: str
    subject: str
    until: datetime | None
    by: str
    reason: str


class AlertRuleList(msgspec.Struct):
    """The rules and the current mutes."""

    items: list[AlertRuleShown]
    mutes: list[MuteShown]


def list_alert_rules(call: ApiCall[Nothing, None]) -> AlertRuleList:
    """List the rules with their thresholds, and what is muted."""
    settings = call.backend.store.alerts.settings()
    rules = [converted(rule_json(rule), AlertRuleShown) for rule in settings.rules.values()]
    return AlertRuleList(rules, [converted(mute, MuteShown) for mute in settings.mutes])


class AlertRuleBody(msgspec.Struct, forbid_unknown_fields=True):
    """The options of a rule; those that are left out are those of its kind.

    Attributes:
        kind: of a new rule.
    """

    kind: Name | None = None
    options: dict[str, Any] = {}


def put_alert_rule(call: ApiCall[Nothing, AlertRuleBody]) -> AlertRuleShown:
    """Change a rule, or add one of a kind."""
    alerts, name = call.backend.store.alerts, call.path["rule"]
    before = alerts.settings().rules.get(name)
    kind = call.body.kind or (before.kind.name if before is not None else name)
    config = check_rule(kind, call.body.options)
    alerts.put("rule", name, kind, config, by=call.who.name)
    return converted(rule_json(alerts.settings().rules[name]), AlertRuleShown)


def reset_alert_rule(call: ApiCall[Nothing, None]) -> Done:
    """Reset a rule to its default values, or remove one that was added."""
    name = _rule(call)
    call.backend.store.alerts.remove("rule", name)
    return Done(f"rule {name} {'has its shipped values' if name in KINDS else 'is removed'}")


def _rule(call: ApiCall[Any, Any]) -> str:
    name = call.path["rule"]
    if name not in call.backend.store.alerts.settings().rules:
        detail = f"there is no alert rule {name!r}: see GET /api/alert-rules"
        raise RequestRefused(HTTPStatus.NOT_FOUND, detail)
    return name


class MuteBody(msgspec.Struct, forbid_unknown_fields=True):
    """What to mute, and for how many seconds; without seconds, until unmuted."""

    subject: Annotated[str, Meta(max_length=255)] = ""
    seconds: Annotated[float, Meta(gt=0, le=10**9)] | None = None
    reason: Reason = ""


class UnmuteBody(msgspec.Struct, forbid_unknown_fields=True):
    """The subject as it was muted."""

    subject: Annotated[str, Meta(max_length=255)] = ""


def mute_alert_rule(call: ApiCall[Nothing, MuteBody]) -> MuteShown:
    """Mute a rule: its alerts are listed and logged as events, but not sent."""
    body, name, by = call.body, _rule(call), call.who.name
    until = call.backend.store.alerts.mute(
        name, body.subject, seconds=body.seconds, by=by, reason=body.reason
    )
    return MuteShown(name, body.subject, until, by, body.reason)


def unmute_alert_rule(call: ApiCall[Nothing, UnmuteBody]) -> Done:
    """Unmute a rule; alerts that are firing are sent at once."""
    name, subject = _rule(call), call.body.subject
    if not call.backend.store.alerts.unmute(name, subject):
        raise RequestRefused(HTTPStatus.CONFLICT, f"rule {name} is not muted for {subject!r}")
    return Done(f"rule {name} is not muted any more")


class AlertTargetShown(msgspec.Struct):
    """A target without its secrets; waiting: messages not delivered yet."""

    name: str
    kind: str
    app: str
    config: dict[str, Any]
    paused: bool
    waiting: int
    sent_at: datetime | None
    error: str
    changed_by: str


class AlertTargetList(msgspec.Struct):
    """All targets by name."""

    items: list[AlertTargetShown]


def list_alert_targets(call: ApiCall[Nothing, None]) -> AlertTargetList:
    """List the targets of alerts, without secrets."""
    alerts = call.backend.store.alerts
    waiting, targets = alerts.waiting(), alerts.settings().targets.values()
    found = [target_json(target, waiting.get(target.name, 0)) for target in targets]
    return AlertTargetList([_told(call, one) for one in found])


def _told(call: ApiCall[Any, Any], fields: dict[str, Any]) -> AlertTargetShown:
    config, error = call.texts.fields(fields["config"]), call.texts.note(fields["error"])
    return converted({**fields, "config": config, "error": error}, AlertTargetShown)


class AlertTargetBody(msgspec.Struct, forbid_unknown_fields=True):
    """A target; a value may name an environment variable of the workers, such as ${SLACK_HOOK}."""

    kind: Literal["webhook", "slack", "mattermost", "teams", "discord", "email", "alertmanager"]
    config: dict[str, Any]


def put_alert_target(call: ApiCall[Nothing, AlertTargetBody]) -> AlertTargetShown:
    """Add a target of alerts, or change it."""
    alerts, name, body = call.backend.store.alerts, call.path["target"], call.body
    config = check_target(body.kind, body.config)
    check_variables(f"the alert target {name}", config, call.backend.settings.bounds)
    alerts.put("target", name, body.kind, config, by=call.who.name)
    return _target(call)


def _target(call: ApiCall[Any, Any]) -> AlertTargetShown:
    alerts, name = call.backend.store.alerts, call.path["target"]
    target = known(lambda: alerts.target(name))
    return _told(call, target_json(target, alerts.waiting().get(name, 0)))


def remove_alert_target(call: ApiCall[Nothing, None]) -> Done:
    """Remove a target; undelivered messages to it are dropped."""
    found = _target(call)
    call.backend.store.alerts.remove("target", found.name)
    return Done(f"target {found.name} is removed with {found.waiting} messages")


def pause_alert_target(call: ApiCall[Nothing, None]) -> AlertTargetShown:
    """Pause a target until it is resumed; undelivered messages to it are dropped."""
    name = _target(call).name
    call.backend.store.alerts.set_paused(name, by=call.who.name, paused=True)
    return _target(call)


def resume_alert_target(call: ApiCall[Nothing, None]) -> AlertTargetShown:
    """Resume a target of alerts."""
    name = _target(call).name
    call.backend.store.alerts.set_paused(name, by=call.who.name, paused=False)
    return _target(call)


def test_alert_target(call: ApiCall[Nothing, None]) -> TestTaken:
    """Send a test message to a target, from the server; 409 says why it failed."""
    name, backend = _target(call).name, call.backend
    return tested(call, lambda: try_target(backend.store, name, backend.settings))


_RULE, _TARGET = "/api/alert-rules/{rule}", "/api/alert-targets/{target}"
ROUTES: Sequence[Route] = (
    Route("GET", "/api/alerts", list_alerts, AlertList, query=AlertsQuery),
    Route("GET", "/api/alert-rules", list_alert_rules, AlertRuleList),
    Route("PUT", _RULE, put_alert_rule, AlertRuleShown, Role.OPERATE, body=AlertRuleBody),
    Route("DELETE", _RULE, reset_alert_rule, Done, Role.OPERATE),
    Route("POST", f"{_RULE}/mute", mute_alert_rule, MuteShown, Role.OPERATE, body=MuteBody),
    Route("POST", f"{_RULE}/unmute", unmute_alert_rule, Done, Role.OPERATE, body=UnmuteBody),
    Route("GET", "/api/alert-targets", list_alert_targets, AlertTargetList),
    Route("PUT", _TARGET, put_alert_target, AlertTargetShown, Role.ADMIN, body=AlertTargetBody),
    Route("DELETE", _TARGET, remove_alert_target, Done, Role.ADMIN),
    Route("POST", f"{_TARGET}/test", test_alert_target, TestTaken, Role.OPERATE),
    Route("POST", f"{_TARGET}/pause", pause_alert_target, AlertTargetShown, Role.OPERATE),
    Route("POST", f"{_TARGET}/resume", resume_alert_target, AlertTargetShown, Role.OPERATE),
)
