"""Health: what the database says about itself, its settings and the jobs that nobody serves."""

from __future__ import annotations

from hammerflow.stores.database import Database

__all__ = ["Diagnostics"]


class Diagnostics:
    """Questions that only ``hammerflow doctor`` asks; each is one statement that reads."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def server(self) -> tuple[str, str]:
        """The product's name and its version as it writes it."""
        rows = self._database.rows("health_server")
        return rows[0][0], rows[0][1]

    def settings(self) -> dict[str, str]:
        """The server's settings that bear on durability; those it does not have are absent."""
        rows = self._database.rows("health_settings")
        return {name: str(value).lower() for name, value in rows}

    def unserved(self) -> list[tuple[str, int]]:
        """(task, ready jobs) of the tasks that no live worker has registered."""
        rows = self._database.rows("health_unserved")
        return [(task, int(count)) for task, count in rows]

    def parked(self) -> list[tuple[str, str, int]]:
        """(why, task, jobs) of everything that is parked."""
        rows = self._database.rows("health_parked")
        return [(why, task, int(count)) for why, task, count in rows]

    def missing(self) -> int:
        """How many of the newest 10 000 jobs stand in no state table."""
        return int(self._database.rows("health_missing")[0][0])
