"""Schema: the migrations of one database, whether it fits this version, and how to drop it."""

from __future__ import annotations

import contextlib
from typing import NamedTuple

from hammerflow.errors import SchemaMismatch, StoreUnavailable
from hammerflow.stores.connections.error_codes import Advice, ErrorKind
from hammerflow.stores.database import Database, Tx
from hammerflow.stores.statements import expand, read_migrations

__all__ = ["Migration", "Schema"]


#: What the user of a migration can do.
_ADVICE = {
    Advice.RIGHTS: (
        "run hammerflow migrate as a user who may create tables, then GRANT SELECT, INSERT, UPDATE "
        "and DELETE on them to the application's user"
    ),
    Advice.MIGRATE: (
        "the tables are not those that its list of migrations names: restore all of them from one "
        "backup, or drop them, with their jobs, and run hammerflow migrate again"
    ),
}


class Migration(NamedTuple):
    """One step of the schema."""

    version: int  # the hundreds are the major version
    name: str
    sql: str


class Schema:
    """The tables of one prefix in one database."""

    def __init__(self, database: Database) -> None:
        self._database = database
        dialect = database.dialect
        self._statements = dialect.statements
        macros = {**dialect.macros, "view": self._statements["job_states_view"].text}
        self._known = [
            Migration(version, name, expand(_uncommented(text), macros))
            for version, name, text in read_migrations(dialect.name)
        ]

    def applied(self) -> list[int]:
        """Versions in the database, in order; empty for a fresh one."""
        try:
            return self._database.column("migrations_applied")
        except Exception as error:
            if self._database.kind_of(error) is ErrorKind.NO_TABLE:
                return []
            raise

    def pending(self) -> list[Migration]:
        """What :meth:`migrate` would apply."""
        return self._missing(self.applied())

    def migrate(self) -> list[Migration]:
        """Apply the pending migrations.

        Two migrators at once are safe: they take turns by a lock of the database. Where each DDL
        statement commits (MySQL), every statement can be run again, so the next migration resumes
        one that was killed. Returns what was applied. Where nothing is pending, no right but to
        read the table of migrations is needed.

        Raises:
            StoreUnavailable: another migration holds the lock for too long, or this user may not
                make tables.
        """
        if not self.pending():
            return []

        def work(tx: Tx) -> list[Migration]:
            if tx.rows("migration_lock")[0][0] in (0, None):
                raise StoreUnavailable(
                    f"another migration of the database {self._database.label} is running; "
                    "wait until it has ended and try again"
                )
            try:
                return self._apply(tx)
            finally:
                if tx.has("migration_unlock"):
                    with contextlib.suppress(Exception):  # a lost connection has lost its lock
                        tx.rows("migration_unlock")

        try:
            return self._database.unit(work)
        except StoreUnavailable as error:
            raise self._with_advice(error) from error

    def check(self) -> None:
        """Check that workers and producers of this version may use the database.

        Raises:
            SchemaMismatch: migrations are missing, or the schema has a newer major version.
        """
        applied = self.applied()
        label = self._database.label
        newest = self._known[-1].version // 100
        if applied and max(applied) // 100 > newest:
            raise SchemaMismatch(
                f"the database {label} has schema version {max(applied)}, which this hammerflow "
                "does not know: upgrade hammerflow"
            )
        if not applied:
            raise SchemaMismatch(
                f"the database {label} has no hammerflow tables: run hammerflow migrate"
            )
        if missing := self._missing(applied):
            raise SchemaMismatch(
                f"the database {label} lacks migration {missing[0].version}: run hammerflow migrate"
            )

    def drop(self) -> None:
        """Drop every table with all its rows: for demos and tests that made their own tables.

        It can be run again where it was interrupted.
        """
        text = self._statements["drop_tables"].text
        self._database.unit(lambda tx: tx.script(text))

    def _apply(self, tx: Tx) -> list[Migration]:
        for name in ("create_schema", "migrations_table"):
            if tx.has(name):
                tx.script(self._statements[name].text)
        steps = self._missing([row[0] for row in tx.rows("migrations_applied")])
        for step in steps:
            tx.script(step.sql)
            tx.run("migration_insert", version=step.version, name=step.name)
        return steps

    def _with_advice(self, error: StoreUnavailable) -> StoreUnavailable:
        """The error of a migration with advice for its own user: the usual one of a lacking right
        is for another user, and that of tables that do not fit is to migrate."""
        cause, dialect = error.__cause__, self._database.dialect
        advice = _ADVICE.get(dialect.meaning(cause).advice) if cause is not None else None
        if cause is None or advice is None:
            return error
        return StoreUnavailable(
            f"the database {self._database.label} cannot be migrated: {dialect.words(cause)}; "
            f"{advice}",
            is_refusal=True,
        )

    def _missing(self, applied: list[int]) -> list[Migration]:
        return [step for step in self._known if step.version not in applied]


def _uncommented(text: str) -> str:
    return "\n".join(line for line in text.splitlines() if not line.startswith("--"))
