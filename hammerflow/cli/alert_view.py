"""What ``hammerflow alert`` prints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from hammerflow.alerts.rules import KINDS, AlertRule
from hammerflow.alerts.states import Alert
from hammerflow.alerts.targets import shown_target
from hammerflow.cli.output import TableView
from hammerflow.stores.alerts import AlertSettings, Mute, TargetRow
from hammerflow.text import timestamp

__all__ = ["RULES", "alerts_view", "rule_json", "target_json", "targets_view"]


def alerts_view(settings: AlertSettings) -> TableView[Alert]:
    """The table of alerts."""
    mutes = {(mute.rule, mute.subject): mute for mute in settings.mutes}

    def mute_of(alert: Alert) -> Mute | None:
        return mutes.get((alert.rule, alert.subject)) or mutes.get((alert.rule, ""))

    def row(alert: Alert) -> Sequence[Any]:
        mute = mute_of(alert)
        state = alert.state if mute is None else f"{alert.state}, muted"
        since = timestamp(_time(alert.since).astimezone())
        return alert.rule, alert.subject, state, alert.severity, since, alert.text

    def as_json(alert: Alert) -> dict[str, Any]:
        mute = mute_of(alert)
        return {
            "rule": alert.rule, "subject": alert.subject, "state": alert.state,
            "severity": alert.severity, "since": _time(alert.since), "value": alert.value,
            "text": alert.text, "told": alert.told or None,
            "told_at": None if alert.told_at is None else _time(alert.told_at),
            "muted": mute is not None, "muted_until": None if mute is None else mute.until,
        }  # fmt: skip

    return TableView(("rule", "subject", "state", "severity", "since", "what"), row, as_json)


def targets_view(waiting: Mapping[str, int]) -> TableView[TargetRow]:
    """The table of targets; ``waiting``: how many messages each has not got yet."""

    def row(target: TargetRow) -> Sequence[Any]:
        state = "paused" if target.is_paused else "failing" if target.error else "on"
        sent = "" if target.sent_at is None else timestamp(target.sent_at.astimezone())
        options = ", ".join(
            f"{key}={value}" for key, value in shown_target(target.kind, target.config).items()
        )
        waits = waiting.get(target.name, 0)
        return target.name, target.kind, state, waits, sent, options, target.error

    heads = ("name", "kind", "state", "waiting", "last", "options", "error")
    return TableView(heads, row, lambda one: target_json(one, waiting.get(one.name, 0)))


def target_json(target: TargetRow, waiting: int) -> dict[str, Any]:
    """A target as JSON, without its secrets."""
    return {
        "name": target.name, "kind": target.kind, "app": target.app,
        "config": shown_target(target.kind, target.config), "paused": target.is_paused,
        "waiting": waiting, "sent_at": target.sent_at, "error": target.error,
        "changed_by": target.changed_by,
    }  # fmt: skip


def rule_json(rule: AlertRule) -> dict[str, Any]:
    """A rule as JSON."""
    return {
        "name": rule.name, "kind": rule.kind.name, "enabled": rule.enabled,
        "threshold": rule.threshold, "critical": rule.critical, "unit": rule.kind.unit,
        "hold": rule.hold, "clear": rule.clear, "cooldown": rule.cooldown,
        "window": rule.window or None, "least": rule.least or None,
        "subjects": list(rule.subjects), "subject": rule.kind.subject, "set_by": _set_by(rule),
    }  # fmt: skip


def _rule_row(rule: AlertRule) -> Sequence[Any]:
    name = rule.name if rule.name == rule.kind.name else f"{rule.name} ({rule.kind.name})"
    only = ",".join(rule.subjects) or f"each {rule.kind.subject}"
    state = "on" if rule.enabled else "off"
    limits = f"{rule.threshold:g}", f"{rule.critical:g}", rule.kind.unit
    return name, state, *limits, f"{rule.hold:g}", f"{rule.clear:g}", only, _set_by(rule)


def _set_by(rule: AlertRule) -> str:
    is_shipped = rule.name in KINDS and not rule.app and not rule.changed_by
    return "default" if is_shipped else f"app {rule.app}" if rule.app else rule.changed_by


def _time(at: float) -> datetime:
    return datetime.fromtimestamp(at, UTC)


_RULE_HEADS = (
    "rule", "state", "warning", "critical", "unit", "for s", "clear s", "watches", "set by",
)  # fmt: skip
RULES = TableView(_RULE_HEADS, _rule_row, rule_json)
