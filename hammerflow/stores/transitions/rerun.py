"""Rerun: members of a workflow run again, are skipped by hand, or go on after a pause.

A rerun reads the outermost workflow with everything inside it under exclusive locks, takes what is
to run again out of ``done``, and writes every count from a recount. Correcting counts by deltas
would need the history: which ends were counted before the halt, which after, and which member was
tied to its workflow by an earlier rerun. A recount needs only the graph and the present states.
Only dependents outside of the outermost workflow get a delta (:func:`await_again`), since they are
not read.

The steps of :meth:`_Rerun.write`, and why in this order:

1. Decide what runs again, in memory, so that every later step sees the final set.
2. Take those jobs out of ``done``; the ones without dependencies go to ``ready``.
3. Tell the dependents outside that they have to wait again, while their rows can still be locked
   in the order waiting, barriers.
4. Reopen the workflows: from here on their state is RUNNING or PAUSED, which 5 to 7 ask for.
5. Tie parts that are open and that nothing counts to their workflow: else it would end before them.
6. Recount the waiting rows and the barriers, ties included.
7. Start what waits for nothing and end workflows without open parts: the one step that resolves
   ends, and so it must see the counts of all others.
"""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Iterable, Sequence

from hammerflow.errors import HammerflowError, JobNotFound
from hammerflow.events.kinds import EventKind
from hammerflow.jobs.job import DEPENDENCY, FINAL_CODES, ORDER, JobState, RowFlags
from hammerflow.jobs.status import FailurePolicy, WorkflowState
from hammerflow.stores.database import Tx
from hammerflow.stores.rows import BarrierRow, ErrorRow, ReadyRow, WaitingRow
from hammerflow.stores.transitions.batch_rates import write_rate
from hammerflow.stores.transitions.dependents import PAUSED, DependencyResolver
from hammerflow.stores.transitions.ends import DependencyOutcome
from hammerflow.stores.transitions.snapshot import (
    Part,
    SnapshotJob,
    SnapshotWorkflow,
    WorkflowSnapshot,
)
from hammerflow.stores.transitions.unique import retake_keys
from hammerflow.stores.transitions.unit import Unit, in_chunks
from hammerflow.text import storable

__all__ = ["await_again", "rerun_members", "resume_workflow", "skip_member", "tie_dangling"]

_COMPLETED = FINAL_CODES[JobState.COMPLETED]
_CANCELLED = FINAL_CODES[JobState.CANCELLED]
_SKIPPED = FINAL_CODES[JobState.SKIPPED]


def rerun_members(
    unit: Unit, workflow_id: bytes, chosen: set[bytes] | None, by: str, *, downstream: bool = False
) -> None:
    """Run members again that did not complete, and what was skipped or cancelled because of them.

    Args:
        chosen: ids of jobs and workflows; all that failed or were cancelled when None.
        by: who asked for it, for the error history.
        downstream: everything that depends on them runs again, too, completed or not.

    Raises:
        JobNotFound: there is no such workflow, or a chosen id is not in it.
        HammerflowError: a chosen job has not ended, or has spawned children.
    """
    rerun = _Rerun(unit, workflow_id)
    if rerun.is_written:
        return
    again = rerun.failed_in(workflow_id) if chosen is None else set[bytes]()
    for id_ in chosen or ():
        part = rerun.member(id_)
        if isinstance(part, SnapshotWorkflow):
            again |= rerun.failed_in(id_)
        else:
            again.add(rerun.rerunnable(part))
    rerun.write(again, by, everything=downstream)


def skip_member(unit: Unit, workflow_id: bytes, member_id: bytes, by: str) -> None:
    """Count a member that did not complete as completed, so that its dependents may run."""
    rerun = _Rerun(unit, workflow_id)
    rerun.waive(rerun.member(member_id), by)
    rerun.write(set(), by, changed={member_id})


def resume_workflow(unit: Unit, workflow_id: bytes, by: str) -> None:
    """Go on after a pause as if the policy were continue_on_failure.

    What depends on the failures is skipped.
    """
    rerun = _Rerun(unit, workflow_id)
    state = rerun.snapshot.workflows[workflow_id].state
    if unit.tx.repeated and state is not WorkflowState.PAUSED:
        return  # the first run was committed, and its reply was lost
    if state is not WorkflowState.PAUSED:
        name = uuid.UUID(bytes=workflow_id)
        raise HammerflowError(f"workflow {name} is {state.status}, not paused")
    rerun.decide(workflow_id)
    rerun.write(set(), by)


def tie_dangling(unit: Unit, workflow_id: bytes) -> None:
    """After a waiting member was cancelled: its workflow waits for what that member waited for."""
    rerun = _Rerun(unit, workflow_id)
    if not rerun.snapshot.workflows[workflow_id].state.is_halted:
        rerun.tie_dangling()


class _Rerun:
    """What changes in a snapshot, and the tables that follow.

    ``waive`` and ``decide`` update the snapshot as they write.
    """

    def __init__(self, unit: Unit, workflow_id: bytes) -> None:
        self._unit = unit
        self._tx = unit.tx
        self._asked = workflow_id
        self._resolver = DependencyResolver(unit)
        self.snapshot = WorkflowSnapshot(unit, self._resolver, workflow_id)
        self._again: set[bytes] = set()  # jobs that run again
        self._opened: set[bytes] = set()  # workflows that go on

    @property
    def is_written(self) -> bool:
        """Whether an earlier run of this transaction was committed, and its reply was lost: a job
        that it took back has no end with the lease number that it had then."""
        written = self._unit.written
        parts = {part.id: part for part in self.snapshot.parts if part.id in written}
        return self._tx.repeated and any(
            isinstance(part, SnapshotJob)
            and (part.state is None or (part.lease or 0) != written[id_])
            for id_, part in parts.items()
        )

    def member(self, id_: bytes) -> Part:
        """The part with this id; raises JobNotFound where it is not in the workflow."""
        part = self.snapshot.part(id_)
        if part is None:
            raise JobNotFound(
                f"workflow {uuid.UUID(bytes=self._asked)} has no job {uuid.UUID(bytes=id_)}"
            )
        return part

    def failed_in(self, workflow_id: bytes) -> set[bytes]:
        """The jobs in a workflow, at any depth, that failed or were cancelled."""
        inside = self.snapshot.inside(workflow_id)
        return {p.id for p in inside if isinstance(p, SnapshotJob) and p.has_failed}

    def rerunnable(self, job: SnapshotJob) -> bytes:
        """The id of a job that has ended, and is not a spawner whose children exist."""
        name = uuid.UUID(bytes=job.id)
        if job.state is None:
            raise HammerflowError(f"job {name} has not ended, so it cannot be retried by hand")
        if job.has_spawned:
            raise HammerflowError(f"job {name} has spawned its children, so it cannot be retried")
        return job.id

    def waive(self, part: Part, by: str) -> None:
        """Count a part that did not complete as completed."""
        name = uuid.UUID(bytes=part.id)
        if part.state == (_COMPLETED if isinstance(part, SnapshotJob) else WorkflowState.COMPLETED):
            raise HammerflowError(f"node {name} has completed, so there is nothing to skip")
        if part.state is None or (isinstance(part, SnapshotWorkflow) and not part.is_over):
            raise HammerflowError(
                f"node {name} has not ended, so it cannot be skipped: cancel it first"
            )
        if isinstance(part, SnapshotWorkflow):
            self._set_flags(part, RowFlags.WAIVED | RowFlags.DECIDED)
            return
        reason = storable(f"skipped by {by or 'hand'}")
        self._tx.run("done_waive", id=part.id, state=_SKIPPED, reason=reason)
        self._unit.records.add(EventKind.JOB_SKIPPED, part.id, part.lease or 0, part.attempt or 0)
        self.snapshot.jobs[part.id] = part._replace(state=_SKIPPED, cause=part.id)

    def decide(self, workflow_id: bytes) -> None:
        """Go on without what has failed in a workflow."""
        for part in list(self.snapshot.members(workflow_id)):
            if isinstance(part, SnapshotWorkflow) and part.has_failed:
                self._set_flags(part, RowFlags.DECIDED)
            elif isinstance(part, SnapshotJob) and part.has_failed:
                self._tx.run("done_decide", id=part.id)
                self.snapshot.jobs[part.id] = part._replace(cause=part.id)

    def write(
        self, again: set[bytes], by: str, *, changed: Iterable[bytes] = (), everything: bool = False
    ) -> None:
        """Bring the tables to the snapshot with the jobs ``again`` not ended (the steps above).

        Args:
            changed: parts whose outcome has changed, so that their dependents may run now.
            everything: what depends on them runs again, completed or not.
        """
        self._spread(again, changed, everything=everything)
        self._take_back([self.snapshot.jobs[id_] for id_ in sorted(self._again)], by)
        self._tell_outside()
        for workflow_id in sorted(self._opened):
            self._reopen(self.snapshot.workflows[workflow_id])
        self.tie_dangling()
        live = [id_ for id_ in sorted(self.snapshot.workflows) if not self._is_halted(id_)]
        unblocked = self._recount_waiting()
        self._recount_barriers(live)
        self._resolver.release(unblocked, live)

    def tie_dangling(self) -> None:
        """Make a workflow wait for its open parts that no open part of it counts.

        This happens when the only dependent of a part is cancelled or has ended, while the part
        goes on: without the tie its workflow would end before it.
        """
        for part in list(self.snapshot.parts):
            workflow = self.snapshot.workflow_of(part)
            if workflow is None or self._is_halted(workflow.id) or not self._is_open(part):
                continue
            dependents = self.snapshot.dependents[part.id]
            counted = {d[0] for d in dependents if self._is_counted(part, *d)}
            if self._runs_again(part) and part.dependent_id not in (None, *counted):
                self._replace_inlined(part)
            if not any(self._is_member(workflow, id_) for id_ in counted):
                self._tie(part, workflow)

    def _spread(self, again: set[bytes], changed: Iterable[bytes], *, everything: bool) -> None:
        """Add what depends on these and did not run, and open the workflows around them."""
        stack = [*again, *changed]
        self._again |= again
        self._open(self._asked, stack)
        while stack:
            part = self.snapshot.part(stack.pop())
            if part is None:
                continue
            workflow = self.snapshot.workflow_of(part)
            if workflow is not None:
                self._open(workflow.id, stack)
            for child_id, kind in self.snapshot.dependents[part.id]:
                child = self.snapshot.jobs.get(child_id)
                if child is None or child_id in self._again:
                    continue
                if self.snapshot.is_awaited_child(part, child_id):
                    stack.append(child_id)  # the spawner's end counts again after this child
                elif child.is_unstarted or (
                    everything and kind == DEPENDENCY and child.state and not child.has_spawned
                ):
                    self._again.add(child_id)
                    stack.append(child_id)

    def _open(self, workflow_id: bytes, stack: list[bytes]) -> None:
        """Let a workflow go on, with those around it; what its halt has cancelled runs again."""
        workflow = self.snapshot.workflows[workflow_id]
        if workflow_id in self._opened:
            return
        self._opened.add(workflow_id)
        if workflow.parent_id in self.snapshot.workflows:
            self._open(workflow.parent_id, stack)
        if workflow.is_over:
            stack.append(workflow_id)
        if not workflow.was_halted or not workflow.state.is_halted:
            return
        for part in self.snapshot.members(workflow_id):
            if isinstance(part, SnapshotWorkflow):
                if part.state in (WorkflowState.CANCELLING, WorkflowState.CANCELLED):
                    self._open(part.id, stack)
            elif part.state == _CANCELLED and part.is_unstarted and part.id not in self._again:
                self._again.add(part.id)
                stack.append(part.id)

    def _take_back(self, jobs: list[SnapshotJob], by: str) -> None:
        """Take jobs out of ``done``; those without dependencies go to ``ready``."""
        self._unit.written.update((job.id, job.lease or 0) for job in jobs)
        for ids in in_chunks([job.id for job in jobs]):
            self._tx.run("done_delete", ids=ids)
            self._tx.run("expires_again", ids=ids)
        held = [job for job in jobs if not job.flags & RowFlags.FREED_AT_START]
        retake_keys(self._tx, [(job.unique_key, job.id) for job in held])
        note = storable(f"replayed by {by}" if by else "replayed")
        ran = [
            ErrorRow(j.id, j.lease or 0, "replayed", j.attempt, "", note, "")
            for j in jobs
            if j.attempt
        ]
        self._unit.insert("errors_insert", ran)
        self._unit.make_ready([_again(job) for job in jobs if job.options is None])

    def _reopen(self, workflow: SnapshotWorkflow) -> None:
        """Write a workflow as running, or as paused where a failure is still undecided."""
        members = [*self.snapshot.members(workflow.id)]
        failures = sum(part.has_failed and not self._runs_again(part) for part in members)
        self._tx.run("workflow_reopen", id=workflow.id, failures=failures)
        write_rate(self._tx, workflow.id, self._tx.rows("workflow_options", id=workflow.id)[0][0])
        flags = workflow.flags & (RowFlags.HAS_EDGES | RowFlags.TIED)
        if workflow.flags != flags and workflow.is_over:
            self._tx.run("workflow_set_flags", id=workflow.id, flags=flags)
        is_held = any(self._is_held(part) for part in members)
        self._resolver.workflows.note(workflow.id, WorkflowState.RUNNING)
        if workflow.state is WorkflowState.PAUSED or workflow.is_over:
            self._unit.records.add(EventKind.WORKFLOW_RESUMED, workflow.id)
        if is_held:
            self._resolver.workflows.set(workflow.id, WorkflowState.PAUSED, PAUSED)

    def _tell_outside(self) -> None:
        """Make dependents outside wait again for the parts that had ended and go on."""
        for id_ in sorted({*self._again, *self._opened}):
            part = self.member(id_)
            if isinstance(part, SnapshotWorkflow) and not part.is_over:
                continue
            dependent_id = part.dependent_id
            if dependent_id is not None and self.snapshot.part(dependent_id) is not None:
                dependent_id = None
            outside = [
                (child_id, kind)
                for child_id, kind in self.snapshot.dependents[id_]
                if self.snapshot.part(child_id) is None and child_id != dependent_id
            ]
            await_again(self._tx, outside, dependent_id, self.snapshot.outcome(part))

    def _is_halted(self, workflow_id: bytes) -> bool:
        return self._resolver.workflows[workflow_id].state.is_halted

    def _runs_again(self, part: Part) -> bool:
        return part.id in (self._again if isinstance(part, SnapshotJob) else self._opened)

    def _is_held(self, part: Part) -> bool:
        """Whether it is a failure that a person has yet to decide about."""
        workflow = self.snapshot.workflow_of(part)
        if workflow is None or workflow.policy is not FailurePolicy.MANUAL:
            return False
        if part.is_decided or not part.has_failed or self._runs_again(part):
            return False
        return not self._is_halted(workflow.id) or workflow.id in self._opened

    def _is_open(self, part: Part) -> bool:
        """Whether its dependents wait for it: it has not ended, or its failure is not decided."""
        if self._is_held(part) or self._runs_again(part):
            return True
        if isinstance(part, SnapshotWorkflow):
            return not part.is_over
        return part.state is None or any(map(self._is_open, self.snapshot.awaited_children(part)))

    def _is_counted(self, part: Part, child_id: bytes, kind: int) -> bool:
        """Whether a dependent counts this end, and something waits for the dependent in turn."""
        child = self.snapshot.jobs.get(child_id)
        if kind == ORDER or child is None:
            return child_id in self.snapshot.workflows
        waits = child.is_waiting or child_id in self._again
        return bool(waits or self.snapshot.is_awaited_child(part, child_id))

    def _is_member(self, workflow: SnapshotWorkflow, id_: bytes) -> bool:
        """Whether it is the workflow or a direct member: one deeper may be cancelled alone."""
        job = self.snapshot.jobs.get(id_)
        return id_ == workflow.id or (job is not None and job.workflow_id == workflow.id)

    def _counts(self, id_: bytes) -> tuple[int, int, int, bytes | None]:
        """(pending, failed, skipped, cause) of a part that waits for others."""
        pending = failed = skipped = 0
        cause = None
        for parent_id, kind in self.snapshot.parents[id_]:
            part = self.snapshot.part(parent_id)
            outcome = self._ended_outcome(parent_id, part)
            if outcome is None:
                pending += 1
            elif kind == DEPENDENCY and outcome is DependencyOutcome.SKIPPED:
                skipped += 1
            elif kind == DEPENDENCY and outcome is DependencyOutcome.FAILED:
                failed += 1
                first = part.cause if isinstance(part, SnapshotJob) else None
                cause = cause or first or parent_id
        return pending, failed, skipped, cause

    def _ended_outcome(self, id_: bytes, part: Part | None) -> DependencyOutcome | None:
        """How the end of a dependency counts; None while it is open."""
        if part is None:
            return self.snapshot.outside_outcome(id_)
        return None if self._is_open(part) else self.snapshot.outcome(part)

    def _recount_waiting(self) -> list[bytes]:
        """Write the counts of all waiting jobs; the ids of those that wait for nothing more."""
        rows: list[WaitingRow] = []
        unblocked: list[bytes] = []
        by_counts: dict[tuple[int, int, int, bytes | None], list[bytes]] = defaultdict(list)
        for job in self.snapshot.jobs.values():
            if job.options is None or not (job.is_waiting or job.id in self._again):
                continue
            counts = self._counts(job.id)
            if job.is_waiting:
                by_counts[counts].append(job.id)
            else:
                total = len(self.snapshot.parents[job.id])
                place = _again(job)[:5]
                rows.append(
                    WaitingRow(*place, *counts, total, job.rule, None, None, job.workflow_id)
                )
            state = self._resolver.workflows[job.workflow_id].state
            if counts[0] == 0 and state is WorkflowState.RUNNING:
                unblocked.append(job.id)
        for (pending, failed, skipped, cause), ids in by_counts.items():
            self._tx.run(
                "waiting_recount",
                pending=pending, failed=failed, skipped=skipped, cause=cause, ids=ids,
            )  # fmt: skip
        self._unit.insert("waiting_insert", rows)
        return unblocked

    def _recount_barriers(self, live: list[bytes]) -> None:
        """Write the barriers of these workflows, and of the spawners in them that are open."""
        spawners = [
            job
            for job in self.snapshot.jobs.values()
            if job.has_spawned and job.workflow_id in live
            if any(self.snapshot.awaited_children(job))
        ]
        # Also of those that are over now: the last child that they waited for was skipped by hand.
        self._tx.run("barriers_delete", ids=sorted([*live, *(job.id for job in spawners)]))
        ids = sorted([*live, *(job.id for job in spawners if self._is_open(job))])
        self._tx.many("barriers_insert", [BarrierRow(id_, *self._barrier_of(id_)) for id_ in ids])

    def _barrier_of(self, id_: bytes) -> tuple[int, int]:
        """(pending, failed) of a workflow, or of the children of a spawner."""
        if id_ in self.snapshot.workflows:
            return self._counts(id_)[:2]
        children = [*self.snapshot.awaited_children(self.snapshot.jobs[id_])]
        ended = [child for child in children if not self._is_open(child)]
        failed = sum(self.snapshot.outcome(c) is DependencyOutcome.FAILED for c in ended)
        return len(children) - len(ended), failed

    def _tie(self, part: Part, workflow: SnapshotWorkflow) -> None:
        """Make the workflow wait for a part, however that ends: others have counted its failure.

        The workflow is marked, and not the lease of a job that runs: a settle locks leases before
        workflows.
        """
        self._tx.many("edges_insert", [(part.id, workflow.id, ORDER)])
        if isinstance(part, SnapshotJob):
            self._tx.run("job_mark_edges", id=part.id)
            self._set_flags(self.snapshot.workflows[workflow.id], RowFlags.TIED)
        else:
            self._tx.run("workflow_mark_edges", id=part.id)
        self._tx.run("barriers_count", ids=[workflow.id], n=-1, failed=0)
        self.snapshot.dependents[part.id].append((workflow.id, ORDER))
        self.snapshot.parents[workflow.id].append((part.id, ORDER))

    def _replace_inlined(self, part: Part) -> None:
        """Replace the inlined dependent by an edge: its own counter now counts its children.

        The dependent has ended, and may be a spawner. An end that names a spawner as its only
        dependent is counted by the barrier of the spawner's children; an edge is not.
        """
        table = "job" if isinstance(part, SnapshotJob) else "workflow"
        self._tx.run(f"{table}_clear_dependent", id=part.id)
        self._tx.run(f"{table}_mark_edges", id=part.id)
        self._tx.many("edges_insert", [(part.id, part.dependent_id, DEPENDENCY)])

    def _set_flags(self, workflow: SnapshotWorkflow, flags: int) -> None:
        flags = workflow.flags | flags
        self._tx.run("workflow_set_flags", id=workflow.id, flags=flags)
        self.snapshot.workflows[workflow.id] = workflow._replace(flags=flags)


def await_again(
    tx: Tx,
    edges: Sequence[tuple[bytes, int]],
    dependent_id: bytes | None,
    outcome: DependencyOutcome,
) -> None:
    """Take an end back where it was counted: dependents that still wait count it as pending.

    Args:
        edges: (dependent, kind) of the job or workflow that goes on.
        dependent_id: its only dependent, if that is not an edge.
        outcome: how its end was counted.
    """
    ordered = [child_id for child_id, kind in edges if kind == ORDER]
    depends = [child_id for child_id, kind in edges if kind == DEPENDENCY]
    if dependent_id is not None:
        depends.append(dependent_id)
    failed = -(outcome is DependencyOutcome.FAILED)
    skipped = -(outcome is DependencyOutcome.SKIPPED)
    _uncount(tx, depends, failed, skipped)
    _uncount(tx, ordered, 0, 0)
    if dependent_id is not None and tx.rows("barriers_lock", ids=[dependent_id]):
        tx.run("barriers_count", n=-1, failed=failed, ids=[dependent_id])


def _uncount(tx: Tx, ids: Sequence[bytes], failed: int, skipped: int) -> None:
    if ids and tx.rows("waiting_lock", ids=sorted(ids)):
        tx.run("waiting_count", n=-1, failed=failed, skipped=skipped, cause=None, ids=sorted(ids))


def _again(job: SnapshotJob) -> ReadyRow:
    """The row of ``ready`` of a job that runs again; a higher lease number voids older ones."""
    lease = (job.lease or 0) + 1
    return ReadyRow(job.id, job.queue_id, job.priority_order, job.task_id, lease, 0)
