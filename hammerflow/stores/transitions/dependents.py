"""Dependents: what the end of jobs releases: jobs that wait for them, and the ends of workflows.

What must hold after each transaction: ``waiting.pending`` of a job is the number of its
dependencies that have not ended, ``barriers.pending`` of a workflow is the number of its last items
that have not ended (of a halted workflow: of its running members), and nothing with a count of zero
is left, unless its workflow is paused.

Ends are resolved level by level, not job by job. A level is everything that ended together; each
dependent is then locked once and counted down by one UPDATE, however many of its dependencies are
in the level. A job that is skipped or cancelled here, and a workflow that ends, are the next level.

Order of locks, the same for each transaction: leases, workflows (the youngest first), done, waiting
by id, barriers by id, then inserts. Two settles that release the same fan-in would deadlock if one
of them locked barriers before waiting rows, or rows out of the order of their ids. Workflows
come first because their state decides what may start: a settle that counted before it read the
state could start a job that a concurrent failure in the same workflow had just cancelled.
"""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from hammerflow.errors import HammerflowError
from hammerflow.events.kinds import EventKind
from hammerflow.jobs.job import CONDITIONAL, DEPENDENCY, FINAL_CODES, JobState, Rule
from hammerflow.jobs.status import FailurePolicy, WorkflowState
from hammerflow.stores.rows import (
    BarrierRow,
    ErrorRow,
    Row,
    UnstartedRow,
    WaitingRow,
    scheduled_row,
)
from hammerflow.stores.transitions.conditions import evaluate_conditions
from hammerflow.stores.transitions.ends import DependencyOutcome, JobEnd, Tally, release_keys
from hammerflow.stores.transitions.lookahead import Lookahead
from hammerflow.stores.transitions.unit import Unit
from hammerflow.stores.transitions.workflow_locks import WorkflowLocks, take_unstarted
from hammerflow.text import storable

__all__ = ["PAUSED", "DependencyResolver"]

#: The reason of a paused workflow, whose policy is manual.
PAUSED = "a node has failed: retry, skip or cancel"
_HALTED = "its workflow was ended"
_ENDS = {
    WorkflowState.COMPLETED: EventKind.WORKFLOW_COMPLETED,
    WorkflowState.FAILED: EventKind.WORKFLOW_FAILED,
    WorkflowState.CANCELLED: EventKind.WORKFLOW_CANCELLED,
}
_FAILED = FINAL_CODES[JobState.FAILED]
_CANCELLED = FINAL_CODES[JobState.CANCELLED]
_SKIPPED = FINAL_CODES[JobState.SKIPPED]


class DependencyResolver:
    """Follows ends to what depends on them, inside one transaction.

    Attributes:
        workflows: those that this transaction has met, each under a lock.
    """

    def __init__(self, unit: Unit) -> None:
        self._unit = unit
        self._tx = unit.tx
        self.workflows = WorkflowLocks(unit)
        self._ahead = Lookahead(unit, self.workflows)
        self._halted_now: set[bytes] = set()
        self._uncounted: dict[bytes, Tally] = defaultdict(Tally)

    def is_halted(self, workflow_id: bytes | None) -> bool:
        """Whether nothing starts any more in a workflow that is loaded."""
        return workflow_id is not None and self.workflows[workflow_id].state.is_halted

    def resolve(self, ends: Iterable[JobEnd]) -> None:
        """Follow the ends level by level, until a level ends nothing more.

        Barriers are counted down once no more waiting jobs follow, so that they are locked later
        than all of these.
        """
        level = list(ends)
        while level or self._uncounted:
            if level:
                self._ahead.begin_level()
                level = self._resolve_level(self._apply_policies(level))
            else:
                tallies, self._uncounted = self._uncounted, defaultdict(Tally)
                level = self._count_barriers(tallies)
        self._ahead.forget()

    def halt(
        self, workflow_id: bytes, state: WorkflowState, reason: str, *, is_inner: bool = False
    ) -> list[JobEnd]:
        """Cancel what has not started in a workflow, and in the workflows inside it.

        From now on its barrier counts the members that run: it is replaced by a recount, because
        which of the last items were counted down before depends on the graph.

        Args:
            state: FAILING or CANCELLING; it ends as that once its last member has ended.
            is_inner: the workflow around it is being halted, too.

        Returns:
            The ends that follow from it, still to be resolved.
        """
        if not self.workflows.halt(workflow_id, state, storable(reason)):
            return []
        self._ahead.forget()
        self._halted_now.add(workflow_id)
        self._uncounted.pop(workflow_id, None)  # the recount sees what it counts
        ends = self._cancel_unstarted(workflow_id, storable(reason))
        open_inside = 0
        for (inner_id,) in self._tx.rows("workflows_open_inside", id=workflow_id):
            self.workflows.load([inner_id], exclusive=True)
            ends += self.halt(inner_id, WorkflowState.CANCELLING, reason, is_inner=True)
            open_inside += self.workflows[inner_id].state <= WorkflowState.CANCELLING
        ends += self._drop_spawner_barriers(workflow_id)
        running = self._tx.rows("members_running", id=workflow_id)[0][0] + open_inside
        self._tx.run("barriers_delete", ids=[workflow_id])
        if running:
            self._unit.insert("barriers_insert", [BarrierRow(workflow_id, running)])
        else:
            ended = self._end_barriers({workflow_id: 0})
            ends += [end._replace(is_counted=is_inner) for end in ended]
        return ends

    def cancel_late_members(self, workflow_id: bytes) -> None:
        """Cancel what was inserted into a workflow after it was halted."""
        self.resolve(self._cancel_unstarted(workflow_id, _HALTED))

    def raise_barrier(self, workflow_id: bytes, n: int) -> None:
        """Let a workflow wait for ``n`` items more; written by the next :meth:`resolve`."""
        self._uncounted[workflow_id].n -= n

    def lower_barriers(self, counts: Mapping[bytes, int]) -> None:
        """Count down barriers that were to wait for items that do not exist."""
        if counts:
            self.resolve(self._count_barriers({id_: Tally(n) for id_, n in counts.items()}))

    def release(self, job_ids: Sequence[bytes], barrier_ids: Sequence[bytes]) -> None:
        """Start the jobs and end the workflows among these that wait for nothing more."""
        ends = self.start_unblocked(job_ids) if job_ids else []
        self.resolve(ends + self._count_barriers({id_: Tally() for id_ in barrier_ids}))

    def start_unblocked(self, job_ids: Sequence[bytes]) -> list[JobEnd]:
        """Start those of these jobs whose dependencies have all ended.

        They were held because their workflow was paused, or were inserted after the last end.

        Returns:
            The ends of those that are skipped, failed or cancelled instead, still to be resolved.
        """
        rows = self._ahead.lock(job_ids)
        self.workflows.load({row.workflow_id for row in rows if row.workflow_id is not None})
        return self._start([row for row in rows if row.pending <= 0])

    def _cancel_unstarted(self, workflow_id: bytes, reason: str) -> list[JobEnd]:
        """Cancel members that have not started.

        Returns:
            The ends that others than the workflow itself must hear of: those with edges. The
            barrier of a halted workflow does not count them, so they are marked as counted.
        """
        ends: list[JobEnd] = []
        for members in take_unstarted(self._unit, workflow_id):
            self._unit.note_following(len(members))
            rows = [UnstartedRow(m.job_id, m.attempt, m.lease, _CANCELLED, reason) for m in members]
            self._unit.insert("done_insert_unstarted", rows)
            ended = [
                JobEnd(
                    m.job_id, None, m.unique_key, workflow_id, m.flags, DependencyOutcome.FAILED,
                    is_own=True, is_counted=True,
                )
                for m in members
            ]  # fmt: skip
            release_keys(self._tx, ended)
            self._unit.settlement.ended.extend(end.id for end in ended)
            ends += [end for end in ended if end.flags]
        return ends

    def _drop_spawner_barriers(self, workflow_id: bytes) -> list[JobEnd]:
        """Fail the spawners whose children were waited for: some of these will not run.

        Dependents outside of the workflow would wait for the dropped barriers without end.
        """
        rows = self._tx.rows("members_awaiting_children", id=workflow_id)
        if rows:
            self._tx.run("barriers_delete", ids=[row[0] for row in rows])
        failed = DependencyOutcome.FAILED
        return [
            JobEnd(id_, None, None, workflow_id, flags, failed, is_counted=True)
            for id_, flags in rows
        ]

    def _apply_policies(self, level: list[JobEnd]) -> list[JobEnd]:
        """Let workflows react to failures, before anything that depends on them is counted.

        fail_fast halts the workflow, manual pauses it, continue_on_failure does nothing. A halt
        ends further items, which may be failures for a workflow around it: hence the loop.

        Returns:
            The ends that go on to their dependents. Those in a workflow that was halted here are
            marked as counted: the recount of its barrier has seen them, as they are in ``done``.
        """
        self._halted_now.clear()
        passed: list[JobEnd] = []
        while level:
            passed_now, level = self._apply_policies_once(level)
            passed += passed_now
        return [
            end._replace(is_counted=True) if end.workflow_id in self._halted_now else end
            for end in passed
        ]

    def _apply_policies_once(self, level: list[JobEnd]) -> tuple[list[JobEnd], list[JobEnd]]:
        """The ends that go on, and those that follow from halts."""
        failures: dict[bytes, list[JobEnd]] = defaultdict(list)
        for end in level:
            if end.is_own and end.workflow_id is not None and not end.is_counted:
                failures[end.workflow_id].append(end)
        met = {end.workflow_id for end in level if end.workflow_id is not None}
        # At once as each is needed: two that share a lock cannot both make it exclusive.
        modes = {id_: id_ in failures for id_ in met}
        if failing := [id_ for id_ in failures if not self.workflows.is_exclusive(id_)]:
            modes |= dict.fromkeys(self.workflows.with_trees(failing), True)
        self.workflows.load_each(modes)
        paused: set[bytes] = set()
        from_halts: list[JobEnd] = []
        for workflow_id, ends in sorted(failures.items()):
            self._tx.run("workflow_add_failures", id=workflow_id, n=len(ends))
            workflow = self.workflows[workflow_id]
            if workflow.state.is_halted:
                continue
            if workflow.policy is FailurePolicy.FAIL_FAST:
                name = uuid.UUID(bytes=ends[0].cause or ends[0].id)
                reason = f"job {name} did not complete"
                from_halts += self.halt(workflow_id, WorkflowState.FAILING, reason)
            elif workflow.policy is FailurePolicy.MANUAL:
                self.workflows.set(workflow_id, WorkflowState.PAUSED, PAUSED)
                paused.add(workflow_id)
        # A failure in a paused workflow is not counted: its dependents wait for a decision.
        passed = [end for end in level if not (end.is_own and end.workflow_id in paused)]
        return passed, from_halts

    def _resolve_level(self, level: list[JobEnd]) -> list[JobEnd]:
        """Count the ends of a level at the jobs that depend on them; the ends that follow."""
        inlined, edged, barriers = self._tally(level)
        ends = self._count_dependents(inlined, edged, barriers) if inlined or edged else []
        for id_, tally in barriers.items():
            self._uncounted[id_].merge(tally)
        return ends

    def _tally(
        self, level: list[JobEnd]
    ) -> tuple[dict[bytes, Tally], dict[bytes, Tally], dict[bytes, Tally]]:
        """Add up what arrives at each dependent.

        Returns:
            By dependent: ends that name it as their only dependent (a job, or the barrier of a
            spawner); ends with an edge to it; ends that the barrier of a workflow counts.
        """
        inlined: dict[bytes, Tally] = defaultdict(Tally)
        edged: dict[bytes, Tally] = defaultdict(Tally)
        barriers: dict[bytes, Tally] = defaultdict(Tally)
        for end in level:
            workflow_id = end.workflow_id
            if end.is_counted:
                continue
            if workflow_id is not None and (
                end.dependent_id == workflow_id or self.is_halted(workflow_id)
            ):
                barriers[workflow_id].add(end, DEPENDENCY)
            elif end.dependent_id is not None:
                inlined[end.dependent_id].add(end, DEPENDENCY)
        with_edges = {end.id: end for end in level if end.flags or self._is_tied(end.workflow_id)}
        if with_edges:
            for parent_id, child_id, kind in self._ahead.edges_of(sorted(with_edges)):
                end = with_edges[parent_id]
                if child_id != end.workflow_id:
                    edged[child_id].add(end, kind)
                elif not (end.is_counted or self.is_halted(end.workflow_id)):
                    barriers[child_id].add(end, kind)  # tied to its workflow by a rerun
        return inlined, edged, barriers

    def _count_dependents(
        self, inlined: dict[bytes, Tally], edged: dict[bytes, Tally], barriers: dict[bytes, Tally]
    ) -> list[JobEnd]:
        """Count down waiting jobs and start those at zero; the ends that follow.

        A dependent that is not in ``waiting`` is the barrier of a spawner, or has ended meanwhile:
        it is added to ``barriers``, where a missing row is passed over.
        """
        rows = self._ahead.lock(inlined.keys() | edged.keys())
        for missing in inlined.keys() - {row.job_id for row in rows}:
            barriers[missing] = inlined[missing]
        for child_id, tally in edged.items():
            tally.merge(inlined.get(child_id))
        tallies = {**inlined, **edged}
        self.workflows.load({row.workflow_id for row in rows if row.workflow_id is not None})
        steps: dict[tuple[int, int, int, bytes | None], list[bytes]] = defaultdict(list)
        unblocked: list[WaitingRow] = []
        for row in rows:
            tally = tallies[row.job_id]
            if row.pending > tally.n or self._is_paused(row.workflow_id):
                steps[tally.n, tally.failed, tally.skipped, tally.cause].append(row.job_id)
            else:
                unblocked.append(_counted(row, tally))
        for (n, failed, skipped, cause), ids in sorted(steps.items(), key=lambda item: item[1][0]):
            self._ahead.count(ids, n=n, failed=failed, skipped=skipped, cause=cause)
        return self._start(unblocked)

    def _is_tied(self, workflow_id: bytes | None) -> bool:
        return workflow_id is not None and self.workflows[workflow_id].is_tied

    def _is_paused(self, workflow_id: bytes | None) -> bool:
        return workflow_id is not None and self.workflows[workflow_id].state is WorkflowState.PAUSED

    def _start(self, jobs: Sequence[WaitingRow]) -> list[JobEnd]:
        """Move each to ready or scheduled, or end it as skipped, failed or cancelled.

        Returns:
            The ends of the latter.
        """
        if not jobs:
            return []
        self._unit.note_following(len(jobs))
        self._ahead.leave([job.job_id for job in jobs])
        ready: list[Row] = []
        scheduled: list[Row] = []
        ended: list[tuple[WaitingRow, int, str, bytes | None]] = []
        broken: list[tuple[WaitingRow, HammerflowError]] = []
        conditional = [job.job_id for job in jobs if _needs_condition(job)]
        if conditional:
            self._ahead.flush()
        answers = evaluate_conditions(self._unit, conditional)
        for job in jobs:
            answer = answers.get(job.job_id, True)
            if self.is_halted(job.workflow_id):
                ended.append((job, _CANCELLED, _HALTED, job.cause))
            elif (reason := _skip_reason(job)) is not None:
                ended.append((job, _SKIPPED, reason, job.cause if job.failed else None))
            elif isinstance(answer, HammerflowError):
                broken.append((job, answer))
            elif answer is not True:
                ended.append((job, _SKIPPED, str(answer), None))
            elif job.delay or job.eta is not None:
                scheduled.append(scheduled_row((*job[:5], 0), "delay", job.delay, job.eta))
            else:
                ready.append((*job[:5], 0))
        self._unit.insert("scheduled_insert", scheduled)
        self._unit.make_ready(ready)
        for row in (*scheduled, *ready):
            self._unit.records.add(EventKind.JOB_UNBLOCKED, row[0], row[4])
        return self._end_unstarted(ended, broken)

    def _end_unstarted(
        self,
        ended: Sequence[tuple[WaitingRow, int, str, bytes | None]],
        broken: Sequence[tuple[WaitingRow, HammerflowError]],
    ) -> list[JobEnd]:
        """Write the ends of jobs that will not run: (job, state, reason, cause), and errors."""
        rows = [(job, state, storable(why), cause) for job, state, why, cause in ended]
        rows += [(job, _FAILED, storable(str(error)), None) for job, error in broken]
        if not rows:
            return []
        done = [UnstartedRow(j.job_id, 0, j.lease, s, why, cause) for j, s, why, cause in rows]
        self._ahead.end(done)
        kind = "hammerflow.errors.ConditionError"
        errors = [
            ErrorRow(job.job_id, job.lease, "failed", 0, kind, storable(str(error)), "")
            for job, error in broken
        ]
        self._unit.insert("errors_insert", errors)
        outcomes: dict[bytes, tuple[DependencyOutcome, bool, bytes | None]] = {}
        for job, state, _, cause in rows:
            is_own = state != _SKIPPED
            is_failure = is_own or cause is not None
            outcome = DependencyOutcome.FAILED if is_failure else DependencyOutcome.SKIPPED
            outcomes[job.job_id] = outcome, is_own, cause
        links = self._ahead.links_of(sorted(outcomes))
        ends = [JobEnd.of(link, *outcomes[link[0]]) for link in links]
        release_keys(self._tx, ends)
        self._unit.settlement.ended.extend(end.id for end in ends)
        return ends

    def _count_barriers(self, tallies: Mapping[bytes, Tally]) -> list[JobEnd]:
        """Count down barriers; the ends of those at zero."""
        steps: dict[tuple[int, int], list[bytes]] = defaultdict(list)
        over: dict[bytes, int] = {}
        for id_, pending, failed in self._tx.rows("barriers_lock", ids=sorted(tallies)):
            tally = tallies[id_]
            if pending > tally.n:
                steps[tally.n, tally.failed].append(id_)
            else:
                over[id_] = failed + tally.failed
        for (n, failed), ids in sorted(steps.items()):
            self._tx.run("barriers_count", n=n, failed=failed, ids=ids)
        if not over:
            return []
        self._tx.run("barriers_delete", ids=sorted(over))
        return self._end_barriers(over)

    def _end_barriers(self, failed: dict[bytes, int]) -> list[JobEnd]:
        """End the workflows whose barriers are over; of the others, spawners, the ends count now.

        Args:
            failed: how many failures each barrier has counted.
        """
        rows = self._tx.rows("workflows_ending", ids=sorted(failed))
        ends = [self._end_workflow(row, failed.pop(row[0])) for row in rows]
        if failed:
            for link in self._tx.rows("ended_links", ids=sorted(failed)):
                end = JobEnd.of(link, DependencyOutcome.good_if(not failed[link[0]]))
                ends.append(end._replace(unique_key=None))
        return ends

    def _end_workflow(self, row: Row, failed: int) -> JobEnd:
        id_, code, collects, failures, parent_id, dependent_id, flags = row
        state = WorkflowState(code)
        has_failed = bool((failures and not collects) or (failed and collects < 2))
        final = _final_state(state, has_failed=has_failed)
        self._tx.run("workflow_end", id=id_, status=final)
        self.workflows.note(id_, final)
        self._unit.settlement.ended.append(id_)
        self._unit.records.add(_ENDS[final], id_)
        outcome = DependencyOutcome.good_if(final is WorkflowState.COMPLETED)
        is_own = outcome is DependencyOutcome.FAILED and bool(failures or state.is_halted)
        return JobEnd(id_, dependent_id, None, parent_id, flags, outcome, is_own)


def _counted(row: WaitingRow, tally: Tally) -> WaitingRow:
    """The row with what has just arrived (its pending count does not matter any more)."""
    failed, skipped = row.failed + tally.failed, row.skipped + tally.skipped
    return row._replace(failed=failed, skipped=skipped, cause=row.cause or tally.cause)


def _needs_condition(job: WaitingRow) -> bool:
    return bool(job.rule & CONDITIONAL) and _skip_reason(job) is None


def _skip_reason(job: WaitingRow) -> str | None:
    """Why the ends of its dependencies keep a job from running, by its rule."""
    rule = job.rule & ~CONDITIONAL
    if rule == Rule.ENDED:
        return None
    if rule == Rule.FAILED:
        return None if job.failed else "nothing failed"
    if job.failed:
        return f"{job.failed} of its dependencies did not complete"
    if job.skipped and rule == Rule.COMPLETED:
        return f"{job.skipped} of its dependencies were skipped"
    return None


def _final_state(state: WorkflowState, *, has_failed: bool) -> WorkflowState:
    """How a workflow ends that is in this state when its barrier is over."""
    if state is WorkflowState.CANCELLING:
        return WorkflowState.CANCELLED
    if has_failed or state is WorkflowState.FAILING:
        return WorkflowState.FAILED
    return WorkflowState.COMPLETED
