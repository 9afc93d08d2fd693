"""Upkeep: tables are vacuumed, analyzed and indexed again, each database in its own way."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

from hammerflow.errors import HammerflowError, StoreUnavailable
from hammerflow.stores.database import Database
from hammerflow.stores.diagnosis.diagnostics import Diagnostics
from hammerflow.stores.statements import TABLES
from hammerflow.stores.tables import TableCopy

__all__ = ["UPKEEP_TABLES", "Sign", "Step", "Upkeep", "Verb"]

Verb = Literal["vacuum", "analyze", "reindex"]

#: The tables whose rows come and go come first.
_HOT = ("ready", "leases", "scheduled", "waiting", "done", "jobs")
UPKEEP_TABLES = (*_HOT, *(t for t in TABLES if t not in (*_HOT, "job_states", "migrations")))
#: Of the size of a SQLite file, what must be free on its disk: VACUUM writes a copy, then its log.
_COPIES = 2


class Step(NamedTuple):
    """What was done with one table.

    Attributes:
        table: without the prefix; empty for a whole SQLite file.
        seconds: how long it took.
        before: bytes of the table with its indexes, where the database tells.
        after: likewise.
    """

    table: str
    seconds: float
    before: int | None
    after: int | None


class Sign(NamedTuple):
    """A sign that a table needs upkeep.

    Attributes:
        table: without the prefix; empty for a whole SQLite file.
        dead: dead rows on PostgreSQL, else free bytes inside.
        live: live rows or bytes used.
        changed: rows changed since the table was analyzed.
    """

    table: str
    dead: int
    live: int
    changed: int


class Upkeep:
    """Runs a verb on tables, one after another, on a connection of its own."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._dialect = database.dialect

    def tables(self, verb: Verb, chosen: Sequence[str] = ()) -> Sequence[str]:
        """The tables that a verb is run on: those chosen, or all; of SQLite VACUUM takes the file.

        Raises:
            HammerflowError: SQLite cannot vacuum single tables.
        """
        if self._dialect.name == "sqlite" and verb == "vacuum":
            if chosen:
                raise HammerflowError("SQLite vacuums the whole file: leave --table out")
            return ("",)
        return tuple(dict.fromkeys(chosen)) or UPKEEP_TABLES

    def run(self, verb: Verb, tables: Sequence[str]) -> Iterator[Step]:
        """Run a verb on these tables; a step for each that is done.

        Raises:
            HammerflowError: this user may not do it, or the disk is too full.
            StoreUnavailable: the database refused it.
        """
        self._check(verb)
        sizes = self._sizes()
        with self._connection() as cursor:
            for table in tables:
                begun = time.monotonic()
                self._execute(cursor, self._statement(verb, table))
                seconds = time.monotonic() - begun
                yield Step(table, seconds, sizes.get(table), self._sizes().get(table))

    def signs(self) -> Sequence[Sign]:
        """Tables that need upkeep, by what the database counts."""
        prefix = self._dialect.macros["prefix"]
        return [
            Sign(name.removeprefix(prefix), int(dead or 0), int(live or 0), int(changed or 0))
            for name, dead, live, changed in self._database.rows("upkeep_signs")
        ]

    def _check(self, verb: Verb) -> None:
        if "upkeep_owner" in self._dialect.statements:
            [(owner, may)] = self._database.rows("upkeep_owner")
            if not may:
                raise HammerflowError(
                    f"the tables belong to {owner}, and only their owner may {verb} them: connect "
                    f"as {owner}, or GRANT its role to this user"
                )
        if self._dialect.name == "sqlite" and verb == "vacuum":
            path = Path(str(getattr(self._dialect, "path", "")))
            size, disk = path.stat().st_size, os.statvfs(path.parent)
            if disk.f_bavail * disk.f_frsize < _COPIES * size:
                raise HammerflowError(
                    f"VACUUM writes {path} again and needs {_COPIES * size / 2**20:,.0f} MiB on "
                    "its disk, which has less: free space first"
                )

    def _sizes(self) -> Mapping[str, int]:
        return {each.name: each.size for each in Diagnostics(self._database).sizes()}

    def _statement(self, verb: Verb, table: str) -> str:
        template = f"upkeep_{verb}"
        if not table:
            return self._dialect.statements[template].text
        copy = TableCopy(self._database, table, frozenset())
        return self._dialect.statements[copy.define(template)].text

    @contextlib.contextmanager
    def _connection(self) -> Iterator[Any]:
        """A cursor in autocommit mode, whose statements take as long as they take."""
        try:
            tx = self._dialect.connect()
            try:
                if hasattr(tx.connection, "_read_timeout"):  # PyMySQL
                    tx.connection._read_timeout = None
                cursor = tx.connection.cursor()
                if getattr(tx, "prepares", True):  # not in a session of a pooler, which others use
                    cursor.execute(self._dialect.statements["upkeep_session"].text)
                yield cursor
            finally:
                with contextlib.suppress(Exception):  # nothing is open in it
                    self._dialect.close(tx)
        except Exception as error:
            refusal = self._database.refusal(error)
            if refusal is not None and refusal is not error:
                raise refusal from error
            raise

    def _execute(self, cursor: Any, text: str) -> None:
        cursor.execute(text)
        if self._dialect.name != "mysql" or not cursor.description:
            return
        for _, _, kind, says in cursor.fetchall():  # MySQL answers with rows, and raises nothing
            if str(kind).lower() == "error":
                raise StoreUnavailable(f"the database {self._database.label} refused it: {says}")
