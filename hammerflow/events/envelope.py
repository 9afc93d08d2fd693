"""Envelopes: events as CloudEvents 1.0, in JSON or as headers with the data."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from hammerflow.events.event import Event

__all__ = [
    "BATCH_TYPE",
    "EVENT_TYPE",
    "attributes_of",
    "cloud_event",
    "enclosed",
    "event_id",
    "to_json",
]

#: The media types of one event and of a list of them.
EVENT_TYPE, BATCH_TYPE = "application/cloudevents+json", "application/cloudevents-batch+json"
#: A position as text that sorts as the number does.
_SEQUENCE = "{:020d}"
_ENCODER = json.JSONEncoder(separators=(",", ":"), default=str, ensure_ascii=False)


def event_id(event: Event, source: str) -> str:
    """The id of an event, the same at every delivery."""
    if event.kind == "log.gap":
        return f"{source}/gap/{event.data['first']}-{event.data['last']}"
    return f"{source}/{event.position}"


def attributes_of(event: Event, source: str, key: str) -> dict[str, str]:
    """The attributes of CloudEvents 1.0, which its binary mode sends as headers.

    Args:
        source: the app's namespace.
        key: by which the message is ordered.
    """
    found = {
        "specversion": "1.0",
        "id": event_id(event, source),
        "source": f"/hammerflow/{source}",
        "type": f"hammerflow.{event.kind}.v1",
        "subject": event.subject,
        "time": event.at.isoformat().replace("+00:00", "Z"),
        "datacontenttype": "application/json",
        "partitionkey": key,
        "sequence": _SEQUENCE.format(event.position),
    }
    trace = event.data.get("traceparent")
    return found | ({"traceparent": str(trace)} if trace else {})


def cloud_event(event: Event, source: str, key: str) -> Mapping[str, Any]:
    """One event as a JSON object of CloudEvents 1.0."""
    return enclosed(event, attributes_of(event, source, key))


def enclosed(event: Event, attributes: Mapping[str, str]) -> Mapping[str, Any]:
    """The same with attributes that were made before."""
    data = {**event.data, "is_tombstone": True} if event.is_tombstone else event.data
    return {**attributes, "data": data}


def to_json(value: Any) -> bytes:
    """A value as compact JSON; what JSON does not know becomes text."""
    return _ENCODER.encode(value).encode()
