"""Release: what the end of jobs sets free: dependents, workflows, and those who wait for them."""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from hammerflow.errors import HammerflowError
from hammerflow.jobs.job import CONDITIONAL, FINAL_CODES, ORDER, JobState, Rule
from hammerflow.jobs.settlement import Settlement
from hammerflow.jobs.status import FailurePolicy, WorkflowState
from hammerflow.stores.database import Database, Tx
from hammerflow.stores.names import NameTable
from hammerflow.stores.transitions.conditions import judge
from hammerflow.stores.transitions.workflow_locks import WorkflowLocks, take_members
from hammerflow.text import storable

__all__ = [
    "BAD",
    "DONE",
    "IDLE",
    "PAUSED",
    "DependencyResolver",
    "JobEnd",
    "free_keys",
    "verdict_of",
]

#: How an end counts for its dependents: it has completed, was skipped by a condition, or neither.
DONE, IDLE, BAD = 0, 1, 2
#: Why a workflow with the policy manual stands still.
PAUSED = "a node has failed: retry, skip or cancel"
_COMPLETED = FINAL_CODES[JobState.COMPLETED]
_FAILED = FINAL_CODES[JobState.FAILED]
_CANCELLED = FINAL_CODES[JobState.CANCELLED]
_SKIPPED = FINAL_CODES[JobState.SKIPPED]


class JobEnd(NamedTuple):
    """A job or workflow that has just ended, for what depends on it."""

    id: bytes
    verdict: int
    dependent_id: bytes | None = None
    unique_key: str | None = None
    workflow_id: bytes | None = None
    flags: int = 0
    own: bool = False  # it failed or was cancelled itself; others failed or were skipped before it
    cause: bytes | None = None  # the job that failed first
    counted: bool = False  # the join of its workflow knows


class _Tally:
    """What arrives at one dependent."""

    __slots__ = ("bad", "cause", "idle", "n")

    def __init__(self, n: int = 0) -> None:
        self.n = n
        self.bad = self.idle = 0
        self.cause: bytes | None = None

    def add(self, end: JobEnd, kind: int) -> None:
        self.n += 1
        if kind == ORDER:
            return
        self.idle += end.verdict == IDLE
        if end.verdict == BAD:
            self.bad += 1
            self.cause = self.cause or end.cause or end.id

    def merge(self, other: _Tally | None) -> None:
        if other is not None:
            self.n, self.bad, self.idle = (
                self.n + other.n, self.bad + other.bad, self.idle + other.idle,
            )  # fmt: skip
            self.cause = other.cause or self.cause


class DependencyResolver:
    """The consequences of ends inside one transaction.

    Order of locks: leases, workflows, waiting by id, barriers by id, inserts.
    """

    def __init__(self, database: Database, names: NameTable, tx: Tx, result: Settlement) -> None:
        self._database = database
        self._names = names
        self._tx = tx
        self._result = result
        self.flows = WorkflowLocks(tx)
        self._halted_now: set[bytes] = set()

    def after(self, ends: Iterable[JobEnd]) -> None:
        """Follow the ends level by level: each level is what the one before has ended."""
        level = list(ends)
        while level:
            level = self._step(self._by_policy(level))

    def halt(
        self, workflow_id: bytes, state: WorkflowState, reason: str, *, inner: bool = False
    ) -> list[JobEnd]:
        """Cancel what has not started in a workflow; the ends that follow from it.

        The join counts running members from now on: any end of a member is an end for it.

        Args:
            inner: the enclosing workflow is being halted, too.
        """
        tx = self._tx
        if not self.flows.halt(workflow_id, state, storable(reason)):
            return []
        self._halted_now.add(workflow_id)
        ends = self._cancel_members(workflow_id, storable(reason))
        inside = 0
        for (inner_id,) in tx.rows("workflows_open_inside", id=workflow_id):
            self.flows.load([inner_id], exclusive=True)
            ends += self.halt(inner_id, WorkflowState.CANCELLING, reason, inner=True)
            inside += self.flows[inner_id].state <= WorkflowState.CANCELLING
        ends += self._drop_grafts(workflow_id)
        running = tx.rows("members_running", id=workflow_id)[0][0] + inside
        tx.run("barriers_delete", ids=[workflow_id])
        if running:
            tx.many("barriers_insert", [(workflow_id, running, 0)])
        else:
            ends += [end._replace(counted=inner) for end in self._over({workflow_id: 0})]
        return ends

    def sweep(self, workflow_id: bytes) -> None:
        """Cancel what has come into a workflow after it was halted."""
        self.after(self._cancel_members(workflow_id, "its workflow was ended"))

    def count_down(self, barriers: Mapping[bytes, int]) -> None:
        """Children that were to be waited for are not there."""
        tallies = {id_: _Tally(n) for id_, n in barriers.items()}
        if tallies:
            self.after(self._count_joins(tallies))

    def go_on(self, job_ids: Sequence[bytes], join_ids: Sequence[bytes]) -> None:
        """Let jobs go that wait for nothing more, and end workflows in which all has ended."""
        ends = self.free_held(job_ids) if job_ids else []
        self.after(ends + self._count_joins({id_: _Tally() for id_ in join_ids}))

    def _cancel_members(self, workflow_id: bytes, reason: str) -> list[JobEnd]:
        """Those that have not started; the ends that others than its join must hear of."""
        ends: list[JobEnd] = []
        for members in take_members(self._tx, workflow_id):
            self._tx.many(
                "done_insert",
                [(m.id, _CANCELLED, m.attempt, m.lease, None, None, reason, None) for m in members],
            )
            ended = [
                JobEnd(m.id, BAD, None, m.unique_key, workflow_id, m.flags, True, None, True)
                for m in members
            ]
            free_keys(self._tx, ended)
            self._result.ended.extend(end.id for end in ended)
            ends += [end for end in ended if end.flags]
        return ends

    def _drop_grafts(self, workflow_id: bytes) -> list[JobEnd]:
        """What waits elsewhere for spawners hears now that not all of their children will run."""
        rows = self._tx.rows("members_awaiting_children", id=workflow_id)
        if rows:
            self._tx.run("barriers_delete", ids=[row[0] for row in rows])
        return [
            JobEnd(id_, BAD, None, None, workflow_id, flags, counted=True) for id_, flags in rows
        ]

    def queue(self, queue_id: int) -> str:
        """A queue's name."""
        return self._names.queue(queue_id)

    # -- one level --------------------------------------------------------------------------------

    def _by_policy(self, level: list[JobEnd]) -> list[JobEnd]:
        """Let workflows hear of failures; the ends that go on.

        A workflow that is halted here has counted anew what is left in it: the ends of this level
        are in that count.
        """
        self._halted_now.clear()
        heard: list[JobEnd] = []
        while level:
            going, level = self._hear(level)
            heard += going
        return [
            end._replace(counted=True) if end.workflow_id in self._halted_now else end
            for end in heard
        ]

    def _hear(self, level: list[JobEnd]) -> tuple[list[JobEnd], list[JobEnd]]:
        """The ends that go on, and those of what is halted because of them."""
        self.flows.load({end.workflow_id for end in level if end.workflow_id is not None})
        failures: dict[bytes, list[JobEnd]] = defaultdict(list)
        for end in level:
            if end.own and end.workflow_id is not None and not end.counted:
                failures[end.workflow_id].append(end)
        held: set[bytes] = set()
        more: list[JobEnd] = []
        for workflow_id, ends in sorted(failures.items()):
            self.flows.load([workflow_id], exclusive=True)
            self._tx.run("workflow_add_failures", id=workflow_id, n=len(ends))
            flow = self.flows[workflow_id]
            if flow.state.is_halted:
                continue
            if flow.policy is FailurePolicy.FAIL_FAST:
                name = uuid.UUID(bytes=ends[0].cause or ends[0].id)
                more += self.halt(
                    workflow_id, WorkflowState.FAILING, f"job {name} did not complete"
                )
            elif flow.policy is FailurePolicy.MANUAL:
                self.flows.set(workflow_id, WorkflowState.PAUSED, PAUSED)
                held.add(workflow_id)
        return [end for end in level if not (end.own and end.workflow_id in held)], more

    def _step(self, level: list[JobEnd]) -> list[JobEnd]:
        tallies: dict[bytes, _Tally] = defaultdict(_Tally)
        edged: dict[bytes, _Tally] = defaultdict(_Tally)
        barriers: dict[bytes, _Tally] = defaultdict(_Tally)
        for end in level:
            workflow_id = end.workflow_id
            if end.counted:
                continue
            if workflow_id is not None and (
                end.dependent_id == workflow_id or self._is_halted(end)
            ):
                barriers[workflow_id].add(end, 0)
            elif end.dependent_id is not None:
                tallies[end.dependent_id].add(end, 0)
        flags = {end.id: end for end in level if end.flags}
        if flags:
            for parent_id, child_id, kind in self._tx.rows("edges_of", ids=sorted(flags)):
                end = flags[parent_id]
                if child_id != end.workflow_id:
                    edged[child_id].add(end, kind)
                elif not (end.counted or self._is_halted(end)):
                    barriers[child_id].add(end, kind)  # nothing else waits for it any more
        ends = self._count_jobs(tallies, edged, barriers) if tallies or edged else []
        return ends + self._count_joins(barriers) if barriers else ends

    def _is_halted(self, end: JobEnd) -> bool:
        return end.workflow_id is not None and self.flows[end.workflow_id].state.is_halted

    def _count_jobs(
        self,
        tallies: dict[bytes, _Tally],
        edged: dict[bytes, _Tally],
        barriers: dict[bytes, _Tally],
    ) -> list[JobEnd]:
        rows = self._tx.rows("waiting_lock", ids=sorted(tallies.keys() | edged.keys()))
        for missing in tallies.keys() - {row[0] for row in rows}:
            barriers[missing] = tallies[missing]  # a spawner whose children are waited for, or gone
        for child_id, tally in edged.items():
            tally.merge(tallies.get(child_id))
        tallies = {**tallies, **edged}
        self.flows.load({row[11] for row in rows if row[11] is not None})
        steps: dict[tuple[int, int, int, bytes | None], list[bytes]] = defaultdict(list)
        free = []
        for row in rows:
            tally, workflow_id = tallies[row[0]], row[11]
            left = row[1] - tally.n
            if left > 0 or (workflow_id and self.flows[workflow_id].state is WorkflowState.PAUSED):
                steps[tally.n, tally.bad, tally.idle, tally.cause].append(row[0])
            else:
                free.append((row, tally))
        for (n, bad, idle, cause), ids in sorted(steps.items(), key=lambda item: item[1][0]):
            self._tx.run("waiting_count", n=n, bad=bad, skipped=idle, cause=cause, ids=sorted(ids))
        return self._free([_Free(row, tally) for row, tally in free])

    def free_held(self, job_ids: Sequence[bytes]) -> list[JobEnd]:
        """Let jobs go that wait for nothing more: their workflow was paused, or all that they
        depend on had ended before they came."""
        rows = self._tx.rows("waiting_lock", ids=sorted(job_ids))
        self.flows.load({row[11] for row in rows if row[11] is not None})
        return self._free([_Free(row, _Tally()) for row in rows if row[1] <= 0])

    def _free(self, jobs: Sequence[_Free]) -> list[JobEnd]:
        """Each to ready or scheduled, or to its end as skipped, failed or cancelled."""
        if not jobs:
            return []
        tx = self._tx
        tx.run("waiting_delete", ids=sorted(job.id for job in jobs))
        ready: list[tuple[Any, ...]] = []
        scheduled: list[tuple[Any, ...]] = []
        ended: list[tuple[_Free, int, str, bytes | None]] = []
        broken: list[tuple[_Free, HammerflowError]] = []
        verdicts = judge(tx, [job.id for job in jobs if _is_asked(job)])
        for job in jobs:
            verdict = verdicts.get(job.id, True)
            if job.workflow_id and self.flows[job.workflow_id].state.is_halted:
                ended.append((job, _CANCELLED, "its workflow was ended", job.cause))
            elif (reason := _barred(job)) is not None:
                ended.append((job, _SKIPPED, reason, job.cause if job.failed else None))
            elif isinstance(verdict, HammerflowError):
                broken.append((job, verdict))
            elif verdict is not True:
                ended.append((job, _SKIPPED, str(verdict), None))
            elif job.delay or job.eta is not None:
                scheduled.append(
                    (
                        job.eta,
                        job.delay,
                        job.id,
                        job.queue_id,
                        job.priority_order,
                        job.task_id,
                        job.lease,
                        0,
                        "delay",
                    )
                )
            else:
                ready.append((job.queue_id, job.priority_order, job.id, job.task_id, job.lease, 0))
        if scheduled:
            tx.many("scheduled_insert", scheduled)
        if ready:
            tx.many("ready_insert", ready)
            self._result.queues.update(self._names.queue(row[0]) for row in ready)
        return self._end_unrun(ended, broken)

    def _end_unrun(
        self,
        ended: Sequence[tuple[_Free, int, str, bytes | None]],
        broken: Sequence[tuple[_Free, HammerflowError]],
    ) -> list[JobEnd]:
        tx = self._tx
        rows = [(j.id, state, j.lease, storable(why), cause) for j, state, why, cause in ended]
        rows += [(j.id, _FAILED, j.lease, storable(str(error)), None) for j, error in broken]
        if not rows:
            return []
        tx.many("skips_insert", rows)
        if broken:
            kind = "hammerflow.errors.ConditionError"
            tx.many(
                "errors_insert",
                [(j.id, j.lease, "failed", 0, kind, storable(str(e)), "") for j, e in broken],
            )
        verdicts = {
            job.id: (BAD, state == _CANCELLED, cause)
            if cause is not None or state == _CANCELLED
            else (IDLE, False, None)
            for job, state, _, cause in ended
        }
        verdicts |= {job.id: (BAD, True, None) for job, _ in broken}
        links = tx.rows("ended_links", ids=sorted(verdicts))
        ends = [
            JobEnd(id_, verdict, fan_in, key, flow, flags, own, cause)
            for id_, fan_in, key, flow, flags in links
            for verdict, own, cause in [verdicts[id_]]
        ]
        free_keys(tx, ends)
        self._result.ended.extend(end.id for end in ends)
        return ends

    def _count_joins(self, barriers: dict[bytes, _Tally]) -> list[JobEnd]:
        steps: dict[tuple[int, int], list[bytes]] = defaultdict(list)
        over: dict[bytes, int] = {}
        for id_, pending, failed in self._tx.rows("barriers_lock", ids=sorted(barriers)):
            tally = barriers[id_]
            if pending > tally.n:
                steps[tally.n, tally.bad].append(id_)
            else:
                over[id_] = failed + tally.bad
        for (n, bad), ids in sorted(steps.items()):
            self._tx.run("barriers_count", n=n, bad=bad, ids=ids)
        if not over:
            return []
        self._tx.run("barriers_delete", ids=sorted(over))
        return self._over(over)

    def _over(self, over: dict[bytes, int]) -> list[JobEnd]:
        """End the workflows whose join is over, and let the spawners go whose children ended."""
        ends: list[JobEnd] = []
        rows = self._tx.rows("workflows_ending", ids=sorted(over))
        for id_, code, collects, failures, parent_id, dependent_id, flags in rows:
            failed = over.pop(id_)
            has_failed = (failures and not collects) or (failed and collects < 2)
            final = _final(WorkflowState(code), has_failed)
            self._tx.run("workflow_end", id=id_, status=final)
            self.flows.ended(id_, final)
            self._result.ended.append(id_)
            verdict = DONE if final is WorkflowState.COMPLETED else BAD
            own = verdict == BAD and bool(failures or WorkflowState(code).is_halted)
            ends.append(JobEnd(id_, verdict, dependent_id, None, parent_id, flags, own))
        if over:
            links = self._tx.rows("ended_links", ids=sorted(over))
            ends += [
                JobEnd(id_, BAD if over[id_] else DONE, fan_in, None, flow, flags)
                for id_, fan_in, _, flow, flags in links
            ]
        return ends


class _Free:
    """A row of ``waiting`` that waits for nothing more, with what has just arrived."""

    __slots__ = (
        "cause",
        "delay",
        "eta",
        "failed",
        "id",
        "lease",
        "priority_order",
        "queue_id",
        "rule",
        "skipped",
        "task_id",
        "workflow_id",
    )  # fmt: skip

    def __init__(self, row: tuple[Any, ...], tally: _Tally) -> None:
        (
            self.id, _, failed, skipped, self.rule, self.lease, self.delay, self.eta,
            self.queue_id, self.priority_order, self.task_id, self.workflow_id, cause,
        ) = row  # fmt: skip
        self.failed = failed + tally.bad
        self.skipped = skipped + tally.idle
        self.cause = cause or tally.cause


def verdict_of(job_id: bytes, state: int, cause: bytes | None) -> int:
    """How the end in a row of ``done`` counts.

    A job skipped because of a failure names that one as its cause; one that a person has skipped,
    so that its dependents run, names itself.
    """
    if state == _SKIPPED:
        return IDLE if cause is None else DONE if cause == job_id else BAD
    return DONE if state == _COMPLETED else BAD


def free_keys(tx: Tx, ends: Iterable[JobEnd]) -> None:
    """Give up the unique keys of jobs that have ended."""
    keyed = sorted((end.unique_key, end.id) for end in ends if end.unique_key is not None)
    if keyed:
        keys, ids = zip(*keyed, strict=True)
        tx.run("unique_release", ukeys=keys, ids=ids)


def _is_asked(job: _Free) -> bool:
    return bool(job.rule & CONDITIONAL) and _barred(job) is None


def _barred(job: _Free) -> str | None:
    """Why its dependencies' ends keep a job from running."""
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


def _final(state: WorkflowState, failed: Any) -> WorkflowState:
    if state is WorkflowState.CANCELLING:
        return WorkflowState.CANCELLED
    return (
        WorkflowState.FAILED
        if failed or state is WorkflowState.FAILING
        else WorkflowState.COMPLETED
    )
