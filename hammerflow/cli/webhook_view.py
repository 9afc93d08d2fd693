"""What ``hammerflow webhook`` prints: never a secret."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hammerflow.admin.webhooks import delivery_json
from hammerflow.cli.output import TableView
from hammerflow.stores.events.webhooks import LoggedDelivery
from hammerflow.text import timestamp

__all__ = ["DELIVERIES", "WEBHOOKS", "webhook_facts"]


def webhook_facts(found: Mapping[str, Any]) -> dict[str, Any]:
    """What is printed of an endpoint, one fact a line."""
    shown = {name: value for name, value in found.items() if value not in (None, "", {}, [])}
    for name in ("config", "filters"):
        if name in shown:
            shown[name] = ", ".join(f"{key}={value}" for key, value in shown[name].items())
    return shown


def _row(hook: dict[str, Any]) -> Sequence[Any]:
    state, of_sink, success = hook["state"], hook["sink_state"], hook["success_at"]
    return (
        hook["name"], hook["url"], state if of_sink == "running" else f"{state}, {of_sink}",
        hook["waiting"], hook["failures"],
        "" if success is None else timestamp(success.astimezone()), hook["position"],
        hook["reason"],
    )  # fmt: skip


WEBHOOKS = TableView(
    ("name", "url", "state", "waiting", "failures", "last success", "position", "reason"), _row,
    dict,
)  # fmt: skip


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
