"""Transaction: an open transaction of an app, and the queues to ring after it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from hammerflow.stores.database import Tx

__all__ = ["OpenTransaction", "Transaction"]


class Transaction:
    """An open transaction of the app's database; jobs enqueued inside commit with it.

    Attributes:
        connection: the driver's own connection (psycopg, PyMySQL or sqlite3); do not commit it.
    """

    __slots__ = ("connection",)

    def __init__(self, connection: Any) -> None:
        self.connection = connection

    def execute(self, sql: str, parameters: Any = ()) -> Any:
        """Run the caller's own SQL in the driver's parameter style; the driver's cursor."""
        cursor = self.connection.cursor()
        cursor.execute(sql, parameters)
        return cursor


class OpenTransaction(NamedTuple):
    """The transaction that is open in this context, and the queues to ring after it."""

    tx: Tx
    handle: Transaction
    queues: set[str]
