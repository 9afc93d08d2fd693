"""Schema: migrations, applied and pending, and whether the database fits this version."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass

from hammerflow.errors import SchemaMismatch, StoreUnavailable
from hammerflow.stores.database import Database, ErrorKind, Tx
from hammerflow.stores.statements import expand, read_migrations

__all__ = ["Migration", "Schema"]


@dataclass(frozen=True, slots=True)
class Migration:
    """One step of the schema: its number (hundreds are the major version), name and SQL."""

    version: int
    name: str
    sql: str


class Schema:
    """The migrations of one database."""

    def __init__(self, database: Database) -> None:
        self._database = database
        dialect = database.dialect
        view = "".join(str(p) for p in dialect.statements["job_states_view"].parts)
        macros = {**dialect.macros, "view": view}
        self._known = [
            Migration(version, name, expand(_uncommented(text), macros))
            for version, name, text in read_migrations(dialect.name)
        ]

    def applied(self) -> list[int]:
        """Versions in the database, in order; empty for a fresh one."""
        try:
            rows = self._database.rows("migrations_applied")
        except Exception as error:
            if self._database.dialect.fault(error) is ErrorKind.MISSING:
                return []
            raise
        return [row[0] for row in rows]

    def pending(self) -> list[Migration]:
        """What :meth:`migrate` would apply."""
        applied = set(self.applied())
        return [step for step in self._known if step.version not in applied]

    def migrate(self) -> list[Migration]:
        """Apply what is pending and say what that was.

        Two migrators at once are safe: they take turns by a lock of the database. Where DDL
        commits by itself (MySQL), every statement can be run again, so a killed migration is
        resumed by the next one.
        """

        def work(tx: Tx) -> list[Migration]:
            if tx.rows("migration_lock")[0][0] in (0, None):
                raise StoreUnavailable(
                    f"another migration of the database {self._database.label} goes on; "
                    "wait for its end and try again"
                )
            try:
                return self._apply(tx)
            finally:
                if tx.has("migration_unlock"):
                    with contextlib.suppress(Exception):  # a lost connection has let go of it
                        tx.rows("migration_unlock")

        return self._database.unit(work)

    def _apply(self, tx: Tx) -> list[Migration]:
        for name in ("create_schema", "migrations_table"):
            if tx.has(name):
                tx.script("".join(str(p) for p in self._statement(name)))
        applied = {row[0] for row in tx.rows("migrations_applied")}
        steps = [step for step in self._known if step.version not in applied]
        for step in steps:
            tx.script(step.sql)
            tx.run("migration_insert", version=step.version, name=step.name)
        return steps

    def check(self) -> None:
        """Whether workers and producers of this version may work with the database.

        Raises:
            SchemaMismatch: migrations are missing, or it is of another major version.
        """
        applied = self.applied()
        known = [step.version for step in self._known]
        strange = [version for version in applied if version // 100 > known[-1] // 100]
        label = self._database.label
        if strange:
            raise SchemaMismatch(
                f"the database {label} has schema version {max(strange)}, which this hammerflow "
                "does not know: upgrade hammerflow"
            )
        if not applied:
            raise SchemaMismatch(
                f"the database {label} has no hammerflow tables: run hammerflow migrate"
            )
        if missing := [version for version in known if version not in applied]:
            raise SchemaMismatch(
                f"the database {label} lacks migration {missing[0]}: run hammerflow migrate"
            )

    def _statement(self, name: str) -> list[object]:
        return list(self._database.dialect.statements[name].parts)


def _uncommented(text: str) -> str:
    return "\n".join(line for line in text.splitlines() if not line.startswith("--"))
