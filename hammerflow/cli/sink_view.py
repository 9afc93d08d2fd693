"""What ``hammerflow sink`` prints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hammerflow.cli.output import TableView
from hammerflow.events.event import subject_of
from hammerflow.events.kinds import EventKind
from hammerflow.sinks.registry import shown_config
from hammerflow.stores.sinks import ParkedEvent, SinkRow
from hammerflow.text import timestamp

__all__ = ["PARKED", "as_json", "facts_of", "sinks_table"]


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
    return TableView(heads, row, lambda sink: as_json(sink, head, parked.get(sink.name, 0)))


def as_json(sink: SinkRow, head: int, parked: int) -> dict[str, Any]:
    """A sink as JSON, without its secrets."""
    return {
        "name": sink.name, "kind": sink.kind, "config": shown_config(sink.kind, sink.config),
        "filters": sink.filters.to_plain(), "app": sink.app, "state": sink.state,
        "position": sink.position, "behind": max(head - sink.position, 0), "sent": sink.sent,
        "sent_at": sink.sent_at, "created_at": sink.created_at,
        "complete_from": sink.complete_from, "changed_by": sink.changed_by, "reason": sink.reason,
        "failures": sink.failures, "error": sink.error, "error_at": sink.error_at,
        "parked": parked, "gap": sink.gap,
        "is_held": sink.holder is not None and (sink.holds_for or 0) > 0,
    }  # fmt: skip


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
        _label(event),
        _subject(event),
        event.error,
    )


def _parked_json(event: ParkedEvent) -> dict[str, Any]:
    return {
        "position": event.position, "at": event.at, "kind": _label(event),
        "subject": _subject(event), "error": event.error, "body": event.body,
    }  # fmt: skip


def _label(event: ParkedEvent) -> str:
    return event.kind.label if isinstance(event.kind, EventKind) else f"unknown.{event.kind}"


def _subject(event: ParkedEvent) -> str:
    is_uuid = isinstance(event.kind, EventKind) and event.kind.noun in ("job", "spawn", "workflow")
    return subject_of(event.id, is_uuid=is_uuid)


PARKED = TableView(("position", "parked at", "kind", "subject", "error"), _parked_row, _parked_json)
