"""Expiry: what time alone ends: results whose time to live is over, and unique keys."""

from __future__ import annotations

from hammerflow.stores.database import Database

__all__ = ["Expiry"]

_PAGE = 1_000


class Expiry:
    """Drops what is over, by the database's clock."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def drop_results(self) -> int:
        """Drop up to 1 000 results whose time to live is over and whose dependents have ended; how
        many."""
        due = self._database.column("results_due", n=_PAGE)
        if due:
            self._database.unit(lambda tx: tx.run("results_expire", ids=due), single=True)
        return len(due)

    def drop_keys(self) -> int:
        """Drop up to 1 000 unique keys that are free again; how many."""
        due = self._database.column("unique_over", n=_PAGE)
        if due:
            self._database.unit(lambda tx: tx.run("unique_drop", ukeys=sorted(due)), single=True)
        return len(due)
