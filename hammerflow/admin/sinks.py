"""What is known of sinks and the events that they have refused, as JSON; a test of one."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Set as AbstractSet
from datetime import UTC, datetime
from typing import Any

from hammerflow.errors import ConfigError, HammerflowError
from hammerflow.events.envelope import EVENT_TYPE, attributes_of, cloud_event, event_id, to_json
from hammerflow.events.event import Event, subject_of
from hammerflow.events.kinds import EventKind
from hammerflow.sinks.base import Message
from hammerflow.sinks.registry import check_config, code_of, open_sink, shown_config
from hammerflow.stores.events.sinks import ParkedEvent, SinkRow
from hammerflow.stores.store import Store

__all__ = [
    "named_sink_json", "parked_json", "parked_label", "parked_subject", "resume_sink",
    "sink_json", "try_sink",
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


def try_sink(store: Store, name: str, settings: Any, declared: AbstractSet[str]) -> dict[str, Any]:
    """Send one event of the kind test to a sink, from this process; its name and the seconds.

    Args:
        settings: those of the app.
        declared: names of the code that the app's own sinks import.

    Raises:
        ConfigError: there is no such sink, it is a webhook, or it needs code of another app.
        HammerflowError: it has not taken the event.
    """
    row, source = store.sinks.get(name), settings.namespace
    if row.kind == "webhook":
        raise ConfigError(f"{name} is a webhook: hammerflow webhook test {name} sends to it")
    if unknown := code_of(row.kind, row.config) - declared:
        names = ", ".join(sorted(unknown))
        raise ConfigError(f"sink {name} needs {names}: name the app whose code has it, with -A")
    event = Event(0, "test", datetime.now(UTC), name, {"message": f"a test of the sink {name}"})
    body, attributes = cloud_event(event, source, name), attributes_of(event, source, name)
    message = Message(event, event_id(event, source), name, to_json(body), EVENT_TYPE, attributes)
    began = time.monotonic()
    bounds = None if row.app else settings.bounds
    sink = open_sink(name, row.kind, check_config(row.kind, row.config), bounds)
    try:
        with contextlib.closing(sink):
            sink.open()
            report = sink.send([message])
    except Exception as error:  # a border: whatever a driver raises
        raise HammerflowError(f"sink {name} did not accept the test event: {error}") from error
    if event.position not in report.delivered:
        reason = report.refused.get(event.position) or report.error
        raise HammerflowError(f"sink {name} refused the test event: {reason}")
    config, took = shown_config(row.kind, row.config), round(time.monotonic() - began, 3)
    return {"name": name, "kind": row.kind, "config": config, "seconds": took}


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
