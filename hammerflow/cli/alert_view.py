"""What ``hammerflow alert`` prints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from hammerflow.admin.alerts import alert_json, mute_of, rule_json, set_by, target_json
from hammerflow.alerts.rules import AlertRule
from hammerflow.alerts.states import Alert
from hammerflow.alerts.targets import shown_target
from hammerflow.cli.output import TableView
from hammerflow.stores.alerts import AlertSettings, TargetRow
from hammerflow.text import timestamp

__all__ = ["RULES", "alerts_view", "targets_view"]


def alerts_view(settings: AlertSettings) -> TableView[Alert]:
    """The table of alerts."""

    def row(alert: Alert) -> Sequence[Any]:
        mute = mute_of(settings.mutes, alert)
        state = alert.state if mute is None else f"{alert.state}, muted"
        since = timestamp(datetime.fromtimestamp(alert.since, UTC).astimezone())
        return alert.rule, alert.subject, state, alert.severity, since, alert.text

    heads = ("rule", "subject", "state", "severity", "since", "what")
    return TableView(heads, row, lambda alert: alert_json(settings.mutes, alert))


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


def _rule_row(rule: AlertRule) -> Sequence[Any]:
    name = rule.name if rule.name == rule.kind.name else f"{rule.name} ({rule.kind.name})"
    only = ",".join(rule.subjects) or f"each {rule.kind.subject}"
    state = "on" if rule.enabled else "off"
    limits = f"{rule.threshold:g}", f"{rule.critical:g}", rule.kind.unit
    return name, state, *limits, f"{rule.hold:g}", f"{rule.clear:g}", only, set_by(rule)


_RULE_HEADS = (
    "rule", "state", "warning", "critical", "unit", "for s", "clear s", "watches", "set by",
)  # fmt: skip
RULES = TableView(_RULE_HEADS, _rule_row, rule_json)
