"""Backups: all rows of the app's tables, to a file and back, also into another kind of database."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from hammerflow.errors import HammerflowError
from hammerflow.stores.connections.error_codes import ErrorKind
from hammerflow.stores.database import Tx
from hammerflow.stores.maintenance.backup_file import BackupHead, BackupReader, BackupWriter
from hammerflow.stores.maintenance.table_writer import TableWriter
from hammerflow.stores.pauses import PauseKind, count_pauses
from hammerflow.stores.statements import TABLES
from hammerflow.stores.store import Store
from hammerflow.stores.tables import SnapshotTx, TableCopy, snapshot
from hammerflow.text import counted

__all__ = ["BACKED_UP", "Backups", "Created", "Restored"]

#: The view, the version of the schema, locks, what living processes say of themselves, and the
#: alerts of this database.
_LEFT_OUT = (
    "job_states", "migrations", "limit_locks", "workers", "worker_tasks", "worker_requests",
    "clients", "alerting", "alerts", "alert_messages", "worker_losses",
)  # fmt: skip
#: The tables of a backup.
BACKED_UP = tuple(table for table in TABLES if table not in _LEFT_OUT)
#: Tables that a worker or a client fills that has nothing to do; no restore is refused for these.
_HARMLESS = ("queues", "tasks", "pauses", "retention", "relay")
#: Columns that a database fills itself.
_OWN: Mapping[str, frozenset[str]] = {
    "pauses": frozenset({"version", "live"}), "outbox": frozenset({"seq"}),
    "jobs": frozenset({"correlation"}), "workflows": frozenset({"trace", "correlation"}),
}  # fmt: skip
#: The order of the rows, where it matters.
_ORDERS = {"outbox": "ORDER BY seq"}
#: Rows, and bytes of arguments, results and texts, of one pack.
_ROWS, _BYTES = 2_000, 2 << 20


class Created(NamedTuple):
    """A backup that was written."""

    head: BackupHead
    rows: Mapping[str, int]
    size: int


class Restored(NamedTuple):
    """What a restore has done."""

    rows: Mapping[str, int]
    lost: int  # jobs that ran when the backup was made


class Backups:
    """Writes and restores backups of one store."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._database = store.database
        self._dialect = store.database.dialect

    def create(self, path: Path, *, app: str, version: str) -> Created:
        """Write all tables as they are at one moment, while workers go on.

        Args:
            path: a file that does not exist.
            app: the namespace, for the head.
            version: of hammerflow, likewise.

        Raises:
            HammerflowError: the file exists.
            OSError: it cannot be written.
            StoreUnavailable: the database cannot be read.
        """
        copies = self.copies()
        with snapshot(self._database) as tx:
            head = BackupHead.now(
                app=app, dialect=self._dialect.name, hammerflow=version,
                schema=max(row[0] for row in tx.rows("migrations_applied")),
                columns={name: [*copy.types] for name, copy in copies.items()},
            )  # fmt: skip
            with BackupWriter(path, head) as file:
                for name, copy in copies.items():
                    for rows in _packs(tx, copy.to_read(_ORDERS.get(name, ""))):
                        file.add(name, rows)
                size = file.finish()
        return Created(head, dict(file.rows), size)

    def in_the_way(self) -> Sequence[str]:
        """Tables with rows that a restore would delete."""
        copies = self.copies()
        return [
            name
            for name, copy in copies.items()
            if name not in _HARMLESS and self._database.rows(copy.to_look())
        ]

    def jobs_there(self) -> int:
        """How many jobs the database has; it counts them."""
        copy = TableCopy(self._database, "jobs", frozenset())
        return int(self._database.column(copy.to_count())[0])

    def check(self, file: BackupReader, *, lease: float) -> None:
        """Check that a backup may be restored here; what is in the way is not looked at.

        Args:
            lease: seconds after which a worker that is silent is dead.

        Raises:
            HammerflowError: its tables are not those of this database, or workers are alive.
        """
        schema = max(self._store.schema.applied())
        ours = {name: set(copy.types) for name, copy in self.copies().items()}
        theirs = {name: set(columns) for name, columns in file.head.columns.items()}
        if (file.head.schema, theirs) != (schema, ours):
            raise HammerflowError(
                f"the backup has the tables of hammerflow {file.head.hammerflow} (schema version "
                f"{file.head.schema}), and this database has others (version {schema}): restore it "
                "with that version of hammerflow, then upgrade"
            )
        alive = [each for each in self._store.workers.list() if abs(each["silent_for"]) <= lease]
        if alive:
            raise HammerflowError(
                f"{counted(len(alive), 'worker')} of this database {_is(len(alive))} alive: stop "
                "them with hammerflow worker stop, and start them again after the restore"
            )

    def restore(
        self, file: BackupReader, *, by: str, lease: float, poison_limit: int, replace: bool = False
    ) -> Restored:
        """Write the rows of a backup, in one transaction. The app is paused before, and stays so.

        Jobs that ran when the backup was made have lost their worker, and go the way of all jobs
        that have: an attempt is lost, and they are ready again.

        Args:
            by: who does it, for the pause.
            lease: seconds after which a worker that is silent is dead.
            poison_limit: lost attempts after which a job is parked.
            replace: delete the rows that are there.

        Raises:
            HammerflowError: there are rows in the way, or see :meth:`check`. Nothing has changed.
            StoreUnavailable: the database has failed; nothing was restored.
        """
        self.check(file, lease=lease)
        if not replace and (tables := self.in_the_way()):
            raise HammerflowError(
                f"this database is not empty (it has rows in {', '.join(tables)}): restore into "
                "another one, or give --replace"
            )
        pauses = self._store.pauses
        was_paused = any(pause.kind == "app" for pause in pauses.list())
        reason = f"a backup of {file.head.created_at} was restored"
        pauses.pause(PauseKind.APP, by=by, reason=reason)
        try:
            with self._database.transaction() as tx:
                rows = self._replace(tx, file)
                tx.run("sinks_hold", by=by, reason=reason)
                tx.run("alert_targets_hold", by=by)
        except BaseException:
            if not was_paused:
                pauses.resume(PauseKind.APP)
            raise
        self._store.names.forget()
        while self._store.events.relay():  # what was committed before comes first in the log
            pass
        swept = self._store.workers.sweep(lease=lease, poison_limit=poison_limit)
        return Restored(rows, swept.rescued + swept.parked)

    def _replace(self, tx: Tx, file: BackupReader) -> Mapping[str, int]:
        copies = self.copies()
        for name, copy in copies.items():
            empty = "pauses_empty" if name == "pauses" else copy.to_empty()
            tx.script(self._dialect.statements[empty].text)
        writers = {
            name: TableWriter(copy, file.head.columns[name], self._dialect.time)
            for name, copy in copies.items()
        }
        written = dict.fromkeys(writers, 0)
        kind = file.head.columns["pauses"].index("kind")
        for name, rows in file.packs():
            if name == "pauses":  # the pause of the app is that of the restore
                rows = [row for row in rows if row[kind] != 0]  # noqa: PLW2901
            writers[name].write(tx, rows)
            written[name] += len(rows)
        count_pauses(tx)
        return written

    def copies(self) -> dict[str, TableCopy]:
        """The tables of a backup, by name."""
        return {name: self._copy(name) for name in BACKED_UP}

    def _copy(self, name: str) -> TableCopy:
        try:
            copy = TableCopy(self._database, name, _OWN.get(name, frozenset()))
        except Exception as error:
            if self._database.kind_of(error) is not ErrorKind.NO_TABLE:
                raise
        else:
            if copy.types:
                return copy
        raise HammerflowError(
            f"the database {self._database.label} has no table {name}, so its tables are those of "
            "another version of hammerflow: back it up and restore it with that version"
        )


def _packs(tx: SnapshotTx, statement: str) -> Iterator[list[tuple[Any, ...]]]:
    """The rows of a statement in lists of bounded size."""
    pack: list[tuple[Any, ...]] = []
    size = 0
    for rows in tx.stream(statement, 100):
        pack += rows
        size += sum(len(value) for row in rows for value in row if isinstance(value, bytes | str))
        if len(pack) >= _ROWS or size >= _BYTES:
            yield pack
            pack, size = [], 0
    if pack:
        yield pack


def _is(count: int) -> str:
    return "is" if count == 1 else "are"
