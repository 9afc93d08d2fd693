"""Halts: workflows as a transaction sees them, and taking back members that did not start."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from hammerflow.jobs.status import FailurePolicy, WorkflowState
from hammerflow.stores.database import Tx

__all__ = ["LockedWorkflow", "UnstartedMember", "WorkflowLocks", "take_members"]

_CHUNK = 5_000
#: In the order in which jobs move on, so that one that moves meanwhile is met later.
_PLACES = ("waiting", "scheduled", "parked", "ready")


@dataclass(slots=True)
class LockedWorkflow:
    """A workflow, locked until the end of the transaction."""

    state: WorkflowState
    policy: FailurePolicy
    exclusive: bool


class WorkflowLocks:
    """The workflows of one transaction, read under locks as they are met."""

    def __init__(self, tx: Tx) -> None:
        self._tx = tx
        self._known: dict[bytes, LockedWorkflow] = {}

    def __getitem__(self, workflow_id: bytes) -> LockedWorkflow:
        return self._known[workflow_id]

    def load(self, workflow_ids: Iterable[bytes], *, exclusive: bool = False) -> None:
        """Lock these in order of their ids, shared unless a change of state may follow."""
        wanted = sorted(
            workflow_id
            for workflow_id in set(workflow_ids)
            if (known := self._known.get(workflow_id)) is None
            or (exclusive and not known.exclusive)
        )
        if not wanted:
            return
        rows = self._tx.rows("workflows_lock" if exclusive else "workflows_share", ids=wanted)
        for workflow_id, state, policy in rows:
            self._known[workflow_id] = LockedWorkflow(
                WorkflowState(state), FailurePolicy.of(policy), exclusive
            )
        for workflow_id in wanted:  # a row that was deleted by hand must not hold up its jobs
            self._known.setdefault(
                workflow_id,
                LockedWorkflow(WorkflowState.RUNNING, FailurePolicy.CONTINUE_ON_FAILURE, True),
            )

    def set(self, workflow_id: bytes, state: WorkflowState, reason: str | None) -> None:
        """A change of state that ends nothing."""
        self._known[workflow_id].state = state
        self._tx.run("workflow_set_status", id=workflow_id, status=state, reason=reason)

    def halt(self, workflow_id: bytes, state: WorkflowState, reason: str) -> bool:
        """Begin to end it; False where that was done before."""
        if self._known[workflow_id].state.is_halted:
            return False
        self.set(workflow_id, state, reason)
        return True

    def ended(self, workflow_id: bytes, state: WorkflowState) -> None:
        """Its row says so already."""
        if workflow_id in self._known:
            self._known[workflow_id].state = state


class UnstartedMember(NamedTuple):
    """A job of a workflow that had not started."""

    id: bytes
    queue_id: int
    priority_order: int
    task_id: int
    lease: int
    attempt: int
    unique_key: str | None
    flags: int


def take_members(tx: Tx, workflow_id: bytes) -> Iterator[Sequence[UnstartedMember]]:
    """Lock and delete the rows of members that have not started, in chunks.

    Rows that a claim has locked are waited for. A job may move between tables meanwhile, so the
    rounds go on until one finds nothing.
    """
    found = True
    while found:
        found = False
        ids = [row[0] for row in tx.rows("node_ids", id=workflow_id)]
        for at in range(0, len(ids), _CHUNK):
            for place in _PLACES:
                rows = tx.rows(f"members_{place}", ids=ids[at : at + _CHUNK])
                if rows:
                    members = [UnstartedMember._make(row) for row in rows]
                    _delete(tx, place, members)
                    yield members
                    found = True


def _delete(tx: Tx, place: str, members: Sequence[UnstartedMember]) -> None:
    ids = [member.id for member in members]
    if place != "ready":
        tx.run(f"{place}_delete", ids=ids)
        return
    heaps: dict[tuple[int, int], list[bytes]] = defaultdict(list)
    for member in members:
        heaps[member.queue_id, member.priority_order].append(member.id)
    for (queue_id, priority_order), heap in sorted(heaps.items()):
        tx.run("ready_delete", queue_id=queue_id, priority_order=priority_order, ids=heap)
