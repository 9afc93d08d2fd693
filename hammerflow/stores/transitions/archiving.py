"""Archiving: the rows of ended groups move into packs of the archive, and come back from there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from datetime import datetime
from typing import Any, Final, NamedTuple

from hammerflow.ids import new_id
from hammerflow.stores.database import Database, Tx
from hammerflow.stores.rows import Row
from hammerflow.stores.transitions.packing import (
    Columns,
    DamagedPack,
    Entry,
    pack,
    pieces_of,
    unpack,
)
from hammerflow.stores.transitions.removal import (
    GroupKeys,
    GroupWorkflow,
    Member,
    RemovalGroup,
    delete_groups,
    nodes_of,
    removable,
)

__all__ = [
    "ARCHIVED_TABLES", "ArchivedRow", "Occupied", "archive_groups", "read_pack", "take_out",
]  # fmt: skip

#: The tables whose rows move, with the columns that name the job or workflow they belong to.
ARCHIVED_TABLES: Final = {
    "workflows": ("id",), "jobs": ("id",), "done": ("job_id",), "errors": ("job_id",),
    "job_logs": ("job_id",),
    "progress": ("job_id",), "spawns": ("parent_id",), "replays": ("job_id",),
    "nodes": ("job_id",), "edges": ("parent_id", "child_id"), "barriers": ("id",),
}  # fmt: skip


class ArchivedRow(NamedTuple):
    """A row of ``archived``: in which pack a job or workflow is, and what lists filter by."""

    id: bytes
    pack_id: bytes
    group_id: bytes  # of a spawn tree or workflow, which goes and comes as a whole
    task_id: int | None  # None: it is a workflow
    queue_id: int | None
    ended_at: Any
    size: int  # bytes before they were compressed
    state: int
    root_id: bytes | None
    workflow_id: bytes | None


def archive_groups(
    database: Database, tx: Tx, groups: Sequence[RemovalGroup]
) -> Sequence[RemovalGroup]:
    """Move those groups that are :func:`removable` into one pack of the archive; these."""
    free = removable(tx, groups)
    if free:
        _pack(database, tx, free)
        delete_groups(tx, free)
        members = sum(len(group.members) for group in free)
        note_counts(tx, archived=members)
    return free


def _pack(database: Database, tx: Tx, groups: Sequence[RemovalGroup]) -> None:
    columns, pack_id = _columns(database), new_id()
    entries = _read(tx, columns, groups)
    owners = [(group, part) for group in groups for part in group.parts]
    packed = pack(columns, [entries[part.id] for _, part in owners])
    rows = [
        _index_row(database, columns, entries[part.id], part)._replace(
            pack_id=pack_id, group_id=group.archive_id or part.id, size=size
        )
        for (group, part), size in zip(owners, packed.sizes, strict=True)
    ]
    pieces = enumerate(pieces_of(packed.data))
    tx.many("archive_packs_insert", [(pack_id, number, piece) for number, piece in pieces])
    tx.many("archived_insert", [tuple(row) for row in rows])


def _index_row(
    database: Database, columns: Columns, entry: Entry, part: Member | GroupWorkflow
) -> ArchivedRow:
    """The row of ``archived`` but for its pack, group and size."""
    if isinstance(part, Member):
        ended_at = entry.value(columns, "done", "finished_at")
        task_id, queue_id, state = part.task_id, part.queue_id, part.state or 0
        links = part.root_id, part.workflow_id
    else:
        ended_at = entry.value(columns, "workflows", "ended_at")
        if ended_at is None:
            ended_at = entry.value(columns, "workflows", "created_at")
        task_id, queue_id, state, links = None, None, part.status, (None, part.parent_id)
    at = _parameter(database, ended_at)
    return ArchivedRow(entry.id, b"", b"", task_id, queue_id, at, 0, state, *links)


def _read(tx: Tx, columns: Columns, groups: Sequence[RemovalGroup]) -> dict[bytes, Entry]:
    """All rows of these groups, by the job or workflow."""
    found: dict[bytes, dict[str, list[Row]]] = {part.id: {} for g in groups for part in g.parts}
    jobs, workflows, linked = GroupKeys.of(groups)
    keys = {"workflows": workflows, "edges": linked, "barriers": linked}
    for table, owners in ARCHIVED_TABLES.items():
        places = [columns[table].index(owner) for owner in owners]
        rows = (
            _nodes(tx, groups) if table == "nodes"
            else _rows(tx, f"archive_read_{table}", keys.get(table, jobs))
        )  # fmt: skip
        for row in rows:
            owner = next(row[at] for at in places if row[at] in found)
            found[owner].setdefault(table, []).append(row)
    return {id_: Entry(id_, rows) for id_, rows in found.items()}


def _nodes(tx: Tx, groups: Sequence[RemovalGroup]) -> Iterator[Row]:
    whole, in_parts = nodes_of(groups)
    yield from _rows(tx, "archive_read_nodes", whole)
    for workflow_id, ids in in_parts:
        yield from tx.rows("archive_read_nodes_in", id=workflow_id, ids=ids)


def _rows(tx: Tx, name: str, ids: Sequence[bytes]) -> list[Row]:
    return tx.rows(name, ids=ids) if ids else []


def read_pack(rows: Sequence[Row]) -> tuple[Columns, Iterator[Entry]]:
    """The contents of a pack, from its rows of ``archive_packs``."""
    return unpack(b"".join(row[2] for row in rows))


def take_out(
    database: Database, tx: Tx, pack_id: bytes, ids: AbstractSet[bytes], hold: float | None
) -> Sequence[bytes]:
    """Take jobs and workflows out of a pack; those that were in it.

    Args:
        ids: of whole groups; those in other packs are passed over.
        hold: seconds for which retention leaves them alone once their rows are back; None drops
            the rows for good.

    Raises:
        DamagedPack: they are to come back, and it cannot be read.
        Occupied: another job or workflow has one of these ids by now.
    """
    found = tx.rows("archive_pack_lock", id=pack_id)
    if not found and hold is not None:
        if tx.rows("archived_of_pack", ids=sorted(ids), pack_id=pack_id):
            raise DamagedPack("is gone")
        return []  # another process has just taken out the last of it
    try:
        columns, entries = read_pack(found)
    except DamagedPack:
        if hold is not None:
            raise
        return _drop_unread(tx, pack_id, ids)
    taken: list[Entry] = []
    kept: list[Entry] = []
    for entry in entries:
        (taken if entry.id in ids else kept).append(entry)
    gone = sorted(entry.id for entry in taken)
    if not gone:
        return []
    if hold is not None:
        _check_free(tx, gone)
        _write(database, tx, columns, taken)
        tx.run("restored_delete", ids=gone)
        tx.many("restored_insert", [(id_, hold) for id_ in gone])
    tx.run("archived_delete", ids=gone)
    tx.run("archive_packs_delete", ids=[pack_id])
    if kept:
        pieces = enumerate(pieces_of(pack(columns, kept).data))
        at = _parameter(database, database.dialect.instant(found[0][1]))
        tx.many("archive_packs_rewrite", [(pack_id, n, at, piece) for n, piece in pieces])
    jobs = sum("jobs" in entry.rows for entry in taken)
    note_counts(tx, **{"purged" if hold is None else "restored": jobs})
    return gone


def _drop_unread(tx: Tx, pack_id: bytes, ids: AbstractSet[bytes]) -> Sequence[bytes]:
    """Drop what a pack holds that is damaged or gone; the rest of it stays until it goes, too."""
    rows = tx.rows("archived_of_pack", ids=sorted(ids), pack_id=pack_id)
    if not rows:
        return []
    gone = sorted(id_ for id_, _ in rows)
    tx.run("archived_delete", ids=gone)
    if not tx.rows("archived_pack_any", pack_id=pack_id):
        tx.run("archive_packs_delete", ids=[pack_id])
    note_counts(tx, purged=sum(task_id is not None for _, task_id in rows))
    return gone


class Occupied(Exception):
    """An id in the archive was given to a new job or workflow."""

    def __init__(self, id_: bytes) -> None:
        super().__init__(id_)
        self.id = id_


def _check_free(tx: Tx, ids: Sequence[bytes]) -> None:
    for name in ("jobs_existing", "archive_workflows_existing"):
        for row in tx.rows(name, ids=ids):
            raise Occupied(row[0])


def _write(database: Database, tx: Tx, columns: Columns, entries: Sequence[Entry]) -> None:
    """Insert rows as they were; a column that the table has got since is empty."""
    for table in ARCHIVED_TABLES:
        rows = [row for entry in entries for row in entry.rows.get(table, ())]
        if not rows:
            continue
        had, has = columns[table], _columns(database)[table]
        places = [had.index(name) if name in had else None for name in has]
        tx.many(f"archive_write_{table}", [
            tuple(None if at is None else _parameter(database, row[at]) for at in places)
            for row in rows
        ])  # fmt: skip


def note_counts(tx: Tx, *, archived: int = 0, restored: int = 0, purged: int = 0) -> None:
    """Add to the counts of jobs that went each way."""
    if archived or restored or purged:
        counts = {"archived": archived, "restored": restored, "purged": purged}
        if not tx.run("archive_note", **counts):
            tx.run("retention_begin")  # no worker has begun yet
            tx.run("archive_note", **counts)


def _columns(database: Database) -> Columns:
    statements = database.dialect.statements
    return {
        table: [param.name for param in statements[f"archive_write_{table}"].row_params]
        for table in ARCHIVED_TABLES
    }


def _parameter(database: Database, value: Any) -> Any:
    """A value that was read as one that is written; an instant that a driver reads as a datetime
    may be without its time zone."""
    if not isinstance(value, datetime):
        return value
    return database.dialect.time(database.dialect.instant(value) if value.tzinfo is None else value)
