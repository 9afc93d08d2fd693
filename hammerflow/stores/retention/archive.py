"""Archive: jobs that retention has archived are listed, read, restored and purged."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple

from hammerflow.events.kinds import EventKind
from hammerflow.events.record import Record
from hammerflow.ids import first_id_at, name_id
from hammerflow.jobs.job import FINAL_CODES, FINAL_STATES, JobState
from hammerflow.jobs.status import WorkflowState
from hammerflow.stores.database import Database, Tx
from hammerflow.stores.names import NameTable
from hammerflow.stores.retention.archive_check import unreadable
from hammerflow.stores.tables import snapshot
from hammerflow.stores.transitions.archiving import (
    ArchivedRow,
    Occupied,
    read_pack,
    take_out,
)
from hammerflow.stores.transitions.packing import DamagedPack
from hammerflow.stores.transitions.unit import in_chunks

__all__ = [
    "Archive",
    "ArchiveCounts",
    "ArchiveFilter",
    "Archived",
    "ArchivedGroup",
    "Contents",
    "Moved",
]

_PAGE = 1_000
_SCANNED = 20_000  # rows that one page looks at
_LAST = b"\xff" * 16
_EXPIRED = 500  # rows that one page of an expiry looks at
_DAY = 86_400.0
_READ = 100  # jobs whose contents are in memory at once


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveFilter:
    """Which archived jobs are meant; None does not matter.

    Attributes:
        since: it ended then or later.
        until: it ended before.
    """

    task: str | None = None
    queue: str | None = None
    state: JobState | None = None
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Archived:
    """An archived job, or an archived workflow, which has neither task nor queue.

    Attributes:
        state: completed, failed, cancelled or skipped.
        size: bytes before they were compressed.
        group_id: of what goes and comes as a whole: a spawn tree, or a workflow with all inside.
    """

    id: bytes
    task: str | None
    queue: str | None
    state: str
    ended_at: datetime | None
    size: int
    root_id: bytes | None
    workflow_id: bytes | None
    group_id: bytes


class Contents(NamedTuple):
    """Everything that the archive holds of one job or workflow.

    Attributes:
        archived_at: when.
        rows: its rows by table, each as a dict; instants are aware datetimes.
    """

    archived: Archived
    archived_at: datetime | None
    rows: Mapping[str, Sequence[Mapping[str, Any]]]


class ArchivedGroup(NamedTuple):
    """What goes and comes as a whole."""

    id: bytes
    rows: Sequence[ArchivedRow]

    @property
    def jobs(self) -> int:
        """How many jobs it has."""
        return sum(row.task_id is not None for row in self.rows)


class Moved(NamedTuple):
    """What a restore or purge has done.

    Attributes:
        jobs: that were restored or purged.
        refused: ids that another job or workflow has now; their groups stay in the archive.
        damaged: ids whose pack cannot be read; likewise.
    """

    jobs: int
    refused: Sequence[bytes]
    damaged: Sequence[bytes] = ()


class ArchiveCounts(NamedTuple):
    """Jobs since the database was made."""

    archived: int
    restored: int
    purged: int

    @property
    def now(self) -> int:
        """Jobs in the archive."""
        return self.archived - self.restored - self.purged


class Archive:
    """The tables of the archive."""

    def __init__(self, database: Database, names: NameTable) -> None:
        self._database = database
        self._names = names

    def page(
        self, wanted: ArchiveFilter, limit: int, before: bytes | None = None
    ) -> tuple[list[Archived], bytes | None]:
        """Archived jobs, newest first, and the id before which the next page begins; None at the
        end.

        A page looks at 20 000 rows, and has fewer jobs than ``limit`` where few of them match.
        """
        rows, after = self._page(wanted, limit, before)
        return [self._archived(row) for row in rows], after

    def get(self, id_: bytes) -> Archived | None:
        """An archived job or workflow."""
        row = self._database.first("archived_of", ids=[id_])
        return None if row is None else self._archived(ArchivedRow(*row))

    def ids_between(self, low: bytes, high: bytes, limit: int) -> Sequence[bytes]:
        """Ids of archived jobs and workflows in this range."""
        return self._database.column("archived_ids_between", low=low, high=high, n=limit)

    def counts(self) -> ArchiveCounts:
        """How many jobs went which way."""
        return ArchiveCounts(*(self._database.first("archive_counts") or (0, 0, 0)))

    def contents(
        self, ids: Sequence[bytes], damaged: list[bytes] | None = None
    ) -> Iterator[Contents]:
        """Everything about those of these jobs and workflows that are archived, in order.

        Args:
            damaged: gets the ids of those that cannot be read.

        Raises:
            DamagedPack: one cannot be read, and there is no such list.
        """
        for page in in_chunks(ids, _READ):
            found = {row[0]: ArchivedRow(*row) for row in self._rows("archived_of", page)}
            rows: dict[bytes, Any] = {}
            for pack_id in {row.pack_id for row in found.values()}:
                try:
                    rows |= self._read(pack_id, found.keys())
                except DamagedPack:
                    if damaged is None:
                        raise
                    damaged += sorted(row.id for row in found.values() if row.pack_id == pack_id)
            for id_ in page:
                if id_ in rows:
                    yield Contents(self._archived(found[id_]), *rows[id_])

    def unreadable(self) -> list[bytes]:
        """The ids of what is in packs that are damaged or gone. It reads the whole archive."""
        with snapshot(self._database) as tx:
            return sorted(id_ for id_, _ in unreadable(tx))

    def groups_of(self, ids: Sequence[bytes]) -> list[ArchivedGroup]:
        """The whole groups of these jobs and workflows."""
        names = {row[2] for row in self._rows("archived_of", ids)}
        return self._groups(sorted(names))

    def groups(
        self, wanted: ArchiveFilter, *, is_whole: bool = False
    ) -> Iterator[list[ArchivedGroup]]:
        """The groups with a matching job, a page at a time.

        Args:
            is_whole: only those all of whose jobs match.
        """
        seen: set[bytes] = set()  # those of several jobs
        before: bytes | None = _LAST
        while before is not None:
            rows, before = self._page(wanted, _PAGE, before)
            found = self._groups(sorted({row.group_id for row in rows} - seen))
            seen |= {group.id for group in found if len(group.rows) > 1}
            yield [group for group in found if not is_whole or self._is_whole(group, wanted)]

    def restore(self, groups: Iterable[ArchivedGroup], hold: float) -> Moved:
        """Bring groups back, with every row as it was.

        Args:
            hold: seconds for which retention then leaves them alone.
        """
        return self._take_out(groups, hold)

    def purge(self, groups: Iterable[ArchivedGroup]) -> Moved:
        """Drop groups for good."""
        return self._take_out(groups, None)

    def purge_expired(self, ttl: float, after: bytes) -> tuple[int, bytes | None]:
        """Drop those groups of the next page of archived jobs that ended ``ttl`` seconds ago.

        Returns:
            How many jobs were dropped, and the id after which the next page begins; None at the
            end.
        """
        clock = float(self._database.column("clock")[0])
        # As in a walk of retention: what was enqueued later has not ended before.
        young, given = first_id_at(clock - ttl), first_id_at(clock + _DAY)
        before = young if after < young else _LAST
        rows = [
            ArchivedRow(*row)
            for row in self._database.rows("archived_from", after=after, before=before, n=_EXPIRED)
        ]
        end = datetime.fromtimestamp(clock - ttl, UTC)
        instant = self._database.dialect.instant
        groups = [
            group
            for group in self._groups(sorted({row.group_id for row in rows}))
            if all((at := instant(row.ended_at)) is not None and at <= end for row in group.rows)
        ]
        is_full = len(rows) == _EXPIRED
        following = rows[-1].id if is_full else given if before == young else None
        return self.purge(groups).jobs, following

    def _take_out(self, groups: Iterable[ArchivedGroup], hold: float | None) -> Moved:
        groups = list(groups)
        taken = set() if hold is None else self._taken(groups)
        group_of = {row.id: group.id for group in groups for row in group.rows}
        refused = {group_of[id_]: id_ for id_ in taken}
        packs: defaultdict[bytes, set[bytes]] = defaultdict(set)
        late = set()
        for group in groups:
            for row in group.rows:
                packs[row.pack_id].add(row.id)
                if row.task_id is None:
                    late.add(row.pack_id)
        is_job = {row.id for group in groups for row in group.rows if row.task_id is not None}
        jobs, damaged = 0, set[bytes]()
        # The workflows come last: no rerun begins in a group that is half back.
        for pack_id in sorted(packs, key=lambda id_: (id_ in late, id_)):
            while True:
                ids = {id_ for id_ in packs[pack_id] if group_of[id_] not in refused}
                try:
                    gone = self._take_from(pack_id, ids, is_job, hold) if ids else ()
                    break
                except Occupied as error:  # enqueued just now
                    refused[group_of[error.id]] = error.id
                except DamagedPack:
                    damaged |= ids
                    refused |= {group_of[id_]: id_ for id_ in ids}
            jobs += len(is_job.intersection(gone))
        return Moved(jobs, sorted(set(refused.values()) - damaged), sorted(damaged))

    def _take_from(
        self, pack_id: bytes, ids: set[bytes], jobs: set[bytes], hold: float | None
    ) -> Sequence[bytes]:
        outbox = self._names.outbox
        kind = EventKind.JOB_PURGED if hold is None else EventKind.JOB_RESTORED
        is_wanted = outbox.wants(kind)

        def work(tx: Tx) -> Sequence[bytes]:
            taken = take_out(self._database, tx, pack_id, ids, hold)
            if is_wanted:
                outbox.write(tx, [Record(kind, id_) for id_ in taken if id_ in jobs])
            return taken

        return self._database.unit(work)

    def _taken(self, groups: Iterable[ArchivedGroup]) -> set[bytes]:
        """The ids among these that another job or workflow has now."""
        ids = sorted(row.id for group in groups for row in group.rows)
        return {
            row[0]
            for name in ("jobs_existing", "archive_workflows_existing")
            for row in self._rows(name, ids)
        }

    def _groups(self, names: Sequence[bytes]) -> list[ArchivedGroup]:
        found: defaultdict[bytes, list[ArchivedRow]] = defaultdict(list)
        for values in self._rows("archived_in_groups", names):
            row = ArchivedRow(*values)
            found[row.group_id].append(row)
        return [ArchivedGroup(id_, rows) for id_, rows in found.items()]

    def _is_whole(self, group: ArchivedGroup, wanted: ArchiveFilter) -> bool:
        return all(self._matches(row, wanted) for row in group.rows if row.task_id is not None)

    def _matches(self, row: ArchivedRow, wanted: ArchiveFilter) -> bool:
        at = self._database.dialect.instant(row.ended_at)
        return (
            (wanted.task is None or row.task_id == name_id(wanted.task))
            and (wanted.queue is None or row.queue_id == name_id(wanted.queue))
            and (wanted.state is None or row.state == FINAL_CODES[wanted.state])
            and (wanted.since is None or (at is not None and at >= wanted.since))
            and (wanted.until is None or (at is not None and at < wanted.until))
        )

    def _page(
        self, wanted: ArchiveFilter, limit: int, before: bytes | None
    ) -> tuple[list[ArchivedRow], bytes | None]:
        time, before = self._database.dialect.time, before or _LAST
        rows = self._database.rows(
            "archived_page", n=limit, before=before, scanned=_SCANNED,
            queue=None if wanted.queue is None else name_id(wanted.queue),
            task=None if wanted.task is None else name_id(wanted.task),
            state=None if wanted.state is None else FINAL_CODES[wanted.state],
            since=time(wanted.since), until=time(wanted.until),
        )  # fmt: skip
        found = [ArchivedRow(*row) for row in rows]
        if len(found) == limit:
            return found, found[-1].id
        last = self._database.first("archived_last", before=before, scanned=_SCANNED - 1)
        return found, None if last is None else last[0]

    def _archived(self, row: ArchivedRow) -> Archived:
        is_job = row.task_id is not None
        state = FINAL_STATES[row.state] if is_job else WorkflowState(row.state).status
        return Archived(
            row.id,
            self._names.task(row.task_id) if row.task_id is not None else None,
            self._names.queue(row.queue_id) if row.queue_id is not None else None,
            str(state), self._database.dialect.instant(row.ended_at), row.size, row.root_id,
            row.workflow_id, row.group_id,
        )  # fmt: skip

    def _read(self, pack_id: bytes, ids: Collection[bytes]) -> dict[bytes, Any]:
        """When these of a pack were archived, and their rows."""
        rows = self._database.rows("archive_pack", id=pack_id)
        if not rows:
            if self._database.rows("archived_of_pack", ids=sorted(ids), pack_id=pack_id):
                raise DamagedPack("is gone")
            return {}  # it was emptied just now
        at = self._database.dialect.instant(rows[0][1])
        columns, entries = read_pack(rows)
        return {
            entry.id: (at, {
                table: [dict(zip(columns[table], row, strict=True)) for row in of_table]
                for table, of_table in entry.rows.items()
            })
            for entry in entries
            if entry.id in ids
        }  # fmt: skip

    def _rows(self, name: str, ids: Sequence[bytes]) -> Iterator[tuple[Any, ...]]:
        for page in in_chunks(ids, _PAGE):
            yield from self._database.rows(name, ids=page)
