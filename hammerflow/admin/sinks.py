"""What is known of sinks and the events that they have refused, as JSON."""

from __future__ import annotations

from typing import Any

from hammerflow.events.event import subject_of
from hammerflow.events.kinds import EventKind
from hammerflow.sinks.registry import shown_config
from hammerflow.stores.sinks import ParkedEvent, SinkRow
from hammerflow.stores.store import Store

__all__ = [
    "named_sink_json", "parked_json", "parked_label", "parked_subject", "resume_sink",
    "sink_json",
]  # fmt: skip


def named_sink_json(store: Store, name: str) -> dict[str, Any]:
    """Read one sink."""
    row, parked = store.sinks.get(name), store.sinks.parked_counts()
    return sink_json(row, store.events.head(), parked.get(name, 0))


def resume_sink(store: Store, name: str, *, by: str) -> None:
    """Go on where a sink was paused, or where it has stopped."""
    store.sinks.resume(name, by=by)
    if store.sinks.get(name).kind == "webhook":
        store.webhooks.release(name)


def sink_json(sink: SinkRow, head: int, parked: int) -> dict[str, Any]:
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


def parked_json(event: ParkedEvent) -> dict[str, Any]:
    """A refused event for programs."""
    return {
        "position": event.position, "at": event.at, "kind": parked_label(event),
        "subject": parked_subject(event), "error": event.error, "body": event.body,
    }  # fmt: skip


def parked_label(event: ParkedEvent) -> str:
    """Its kind."""
    return event.kind.label if isinstance(event.kind, EventKind) else f"unknown.{event.kind}"


def parked_subject(event: ParkedEvent) -> str:
    """What it is about."""
    is_uuid = isinstance(event.kind, EventKind) and event.kind.noun in ("job", "spawn", "workflow")
    return subject_of(event.id, is_uuid=is_uuid)
