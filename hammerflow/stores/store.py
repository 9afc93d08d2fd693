"""Store: one database and the verbs on its tables, grouped by noun."""

from __future__ import annotations

import contextlib
from typing import Any

from hammerflow.errors import ConfigError
from hammerflow.stores.database import Database, Tx
from hammerflow.stores.dependencies import Dependencies
from hammerflow.stores.jobs import Jobs
from hammerflow.stores.names import NameTable
from hammerflow.stores.queues import Queues
from hammerflow.stores.schema import Schema
from hammerflow.stores.spawns import Spawns
from hammerflow.stores.workers import Workers
from hammerflow.stores.workflows import Workflows

__all__ = ["Store"]


class Store:
    """Where jobs are kept.

    It opens no connection before its first verb, and may be shared by threads and used on both
    sides of a fork. A job is parked after ``poison_limit`` lost leases.
    """

    def __init__(self, database: Database, *, poison_limit: int = 3) -> None:
        self.database = database
        self.schema = Schema(database)
        self.names = NameTable(database)
        self.jobs = Jobs(database, self.names, poison_limit=poison_limit)
        self.workflows = Workflows(database, self.names)
        self.spawns = Spawns(database)
        self.dependencies = Dependencies(database)
        self.queues = Queues(database, self.names)
        self.workers = Workers(database, self.names)

    @property
    def dialect(self) -> str:
        """``sqlite``, ``postgres`` or ``mysql``."""
        return self.database.dialect.name

    def transaction(self) -> contextlib.AbstractContextManager[Tx]:
        """A transaction around a with block; see :meth:`Database.transaction`."""
        return self.database.transaction()

    def foreign(self, connection: Any) -> Tx:
        """The caller's open transaction on the same database.

        Args:
            connection: a psycopg, PyMySQL or sqlite3 connection, or an object that holds one:
                a SQLAlchemy Connection or Session, a Django connection.

        Raises:
            ConfigError: it is not a connection of this database's driver, or has no open
                transaction.
        """
        found = _driver_connection(connection)
        if not self.database.dialect.owns(found):
            kind = f"{type(found).__module__}.{type(found).__qualname__}"
            raise ConfigError(
                f"a connection of type {kind} cannot carry jobs of {self.database.label}: pass a "
                "psycopg, PyMySQL or sqlite3 connection to the same database, or a SQLAlchemy or "
                "Django connection over one"
            )
        if unfit := self.database.dialect.unfit(found):
            raise ConfigError(f"the connection cannot carry jobs: {unfit}")
        return self.database.foreign(found)

    def clock(self) -> float:
        """The database's clock, in seconds since 1970."""
        return float(self.database.rows("clock")[0][0])

    def close(self) -> None:
        """Close this process's idle connections; the next verb opens new ones."""
        self.database.close()


def _driver_connection(given: Any) -> Any:
    """The driver's own connection inside what the caller passed."""
    module = type(given).__module__.partition(".")[0]
    if module == "sqlalchemy" or hasattr(given, "get_bind"):  # a Session, or a subclass of one
        connection = given.connection() if callable(getattr(given, "connection", None)) else given
        return connection.connection.driver_connection
    if module == "django" or hasattr(given, "ensure_connection"):
        given.ensure_connection()
        return given.connection
    return given
