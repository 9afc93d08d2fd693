"""Unique keys: who holds one now."""

from __future__ import annotations

from collections.abc import Iterable

from hammerflow.stores.database import Database

__all__ = ["UniqueKeys"]


class UniqueKeys:
    """The table ``unique_keys``, as views read it; an insert takes keys by its own transition."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def holder(self, text: str) -> bytes | None:
        """The id of the job that holds this key."""
        return self.holders([text]).get(text)

    def holders(self, texts: Iterable[str]) -> dict[str, bytes]:
        """The ids of the jobs that hold these keys."""
        wanted = sorted(set(texts))
        return dict(self._database.rows("unique_held", ukeys=wanted)) if wanted else {}
