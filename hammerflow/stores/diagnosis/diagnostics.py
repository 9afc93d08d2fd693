"""Diagnostics: the reads behind ``hammerflow doctor``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from hammerflow.errors import StoreUnavailable
from hammerflow.stores.connections.error_codes import Advice
from hammerflow.stores.database import Database

__all__ = ["Diagnostics", "TableSize"]

#: Bytes of a statement besides the arguments or the result of a job, at most.
_AROUND = 256 << 10


class TableSize(NamedTuple):
    """How large a table is."""

    name: str
    size: int  # bytes, with its indexes
    rows: int | None  # an estimate of the database


class Diagnostics:
    """What the database says about itself, its settings, and jobs that nobody can run.

    Each method is one statement that reads, bounded where its table may be long.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def server(self) -> tuple[str, str]:
        """The product's name and its version, as the server writes it."""
        [(name, version)] = self._database.rows("health_server")
        return name, version

    def settings(self) -> dict[str, str]:
        """The server's settings that affect durability, in lower case; without those it lacks."""
        rows = self._database.rows("health_settings")
        return {name: str(value).lower() for name, value in rows}

    def packet_warning(self, max_payload: int) -> str | None:
        """What to change where the server refuses arguments or results of ``max_payload`` bytes."""
        if self._database.dialect.name != "mysql":
            return None
        packet = int(self._database.rows("max_packet")[0][0])
        needed = 2 * max_payload + _AROUND  # bytes are written as hexadecimal digits
        if packet >= needed:
            return None
        return (
            f"max_allowed_packet of the server is {packet:,} bytes, and arguments and results of "
            f"max_payload ({max_payload:,} bytes) need {needed:,}: raise the one or lower the "
            "other, or such jobs fail"
        )

    def connections(self) -> tuple[int, int] | None:
        """(the least limit that holds for this account, how many the server has); None for a
        file."""
        if "health_connections" not in self._database.dialect.statements:
            return None
        [(limit, in_use)] = self._database.rows("health_connections")
        return int(limit), int(in_use)

    def sizes(self) -> Sequence[TableSize]:
        """The tables with their sizes, the largest first; of SQLite the file without a name."""
        prefix = self._database.dialect.macros["prefix"]
        return [
            TableSize(name.removeprefix(prefix), int(size), None if rows is None else int(rows))
            for name, size, rows in self._database.rows("health_sizes")
        ]

    def missing_right(self) -> tuple[str, str] | None:
        """(what the database refuses, the GRANT that allows it) where this user lacks a right on a
        table that hammerflow needs.

        Raises:
            StoreUnavailable: the tables cannot be used for another reason: they are read-only or
                missing.
        """
        text = self._database.dialect.statements["health_rights"].text
        try:
            self._database.unit(lambda tx: tx.script(text))
        except StoreUnavailable as error:
            cause = error.__cause__
            if cause is None or self._database.dialect.meaning(cause).advice is not Advice.RIGHTS:
                raise
            grant = self._database.column("health_grant")[0]
            return self._database.dialect.words(cause), grant
        return None

    def schemas(self) -> list[tuple[str, bool]]:
        """(name, whether this user may use it) of the schemas that have the tables, where a
        database has schemas."""
        if "health_schemas" not in self._database.dialect.statements:
            return []
        return [(name, bool(may_use)) for name, may_use in self._database.rows("health_schemas")]

    def ready(self) -> list[tuple[str, str, int]]:
        """(task, queue, number of jobs) of the first 10 000 ready jobs."""
        rows = self._database.rows("health_ready")
        return [(task, queue, int(count)) for task, queue, count in rows]

    def parked(self) -> list[tuple[str, str, int]]:
        """(why, task, number of jobs) of the parked jobs, among 10 000 of them."""
        rows = self._database.rows("health_parked")
        return [(why, task, int(count)) for why, task, count in rows]

    def missing(self) -> int:
        """How many of the newest 10 000 jobs are in no state table: somebody deleted rows."""
        return int(self._database.rows("health_missing")[0][0])
