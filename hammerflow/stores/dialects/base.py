"""What the three drivers share: a connection that runs named statements, and their texts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from hammerflow.stores.statements import Statements, load_statements, table_names

__all__ = ["NO_TRANSACTION", "DriverDialect", "DriverTx"]

#: Why a caller's connection cannot carry jobs, where it is in autocommit mode.
NO_TRANSACTION = (
    "it is in autocommit mode and no transaction is open, so a job would be committed even where "
    "your own writes are rolled back; begin a transaction first"
)


class DriverTx:
    """One connection of a driver; see :class:`hammerflow.stores.database.Tx`."""

    repeated = False
    since: float | None = None

    def __init__(self, connection: Any, statements: Statements, *, foreign: bool) -> None:
        self.connection = connection
        self.foreign = foreign
        self._statements = statements

    def has(self, name: str) -> bool:
        """Whether the dialect has a statement of this name."""
        return name in self._statements

    def script(self, text: str) -> None:
        """One statement at a time, where the driver takes no more: each ends with its line."""
        cursor = self.connection.cursor()
        for piece in text.split(";\n"):
            if piece.strip():
                cursor.execute(piece)

    def cut(self) -> None:
        """Nothing, where the driver's own timeouts end every statement."""


class DriverDialect:
    """A driver's texts and connections; see :class:`hammerflow.stores.database.Dialect`.

    Args:
        quote: how the dialect quotes a name.
        macros: what the dialect writes for ``{now}``, ``{after:x}`` and the like.
    """

    name: str
    tx_type: ClassVar[type[DriverTx]]
    connection_type: ClassVar[type]
    one_writer = False

    def __init__(
        self, prefix: str, schema: str | None, quote: str, macros: Mapping[str, str]
    ) -> None:
        tables = table_names(prefix, schema, quote)
        self.macros: Mapping[str, str] = {**tables, "prefix": prefix, **macros}
        self.statements: Statements = load_statements(self.name, self.macros)

    def owns(self, connection: Any) -> bool:
        """Whether this is a connection of the driver."""
        return isinstance(connection, self.connection_type)

    def wrap(self, connection: Any) -> Any:
        """Work on the caller's connection, in the caller's transaction."""
        return self.tx_type(connection, self.statements, foreign=True)

    def close(self, tx: Any) -> None:
        """Close the connection."""
        tx.connection.close()
