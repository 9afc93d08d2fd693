"""Halts: workflows as a transaction sees them, and taking back members that did not start."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from hammerflow.jobs.status import FailurePolicy, FlowState
from hammerflow.stores.database import Tx

__all__ = ["Flow", "Flows", "Member", "take_members"]

_CHUNK = 5_000
#: In the order in which jobs move on, so that one that moves meanwhile is met later.
_PLACES = ("waiting", "scheduled", "parked", "ready")


@dataclass(slots=True)
class Flow:
    """A workflow, locked until the end of the transaction."""

    state: FlowState
    policy: FailurePolicy
    exclusive: bool


class Flows:
    """The workflows of one transaction, read under locks as they are met."""

    def __init__(self, tx: Tx) -> None:
        self._tx = tx
        self._known: dict[bytes, Flow] = {}

    def __getitem__(self, flow_id: bytes) -> Flow:
        return self._known[flow_id]

    def load(self, flow_ids: Iterable[bytes], *, exclusive: bool = False) -> None:
        """Lock these in order of their ids, shared unless a change of state may follow."""
        wanted = sorted(
            flow_id
            for flow_id in set(flow_ids)
            if (known := self._known.get(flow_id)) is None or (exclusive and not known.exclusive)
        )
        if not wanted:
            return
        rows = self._tx.rows("flows_lock" if exclusive else "flows_share", ids=wanted)
        for flow_id, state, policy in rows:
            self._known[flow_id] = Flow(FlowState(state), FailurePolicy.of(policy), exclusive)
        for flow_id in wanted:  # a row that was deleted by hand must not hold up its jobs
            self._known.setdefault(
                flow_id, Flow(FlowState.RUNNING, FailurePolicy.CONTINUE_ON_FAILURE, True)
            )

    def set(self, flow_id: bytes, state: FlowState, reason: str | None) -> None:
        """A change of state that ends nothing."""
        self._known[flow_id].state = state
        self._tx.run("flow_status", id=flow_id, status=state, reason=reason)

    def halt(self, flow_id: bytes, state: FlowState, reason: str) -> bool:
        """Begin to end it; False where that was done before."""
        if self._known[flow_id].state.is_halted:
            return False
        self.set(flow_id, state, reason)
        return True

    def ended(self, flow_id: bytes, state: FlowState) -> None:
        """Its row says so already."""
        if flow_id in self._known:
            self._known[flow_id].state = state


class Member(NamedTuple):
    """A job of a workflow that had not started."""

    id: bytes
    queue_id: int
    lane: int
    task_id: int
    lease: int
    attempt: int
    unique_key: str | None
    watched: int


def take_members(tx: Tx, flow_id: bytes) -> Iterator[Sequence[Member]]:
    """Lock and delete the rows of members that have not started, in chunks.

    Rows that a claim has locked are waited for. A job may move between tables meanwhile, so the
    rounds go on until one finds nothing.
    """
    found = True
    while found:
        found = False
        ids = [row[0] for row in tx.rows("node_ids", id=flow_id)]
        for at in range(0, len(ids), _CHUNK):
            for place in _PLACES:
                rows = tx.rows(f"members_{place}", ids=ids[at : at + _CHUNK])
                if rows:
                    members = [Member._make(row) for row in rows]
                    _delete(tx, place, members)
                    yield members
                    found = True


def _delete(tx: Tx, place: str, members: Sequence[Member]) -> None:
    ids = [member.id for member in members]
    if place != "ready":
        tx.run(f"{place}_delete", ids=ids)
        return
    heaps: dict[tuple[int, int], list[bytes]] = defaultdict(list)
    for member in members:
        heaps[member.queue_id, member.lane].append(member.id)
    for (queue_id, lane), heap in sorted(heaps.items()):
        tx.run("ready_delete", queue_id=queue_id, lane=lane, ids=heap)
