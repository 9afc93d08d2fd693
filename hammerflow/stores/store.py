"""Store: one database and the verbs on its tables, grouped by noun."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

from hammerflow.errors import ConfigError
from hammerflow.stores.access import Access
from hammerflow.stores.alerts import Alerts
from hammerflow.stores.answers import KeptAnswers
from hammerflow.stores.cancellations import Cancellations
from hammerflow.stores.clients import Clients
from hammerflow.stores.connections.callers import (
    async_driver_connection,
    driver_connection,
    kind_of,
)
from hammerflow.stores.database import Database, Tx
from hammerflow.stores.dead_letters import DeadLetters
from hammerflow.stores.dependencies import Dependencies
from hammerflow.stores.events.log import EventLog
from hammerflow.stores.events.sinks import Sinks
from hammerflow.stores.events.webhooks import Webhooks
from hammerflow.stores.job_logs import JobLogs
from hammerflow.stores.jobs import Jobs
from hammerflow.stores.limits import Limits
from hammerflow.stores.names import NameTable
from hammerflow.stores.operations import Operations
from hammerflow.stores.outbox import Outbox
from hammerflow.stores.pages.job_search import JobSearch
from hammerflow.stores.pauses import Pauses
from hammerflow.stores.queues import Queues
from hammerflow.stores.retention.archive import Archive
from hammerflow.stores.retention.expiry import Expiry
from hammerflow.stores.retention.retention import Retention
from hammerflow.stores.schema import Schema
from hammerflow.stores.spawns import Spawns
from hammerflow.stores.statistics.queue_stats import QueueStats
from hammerflow.stores.statistics.statistics import Statistics
from hammerflow.stores.tasks import Tasks
from hammerflow.stores.unique_keys import UniqueKeys
from hammerflow.stores.workers import Workers
from hammerflow.stores.workflows import Workflows

if TYPE_CHECKING:
    from hammerflow.stores.schedules import Schedules

__all__ = ["Store"]


class Store:
    """Where jobs are kept.

    It opens no connection before its first verb, and may be shared by threads and used on both
    sides of a fork. A job is parked after ``poison_limit`` lost leases. ``doorbell`` is the address
    that this process rings.
    """

    def __init__(
        self, database: Database, *, poison_limit: int = 3,
        doorbell: Mapping[str, Any] | None = None,
    ) -> None:  # fmt: skip
        self.database = database
        self.schema = Schema(database)
        self.clients = Clients(database, doorbell)
        self.names = NameTable(database, self.clients, Outbox(database))
        database.on_replaced = self.names.forget
        self.events = EventLog(database, self.names.outbox)
        self.sinks = Sinks(database, self.names)
        self.webhooks = Webhooks(database, self.names)
        self.jobs = Jobs(database, self.names, poison_limit=poison_limit)
        self.job_logs = JobLogs(database)
        self.search = JobSearch(database)
        self.workflows = Workflows(database, self.names)
        self.cancellations = Cancellations(database, self.names, self.workflows)
        self.spawns = Spawns(database)
        self.dependencies = Dependencies(database)
        self.pauses = Pauses(database, self.names)
        self.queues = Queues(database, self.names, self.pauses)
        self.queue_stats = QueueStats(database, self.names)
        self.tasks = Tasks(database)
        self.access = Access(database)
        self.answers = KeptAnswers(database)
        self.operations = Operations(database)
        self.workers = Workers(database, self.names)
        self.expiry = Expiry(database)
        self.unique_keys = UniqueKeys(database)
        self.limits = Limits(database, self.names)
        self.retention = Retention(database, self.names)
        self.archive = Archive(database, self.names)
        self.statistics = Statistics(database, self.names)
        self.dead_letters = DeadLetters(database, self.names)
        self.alerts = Alerts(database, self.names.outbox)

    @cached_property
    def schedules(self) -> Schedules:
        """The verbs on schedules; only processes that use them pay for the import of croniter."""
        from hammerflow.stores.schedules import Schedules

        return Schedules(self.database, self.names)

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
        found = driver_connection(connection)
        dialect = self.database.dialect
        if not dialect.owns(found):
            raise ConfigError(
                f"{kind_of(found)} cannot carry jobs of {self.database.label}: pass a "
                "psycopg, PyMySQL or sqlite3 connection to the same database, or a SQLAlchemy or "
                "Django connection over one"
            )
        self._check_transaction(found)
        return dialect.wrap(found)

    async def foreign_async(self, connection: Any, call: Callable[[Awaitable[Any]], Any]) -> Tx:
        """:meth:`foreign` for an async connection: psycopg's AsyncConnection, an aiosqlite
        connection, or a SQLAlchemy AsyncSession or AsyncConnection over one.

        Args:
            call: runs one of the driver's coroutines on the event loop, from another thread.

        Raises:
            ConfigError: as for :meth:`foreign`.
        """
        found = await async_driver_connection(connection)
        dialect = self.database.dialect
        if not dialect.owns_async(found):
            raise ConfigError(
                f"{kind_of(found)} cannot carry jobs of {self.database.label}: "
                f"{_REMEDIES[dialect.name]}, or write your rows with `async with "
                "app.transaction() as tx` and `await tx.execute(...)`"
            )
        self._check_transaction(found)
        return dialect.wrap_async(found, call)

    def _check_transaction(self, connection: Any) -> None:
        if unfit := self.database.dialect.unfit(connection):
            raise ConfigError(f"the connection cannot carry jobs: {unfit}")

    def clock(self) -> float:
        """The database's clock, in seconds since 1970."""
        return float(self.database.rows("clock")[0][0])

    def close(self) -> None:
        """Close this process's idle connections; the next verb opens new ones."""
        self.database.close()


#: Async drivers whose connections carry jobs.
_REMEDIES = {
    "postgres": "use psycopg's AsyncConnection (postgresql+psycopg:// in SQLAlchemy)",
    "sqlite": "use aiosqlite (sqlite+aiosqlite:// in SQLAlchemy)",
    "mysql": "use a PyMySQL connection in a thread",
}
