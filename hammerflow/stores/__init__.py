"""Stores: the only place that knows every database."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:  # loaded by the first store: a module of tasks needs none
    from hammerflow.settings import Settings
    from hammerflow.stores.database import Dialect
    from hammerflow.stores.store import Store

__all__ = ["open_store"]


def open_store(settings: Settings) -> Store:
    """The store that a settings' database URL names; connects at its first verb.

    Raises:
        MissingExtra: the database's driver is not installed.
    """
    from hammerflow.stores.database import Database
    from hammerflow.stores.store import Store

    return Store(
        Database(_dialect(settings), settings.url.redacted), poison_limit=settings.poison_limit
    )


def _dialect(settings: Settings) -> Dialect:
    url = settings.url
    match url.dialect:
        case "sqlite":
            from hammerflow.stores.dialects.sqlite import SQLite

            return SQLite(url.database, prefix=settings.prefix)
        case "postgres":
            from hammerflow.stores.dialects.postgres import Postgres

            return Postgres(
                url.conninfo,
                prefix=settings.prefix,
                schema=settings.schema,
                connect_timeout=settings.connect_timeout,
            )
        case "mysql":
            from hammerflow.stores.dialects.mysql import MySQL

            return MySQL(
                url.arguments,
                prefix=settings.prefix,
                connect_timeout=settings.connect_timeout,
                statement_timeout=settings.statement_timeout,
            )
