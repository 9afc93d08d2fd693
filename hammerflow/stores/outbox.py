"""Outbox: which events sinks want, and the row of them that a transaction writes.

Nothing is written that no sink wants. A process knows that by a number, the bits of the wanted
kinds, which it believes for ``BELIEVED`` seconds; a process that enqueues reads it with the names
of queues and tasks, one that claims with the limits, so neither asks for it in a statement of its
own. A sink therefore gets every event from ``BELIEVED`` seconds after it was added on.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from hammerflow.events.kinds import EventKind
from hammerflow.events.record import Record, RecordRun, packs
from hammerflow.ids import is_event_job, without_event_jobs
from hammerflow.jobs.job import Claimed
from hammerflow.stores.database import Database, Tx

__all__ = ["BELIEVED", "Outbox"]

#: Seconds for which a process believes what sinks want.
BELIEVED = 5.0


class Outbox:
    """What this process knows of the wanted events; and the table ``outbox``, or where each
    transaction writes alone (SQLite), the log itself.

    Attributes:
        wanted: bits of kinds, believed until ``until`` of the monotonic clock.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self.wanted = 0
        self.until = 0.0

    def believe(self, wanted: int) -> None:
        """Believe this for the next ``BELIEVED`` seconds."""
        self.wanted, self.until = wanted, time.monotonic() + BELIEVED

    def refresh(self) -> int:
        """Read what sinks want; its bits."""
        self.believe(sum(self._database.column("events_wanted")))
        return self.wanted

    def current(self) -> int:
        """The bits of the wanted kinds; read again where the belief is over."""
        return self.wanted if time.monotonic() < self.until else self.refresh()

    def wants(self, kind: EventKind) -> bool:
        """Whether a sink wants this kind."""
        return bool(self.current() >> kind & 1)

    def note(self, tx: Tx, kind: EventKind, number: int, **detail: Any) -> None:
        """Write an event of something that has a number, if a sink wants it.

        Args:
            detail: what it tells, as JSON takes it.
        """
        if self.wants(kind):
            self.write(tx, [Record(kind, number.to_bytes(16), detail=detail)])

    def wants_started(self) -> bool:
        """Whether a sink wants the events of jobs that are claimed, by what is believed."""
        return bool(self.wanted >> EventKind.JOB_STARTED & 1)

    def note_started(self, tx: Tx, claimed: Sequence[Claimed]) -> None:
        """Write the events of jobs that are claimed, if a sink wants them."""
        if claimed and self.wants_started():
            started = [Record(EventKind.JOB_STARTED, j.id, j.lease, j.attempt) for j in claimed]
            self.write(tx, started)

    def write(self, tx: Tx, records: Sequence[Record | RecordRun]) -> None:
        """Write the wanted ones of these records, as the last statement of a transaction; none of
        jobs that events have caused."""
        rows = self.packs(records, self.wanted)
        if rows:
            tx.has_events = True
        if not tx.has("log_append"):
            if rows:
                tx.many("outbox_insert", rows)
            return
        for n, data in rows:
            if not tx.run("relay_count", n=n):
                tx.run("relay_begin")
                tx.run("relay_count", n=n)
            tx.run("log_append", n=n, pack=data)

    @staticmethod
    def packs(records: Sequence[Record | RecordRun], wanted: int) -> list[tuple[int, bytes]]:
        """The rows of the outbox for these records: (how many, their bytes).

        Args:
            wanted: bits of kinds; others are left out, as are those of jobs that events have
                caused.
        """
        chosen: list[Record | RecordRun] = []
        for record in records:
            if not wanted >> record.kind & 1:
                continue
            if isinstance(record, RecordRun):
                chosen.append(record._replace(ids=without_event_jobs(record.ids)))
            elif not is_event_job(record.id):
                chosen.append(record)
        return packs(chosen)
