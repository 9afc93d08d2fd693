"""Transaction: the open transaction of an app, and the queues to ring after its commit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from hammerflow.stores.database import Tx

__all__ = ["OpenTransaction", "Transaction"]


class Transaction:
    """The open transaction of an app, from ``app.transaction()`` or ``app.using(...)``.

    Attributes:
        connection: the driver's connection (psycopg, PyMySQL or sqlite3); do not commit on it.
    """

    __slots__ = ("connection",)

    def __init__(self, connection: Any) -> None:
        self.connection = connection

    def execute(self, sql: str, parameters: Any = ()) -> Any:
        """Run your own SQL inside the transaction and return the driver's cursor.

        Args:
            sql: one statement, with placeholders in the driver's style.
            parameters: a sequence or mapping, as the driver takes it.
        """
        cursor = self.connection.cursor()
        cursor.execute(sql, parameters)
        return cursor


class OpenTransaction(NamedTuple):
    """What is open in this thread or asyncio task; ``queues`` are rung after the commit."""

    tx: Tx
    handle: Transaction
    queues: set[str]
    keeps_others_from_writing: bool
