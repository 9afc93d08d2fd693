"""Tables: all rows of any table, read in one snapshot of the database and written to another."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol, cast

from hammerflow.stores.database import Database, Dialect, Tx
from hammerflow.stores.statements import Statement

__all__ = ["SnapshotTx", "TableCopy", "snapshot"]

#: A line of SHOW CREATE TABLE: name and type of a column.
_COLUMN = re.compile(r"^ +`(\w+)` (\w+)", re.MULTILINE)
#: PostgreSQL's own names of types that the statements call otherwise.
_TYPES = {"timestamp with time zone": "timestamptz", "double precision": "float8"}


class SnapshotTx(Tx, Protocol):
    """A transaction whose statements all see the database as it was when it began."""

    def stream(self, name: str, size: int, /, **values: Any) -> Iterator[list[tuple[Any, ...]]]:
        """Run a statement that reads, and fetch its rows in lists of ``size``; it may take as long
        as it takes, and holds no more rows in memory than that. One at a time."""


class _SnapshotDialect(Dialect, Protocol):
    def begin_snapshot(self, tx: Tx) -> None:
        """Open a transaction that only reads, all of it as of now."""


@contextlib.contextmanager
def snapshot(database: Database) -> Iterator[SnapshotTx]:
    """A transaction on a connection of its own that sees the database as it is now, and hinders no
    other one; workers go on meanwhile.

    Raises:
        StoreUnavailable: the database cannot be used.
    """
    dialect = cast(_SnapshotDialect, database.dialect)
    try:
        tx = dialect.connect()
        try:
            dialect.begin_snapshot(tx)
            yield cast(SnapshotTx, tx)
        finally:
            with contextlib.suppress(Exception):  # nothing was written
                dialect.close(tx)
    except Exception as error:
        if (refusal := database.refusal(error)) is not None and refusal is not error:
            raise refusal from error
        raise


class TableCopy:
    """The columns of one table, and the statements that read and write all of it.

    Args:
        left_out: columns that only this database has.
    """

    def __init__(self, database: Database, table: str, left_out: frozenset[str]) -> None:
        self.name = table
        self.full_name = database.dialect.macros[table]
        self._statements = cast(dict[str, Statement], database.dialect.statements)
        self.types: Mapping[str, str] = {
            name: _TYPES.get(type_, type_)
            for name, type_ in self._columns(database)
            if name not in left_out
        }

    def _columns(self, database: Database) -> list[tuple[Any, ...]]:
        """The names and types of the columns, in their order."""
        if "table_created" in self._statements:
            [(_, text)] = database.rows(self.define("table_created"))
            return _COLUMN.findall(text)
        return database.rows("table_columns", table=self.full_name)

    def to_read(self, order: str = "") -> str:
        """The name of the statement that reads the columns in their order; ``order`` is that of
        the rows, where it matters."""
        return self.define("table_read", columns=", ".join(self.types), order=order)

    def to_write(self, columns: Sequence[str]) -> str:
        """The name of the INSERT with these columns."""
        places = ", ".join(f":p{i}::{self.types[name]}" for i, name in enumerate(columns))
        return self.define("table_write", columns=", ".join(columns), values=places)

    def to_look(self) -> str:
        """The name of the statement that finds a row if there is one."""
        return self.define("table_any")

    def to_count(self) -> str:
        """The name of the statement that counts the rows."""
        return self.define("table_count")

    def to_empty(self) -> str:
        """The name of the statement that deletes all rows."""
        return self.define("table_empty")

    def define(self, template: str, **parts: str) -> str:
        """Make a statement for this table of a template, whose ``@table`` and ``@part`` are
        replaced; its name."""
        name = "_".join((template, self.name, *parts.values()))
        if name in self._statements:
            return name
        text = self._statements[template].text.replace("@table", self.full_name)
        for part, value in parts.items():
            text = text.replace(f"@{part}", value)
        self._statements[name] = Statement(name, text)
        return name
