"""Stores: opens the store that the settings name; the only module that knows every dialect."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:  # loaded by the first store: a module of tasks needs none
    from hammerflow.settings import Settings
    from hammerflow.stores.database import Dialect
    from hammerflow.stores.store import Store

__all__ = ["open_checked_store", "open_store"]


def open_store(settings: Settings) -> Store:
    """Open the store that the settings' database URL names; it connects at its first verb.

    Raises:
        MissingExtra: the database's driver is not installed.
    """
    from hammerflow.stores.database import Database
    from hammerflow.stores.store import Store

    database = Database(
        _dialect(settings), settings.url.redacted, max_connections=settings.max_connections,
        pool_timeout=settings.pool_timeout,
    )  # fmt: skip
    return Store(database, poison_limit=settings.poison_limit, doorbell=settings.doorbell_address)


def open_checked_store(settings: Settings, *, migrate_embedded: bool = True) -> Store:
    """Open the store and check that its schema fits this version of hammerflow.

    Args:
        migrate_embedded: bring an SQLite file up to date first: it has no administrator who would
            run ``hammerflow migrate``. False for commands that only read.

    Raises:
        SchemaMismatch: migrations are missing, or the database belongs to a newer hammerflow.
        StoreUnavailable: the database cannot be reached.
        MissingExtra: the database's driver is not installed.
    """
    store = open_store(settings)
    try:
        if migrate_embedded and store.dialect == "sqlite" and store.schema.pending():
            store.schema.migrate()
        store.schema.check()
    except BaseException:
        store.close()
        raise
    return store


def _dialect(settings: Settings) -> Dialect:
    url = settings.url
    match url.dialect:
        case "sqlite":
            from hammerflow.stores.dialects.sqlite import SQLite

            return SQLite(
                url.database, prefix=settings.prefix, statement_timeout=settings.statement_timeout
            )
        case "postgres":
            from hammerflow.stores.dialects.postgres import Postgres

            return Postgres(
                url.conninfo, prefix=settings.prefix, schema=settings.schema,
                connect_timeout=settings.connect_timeout,
                statement_timeout=settings.statement_timeout,
            )  # fmt: skip
        case "mysql":
            from hammerflow.stores.dialects.mysql import MySQL

            return MySQL(
                url.arguments, prefix=settings.prefix, connect_timeout=settings.connect_timeout,
                statement_timeout=settings.statement_timeout,
            )  # fmt: skip
