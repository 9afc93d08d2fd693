"""Replan: members of a workflow run again, are skipped by hand, or go on after a pause.

The outermost workflow with all inside it is read under exclusive locks, what is to run again is
taken out of ``done``, and every count is made anew from what is left: nothing is corrected by
deltas, but for what waits outside.
"""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from hammerflow.errors import HammerflowError, JobNotFound
from hammerflow.jobs.job import CHUNK, DEPENDENCY, FINAL_CODES, ORDER, JobState
from hammerflow.jobs.settlement import Settlement
from hammerflow.jobs.status import FailurePolicy, WorkflowState
from hammerflow.stores.database import Database, Tx
from hammerflow.stores.names import NameTable
from hammerflow.stores.transitions.dependents import (
    BAD,
    IDLE,
    PAUSED,
    DependencyResolver,
)
from hammerflow.stores.transitions.insert import take_keys
from hammerflow.stores.transitions.snapshot import (
    DECIDED,
    WAIVED,
    Part,
    SnapshotJob,
    SnapshotWorkflow,
    WorkflowSnapshot,
)
from hammerflow.text import storable

__all__ = ["await_again", "keep_waiting", "rerun_members", "resume_workflow", "skip_member"]

_COMPLETED = FINAL_CODES[JobState.COMPLETED]
_CANCELLED = FINAL_CODES[JobState.CANCELLED]
_SKIPPED = FINAL_CODES[JobState.SKIPPED]


def rerun_members(
    database: Database,
    names: NameTable,
    tx: Tx,
    workflow_id: bytes,
    chosen: set[bytes] | None,
    by: str,
    *,
    downstream: bool = False,
) -> Settlement:
    """Run members again that did not complete, and what was skipped or cancelled because of them.

    Args:
        chosen: ids of jobs and workflows; all that failed or were cancelled when None.
        downstream: everything that depends on them runs again, too, completed or not.
    """
    plan = _Rerun(database, names, tx, workflow_id)
    again = plan.failed_in(workflow_id) if chosen is None else set[bytes]()
    for id_ in chosen or ():
        part = plan.member(id_)
        again |= (
            plan.failed_in(id_) if isinstance(part, SnapshotWorkflow) else {plan.rerunnable(part)}
        )
    return plan.write(again, by, everything=downstream)


def skip_member(
    database: Database, names: NameTable, tx: Tx, workflow_id: bytes, member_id: bytes, by: str
) -> Settlement:
    """Take a member that has not completed as done: what depends on it may run."""
    plan = _Rerun(database, names, tx, workflow_id)
    plan.waive(plan.member(member_id), by)
    return plan.write(set(), by, changed={member_id})


def resume_workflow(
    database: Database, names: NameTable, tx: Tx, workflow_id: bytes, by: str
) -> Settlement:
    """Go on after a pause as if the policy were continue_on_failure: what depends on the failures
    is skipped."""
    plan = _Rerun(database, names, tx, workflow_id)
    state = plan.picture.flows[workflow_id].state
    if state is not WorkflowState.PAUSED:
        raise HammerflowError(
            f"workflow {uuid.UUID(bytes=workflow_id)} is {state.status}, not paused"
        )
    plan.decide(workflow_id)
    return plan.write(set(), by)


def keep_waiting(database: Database, names: NameTable, tx: Tx, workflow_id: bytes) -> None:
    """A member that waited was cancelled: what it waited for is waited for by the workflow."""
    plan = _Rerun(database, names, tx, workflow_id)
    if not plan.picture.flows[workflow_id].state.is_halted:
        plan.tie_up()


class _Rerun:
    """What changes in a picture, and the tables that follow."""

    def __init__(self, database: Database, names: NameTable, tx: Tx, workflow_id: bytes) -> None:
        self._tx = tx
        self._asked = workflow_id
        self._result = Settlement()
        self._release = DependencyResolver(database, names, tx, self._result)
        self.picture = WorkflowSnapshot(tx, self._release, workflow_id)
        self._again: set[bytes] = set()
        self._opened: set[bytes] = set()

    def member(self, id_: bytes) -> Part:
        """One of them.

        Raises:
            JobNotFound: it is no member.
        """
        part = self.picture.part(id_)
        if part is None:
            raise JobNotFound(
                f"workflow {uuid.UUID(bytes=self._asked)} has no job {uuid.UUID(bytes=id_)}"
            )
        return part

    def failed_in(self, workflow_id: bytes) -> set[bytes]:
        """The jobs in a workflow, at any depth, that failed or were cancelled."""
        inside = self.picture.inside(workflow_id)
        return {p.id for p in inside if isinstance(p, SnapshotJob) and p.has_failed}

    def rerunnable(self, job: SnapshotJob) -> bytes:
        """The id of a job that has ended; not of a spawner whose children are there."""
        name = uuid.UUID(bytes=job.id)
        if job.state is None:
            raise HammerflowError(f"job {name} has not ended, so it cannot be retried by hand")
        if job.has_spawned:
            raise HammerflowError(f"job {name} has spawned its children, so it cannot be retried")
        return job.id

    def waive(self, part: Part, by: str) -> None:
        """A failure is as good as done."""
        name = uuid.UUID(bytes=part.id)
        if part.state == (_COMPLETED if isinstance(part, SnapshotJob) else WorkflowState.COMPLETED):
            raise HammerflowError(f"node {name} has completed: nothing to skip")
        if isinstance(part, SnapshotWorkflow):
            if not part.is_over:
                raise HammerflowError(f"node {name} has not ended: cancel it first")
            self._mark(part, WAIVED | DECIDED)
            return
        if part.state is None:
            raise HammerflowError(
                f"node {name} has not ended, so it cannot be skipped: cancel it first"
            )
        reason = storable(f"skipped by {by or 'hand'}")
        self._tx.run("done_waive", id=part.id, state=_SKIPPED, reason=reason)
        self.picture.jobs[part.id] = part._replace(state=_SKIPPED, cause=part.id)

    def decide(self, workflow_id: bytes) -> None:
        """Go on without what has failed in a workflow."""
        for part in list(self.picture.members(workflow_id)):
            if isinstance(part, SnapshotWorkflow) and part.has_failed:
                self._mark(part, DECIDED)
            elif isinstance(part, SnapshotJob) and part.has_failed:
                self._tx.run("done_decide", id=part.id)
                self.picture.jobs[part.id] = part._replace(cause=part.id)

    def write(
        self,
        again: set[bytes],
        by: str,
        *,
        changed: Iterable[bytes] = (),
        everything: bool = False,
    ) -> Settlement:
        """Bring the tables to the picture with these members not ended."""
        self._spread(again, changed, everything=everything)
        self._take_back([self.picture.jobs[id_] for id_ in sorted(self._again)], by)
        self._tell_outside()
        for workflow_id in sorted(self._opened):
            self._reopen(self.picture.flows[workflow_id])
        self.tie_up()
        live = [id_ for id_ in sorted(self.picture.flows) if not self._state(id_).is_halted]
        free = self._recount(set(live))
        self._rejoin(live)
        self._release.go_on(free, live)
        return self._result

    def tie_up(self) -> None:
        """What goes on while nothing that waits for it does: its workflow waits for it."""
        for part in list(self.picture.parts):
            flow = self.picture.flow_of(part)
            if flow is None or self._state(flow.id).is_halted or not self._is_open(part):
                continue
            dependents = self.picture.dependents[part.id]
            counted = {d[0] for d in dependents if self._is_counted(part, *d)}
            if self._runs_again(part) and part.dependent_id not in (None, *counted):
                self._unplace(part)
            if not any(self._is_of(flow, id_) for id_ in counted):
                self._tie(part, flow)

    # -- what runs again --------------------------------------------------------------------------

    def _spread(self, again: set[bytes], changed: Iterable[bytes], *, everything: bool) -> None:
        """From these to all that depends on them and did not run, and to their workflows."""
        stack = [*again, *changed]
        self._again |= again
        self._open(self._asked, stack)
        while stack:
            part = self.picture.part(stack.pop())
            flow = None if part is None else self.picture.flow_of(part)
            if part is None:
                continue
            if flow is not None:
                self._open(flow.id, stack)
            for child_id, kind in self.picture.dependents[part.id]:
                child = self.picture.jobs.get(child_id)
                if child is None or child_id in self._again:
                    continue
                if self.picture.is_grafted(part, child_id):
                    stack.append(child_id)  # its end was not counted before that of its children
                elif child.is_unrun or (
                    everything and kind == DEPENDENCY and child.state and not child.has_spawned
                ):
                    self._again.add(child_id)
                    stack.append(child_id)

    def _open(self, workflow_id: bytes, stack: list[bytes]) -> None:
        """A workflow goes on; what its halt has cancelled runs again."""
        flow = self.picture.flows[workflow_id]
        if workflow_id in self._opened:
            return
        self._opened.add(workflow_id)
        if flow.parent_id in self.picture.flows:
            self._open(flow.parent_id, stack)
        if flow.is_over:
            stack.append(workflow_id)
        if not flow.was_halted or not flow.state.is_halted:
            return
        for part in self.picture.members(workflow_id):
            if isinstance(part, SnapshotWorkflow):
                if part.state in (WorkflowState.CANCELLING, WorkflowState.CANCELLED):
                    self._open(part.id, stack)
            elif part.state == _CANCELLED and part.is_unrun and part.id not in self._again:
                self._again.add(part.id)
                stack.append(part.id)

    def _take_back(self, jobs: list[SnapshotJob], by: str) -> None:
        """Out of ``done``, and those that wait for nothing to ``ready``."""
        tx = self._tx
        for at in range(0, len(jobs), CHUNK):
            tx.run("done_delete", ids=[job.id for job in jobs[at : at + CHUNK]])
        _retake_keys(tx, [(job.unique_key, job.id) for job in jobs if job.unique_key is not None])
        note = storable(f"replayed by {by}" if by else "replayed")
        ran = [(j.id, j.lease, "replayed", j.attempt, "", note, "") for j in jobs if j.attempt]
        if ran:
            tx.many("errors_insert", ran)
        ready = [job for job in jobs if job.options is None]
        if ready:
            tx.many(
                "ready_insert",
                [
                    (j.queue_id, j.priority_order, j.id, j.task_id, (j.lease or 0) + 1, 0)
                    for j in ready
                ],
            )
            self._result.queues |= {self._release.queue(job.queue_id) for job in ready}

    def _reopen(self, flow: SnapshotWorkflow) -> None:
        members = [*self.picture.members(flow.id)]
        failures = sum(part.has_failed and not self._runs_again(part) for part in members)
        self._tx.run("workflow_reopen", id=flow.id, failures=failures)
        if flow.flags > 1 and flow.is_over:
            self._tx.run("workflow_set_flags", id=flow.id, flags=flow.flags & 1)
        held = any(self._is_held(part) for part in members)
        self._release.flows.ended(flow.id, WorkflowState.RUNNING)
        if held:
            self._release.flows.set(flow.id, WorkflowState.PAUSED, PAUSED)

    def _tell_outside(self) -> None:
        """What waits elsewhere for a part that goes on waits for it again."""
        for id_ in sorted({*self._again, *self._opened}):
            part = self.member(id_)
            if isinstance(part, SnapshotWorkflow) and not part.is_over:
                continue
            dependent_id = part.dependent_id
            if dependent_id is not None and self.picture.part(dependent_id) is not None:
                dependent_id = None
            outside = [
                (child_id, kind)
                for child_id, kind in self.picture.dependents[id_]
                if self.picture.part(child_id) is None and child_id != dependent_id
            ]
            await_again(self._tx, outside, dependent_id, self.picture.verdict(part))

    # -- how things stand then --------------------------------------------------------------------

    def _state(self, workflow_id: bytes) -> WorkflowState:
        return self._release.flows[workflow_id].state

    def _runs_again(self, part: Part) -> bool:
        return part.id in (self._again if isinstance(part, SnapshotJob) else self._opened)

    def _is_held(self, part: Part) -> bool:
        """A failure that a person has yet to decide about."""
        flow = self.picture.flow_of(part)
        if flow is None or flow.policy is not FailurePolicy.MANUAL:
            return False
        if part.is_decided or not part.has_failed or self._runs_again(part):
            return False
        return not self._state(flow.id).is_halted or flow.id in self._opened

    def _is_open(self, part: Part) -> bool:
        if self._is_held(part) or self._runs_again(part):
            return True
        if isinstance(part, SnapshotWorkflow):
            return not part.is_over
        return part.state is None or any(map(self._is_open, self.picture.grafts(part)))

    def _is_counted(self, part: Part, child_id: bytes, kind: int) -> bool:
        """Whether something counts an end that in turn is waited for."""
        child = self.picture.jobs.get(child_id)
        if kind == ORDER or child is None:
            return child_id in self.picture.flows
        waits = child.is_waiting or child_id in self._again
        return bool(waits or self.picture.is_grafted(part, child_id))

    def _is_of(self, flow: SnapshotWorkflow, id_: bytes) -> bool:
        """Whether it is the workflow or a job in it: one inside may be cancelled by itself."""
        job = self.picture.jobs.get(id_)
        return id_ == flow.id or (job is not None and job.workflow_id == flow.id)

    def _counts(self, id_: bytes) -> tuple[int, int, int, bytes | None]:
        """(pending, bad, idle, cause) of what waits for others."""
        pending = bad = idle = 0
        cause = None
        for parent_id, kind in self.picture.parents[id_]:
            part = self.picture.part(parent_id)
            known = self.picture.outside_verdict(parent_id)
            if self._is_open(part) if part is not None else known is None:
                pending += 1
            elif kind == DEPENDENCY:
                verdict = self.picture.verdict(part) if part is not None else known
                idle += verdict == IDLE
                if verdict == BAD:
                    bad += 1
                    first = part.cause if isinstance(part, SnapshotJob) else None
                    cause = cause or first or parent_id
        return pending, bad, idle, cause

    # -- counts written anew ----------------------------------------------------------------------

    def _recount(self, live: set[bytes]) -> list[bytes]:
        """Write what all rows of ``waiting`` count; those that wait for nothing more."""
        rows, free = [], []
        counts: dict[tuple[int, int, int, bytes | None], list[bytes]] = defaultdict(list)
        for job in self.picture.jobs.values():
            if job.options is None or not (job.is_waiting or job.id in self._again):
                continue
            counted = self._counts(job.id)
            pending, bad, idle, cause = counted
            if job.is_waiting:
                counts[counted].append(job.id)
            else:
                rows.append(
                    (
                        job.id, pending, bad, idle, len(self.picture.parents[job.id]), job.rule,
                        (job.lease or 0) + 1, None, None, job.queue_id, job.priority_order,
                        job.task_id,
                        job.workflow_id, cause,
                    )
                )  # fmt: skip
            if pending == 0 and self._state(job.workflow_id) is WorkflowState.RUNNING:
                free.append(job.id)
        for (pending, bad, idle, cause), ids in counts.items():
            self._tx.run(
                "waiting_recount", pending=pending, bad=bad, skipped=idle, cause=cause, ids=ids
            )
        if rows:
            self._tx.many("waiting_insert", rows)
        return free

    def _rejoin(self, live: list[bytes]) -> None:
        barriers = [*live]
        barriers += [
            job.id
            for job in self.picture.jobs.values()
            if job.has_spawned and job.workflow_id in live and any(self.picture.grafts(job))
            if self._is_open(job)
        ]
        self._tx.run("barriers_delete", ids=sorted(barriers))
        self._tx.many("barriers_insert", [(id_, *self._ends_of(id_)) for id_ in sorted(barriers)])

    def _ends_of(self, id_: bytes) -> tuple[int, int]:
        """(pending, bad) of a workflow, or of what was grafted onto a spawner."""
        if id_ in self.picture.flows:
            return self._counts(id_)[:2]
        grafted = [*self.picture.grafts(self.picture.jobs[id_])]
        ended = [part for part in grafted if not self._is_open(part)]
        bad = sum(self.picture.verdict(part) == BAD for part in ended)
        return len(grafted) - len(ended), bad

    def _tie(self, part: Part, flow: SnapshotWorkflow) -> None:
        """The workflow waits for its end, too, whatever that is: others have dealt with it."""
        tx = self._tx
        tx.many("edges_insert", [(part.id, flow.id, ORDER)])
        if isinstance(part, SnapshotJob):
            tx.run("job_mark_edges", id=part.id)
            tx.run("lease_mark_edges", id=part.id)
        else:
            tx.run("workflow_mark_edges", id=part.id)
        tx.run("barriers_count", ids=[flow.id], n=-1, bad=0)
        self.picture.dependents[part.id].append((flow.id, ORDER))
        self.picture.parents[flow.id].append((part.id, ORDER))

    def _unplace(self, part: Part) -> None:
        """Its only dependent does not count it any more, and may have become a spawner since whose
        place counts children: it gets an edge."""
        table = "job" if isinstance(part, SnapshotJob) else "workflow"
        self._tx.run(f"{table}_clear_dependent", id=part.id)
        self._tx.run(f"{table}_mark_edges", id=part.id)
        self._tx.many("edges_insert", [(part.id, part.dependent_id, DEPENDENCY)])

    def _mark(self, flow: SnapshotWorkflow, marks: int) -> None:
        self._tx.run("workflow_set_flags", id=flow.id, flags=flow.flags | marks)
        self.picture.flows[flow.id] = flow._replace(flags=flow.flags | marks)


def await_again(
    tx: Tx, edges: Iterable[tuple[bytes, int]], dependent_id: bytes | None, verdict: int
) -> None:
    """What still waits for others waits for a job that had ended, too."""
    ordered = [child_id for child_id, kind in edges if kind == ORDER]
    depends = [child_id for child_id, kind in edges if kind == DEPENDENCY]
    if dependent_id is not None:
        depends.append(dependent_id)
    bad, idle = -(verdict == BAD), -(verdict == IDLE)
    if depends and tx.rows("waiting_lock", ids=sorted(depends)):
        tx.run("waiting_count", n=-1, bad=bad, skipped=idle, cause=None, ids=sorted(depends))
    if ordered and tx.rows("waiting_lock", ids=sorted(ordered)):
        tx.run("waiting_count", n=-1, bad=0, skipped=0, cause=None, ids=sorted(ordered))
    if dependent_id is not None and tx.rows("barriers_lock", ids=[dependent_id]):
        tx.run("barriers_count", n=-1, bad=bad, ids=[dependent_id])


def _retake_keys(tx: Tx, keys: list[tuple[str, bytes]]) -> None:
    if not keys:
        return
    held: dict[str, Any] = take_keys(tx, keys)
    taken = next((key for key, id_ in keys if held[key] != id_), None)
    if taken is not None:
        raise HammerflowError(
            f"the unique key {taken!r} is held by job {uuid.UUID(bytes=held[taken])}: "
            "cancel that one first, or wait for its end"
        )
