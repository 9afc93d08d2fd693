"""Workflows: the verbs of a workflow's life, and reads of workflows and their members."""

from __future__ import annotations

import json
import logging
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from hammerflow.errors import JobNotFound
from hammerflow.jobs.job import FINAL_STATES, JobState, NewJob, NewWorkflow
from hammerflow.jobs.settlement import Settlement
from hammerflow.jobs.status import FailurePolicy, WorkflowState
from hammerflow.stores.cancel_files import asked_by_file
from hammerflow.stores.database import Database, Tx
from hammerflow.stores.names import NameTable
from hammerflow.stores.pages.workflow_pages import WorkflowFilter, workflow_ids_page
from hammerflow.stores.transitions.conditions import PAGE, ids_of, results_of
from hammerflow.stores.transitions.dependents import DependencyResolver
from hammerflow.stores.transitions.late_dependencies import insert_whole
from hammerflow.stores.transitions.rerun import rerun_members, resume_workflow, skip_member
from hammerflow.stores.transitions.unit import Unit, Verbs, in_chunks
from hammerflow.text import counted, storable
from hammerflow.workflows.references import ResultRef

__all__ = ["WorkflowMember", "WorkflowRow", "Workflows"]

_log = logging.getLogger("hammerflow.stores")

_FIRST, _LAST = bytes(16), b"\xff" * 16
#: Members whose states are counted at a time: at first, and at most.
_FIRST_COUNTED, _COUNTED = 1_000, 10_000
#: Waiting jobs that one call of heal() checks.
_SLICE = 500


@dataclass(frozen=True, slots=True)
class WorkflowRow:
    """A row of the table ``workflows``."""

    id: bytes
    kind: str
    name: str
    state: WorkflowState
    policy: FailurePolicy
    failures: int
    parent_id: bytes | None
    created_at: datetime | None
    ended_at: datetime | None
    deadline_at: datetime | None
    check_every: float | None
    options: Mapping[str, Any]
    reason: str | None
    health: Mapping[str, Any] | None


class WorkflowMember(NamedTuple):
    """A node of a workflow, or a job that one of its nodes has spawned (without a position)."""

    id: bytes
    position: int | None
    name: str | None
    dependent_id: bytes | None
    task: str | None  # None: a workflow inside
    state: str | None
    reason: str | None
    cause: bytes | None
    parent_id: bytes | None  # the job that has spawned it


class Workflows(Verbs):
    """The tables that hold workflows."""

    def __init__(self, database: Database, names: NameTable) -> None:
        super().__init__(database, names)
        self._healed_to = _FIRST

    def insert(
        self,
        workflows: Sequence[NewWorkflow],
        chunks: Callable[[], Iterable[Sequence[NewJob]]],
        tx: Tx | None = None,
    ) -> set[str]:
        """Insert workflows (the outermost first) and all their jobs in one transaction.

        Args:
            chunks: gives the jobs from the start each time, as the transaction may run again.

        Returns:
            The queues with ready work.

        Raises:
            WorkflowInvalid: a unique key is held by another job.
            JobNotFound: a dependency does not exist.
        """

        def insert(unit: Unit) -> None:
            if unit.tx.repeated and unit.tx.rows("workflow_rows", ids=[workflows[0].id]):
                return
            insert_whole(unit, workflows, chunks())

        for chunk in chunks():
            self._names.ensure(chunk, tx)
        return self._change(insert, tx).queues

    def correlation_ids(self, workflow_ids: Sequence[bytes]) -> dict[bytes, str]:
        """The correlation ids that these workflows were given; without those that have none."""
        rows = (
            self._database.rows("workflows_options", ids=list(workflow_ids)) if workflow_ids else ()
        )
        options = {id_: json.loads(text) for id_, text in rows}
        return {
            id_: given["correlation_id"]
            for id_, given in options.items()
            if "correlation_id" in given
        }

    def cancel(
        self, workflow_id: bytes, reason: str, state: WorkflowState = WorkflowState.CANCELLING
    ) -> Settlement:
        """Cancel what has not started, and ask what runs to stop.

        On SQLite a running body may hold the only writer: it is asked by a file, too. A settle
        locks leases before workflows, so leases that are locked are passed over here. Such
        a job is ending, or somebody is adding a dependent: it is asked to stop in a transaction of
        its own.
        """
        passed: set[bytes] = set()

        def cancel(unit: Unit) -> None:
            resolver = DependencyResolver(unit)
            if not unit.tx.rows("workflow_rows", ids=[workflow_id]):
                raise JobNotFound(f"no workflow has the id {uuid.UUID(bytes=workflow_id)}")
            trees = resolver.workflows.with_trees([workflow_id])
            resolver.workflows.load(trees, exclusive=True)
            passed.clear()
            running = self._running(unit.tx, workflow_id)
            resolver.resolve(resolver.halt(workflow_id, state, reason))
            running |= self._running(unit.tx, workflow_id)
            passed.update(running - _stop_free(unit.tx, running, reason))

        with asked_by_file(self._database, self._waited_for(workflow_id)):
            settlement = self._change(cancel)
        for job_id in sorted(passed):
            self._database.run("leases_cancel", id=job_id, reason=storable(reason))
        return settlement

    def rerun(
        self, workflow_id: bytes, *, only: Sequence[bytes] | None, downstream: bool, by: str
    ) -> Settlement:
        """Run again what failed or was cancelled (or ``only`` these)."""
        chosen = None if only is None else set(only)
        return self._change(
            lambda unit: rerun_members(unit, workflow_id, chosen, by, downstream=downstream)
        )

    def skip(self, workflow_id: bytes, job_id: bytes, by: str) -> Settlement:
        """Count a failed node as completed."""
        return self._change(lambda unit: skip_member(unit, workflow_id, job_id, by))

    def resume(self, workflow_id: bytes, by: str) -> Settlement:
        """Go on after a pause, without what depends on the failures."""
        return self._change(lambda unit: resume_workflow(unit, workflow_id, by))

    def expire(self) -> Settlement:
        """End the workflows whose timeout is over, as failed."""
        result = Settlement()
        for (workflow_id,) in self._database.rows("workflows_overdue", n=PAGE):
            one = self.cancel(workflow_id, "timed out", WorkflowState.FAILING)
            result.ended += one.ended
            result.queues |= one.queues
        return result

    def check(self) -> Sequence[tuple[WorkflowRow, Mapping[str, Any]]]:
        """Count the members of the workflows whose health check is due, by their states."""
        found = []
        for row in self.rows(self._database.column("workflows_unchecked", n=PAGE)):
            health = {str(state): n for state, n in self.counts(row.id).items()}
            values = {"id": row.id, "health": json.dumps(health), "check_in": row.check_every}
            self._database.run("workflow_checked", **values)
            found.append((row, health))
        return found

    def heal(self) -> Settlement:
        """Start jobs that wait although all their dependencies have ended.

        That happens only when rows were changed by hand. Each call checks the next slice of the
        waiting jobs.
        """
        suspects = self._database.read(self._suspects)

        def heal(unit: Unit) -> None:
            orphans = [row[0] for row in unit.tx.rows("orphans", ids=suspects)]
            if not orphans:
                return
            unit.tx.rows("waiting_lock", ids=orphans)
            unit.tx.run("waiting_count", n=10**6, failed=0, skipped=0, cause=None, ids=orphans)
            resolver = DependencyResolver(unit)
            resolver.resolve(resolver.start_unblocked(orphans))

        return self._change(heal) if suspects else Settlement()

    def get(self, workflow_id: bytes) -> WorkflowRow | None:
        """A workflow; None for an unknown id."""
        return next(iter(self.rows([workflow_id])), None)

    def rows(self, workflow_ids: Sequence[bytes]) -> Sequence[WorkflowRow]:
        """Workflows in the order of the ids; unknown ids are left out, and so are rows that nothing
        of hammerflow has written and that cannot be read."""
        if not workflow_ids:
            return []
        known: dict[bytes, WorkflowRow] = {}
        for row in self._database.rows("workflow_rows", ids=list(workflow_ids)):
            try:
                known[row[0]] = self._row(row)
            except (ValueError, TypeError, LookupError, RecursionError) as error:
                id_ = uuid.UUID(bytes=row[0])
                _log.warning("left out of a list: workflow %s cannot be read: %s", id_, error)
        return [known[id_] for id_ in workflow_ids if id_ in known]

    def _row(self, row: tuple[Any, ...]) -> WorkflowRow:
        instant = self._database.dialect.instant
        return WorkflowRow(
            row[0], row[1], row[2], WorkflowState(row[3]), FailurePolicy.of(row[4]), row[5],
            row[6], instant(row[7]), instant(row[8]), instant(row[9]), row[10],
            json.loads(row[11] or "{}"), row[12], json.loads(row[13] or "null"),
        )  # fmt: skip

    def list(
        self, *, limit: int = 100, before: bytes | None = None, **wanted: Any
    ) -> Sequence[WorkflowRow]:
        """Workflows, newest first: as many as there are up to the limit.

        Args:
            wanted: the fields of :class:`WorkflowFilter`.
        """
        chosen = WorkflowFilter(**wanted)
        found: list[WorkflowRow] = []
        mark = chosen.newest if before is None else min(before, chosen.newest)
        while len(found) < limit:
            page, after = self.page(chosen, limit=limit - len(found), before=mark)
            found += page
            if after is None:
                break
            mark = after
        return found

    def page(
        self, wanted: WorkflowFilter, *, limit: int, before: bytes | None = None
    ) -> tuple[Sequence[WorkflowRow], bytes | None]:
        """A page of :meth:`list`, and the id before which the next one begins; None after the last.

        It may be short, or empty, though more follow: one page reads 50 000 workflows at most. A
        row that cannot be read is left out, too.
        """
        ids, after = workflow_ids_page(self._database, wanted, limit=limit, before=before)
        return self.rows(ids), after

    def ids_between(self, low: bytes, high: bytes, limit: int) -> Sequence[bytes]:
        """The first ``limit`` ids of workflows from ``low`` to ``high``, both included."""
        return self._database.column("workflow_ids_between", low=low, high=high, n=limit)

    def counts(self, workflow_id: bytes) -> Counter[JobState]:
        """Its jobs by state, those of workflows inside it included."""
        counts: Counter[JobState] = Counter()
        for inner in [workflow_id, *self.inside(workflow_id)]:
            counts += self._states(inner, _FIRST, _LAST)
        return counts

    def counts_within(self, workflow_id: bytes, seconds: float) -> tuple[Counter[JobState], bool]:
        """As :meth:`counts`, but counted for ``seconds`` at most, the oldest ids first; and whether
        these are all.

        The first members are counted in any case. What is counted next is more while there is time
        for it, and nothing is begun that is likely to end too late.
        """
        counts: Counter[JobState] = Counter()
        began, size, took = time.monotonic(), _FIRST_COUNTED, 0.0
        for inner in [workflow_id, *self.inside(workflow_id)]:
            after, is_last = _FIRST, False
            while not is_last:
                now = time.monotonic()
                if counts and now + took > began + seconds:
                    return counts, False
                until = self._database.column("node_behind", id=inner, after=after, n=size - 1)
                is_last = not until
                counts += self._states(inner, after, _LAST if is_last else until[0])
                after = _LAST if is_last else until[0]
                took = time.monotonic() - now
                if not is_last and now + 6 * took < began + seconds and size < _COUNTED:
                    size, took = min(2 * size, _COUNTED), 2 * took
        return counts, True

    def _states(self, workflow_id: bytes, after: bytes, until: bytes) -> Counter[JobState]:
        counts: Counter[JobState] = Counter()
        span = {"after": after, "until": until}
        for state, n in self._database.rows("members_states", id=workflow_id, **span):
            if state == "missing":
                jobs = counted(n, "job is", "jobs are")
                _log.error(
                    "%s in no state table in workflow %s: rows were deleted by hand; "
                    "run hammerflow doctor", jobs, uuid.UUID(bytes=workflow_id),
                )  # fmt: skip
                continue
            counts[JobState(state)] += n
        return counts

    def inside(self, workflow_id: bytes) -> Sequence[bytes]:
        """The workflows inside it, at any depth."""
        children = self._database.column("workflows_inside", id=workflow_id)
        return [id_ for child in children for id_ in (child, *self.inside(child))]

    def ended_or_unknown(self, workflow_ids: Sequence[bytes]) -> set[bytes]:
        """Those of these ids whose workflow has ended, or that no workflow has."""
        pages = in_chunks(workflow_ids, PAGE)
        rows = [row for page in pages for row in self.rows(page)]
        return set(workflow_ids) - {row.id for row in rows if not row.state.status.is_final}

    def members(self, workflow_id: bytes, most: int | None = None) -> Iterator[WorkflowMember]:
        """Its nodes and what they spawned, oldest ids first, read page by page; a workflow inside
        it has its status for its state. One whose rows were deleted by hand is ``missing``.

        Args:
            most: the number of nodes at which it stops; None for all.
        """
        if most is None:
            ids = self._database.column("node_ids", id=workflow_id)
        else:
            ids = self._database.column("nodes_after", id=workflow_id, after=_FIRST, n=most)
        for page in in_chunks(ids, PAGE):
            rows = self._database.rows("members_page", id=workflow_id, ids=page)
            members = [WorkflowMember._make(row) for row in rows]
            inside = self.rows([m.id for m in members if m.task is None])
            states = {row.id: str(row.state.status) for row in inside}
            for member in members:
                without = member.state if member.task else "missing"  # its rows were deleted
                yield member._replace(state=states.get(member.id, without))

    def node_pages(self, workflow_id: bytes) -> Iterator[Sequence[bytes]]:
        """The ids of its nodes (not of what these spawned) in order, page by page."""
        after: bytes | None = _FIRST
        while after is not None:
            rows = self._database.rows("nodes_after", id=workflow_id, after=after, n=PAGE)
            if rows:
                yield [job_id for job_id, position in rows if position is not None]
            after = rows[-1][0] if len(rows) == PAGE else None

    def results_of(self, job_ids: Sequence[bytes]) -> Sequence[bytes | None]:
        """The encoded results of these jobs."""
        return [value for _, value in self._database.read(lambda tx: results_of(tx, job_ids))]

    def edges(self, parent_ids: Sequence[bytes]) -> Sequence[tuple[bytes, bytes, int]]:
        """(from, to, kind) of the edges that start at these."""
        pages = in_chunks(parent_ids, PAGE)
        return [row for page in pages for row in self._database.rows("edges_of", ids=page)]

    def named(self, workflow_id: bytes, name: str) -> bytes | None:
        """The job of a node."""
        rows = self._database.rows("member_named", id=workflow_id, name=name)
        return next((job_id for job_id, found in rows if found == name), None)

    def failed(
        self, workflow_id: bytes, limit: int
    ) -> Sequence[tuple[bytes, str | None, JobState, str]]:
        """(id, name, state, reason) of members that failed or were cancelled."""
        rows = self._database.rows("members_failed", id=workflow_id, n=limit)
        return [(id_, name, FINAL_STATES[state], reason) for id_, name, state, reason in rows]

    def ids(self, ref: ResultRef) -> Sequence[bytes]:
        """The ids of the jobs of a reference, in the order of :meth:`results`."""
        return self._database.read(lambda tx: ids_of(tx, ref))

    def results(self, ref: ResultRef) -> Iterator[tuple[JobState | None, bytes | None]]:
        """(state, encoded result) of the jobs of a reference, read page by page."""
        for page in in_chunks(self.ids(ref), PAGE):
            for code, value in self._database.read(lambda tx: results_of(tx, page)):  # noqa: B023
                yield (None if code is None else FINAL_STATES[code]), value

    def _suspects(self, tx: Tx) -> Sequence[bytes]:
        """Waiting jobs none of whose edges comes from something unfinished."""
        slice_ = [row[0] for row in tx.rows("waiting_slice", after=self._healed_to, n=_SLICE)]
        self._healed_to = slice_[-1] if len(slice_) == _SLICE else _FIRST
        parents: dict[bytes, set[bytes]] = {}
        for child_id, parent_id, _ in tx.rows("edges_into", ids=slice_) if slice_ else ():
            parents.setdefault(child_id, set()).add(parent_id)
        awaited = sorted(set().union(*parents.values()))
        if not awaited:
            return []
        open_ = {row[0] for row in tx.rows("jobs_existing", ids=awaited)}
        open_ -= {row[0] for row in tx.rows("outcomes_of", ids=awaited)}
        open_ |= {row[0] for row in tx.rows("workflow_rows", ids=awaited) if row[8] is None}
        return [child_id for child_id, found in parents.items() if not found & open_]

    def _waited_for(self, workflow_id: bytes) -> set[bytes]:
        """The running members, where one of them may keep everybody else from writing."""
        if not self._database.dialect.one_writer:
            return set()
        return self._database.read(lambda tx: self._running(tx, workflow_id))

    def _running(self, tx: Tx, workflow_id: bytes) -> set[bytes]:
        """The members that run, of the workflows inside it, too."""
        running = {row[0] for row in tx.rows("members_running_ids", id=workflow_id)}
        inner = [row[0] for row in tx.rows("workflows_open_inside", id=workflow_id)]
        return running.union(*(self._running(tx, id_) for id_ in inner))


def _stop_free(tx: Tx, job_ids: set[bytes], reason: str) -> set[bytes]:
    """Ask those of these jobs to stop whose lease is not locked; which these are."""
    free = {row[0] for ids in in_chunks(sorted(job_ids)) for row in tx.rows("leases_free", ids=ids)}
    for job_id in sorted(free):
        tx.run("leases_cancel", id=job_id, reason=storable(reason))
    return free
