"""Workflows under test: a few words for a graph, and what must be true of its tables."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from hammerflow.canvas.signature import Signature
from hammerflow.codec.codec import Codec
from hammerflow.enqueue.job_factory import JobFactory
from hammerflow.enqueue.workflow_rows import WorkflowRows, rows_of
from hammerflow.ids import new_id
from hammerflow.jobs.job import CONDITIONAL, DEPENDENCY, ORDER, Claimed, NewJob, Rule
from hammerflow.jobs.outcome import Completed, Operation, Outcome, Spawned
from hammerflow.jobs.status import FailurePolicy, WorkflowState
from hammerflow.workflows.plan import Plan
from hammerflow.workflows.planned import PlannedItem, PlannedJob, PlannedWorkflow
from hammerflow.workflows.references import ResultRef
from tests.stores.kit import Desk, as_bytes

__all__ = [
    "OK",
    "VALUE",
    "Sketch",
    "brood",
    "check_flows",
    "facts",
    "flow_state",
    "run",
    "settle",
    "states",
]

VALUE = Codec().encode(3)
OK = Completed(VALUE)


class Sketch:
    """A workflow drawn node by node, each after those that it waits for."""

    def __init__(
        self, policy: str = "continue_on_failure", *, collects: bool = False,
        new_id: Callable[[], bytes] = new_id,
    ) -> None:  # fmt: skip
        self.plan = Plan(new_id)
        self.top = self.flow(None, policy, collects=collects)
        self.rows: WorkflowRows | None = None

    @property
    def id(self) -> bytes:
        """The outermost workflow's id."""
        return self.top.id

    def flow(
        self, parent: PlannedWorkflow | None, policy: str, *, collects: bool = False
    ) -> PlannedWorkflow:
        """A workflow, inside another one where a parent is given."""
        name = None if parent is None else f"w{len(self.plan.workflows)}"
        return self.plan.new_workflow(
            parent, name, kind="workflow", label="w", policy=FailurePolicy(policy),
            collects=collects,
        )  # fmt: skip

    def job(
        self,
        *after: PlannedItem,
        flow: PlannedWorkflow | None = None,
        rule: Rule = Rule.COMPLETED,
        when: str | None = None,
        order: Sequence[PlannedItem] = (),
        depends: Sequence[bytes] = (),
        **options: Any,
    ) -> PlannedJob:
        """A node."""
        given: Any = {"queue": "q", **options}
        signature = Signature("t", options=given)
        step = self.plan.new_job(signature, flow or self.top, f"n{len(self.plan.jobs)}")
        for item in after:
            step.wait_for(item, DEPENDENCY)
        for item in order:
            step.wait_for(item, ORDER)
        step.external_ids = [*depends]
        step.rule = int(rule) | (CONDITIONAL if when is not None else 0)
        step.when = when
        step.inputs = {f"n{n}": ResultRef(item.id) for n, item in enumerate(after)}
        step.before = {f"n{n}": item for n, item in enumerate(after)}
        return step

    def rows_of(self) -> WorkflowRows:
        """The rows to insert."""
        if self.rows is None:
            self.rows = rows_of(self.plan, JobFactory({}, Codec()))
        return self.rows

    def put(self, *desks: Desk) -> None:
        """Insert it."""
        rows = self.rows_of()
        for desk in desks:
            desk.store.workflows.insert(rows.workflows, lambda: [rows.jobs])


def settle(desk: Desk, outcome: Outcome, *steps: PlannedJob | NewJob) -> None:
    """Claim all that is ready, settle these and give the others back as they are."""
    claimed = {job.id: job for job in desk.claim(1000)}
    for job in running(desk, claimed):
        claimed[job.id] = job
    batch = [(claimed[step.id], outcome) for step in steps]
    assert desk.settle(*batch).stale == set()


def running(desk: Desk, known: dict[bytes, Claimed]) -> list[Claimed]:
    """Jobs that an earlier claim has taken, as that claim gave them."""
    seen: dict[bytes, Claimed] = desk.__dict__.setdefault("claimed", {})
    seen.update(known)
    return [job for job in seen.values() if desk.places(job.id) == ["leases"]]


def run(desk: Desk, *steps: PlannedJob) -> None:
    """They complete."""
    settle(desk, Completed(VALUE), *steps)


def brood(job: Claimed, count: int, *, wait_for_children: bool = False) -> Completed:
    """The end of a member that spawns members; its dependents may wait for them, too."""
    end = job.id if wait_for_children else job.workflow_id
    children = [
        NewJob(
            new_id(), "t", "q", 2, b"M\x92", parent_id=job.id, root_id=job.root_id or job.id,
            depth=job.depth + 1, spawn_index=n, dependent_id=end, workflow_id=job.workflow_id,
        )
        for n in range(count)
    ]  # fmt: skip
    operation = Operation("h", None, None, count, 0.0)
    ends = count if end is not None else 0
    return Completed(VALUE, Spawned(children, operation, count, [], ends, wait_for_children))


def flow_state(desk: Desk, workflow_id: bytes) -> WorkflowState:
    """Where a workflow stands."""
    row = desk.store.workflows.get(workflow_id)
    assert row is not None
    assert (row.ended_at is not None) == (row.state > WorkflowState.CANCELLING)
    return row.state


def check_flows(desk: Desk) -> None:
    """What counts is what a recount finds, and no row is left over (I4, I9, I10, I24)."""
    desk.check()
    jobs = facts(desk, "SELECT id, dependent_id, workflow_id FROM {jobs}")
    flows = facts(desk, "SELECT id, dependent_id, parent_id, status FROM {workflows}")
    leases = {row[0] for row in facts(desk, "SELECT job_id FROM {leases}")}
    done = {row[0] for row in facts(desk, "SELECT job_id FROM {done}")}
    ended = {row[0] for row in flows if row[3] > WorkflowState.CANCELLING}
    for workflow_id, _, _, status in flows:
        members = {row[0] for row in jobs if row[2] == workflow_id}
        inner = {row[0] for row in flows if row[2] == workflow_id}
        if workflow_id in ended:
            assert members <= done and inner <= ended, "a workflow ended before its members"
        elif status <= WorkflowState.PAUSED:
            assert not (members <= done and inner <= ended) or status == WorkflowState.PAUSED
        else:
            assert (members & leases) or inner - ended, "a halted workflow that does not end"
            assert members <= done | leases
    barriers = {row[0]: row[1] for row in facts(desk, "SELECT id, pending FROM {barriers}")}
    open_flows = {row[0] for row in flows} - ended
    assert open_flows <= barriers.keys()
    for join_id, pending in barriers.items():
        assert pending > 0, "a join that is over"
        assert join_id in open_flows or join_id in done, "a join of nothing"
        assert join_id not in ended
    state = {row[0]: row[3] for row in flows}
    for workflow_id in open_flows:
        if state[workflow_id] > WorkflowState.PAUSED:
            members = {row[0] for row in jobs if row[2] == workflow_id}
            inner = {row[0] for row in flows if row[2] == workflow_id}
            assert barriers[workflow_id] == len(members & leases) + len(inner - ended)


def facts(desk: Desk, query: str) -> list[tuple[Any, ...]]:
    """Rows of plain SQL, ids as bytes."""
    return [
        tuple(
            as_bytes(v) if v is not None and not isinstance(v, int | str | float) else v
            for v in row
        )
        for row in desk.sql(query)
    ]


def states(desk: Desk, *steps: PlannedJob) -> str:
    """The states of nodes, by their first letters: wait, sched, ready, run, comp, fail, canc, skip,
    park."""
    return " ".join(desk.state(step.id)[:4] for step in steps)
