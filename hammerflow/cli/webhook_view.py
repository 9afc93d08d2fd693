"""What ``hammerflow webhook`` prints: never a secret."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hammerflow.admin.webhooks import delivery_json, webhook_json
from hammerflow.cli.output import TableView
from hammerflow.stores.webhooks import LoggedDelivery, Webhook
from hammerflow.text import timestamp

__all__ = ["DELIVERIES", "WEBHOOKS", "webhook_facts"]


def webhook_facts(found: Mapping[str, Any]) -> dict[str, Any]:
    """What is printed of an endpoint, one fact a line."""
    shown = {name: value for name, value in found.items() if value not in (None, "", {}, [])}
    for name in ("config", "filters"):
        if name in shown:
            shown[name] = ", ".join(f"{key}={value}" for key, value in shown[name].items())
    return shown


def _row(hook: Webhook) -> Sequence[Any]:
    state = hook.state if hook.sink_state == "running" else f"{hook.state}, {hook.sink_state}"
    success = "" if hook.success_at is None else timestamp(hook.success_at.astimezone())
    url = webhook_json(hook)["url"]
    return hook.name, url, state, hook.failures, success, hook.position, hook.reason


WEBHOOKS = TableView(
    ("name", "url", "state", "failures", "last success", "position", "reason"), _row, webhook_json
)


def _delivery_row(one: LoggedDelivery) -> Sequence[Any]:
    status = "" if one.status is None else one.status
    attempt = one.attempt or "test"
    says = one.error or one.answer.replace("\n", " ")[:60]
    at = timestamp(one.at.astimezone())
    return at, one.position, attempt, status, one.ms, one.address, one.message, says


DELIVERIES = TableView(
    ("at", "position", "attempt", "status", "ms", "address", "message", "answer"), _delivery_row,
    delivery_json,
)  # fmt: skip
