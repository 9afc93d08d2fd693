"""TableWriter: rows that no transaction of the engine has made, into any table of any database."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from hammerflow.stores.database import Tx
from hammerflow.stores.maintenance.backup_file import Instant
from hammerflow.stores.rows import Row
from hammerflow.stores.tables import TableCopy

__all__ = ["TableWriter"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
Convert = Callable[[Any], Any]


class TableWriter:
    """Writes rows whose values are the same for every database: an instant is a number of seconds
    since 1970, or an :class:`Instant` of a backup.

    Args:
        columns: that the rows have, in their order; the others keep their defaults.
        time: of the dialect, for instants.
    """

    def __init__(self, copy: TableCopy, columns: Sequence[str], time: Convert) -> None:
        self._statement = copy.to_write(columns)
        converts = [_convert(copy.types[name], time) for name in columns]
        self._converts = [(at, each) for at, each in enumerate(converts) if each is not None]

    def write(self, tx: Tx, rows: Iterable[list[Any]]) -> None:
        """Insert rows; their values are converted in place."""
        self.insert(tx, self.converted(rows))

    def converted(self, rows: Iterable[list[Any]]) -> Sequence[Row]:
        """Rows as this database takes them, for :meth:`insert`."""
        rows = [*rows]
        for row in rows if self._converts else ():
            for at, convert in self._converts:
                row[at] = convert(row[at])
        return [tuple(row) for row in rows]

    def insert(self, tx: Tx, rows: Sequence[Row]) -> None:
        """Insert rows that :meth:`converted` has made."""
        if rows:
            tx.many(self._statement, rows)


def _convert(type_: str, time: Convert) -> Convert | None:
    """What makes a column's value of a neutral one; None where they are the same."""
    match type_:
        case "timestamptz" | "datetime":
            return lambda value: None if value is None else time(_moment(value))
        case "real":
            return lambda value: value / 1e6 if isinstance(value, Instant) else value
        case "text" | "longtext" | "varchar":  # MySQL keeps unique keys as bytes
            return lambda value: value.decode() if isinstance(value, bytes) else value
        case _:
            return None


def _moment(value: Any) -> datetime:
    if isinstance(value, Instant):
        return value.moment
    return _EPOCH + timedelta(microseconds=round(value * 1e6))
