"""What ``hammerflow sink`` prints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hammerflow.admin.sinks import parked_json, parked_label, parked_subject, sink_json
from hammerflow.cli.output import TableView
from hammerflow.stores.events.sinks import ParkedEvent, SinkRow
from hammerflow.text import timestamp

__all__ = ["PARKED", "facts_of", "sinks_table"]


def sinks_table(head: int, parked: Mapping[str, int]) -> TableView[SinkRow]:
    """The table of sinks.

    Args:
        head: the position of the last event.
        parked: how many events each sink has refused.
    """

    def row(sink: SinkRow) -> Sequence[Any]:
        state = sink.state if not sink.error else f"{sink.state}, failing"
        sent = "" if sink.sent_at is None else timestamp(sink.sent_at.astimezone())
        return (
            sink.name, sink.kind, state, sink.position, max(head - sink.position, 0), sink.sent,
            sent, parked.get(sink.name, 0), sink.error,
        )  # fmt: skip

    heads = ("name", "kind", "state", "position", "behind", "sent", "last", "parked", "error")
    return TableView(heads, row, lambda sink: sink_json(sink, head, parked.get(sink.name, 0)))


def facts_of(found: Mapping[str, Any]) -> dict[str, Any]:
    """What is printed of a sink, one fact a line."""
    shown = {name: value for name, value in found.items() if value not in (None, "", {}, [])}
    for name in ("config", "filters"):
        if name in shown:
            shown[name] = ", ".join(f"{key}={value}" for key, value in shown[name].items())
    if "gap" in shown:
        shown["gap"] = f"the events {found['gap'][0]} to {found['gap'][1]} were never delivered"
    return shown


def _parked_row(event: ParkedEvent) -> Sequence[Any]:
    return (
        event.position,
        timestamp(event.at.astimezone()),
        parked_label(event),
        parked_subject(event),
        event.error,
    )


PARKED = TableView(("position", "parked at", "kind", "subject", "error"), _parked_row, parked_json)
