"""Teardown: the end of a set of tables, with all that is in them."""

from __future__ import annotations

from hammerflow.stores.database import Database

__all__ = ["drop_tables"]


def drop_tables(database: Database) -> None:
    """Drop every table of the settings' prefix: for demos and tests that made their own.

    Can be run again where it was cut short.
    """
    parts = database.dialect.statements["drop_tables"].parts
    database.unit(lambda tx: tx.script("".join(str(part) for part in parts)))
