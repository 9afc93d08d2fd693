"""Event: one entry of the log with what it tells, as sinks and people get it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

__all__ = ["KEYS", "Event"]

#: What messages may be ordered by: events of one key stay in their order.
KEYS = ("job", "root", "workflow", "queue", "task", "kind")


@dataclass(frozen=True, slots=True)
class Event:
    """One event.

    Attributes:
        position: its number in the log.
        kind: ``job.completed``.
        at: when its transaction wrote it, by the database's clock.
        subject: the id of the job or workflow; else the name or number of what it is about.
        data: what it tells, as JSON takes it; the reference has the fields of each kind.
        is_tombstone: the rows that it tells of were removed before it was read, so ``data`` has
            only what the log holds.
    """

    position: int
    kind: str
    at: datetime
    subject: str
    data: Mapping[str, Any] = field(default_factory=dict)
    is_tombstone: bool = False

    def key(self, by: str) -> str:
        """The value by which messages are ordered: of KEYS, or ``header:NAME``.

        What an event lacks is replaced by its subject: an event without a workflow is ordered by
        its job.
        """
        if by == "kind":
            return self.kind
        name, _, header = by.partition(":")
        if name == "header":
            found = self.data.get("headers", {}).get(header)
        elif name in ("queue", "task"):
            found = self.data.get(name)
        elif name in ("root", "workflow"):
            found = self.data.get(f"{name}_id")
        else:
            found = None
        return self.subject if found is None else str(found)

    def to_plain(self) -> dict[str, Any]:
        """The event as JSON takes it."""
        return {
            "position": self.position, "kind": self.kind, "at": self.at.isoformat(),
            "subject": self.subject, "data": dict(self.data), "is_tombstone": self.is_tombstone,
        }  # fmt: skip


def subject_of(id_: bytes, *, is_uuid: bool) -> str:
    """An id of the log as text."""
    if not is_uuid:
        return str(int.from_bytes(id_))
    text = id_.hex()  # a UUID's own class takes eight times as long, and this is for each event
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
