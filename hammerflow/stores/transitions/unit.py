"""Unit: one transaction and what follows from it, the first argument of every transition."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from hammerflow.jobs.job import CHUNK
from hammerflow.jobs.settlement import Settlement
from hammerflow.stores.database import Database, Tx
from hammerflow.stores.names import NameTable
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
    """

    database: Database
    names: NameTable
    tx: Tx
    settlement: Settlement = field(default_factory=Settlement)
    most: int | None = None

    def note_following(self, count: int) -> None:
        """Count jobs that start or end because of others; raises CascadeTooLong beyond ``most``."""
        self.settlement.following += count
        if self.most is not None and self.settlement.following > self.most:
            raise CascadeTooLong

    def insert(self, statement: str, rows: Sequence[Row]) -> None:
        """Run an INSERT for these rows, if there are any."""
        if rows:
            self.tx.many(statement, rows)

    def make_ready(self, rows: Sequence[Row]) -> None:
        """Insert rows of ``ready`` and note their queues, which are rung after the commit."""
        if rows:
            self.tx.many("ready_insert", rows)
            queue = self.names.queue
            self.settlement.queues.update({queue(queue_id) for queue_id in {r[1] for r in rows}})


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
        if tx is not None:
            return self._database.inside(tx, lambda tx: work(Unit(self._database, self._names, tx)))
        return self._database.unit(
            lambda tx: work(Unit(self._database, self._names, tx, most=most)),
            single=single, patience=patience,
        )  # fmt: skip

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
