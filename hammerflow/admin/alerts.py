"""What is known of alerts, their rules and who is told, as JSON; a test of a target."""

from __future__ import annotations

import time
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from hammerflow.alerts.rules import KINDS, AlertRule
from hammerflow.alerts.states import Alert
from hammerflow.alerts.targets import (
    AlertDelivery,
    TargetError,
    check_target,
    send,
    shown_target,
)
from hammerflow.errors import HammerflowError
from hammerflow.stores.alerts import Mute, TargetRow
from hammerflow.stores.store import Store

__all__ = ["alert_json", "mute_of", "rule_json", "set_by", "target_json", "try_target"]


def mute_of(given: Sequence[Mute], alert: Alert) -> Mute | None:
    """What keeps an alert from telling anybody."""
    mutes = {(mute.rule, mute.subject): mute for mute in given}
    return mutes.get((alert.rule, alert.subject)) or mutes.get((alert.rule, ""))


def alert_json(mutes: Sequence[Mute], alert: Alert) -> dict[str, Any]:
    """An alert as JSON."""
    mute = mute_of(mutes, alert)
    return {
        "rule": alert.rule, "subject": alert.subject, "state": alert.state,
        "severity": alert.severity, "since": _time(alert.since), "value": alert.value,
        "text": alert.text, "told": alert.told or None,
        "told_at": None if alert.told_at is None else _time(alert.told_at),
        "muted": mute is not None, "muted_until": None if mute is None else mute.until,
    }  # fmt: skip


def target_json(target: TargetRow, waiting: int) -> dict[str, Any]:
    """A target as JSON, without its secrets."""
    return {
        "name": target.name, "kind": target.kind, "app": target.app,
        "config": shown_target(target.kind, target.config), "paused": target.is_paused,
        "waiting": waiting, "sent_at": target.sent_at, "error": target.error,
        "changed_by": target.changed_by,
    }  # fmt: skip


def try_target(store: Store, name: str, settings: Any) -> dict[str, Any]:
    """Send a test message to a target, from this process; the target, and the seconds it took.

    Raises:
        ConfigError: there is no such target, or a variable of its configuration is not set here.
        HammerflowError: it has not taken the message.
    """
    target = store.alerts.target(name)
    change = {
        "rule": "test", "subject": "test", "state": "fired", "severity": "warning", "value": 1.0,
        "text": "sent by hammerflow alert test", "since": time.time(),
    }  # fmt: skip
    delivery = AlertDelivery(f"alert_test_{uuid.uuid4().hex}", settings.namespace, [change])
    began = time.monotonic()
    try:
        bounds = None if target.app else settings.bounds
        send(name, target.kind, check_target(target.kind, target.config), delivery, bounds)
    except TargetError as error:
        raise HammerflowError(f"target {name} did not accept the test message: {error}") from error
    return {**target_json(target, 0), "seconds": round(time.monotonic() - began, 3)}


def rule_json(rule: AlertRule) -> dict[str, Any]:
    """A rule as JSON."""
    return {
        "name": rule.name, "kind": rule.kind.name, "enabled": rule.enabled,
        "threshold": rule.threshold, "critical": rule.critical, "unit": rule.kind.unit,
        "hold": rule.hold, "clear": rule.clear, "cooldown": rule.cooldown,
        "window": rule.window or None, "least": rule.least or None,
        "subjects": list(rule.subjects), "subject": rule.kind.subject, "set_by": set_by(rule),
    }  # fmt: skip


def set_by(rule: AlertRule) -> str:
    """Who has set it: ``default`` of one as it is shipped."""
    is_shipped = rule.name in KINDS and not rule.app and not rule.changed_by
    return "default" if is_shipped else f"app {rule.app}" if rule.app else rule.changed_by


def _time(at: float) -> datetime:
    return datetime.fromtimestamp(at, UTC)
