"""Unit: one transaction and what follows from it, the first argument of every transition."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from hammerflow.jobs.job import CHUNK
from hammerflow.jobs.settlement import Settlement
from hammerflow.stores.database import Database, Tx
from hammerflow.stores.names import NameTable
from hammerflow.stores.records import NOTHING, Records
from hammerflow.stores.rows import Row

__all__ = ["CascadeTooLong", "Unit", "Verbs", "in_chunks"]

T = TypeVar("T")


class CascadeTooLong(Exception):
    """More jobs start or end because of others than was asked for; nothing is written."""


@dataclass(frozen=True, slots=True)
class Unit:
    """A transaction with its settlement.

    A transaction may be run again (see :meth:`Database.unit`), each time with a new Unit: what a
    run that was rolled back has noted in its settlement is dropped with it.

    Attributes:
        most: jobs that may start or end because of others; None for any number.
        records: the events of the transaction, which are written at its end.
        written: what all runs of this transaction have written, each with its lease number or 0.
            Where ``tx.repeated`` is set, one of these runs may be committed: its work is found by
            these ids, and must not be done once more.
    """

    database: Database
    names: NameTable
    tx: Tx
    settlement: Settlement = field(default_factory=Settlement)
    most: int | None = None
    records: Records = NOTHING
    written: dict[bytes, int] = field(default_factory=dict)

    def note_following(self, count: int) -> None:
        """Count jobs that start or end because of others; raises CascadeTooLong beyond ``most``."""
        self.settlement.following += count
        if self.most is not None and self.settlement.following > self.most:
            raise CascadeTooLong

    def insert(self, statement: str, rows: Sequence[Row]) -> None:
        """Run an INSERT for these rows, if there are any."""
        if rows:
            if self.records.wanted:
                self.records.note(statement, rows)
            self.tx.many(statement, rows)

    def make_ready(self, rows: Sequence[Row]) -> None:
        """Insert rows of ``ready`` of jobs that were not new there, and note their queues, which
        are rung after the commit."""
        if rows:
            self.tx.many("ready_insert_later", rows)
            queue = self.names.queue
            self.settlement.queues.update({queue(queue_id) for queue_id in {r[1] for r in rows}})

    def write_events(self) -> None:
        """Write what was noted, once all else is written: an event is younger than its causes."""
        if self.records.noted:
            self.names.outbox.write(self.tx, self.records.noted)
            self.records.noted.clear()


class Verbs:
    """Runs the verbs of a group of tables, each in a transaction of its own or in the caller's."""

    def __init__(self, database: Database, names: NameTable) -> None:
        self._database = database
        self._names = names

    def _run(
        self, work: Callable[[Unit], T], tx: Tx | None = None, *, single: bool = False,
        patience: float | None = None, most: int | None = None,
    ) -> T:  # fmt: skip
        """Run ``work``; ``single`` and ``patience`` are those of :meth:`Database.unit`, ``most`` is
        that of :class:`Unit`."""
        wanted = self._names.outbox.current()
        written: dict[bytes, int] = {}

        def run(tx: Tx) -> T:
            records = Records(wanted) if wanted else NOTHING
            unit = Unit(
                self._database, self._names, tx, most=most, records=records, written=written
            )
            value = work(unit)
            unit.write_events()
            return value

        if tx is not None:
            return self._database.inside(tx, run)
        return self._database.unit(run, single=single, patience=patience)

    def _change(
        self, change: Callable[[Unit], object], tx: Tx | None = None, *, single: bool = False,
        patience: float | None = None, most: int | None = None,
    ) -> Settlement:  # fmt: skip
        """Run a transition; what followed from it."""

        def work(unit: Unit) -> Settlement:
            change(unit)
            return unit.settlement

        return self._run(work, tx, single=single, patience=patience, most=most)


def in_chunks(items: Sequence[T], size: int = CHUNK) -> Iterator[list[T]]:
    """The items in lists of at most ``size``."""
    return (list(items[at : at + size]) for at in range(0, len(items), size))
