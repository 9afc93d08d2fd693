"""Unique keys: who holds one now."""

from __future__ import annotations

from hammerflow.stores.database import Database

__all__ = ["UniqueKeys"]


class UniqueKeys:
    """The table ``unique_keys``, as views read it; an insert takes keys by its own transition."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def holder(self, text: str) -> bytes | None:
        """The id of the job that holds this key."""
        return next(iter(self._database.column("unique_holder", ukey=text)), None)
