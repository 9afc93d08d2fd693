"""Workflow locks: workflows as a transaction sees them, and the members that have not started."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import NamedTuple

from hammerflow.events.kinds import EventKind
from hammerflow.jobs.job import CHUNK, RowFlags
from hammerflow.jobs.status import FailurePolicy, WorkflowState
from hammerflow.stores.database import Tx
from hammerflow.stores.transitions.unit import Unit, in_chunks

__all__ = ["LockedWorkflow", "UnstartedMember", "WorkflowLocks", "take_rows", "take_unstarted"]

#: In the order in which jobs move on, so that one that moves meanwhile is met later.
_TABLES = ("waiting", "scheduled", "parked", "ready")


@dataclass(slots=True)
class LockedWorkflow:
    """A workflow, locked until the end of the transaction."""

    state: WorkflowState
    policy: FailurePolicy
    exclusive: bool
    is_tied: bool = False  # what its members were claimed with does not tell of all edges


class WorkflowLocks:
    """The workflows of one transaction, read under locks as they are met."""

    def __init__(self, unit: Unit) -> None:
        self._unit = unit
        self._tx = unit.tx
        self._known: dict[bytes, LockedWorkflow] = {}

    def __contains__(self, workflow_id: bytes) -> bool:
        return workflow_id in self._known

    def __getitem__(self, workflow_id: bytes) -> LockedWorkflow:
        return self._known[workflow_id]

    def load(self, workflow_ids: Iterable[bytes], *, exclusive: bool = False) -> None:
        """Lock these, the youngest first; shared, unless their state may change."""
        self.load_each(dict.fromkeys(workflow_ids, exclusive))

    def load_each(self, modes: Mapping[bytes, bool]) -> None:
        """Lock these in one order of their ids, shared or exclusive (True) as each one says.

        Not first the ones and then the others: two transactions that each fail a member of one
        workflow and complete a member of another would wait for each other. The youngest comes
        first: a workflow is younger than the one around it, which is locked when it ends.
        """
        known = self._known
        wanted = sorted(
            (
                id_
                for id_, exclusive in modes.items()
                if id_ not in known or (exclusive and not known[id_].exclusive)
            ),
            reverse=True,
        )
        for exclusive, ids in groupby(wanted, key=modes.__getitem__):
            self._lock(list(ids), exclusive=exclusive)

    def is_exclusive(self, workflow_id: bytes) -> bool:
        """Whether this transaction holds it, and alone."""
        return workflow_id in self._known and self._known[workflow_id].exclusive

    def with_trees(self, workflow_ids: Iterable[bytes], *, is_whole: bool = False) -> set[bytes]:
        """These, those around them and the open ones inside all of these: what a failure in the
        first can halt, so that it is locked in one pass; ``is_whole``: the ended ones, too."""
        found: set[bytes] = set()
        met = {*workflow_ids}
        while new := met - found:
            found |= new
            for id_, parent_id in self._tx.rows(
                "workflows_around", ids=sorted(new), is_whole=int(is_whole)
            ):
                met.add(id_)
                if parent_id is not None:
                    met.add(parent_id)
        return found

    def _lock(self, wanted: list[bytes], *, exclusive: bool) -> None:
        rows = self._tx.rows("workflows_lock" if exclusive else "workflows_share", ids=wanted)
        for workflow_id, code, by, flags in rows:
            self._known[workflow_id] = LockedWorkflow(
                WorkflowState(code), FailurePolicy.of(by), exclusive, bool(flags & RowFlags.TIED)
            )
        for workflow_id in wanted:  # a row that was deleted by hand must not hold up its jobs
            state, policy = WorkflowState.RUNNING, FailurePolicy.CONTINUE_ON_FAILURE
            self._known.setdefault(workflow_id, LockedWorkflow(state, policy, True))

    def set(self, workflow_id: bytes, state: WorkflowState, reason: str | None) -> None:
        """Write a state that is not final."""
        self._known[workflow_id].state = state
        self._tx.run("workflow_set_status", id=workflow_id, status=state, reason=reason)
        if state is WorkflowState.PAUSED:
            self._unit.records.add(EventKind.WORKFLOW_PAUSED, workflow_id)

    def halt(self, workflow_id: bytes, state: WorkflowState, reason: str) -> bool:
        """Write that a workflow is failing or cancelling; False if it was halted before."""
        if self._known[workflow_id].state.is_halted:
            return False
        self.set(workflow_id, state, reason)
        return True

    def note(self, workflow_id: bytes, state: WorkflowState) -> None:
        """Remember a state that was written by another statement."""
        if workflow_id in self._known:
            self._known[workflow_id].state = state


class UnstartedMember(NamedTuple):
    """A job of a workflow that has not started: its row of ``ready``, key and flags."""

    job_id: bytes
    queue_id: int
    priority_order: int
    task_id: int
    lease: int
    attempt: int
    unique_key: str | None
    flags: int


def take_unstarted(unit: Unit, workflow_id: bytes) -> Iterator[Sequence[UnstartedMember]]:
    """Lock and delete the rows of members that have not started, in chunks.

    It waits for rows that a claim has locked. A job may move between tables meanwhile, so the
    rounds go on until one finds nothing.
    """
    tx, found = unit.tx, True
    while found:
        found = False
        nodes = [row[0] for row in tx.rows("node_ids", id=workflow_id)]
        for ids in in_chunks(nodes, unit.most or CHUNK):
            for _, members in take_rows(tx, ids):
                yield members
                found = True


def take_rows(tx: Tx, job_ids: Sequence[bytes]) -> Iterator[tuple[str, Sequence[UnstartedMember]]]:
    """Lock and delete the rows of those of these jobs that have not started, table by table."""
    for table in _TABLES:
        rows = tx.rows(f"members_{table}", ids=job_ids)
        if rows:
            members = [UnstartedMember._make(row) for row in rows]
            _delete(tx, table, members)
            yield table, members


def _delete(tx: Tx, table: str, members: Sequence[UnstartedMember]) -> None:
    if table != "ready":
        tx.run(f"{table}_delete", ids=[member.job_id for member in members])
        return
    by_place: dict[tuple[int, int], list[bytes]] = defaultdict(list)
    for member in members:
        by_place[member.queue_id, member.priority_order].append(member.job_id)
    for (queue_id, priority_order), ids in sorted(by_place.items()):
        tx.run("ready_delete", queue_id=queue_id, priority_order=priority_order, ids=ids)
