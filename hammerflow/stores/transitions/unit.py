"""Unit: what every transition works with: one transaction, and what follows from it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from hammerflow.jobs.settlement import Settlement
from hammerflow.stores.database import Database, Tx
from hammerflow.stores.names import NameTable
from hammerflow.stores.rows import Row

__all__ = ["Unit", "run_unit"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Unit:
    """The first argument of every transition.

    A transaction may be run again (see :meth:`Database.unit`), each time with a new Unit: what a
    run that was rolled back has noted in its settlement is dropped with it.
    """

    database: Database
    names: NameTable
    tx: Tx
    settlement: Settlement = field(default_factory=Settlement)

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


def run_unit(
    database: Database,
    names: NameTable,
    work: Callable[[Unit], T],
    *,
    tx: Tx | None = None,
    single: bool = False,
) -> T:
    """Run ``work`` in a transaction of its own, or in the caller's ``tx``.

    Args:
        single: the work is one statement, which needs no BEGIN and COMMIT.
    """
    if tx is not None:
        return work(Unit(database, names, tx))
    return database.unit(lambda tx: work(Unit(database, names, tx)), single=single)
