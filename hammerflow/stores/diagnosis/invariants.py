"""Invariants: what must be true of the tables at any moment, what breaks and what mends it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from hammerflow.jobs.status import WorkflowState
from hammerflow.stores.database import Database, Tx
from hammerflow.stores.names import NameTable
from hammerflow.stores.retention.archive_check import unreadable
from hammerflow.stores.rows import BarrierRow, Row, WaitingRow
from hammerflow.stores.tables import SnapshotTx, TableCopy, snapshot
from hammerflow.stores.transitions.dependents import DependencyResolver
from hammerflow.stores.transitions.unit import Unit, Verbs, in_chunks

__all__ = ["Finding", "Invariants"]

#: Rows that one transaction mends.
_CHUNK = 500
_PAGE = 1_000
#: What was mended may show what else is wrong: a count, once an edge is gone.
_ROUNDS = 4


class _Kind(NamedTuple):
    """A kind of damage, and what becomes of it."""

    name: str
    says: str
    remedy: str
    is_mended: bool = True


class _Orphans(NamedTuple):
    """Rows of a table that belong to something which is gone."""

    table: str
    column: str
    type: str
    owner: str  # a table; "parts" for jobs and workflows
    noun: str

    @property
    def kind(self) -> _Kind:
        """As a kind of damage."""
        name = f"{self.table}_without_{self.noun.split()[-1]}"
        return _Kind(name, f"rows of {self.table} whose {self.noun} is gone", "deleted")


_ORPHANS = (
    *(
        _Orphans(table, "job_id", "uuid", "jobs", "job")
        for table in (
            "ready", "leases", "scheduled", "waiting", "parked", "done", "errors", "job_logs",
            "progress", "replays",
        )
    ),
    _Orphans("spawns", "parent_id", "uuid", "jobs", "job"),
    _Orphans("edges", "parent_id", "uuid", "parts", "beginning"),
    _Orphans("edges", "child_id", "uuid", "parts", "end"),
    _Orphans("nodes", "job_id", "uuid", "parts", "job"),
    _Orphans("barriers", "id", "uuid", "parts", "owner"),
    _Orphans("schedule_ticks", "schedule_id", "bigint", "schedules", "schedule"),
    _Orphans("worker_tasks", "worker_id", "bigint", "workers", "worker"),
    _Orphans("limit_keys", "limit_id", "bigint", "limits", "limit"),
)  # fmt: skip
_KEYS = _Kind("unique_keys_held", "unique keys held by jobs that have ended or are gone", "freed")
_STATELESS = _Kind("jobs_without_state", "jobs in none of the tables of states", "parked")
_STATES = _Kind("jobs_in_two_states", "jobs in two states", "the state that is furthest stays")
_LEASES = _Kind("leases_without_worker", "running jobs that no worker holds", "counted as lost")
_COUNTS = _Kind("wrong_counts", "waiting jobs and workflows with a wrong count", "counted again")
_CHILDREN = _Kind(
    "children_missing", "spawners with fewer children than they have spawned",
    "look at them with hammerflow spawn show, and cancel or enqueue what is missing", False,
)  # fmt: skip
_NAMES = _Kind(
    "names_missing", "jobs whose queue or task has lost its name",
    "start a worker that serves the queue and has the task: it writes the names again", False,
)  # fmt: skip
_ARCHIVED = _Kind(
    "archived_unreadable", "archived jobs and workflows whose pack is damaged or gone",
    "restore the database from a backup, or give them up: hammerflow archive purge --damaged",
    False,
)  # fmt: skip
_STATEMENTS = (
    (_KEYS, "check_unique_keys"), (_STATELESS, "check_stateless"), (_STATES, "check_states"),
    (_LEASES, "check_leases"), (_COUNTS, "check_counts"), (_CHILDREN, "check_children"),
    (_NAMES, "check_names"),
)  # fmt: skip
#: From the furthest to the first.
_ORDER = ("done", "leases", "parked", "ready", "scheduled", "waiting")


@dataclass(slots=True)
class Finding:
    """Damage of one kind.

    Attributes:
        kind: its name for programs.
        says: what it is, for people.
        remedy: what mends it, or what a person can do.
        is_mended: whether :meth:`Invariants.mend` knows the one right answer.
        rows: (id, note, ...) of all of it.
    """

    kind: str
    says: str
    remedy: str
    is_mended: bool
    rows: list[Row] = field(default_factory=list)


class Invariants(Verbs):
    """Searches all tables for rows that cannot be, in one snapshot, and mends them.

    Args:
        sweep: takes over the leases of workers that are gone.
        silent: seconds after which a worker that is silent is dead.
    """

    def __init__(self, database: Database, names: NameTable, *, sweep: Any, silent: float) -> None:
        super().__init__(database, names)
        self._sweep = sweep
        self._silent = silent
        self._tables: dict[str, TableCopy] = {}

    def find(self) -> list[Finding]:
        """All damage, by its kind. It reads all tables, while workers go on.

        Raises:
            StoreUnavailable: the database cannot be read.
        """
        with snapshot(self._database) as tx:
            found = [self._found(tx, kind, name) for kind, name in self._statements()]
            found.append(Finding(*_ARCHIVED, list(unreadable(tx))))
        return [each for each in found if each.rows]

    def mend(self, findings: Sequence[Finding]) -> Mapping[str, int]:
        """Mend what has one right answer, in short transactions that look again first.

        Returns:
            How many rows were changed, by kind.
        """
        mended: dict[str, int] = {}
        for _ in range(_ROUNDS):
            changed = 0
            for finding in findings:
                if finding.is_mended:
                    count = self._mend(finding)
                    mended[finding.kind] = mended.get(finding.kind, 0) + count
                    changed += count
            if not changed:
                break
            findings = self.find()
        return mended

    def _statements(self) -> Iterator[tuple[_Kind, str]]:
        for each in _ORPHANS:
            yield each.kind, self._orphan_statement(each, "check")
        yield from _STATEMENTS

    def _orphan_statement(self, each: _Orphans, verb: str) -> str:
        template = f"{verb}_parts" if each.owner == "parts" else f"{verb}_rows"
        owner = "" if each.owner == "parts" else self._database.dialect.macros[each.owner]
        ids = f"IN (:ids*{each.type})"
        return self._table(each.table).define(template, column=each.column, owner=owner, ids=ids)

    def _table(self, name: str) -> TableCopy:
        if name not in self._tables:
            self._tables[name] = TableCopy(self._database, name, frozenset())
        return self._tables[name]

    def _found(self, tx: SnapshotTx, kind: _Kind, statement: str) -> Finding:
        finding = Finding(kind.name, kind.says, kind.remedy, kind.is_mended)
        for rows in tx.stream(statement, _PAGE, silent=self._silent):
            finding.rows += rows
        return finding

    def _mend(self, finding: Finding) -> int:
        if finding.kind == _LEASES.name:
            swept = self._sweep()
            return int(swept.rescued + swept.parked)
        changed = 0
        for rows in in_chunks(sorted(set(finding.rows), key=str), _CHUNK):
            changed += self._run(lambda unit: self._mend_chunk(unit, finding.kind, rows))  # noqa: B023
        return changed

    def _mend_chunk(self, unit: Unit, kind: str, rows: Sequence[Row]) -> int:
        ids = _ids(rows)
        if kind == _KEYS.name:
            return unit.tx.run("mend_unique_keys", ids=ids)
        if kind == _STATELESS.name:
            return unit.tx.run("mend_stateless", ids=ids)
        if kind == _STATES.name:
            return self._mend_states(unit.tx, ids)
        if kind == _COUNTS.name:
            return _recount(unit, rows)
        return sum(
            unit.tx.run(self._orphan_statement(each, "mend"), ids=ids)
            for each in _ORPHANS
            if each.kind.name == kind
        )

    def _mend_states(self, tx: Tx, ids: Sequence[bytes]) -> int:
        changed = 0
        for at, table in enumerate(_ORDER):
            for later in _ORDER[:at]:
                full_name = self._database.dialect.macros[later]
                name = self._table(table).define(
                    "mend_states", later=full_name, ids="IN (:ids*uuid)"
                )
                changed += tx.run(name, ids=ids)
        return changed


def _recount(unit: Unit, rows: Sequence[Row]) -> int:
    """Write how much jobs and barriers wait for, and release those that wait for nothing.

    Each is locked, so nothing counts it down between the recount and the commit.
    """
    tx, resolver = unit.tx, DependencyResolver(unit)
    by_kind: dict[str, list[bytes]] = {"job": [], "spawner": [], "barrier": [], "workflow": []}
    for id_, kind, *_ in rows:
        by_kind[kind].append(id_)
    workflows, jobs = by_kind["workflow"], sorted(by_kind["job"])
    barriers = sorted(by_kind["barrier"] + by_kind["spawner"])
    if around := [*workflows, *by_kind["barrier"]]:
        resolver.workflows.load(around, exclusive=True)
    waiting = [WaitingRow._make(row) for row in tx.rows("waiting_lock", ids=jobs)] if jobs else []
    locked = [row[0] for row in tx.rows("barriers_lock", ids=barriers)] if barriers else []
    missing = _without_barrier(tx, resolver, workflows)
    counts = {id_: (int(n), int(n_only)) for id_, n, n_only in tx.rows("recount", ids=_ids(rows))}
    for row in waiting:
        tx.run("mend_waiting", id=row.job_id, pending=counts.get(row.job_id, (0, 0))[0])
    for id_ in locked:
        pending = counts.get(id_, (0, 0))[id_ in by_kind["spawner"]]
        tx.run("mend_barrier", id=id_, pending=pending)
    unit.insert("barriers_insert", [BarrierRow(id_, counts.get(id_, (0, 0))[0]) for id_ in missing])
    resolver.workflows.load({row.workflow_id for row in waiting if row.workflow_id is not None})
    free = [row.job_id for row in waiting if _may_start(resolver, row)]
    resolver.release(free, [*missing, *locked])
    return len(waiting) + len(locked) + len(missing)


def _without_barrier(tx: Tx, resolver: DependencyResolver, ids: Sequence[bytes]) -> list[bytes]:
    """Those of these workflows that go on and have no barrier."""
    there = {row[0] for row in tx.rows("barriers_lock", ids=sorted(ids))} if ids else set()
    return [id_ for id_ in ids if id_ not in there and resolver.workflows[id_].state in _OPEN]


def _ids(rows: Sequence[Row]) -> list[bytes]:
    return sorted({row[0] for row in rows})


_OPEN = (WorkflowState.RUNNING, WorkflowState.PAUSED)


def _may_start(resolver: DependencyResolver, row: WaitingRow) -> bool:
    if row.workflow_id is None:
        return True
    return resolver.workflows[row.workflow_id].state is WorkflowState.RUNNING
