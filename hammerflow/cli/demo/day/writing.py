"""Writing: rows of many tables, gathered and inserted in large transactions."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from typing import Any

from hammerflow.ids import first_id_at
from hammerflow.stores.database import Tx
from hammerflow.stores.maintenance.table_writer import TableWriter
from hammerflow.stores.rows import Row
from hammerflow.stores.store import Store
from hammerflow.stores.tables import TableCopy

__all__ = ["DayWriter", "Ids"]

#: Rows that are gathered, and that one INSERT has.
_GATHERED, _ROWS = 20_000, 2_000


class Ids:
    """Ids of the time at which a job would have been made, the same for the same seed."""

    def __init__(self, rng: random.Random) -> None:
        self._bits = rng.getrandbits
        self._last = 0

    def at(self, clock: float) -> bytes:
        """An id of that time; of two of one millisecond the later one is the greater."""
        number = int.from_bytes(first_id_at(clock))
        serial = self._last >> 64 & 0xFFF
        if number >> 80 == self._last >> 80 and serial < 0xFFF:
            number += serial + 1 << 64
        number += self._bits(62)
        self._last = number
        return number.to_bytes(16)


class DayWriter:
    """Inserts rows into the tables of a store."""

    def __init__(self, store: Store) -> None:
        self._database = store.database
        self._copies: dict[str, TableCopy] = {}
        self._writers: dict[tuple[str, tuple[str, ...]], TableWriter] = {}
        self._gathered: dict[tuple[str, tuple[str, ...]], list[list[Any]]] = {}
        self._count = 0

    def add(self, table: str, columns: tuple[str, ...], rows: Iterable[list[Any]]) -> None:
        """Insert rows of some columns, later, together with others."""
        gathered = self._gathered.setdefault((table, columns), [])
        before = len(gathered)
        gathered += rows
        self._count += len(gathered) - before
        if self._count >= _GATHERED:
            self.flush()

    def flush(self) -> None:
        """Insert what was gathered."""
        batches: list[tuple[TableWriter, Sequence[Row]]] = []
        for (table, columns), rows in self._gathered.items():
            writer = self._writer(table, columns)
            converted = writer.converted(rows)
            batches += [
                (writer, converted[at : at + _ROWS]) for at in range(0, len(converted), _ROWS)
            ]
        self._gathered, self._count = {}, 0

        def insert(tx: Tx) -> None:
            for writer, rows in batches:
                writer.insert(tx, rows)

        self._database.unit(insert)

    def _writer(self, table: str, columns: tuple[str, ...]) -> TableWriter:
        found = self._writers.get((table, columns))
        if found is None:
            if table not in self._copies:
                self._copies[table] = TableCopy(self._database, table, frozenset())
            time = self._database.dialect.time
            found = TableWriter(self._copies[table], columns, time)
            self._writers[table, columns] = found
        return found
