"""Replan: members of a workflow run again, are skipped by hand, or go on after a pause.

The whole workflow is read under its exclusive lock, what is to run again is taken out of ``done``,
and every count is made anew from what is left: nothing is corrected by deltas.
"""

from __future__ import annotations

import json
import uuid
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from hammerflow.errors import HammerflowError, JobNotFound
from hammerflow.job import CONDITIONAL, DEPENDENCY, FINAL_CODES, JobState
from hammerflow.stores.database import Database, Tx
from hammerflow.stores.inserts import take_keys
from hammerflow.stores.registry import Names
from hammerflow.stores.release import BAD, DONE, IDLE, Release, Settlement, verdict_of
from hammerflow.stores.texts import storable
from hammerflow.workflow_status import FailurePolicy, FlowState

__all__ = ["rerun_members", "resume_workflow", "skip_member"]

_COMPLETED = FINAL_CODES[JobState.COMPLETED]
_FAILED = FINAL_CODES[JobState.FAILED]
_CANCELLED = FINAL_CODES[JobState.CANCELLED]
_SKIPPED = FINAL_CODES[JobState.SKIPPED]
_CHUNK = 5_000


class _Member(NamedTuple):
    """A job of the workflow, or (without a task) a workflow inside it."""

    id: bytes
    state: int | None  # code of its end
    lease: int | None
    attempt: int | None
    cause: bytes | None
    queue_id: int
    lane: int
    task_id: int | None
    fan_in_id: bytes | None
    unique_key: str | None
    watched: int
    options: str | None  # None: it waits for nothing
    is_waiting: int
    waiting_lease: int
    has_spawned: int

    @property
    def rule(self) -> int:
        """Its rule, with CONDITIONAL where it has a condition."""
        options = json.loads(self.options) if self.options else {}
        return int(options.get("rule", 0)) | (CONDITIONAL if "when" in options else 0)


def rerun_members(
    database: Database,
    names: Names,
    tx: Tx,
    flow_id: bytes,
    chosen: set[bytes] | None,
    by: str,
    *,
    downstream: bool = False,
    inner: bool = False,
) -> Settlement:
    """Run members again that did not complete, and what was skipped or cancelled because of them.

    Args:
        chosen: ids; all that failed or were cancelled when None.
        downstream: everything that depends on them runs again, too, completed or not.
    """
    picture = _Picture(database, names, tx, flow_id, inner=inner)
    failed = {m.id for m in picture.jobs if m.state in (_FAILED, _CANCELLED)}
    if chosen is None:
        chosen = failed
    unstarted = {m.id for m in picture.jobs if m.state == _CANCELLED and not m.attempt}
    again = chosen | (unstarted if picture.was_halted else set())
    for sub in picture.subflows.values():
        if sub.state in (FlowState.FAILED, FlowState.CANCELLED) and (
            chosen is failed or sub.id in chosen
        ):
            rerun_members(database, names, tx, sub.id, None, by, inner=True)
            picture.reopened.add(sub.id)
    again |= picture.below(again | picture.reopened, everything=downstream)
    return picture.write(again - picture.subflows.keys(), by)


def skip_member(
    database: Database, names: Names, tx: Tx, flow_id: bytes, job_id: bytes, by: str
) -> Settlement:
    """Take a member that has not completed as done: what depends on it may run."""
    picture = _Picture(database, names, tx, flow_id)
    member = picture.member(job_id)
    if member.state == _COMPLETED:
        raise HammerflowError(f"node {uuid.UUID(bytes=job_id)} has completed: nothing to skip")
    if member.state is None:
        raise HammerflowError(
            f"node {uuid.UUID(bytes=job_id)} has not ended, so it cannot be skipped: "
            "cancel it first"
        )
    tx.run("done_waive", id=job_id, state=_SKIPPED, reason=storable(f"skipped by {by or 'hand'}"))
    picture.replace(member._replace(state=_SKIPPED, cause=job_id))
    return picture.write(picture.below({job_id}), by)


def resume_workflow(
    database: Database, names: Names, tx: Tx, flow_id: bytes, by: str
) -> Settlement:
    """Go on after a pause as if the policy were continue_on_failure: what depends on the failures
    is skipped."""
    picture = _Picture(database, names, tx, flow_id)
    if picture.state is not FlowState.PAUSED:
        raise HammerflowError(
            f"workflow {uuid.UUID(bytes=flow_id)} is {picture.state.status}, not paused"
        )
    picture.holds = False
    return picture.write(set(), by)


class _Picture:
    """A workflow, read whole under its lock."""

    def __init__(
        self, database: Database, names: Names, tx: Tx, flow_id: bytes, *, inner: bool = False
    ) -> None:
        self._tx = tx
        self._flow_id = flow_id
        self._result = Settlement()
        self._release = Release(database, names, tx, self._result)
        self._release.flows.load([flow_id], exclusive=True)
        row = tx.rows("workflow_rows", ids=[flow_id])
        if not row:
            raise JobNotFound(f"no workflow has the id {uuid.UUID(bytes=flow_id)}")
        flow = self._release.flows[flow_id]
        self.state, self._policy = flow.state, flow.policy
        if self.state > FlowState.CANCELLING and row[0][6] is not None and not inner:
            raise HammerflowError(
                f"workflow {uuid.UUID(bytes=flow_id)} has ended inside workflow "
                f"{uuid.UUID(bytes=row[0][6])}: retry that one"
            )
        self.holds = self._policy is FailurePolicy.MANUAL
        self.was_halted = self.state.is_halted
        self._members = {r[0]: _Member._make(r) for r in tx.rows("members_all", id=flow_id)}
        self.subflows = {
            r[0]: self._members[r[0]]._replace(state=r[1], fan_in_id=r[2], watched=r[3])
            for r in tx.rows("flows_inside", id=flow_id)
            if r[0] in self._members
        }
        self.reopened: set[bytes] = set()
        self._edges()

    @property
    def jobs(self) -> Iterable[_Member]:
        """Members that are jobs."""
        return [m for m in self._members.values() if m.task_id is not None]

    def member(self, job_id: bytes) -> _Member:
        """One of them.

        Raises:
            JobNotFound: it is no member.
        """
        if job_id not in self._members:
            raise JobNotFound(
                f"workflow {uuid.UUID(bytes=self._flow_id)} has no job {uuid.UUID(bytes=job_id)}"
            )
        return self._members[job_id]

    def replace(self, member: _Member) -> None:
        """A member that has changed."""
        self._members[member.id] = member

    def below(self, ids: Iterable[bytes], *, everything: bool = False) -> set[bytes]:
        """What depends on these and never ran (or has ended at all): it gets its chance again."""
        found: set[bytes] = set()
        stack = [*ids]
        while stack:
            for child_id in self._dependents[stack.pop()]:
                child = self._members.get(child_id)
                if child is None or child_id in found or child.state is None:
                    continue
                unrun = child.state in (_SKIPPED, _CANCELLED) and not child.attempt
                if (unrun and child.cause != child_id) or (everything and not child.has_spawned):
                    found.add(child_id)
                    stack.append(child_id)
        return found

    def write(self, again: set[bytes], by: str) -> Settlement:
        """Bring the tables to the picture with these members not ended."""
        tx, flow_id = self._tx, self._flow_id
        self._again = again
        self._take_back([self._members[id_] for id_ in sorted(again)], by)
        open_ = {id_: self._is_open(id_) for id_ in self._members}
        held = [m for m in self.jobs if self._is_held(m)]
        failures = sum(
            m.state in (_FAILED, _CANCELLED) for m in self.jobs if m.id not in again
        ) + sum(
            s.state in (FlowState.FAILED, FlowState.CANCELLED)
            for s in self.subflows.values()
            if s.id not in self.reopened
        )
        tx.run("flow_reopen", id=flow_id, failures=failures)
        state = FlowState.PAUSED if held and self.holds else FlowState.RUNNING
        self._release.flows.ended(flow_id, state)
        if state is FlowState.PAUSED:
            self._release.flows.set(flow_id, state, "a node has failed: retry, skip or cancel")
        free = self._recount(open_)
        self._rejoin(open_)
        if state is FlowState.RUNNING:
            self._release.after(self._release.free_held(free))
            self._release.count_down({flow_id: 0})
        return self._result

    # -- inside -----------------------------------------------------------------------------------

    def _edges(self) -> None:
        self._parents: Mapping[bytes, list[tuple[bytes, int]]] = defaultdict(list)
        self._dependents: Mapping[bytes, list[bytes]] = defaultdict(list)
        members = [*self.jobs, *self.subflows.values()]
        for member in members:
            if member.fan_in_id is not None:
                self._link(member.id, member.fan_in_id, DEPENDENCY)
        for rows in self._pages("edges_of", [m.id for m in members if m.watched]):
            for parent_id, child_id, kind in rows:
                self._link(parent_id, child_id, kind)
        waiters = [m.id for m in self.jobs if m.options is not None]
        for rows in self._pages("edges_into", waiters):
            for child_id, parent_id, kind in rows:
                if parent_id not in self._members:
                    self._link(parent_id, child_id, kind)
        outside = sorted(self._dependents.keys() - self._members.keys())
        self._outside: dict[bytes, int] = {}
        for rows in self._pages("verdicts_of", outside):
            self._outside |= {id_: verdict_of(id_, state, cause) for id_, state, cause in rows}
        for rows in self._pages("workflow_rows", outside):
            for row in rows:
                if row[8] is not None:
                    self._outside[row[0]] = DONE if row[3] == FlowState.COMPLETED else BAD

    def _link(self, parent_id: bytes, child_id: bytes, kind: int) -> None:
        self._parents[child_id].append((parent_id, kind))
        self._dependents[parent_id].append(child_id)

    def _pages(self, statement: str, ids: list[bytes]) -> Iterable[list[tuple[Any, ...]]]:
        for at in range(0, len(ids), _CHUNK):
            yield self._tx.rows(statement, ids=ids[at : at + _CHUNK])

    def _take_back(self, members: list[_Member], by: str) -> None:
        """Out of ``done``, and those that wait for nothing to ``ready``."""
        tx = self._tx
        for member in members:
            if member.state is None:
                name = uuid.UUID(bytes=member.id)
                raise HammerflowError(f"job {name} has not ended, so it cannot be retried by hand")
        for at in range(0, len(members), _CHUNK):
            tx.run("done_delete", ids=[m.id for m in members[at : at + _CHUNK]])
        keys = [(m.unique_key, m.id) for m in members if m.unique_key is not None]
        if keys:
            held = take_keys(tx, keys)
            taken = next((key for key, id_ in keys if held[key] != id_), None)
            if taken is not None:
                raise HammerflowError(
                    f"the unique key {taken!r} is held by job {uuid.UUID(bytes=held[taken])}: "
                    "cancel that one first, or wait for its end"
                )
        note = storable(f"replayed by {by}" if by else "replayed")
        ran = [(m.id, m.lease, "replayed", m.attempt, "", note, "") for m in members if m.attempt]
        if ran:
            tx.many("errors_insert", ran)
        ready = [m for m in members if m.options is None]
        if ready:
            tx.many(
                "ready_insert",
                [(m.queue_id, m.lane, m.id, m.task_id, (m.lease or 0) + 1, 0) for m in ready],
            )
            self._result.queues |= {self._release.queue(m.queue_id) for m in ready}

    def _is_held(self, member: _Member) -> bool:
        """A failure that a person has yet to decide about."""
        return self.holds and member.id not in self._again and member.state in (_FAILED, _CANCELLED)

    def _is_open(self, id_: bytes) -> bool:
        member = self._members[id_]
        if id_ in self.subflows:
            sub = self.subflows[id_]
            return id_ in self.reopened or (sub.state or 0) <= FlowState.CANCELLING
        if member.state is None or id_ in self._again or self._is_held(member):
            return True
        if not member.has_spawned:
            return False
        return any(
            self._members[child_id].fan_in_id == id_ and self._is_open(child_id)
            for child_id, _ in self._parents[id_]
            if child_id in self._members
        )

    def _verdict(self, id_: bytes) -> int:
        if id_ in self._outside:
            return self._outside[id_]
        if id_ in self.subflows:
            return DONE if self.subflows[id_].state == FlowState.COMPLETED else BAD
        member = self._members[id_]
        return verdict_of(id_, member.state or 0, member.cause)

    def _counts(
        self, id_: bytes, open_: Mapping[bytes, bool]
    ) -> tuple[int, int, int, bytes | None]:
        """(pending, bad, idle, cause) of what waits for others."""
        pending = bad = idle = 0
        cause = None
        for parent_id, kind in self._parents[id_]:
            if open_.get(parent_id, parent_id not in self._outside):
                pending += 1
            elif kind == DEPENDENCY:
                verdict = self._verdict(parent_id)
                idle += verdict == IDLE
                if verdict == BAD:
                    bad += 1
                    member = self._members.get(parent_id)
                    cause = cause or (member.cause if member else None) or parent_id
        return pending, bad, idle, cause

    def _recount(self, open_: Mapping[bytes, bool]) -> list[bytes]:
        """Write all rows of ``waiting`` anew; those that wait for nothing more."""
        waiting = [
            m for m in self.jobs if m.options is not None and (m.is_waiting or m.id in self._again)
        ]
        rows, free = [], []
        for m in waiting:
            pending, bad, idle, cause = self._counts(m.id, open_)
            lease = m.waiting_lease if m.is_waiting else (m.lease or 0) + 1
            total = len(self._parents[m.id])
            rows.append(
                (
                    m.id, pending, bad, idle, total, m.rule, lease, None, None, m.queue_id, m.lane,
                    m.task_id, self._flow_id, cause,
                )
            )  # fmt: skip
            if pending == 0:
                free.append(m.id)
        for at in range(0, len(rows), _CHUNK):
            chunk = rows[at : at + _CHUNK]
            self._tx.run("waiting_delete", ids=[row[0] for row in chunk])
            self._tx.many("waiting_insert", chunk)
        return free

    def _rejoin(self, open_: Mapping[bytes, bool]) -> None:
        joins = [self._flow_id]
        joins += [
            m.id for m in self.jobs if m.has_spawned and open_[m.id] and m.state == _COMPLETED
        ]
        self._tx.run("joins_delete", ids=sorted(joins))
        rows = []
        for id_ in joins:
            pending, bad, _, _ = self._counts(id_, open_)
            rows.append((id_, pending, bad))
        self._tx.many("joins_insert", rows)
