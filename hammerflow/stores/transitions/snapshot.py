"""Snapshot: a workflow with everything inside it, read as a whole under its locks."""

from __future__ import annotations

import json
import uuid
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from hammerflow.errors import JobNotFound
from hammerflow.jobs.job import CONDITIONAL, DEPENDENCY, FINAL_CODES, JobState, RowFlags
from hammerflow.jobs.status import FailurePolicy, WorkflowState
from hammerflow.stores.rows import Row
from hammerflow.stores.transitions.dependents import DependencyResolver
from hammerflow.stores.transitions.ends import DependencyOutcome, outcome_of
from hammerflow.stores.transitions.unit import Unit, in_chunks

__all__ = ["Part", "SnapshotJob", "SnapshotWorkflow", "WorkflowSnapshot"]

_FAILED = (FINAL_CODES[JobState.FAILED], FINAL_CODES[JobState.CANCELLED])
_UNSTARTED = (FINAL_CODES[JobState.SKIPPED], FINAL_CODES[JobState.CANCELLED])


class SnapshotJob(NamedTuple):
    """A job of the workflow."""

    id: bytes
    workflow_id: bytes
    state: int | None  # code of its end
    lease: int | None
    attempt: int | None
    cause: bytes | None
    queue_id: int
    priority_order: int
    task_id: int
    dependent_id: bytes | None
    unique_key: str | None
    flags: int
    options: str | None  # None: it waits for nothing
    is_waiting: int
    has_spawned: int
    parent_id: bytes | None

    @property
    def rule(self) -> int:
        """Its rule, with CONDITIONAL where it has a condition."""
        options = json.loads(self.options) if self.options else {}
        return int(options.get("rule", 0)) | (CONDITIONAL if "when" in options else 0)

    @property
    def is_unstarted(self) -> bool:
        """Whether it has ended without having started, and not because a person skipped it."""
        return self.state in _UNSTARTED and not self.attempt and self.cause != self.id

    @property
    def has_failed(self) -> bool:
        """Whether it failed or was cancelled itself."""
        return self.state in _FAILED

    @property
    def is_decided(self) -> bool:
        """Whether a person has decided to go on without it."""
        return self.cause == self.id


class SnapshotWorkflow(NamedTuple):
    """A workflow among them."""

    id: bytes
    state: WorkflowState
    policy: FailurePolicy
    failures: int
    parent_id: bytes | None
    dependent_id: bytes | None
    flags: int
    was_halted: int

    @property
    def is_over(self) -> bool:
        """Whether it has ended."""
        return self.state > WorkflowState.CANCELLING

    @property
    def has_failed(self) -> bool:
        """Whether it ended by failures in it or was halted, and no person has waived that."""
        if not self.is_over or self.state is WorkflowState.COMPLETED:
            return False
        return not self.flags & RowFlags.WAIVED and bool(self.failures or self.was_halted)

    @property
    def is_decided(self) -> bool:
        """Whether a person has decided to go on without it."""
        return bool(self.flags & RowFlags.DECIDED)


Part = SnapshotJob | SnapshotWorkflow


class WorkflowSnapshot:
    """The outermost workflow around one, everything inside it, and what links it.

    All of it is read under exclusive locks of the workflows: a settle of a member takes a shared
    lock before it counts, so the counts cannot change until the end of the transaction.

    Attributes:
        workflows, jobs: by id.
        parents: of each id those whose ends it counts, with the kind of edge.
        dependents: of each id those that count its end, with the kind of edge.
    """

    def __init__(self, unit: Unit, resolver: DependencyResolver, workflow_id: bytes) -> None:
        self._tx = unit.tx
        self._resolver = resolver
        self.workflows: dict[bytes, SnapshotWorkflow] = {}
        self.jobs: dict[bytes, SnapshotJob] = {}
        self._read_workflows(self._outermost(workflow_id))
        for id_ in self.workflows:
            for row in self._tx.rows("members_snapshot", id=id_):
                self.jobs[row[0]] = SnapshotJob(row[0], id_, *row[1:])
        self.parents: dict[bytes, list[tuple[bytes, int]]] = defaultdict(list)
        self.dependents: dict[bytes, list[tuple[bytes, int]]] = defaultdict(list)
        self._outside: dict[bytes, DependencyOutcome] = {}
        self._link_all()

    @property
    def parts(self) -> Iterator[Part]:
        """Everything that ends."""
        yield from self.jobs.values()
        yield from self.workflows.values()

    def part(self, id_: bytes) -> Part | None:
        """The job or workflow with this id."""
        return self.jobs.get(id_) or self.workflows.get(id_)

    def workflow_of(self, part: Part) -> SnapshotWorkflow | None:
        """The workflow that a part is a member of."""
        workflow_id = part.workflow_id if isinstance(part, SnapshotJob) else part.parent_id
        return None if workflow_id is None else self.workflows.get(workflow_id)

    def inside(self, workflow_id: bytes) -> Iterator[Part]:
        """The parts of a workflow, at any depth."""
        for part in self.members(workflow_id):
            yield part
            if isinstance(part, SnapshotWorkflow):
                yield from self.inside(part.id)

    def members(self, workflow_id: bytes) -> Iterator[Part]:
        """The direct members of a workflow."""
        yield from (job for job in self.jobs.values() if job.workflow_id == workflow_id)
        yield from (inner for inner in self.workflows.values() if inner.parent_id == workflow_id)

    def outside_outcome(self, id_: bytes) -> DependencyOutcome | None:
        """How the end of something outside counts; None while it has not ended."""
        return self._outside.get(id_)

    def outcome(self, part: Part) -> DependencyOutcome:
        """How the end of a part counts."""
        if isinstance(part, SnapshotWorkflow):
            is_good = part.state is WorkflowState.COMPLETED or part.flags & RowFlags.WAIVED
            return DependencyOutcome.good_if(is_good)
        children = self.awaited_children(part)
        if any(self.outcome(child) is DependencyOutcome.FAILED for child in children):
            return DependencyOutcome.FAILED
        return outcome_of(part.id, part.state or 0, part.cause)

    def awaited_children(self, part: Part) -> Iterator[Part]:
        """The children that a spawner's dependents wait for, too."""
        if not (isinstance(part, SnapshotJob) and part.has_spawned):
            return
        for id_, _ in self.parents[part.id]:
            child = self.part(id_)
            if child is not None and self.is_awaited_child(child, part.id):
                yield child

    def is_awaited_child(self, child: Part, spawner_id: bytes) -> bool:
        """Whether a spawner's dependents wait for this part as its child."""
        if child.dependent_id != spawner_id:
            return False
        if isinstance(child, SnapshotJob):
            return child.parent_id == spawner_id
        jobs = (job for job in self.inside(child.id) if isinstance(job, SnapshotJob))
        return any(job.parent_id == spawner_id for job in jobs)

    def _pages(self, statement: str, ids: Sequence[bytes]) -> Iterator[Row]:
        for page in in_chunks(ids):
            yield from self._tx.rows(statement, ids=page)

    def _outermost(self, workflow_id: bytes) -> bytes:
        while True:
            row = self._tx.rows("workflow_rows", ids=[workflow_id])
            if not row:
                raise JobNotFound(f"no workflow has the id {uuid.UUID(bytes=workflow_id)}")
            parent_id = row[0][6]
            if parent_id is None or not self._tx.rows("workflow_rows", ids=[parent_id]):
                return workflow_id
            workflow_id = parent_id

    def _read_workflows(self, outermost: bytes) -> None:
        while len(found := self._with_inner(outermost)) > len(self.workflows):
            self._resolver.workflows.load(found, exclusive=True)
            for row in self._tx.rows("workflows_snapshot", ids=sorted(found)):
                state, policy = WorkflowState(row[1]), FailurePolicy.of(row[2])
                self.workflows[row[0]] = SnapshotWorkflow(row[0], state, policy, *row[3:])

    def _with_inner(self, workflow_id: bytes) -> list[bytes]:
        inner = [row[0] for row in self._tx.rows("workflows_inside", id=workflow_id)]
        return [workflow_id, *(found for id_ in inner for found in self._with_inner(id_))]

    def _link_all(self) -> None:
        for part in self.parts:
            if part.dependent_id is not None:
                self._link(part.id, part.dependent_id, DEPENDENCY)
        with_edges = [part.id for part in self.parts if part.flags & RowFlags.HAS_EDGES]
        for parent_id, child_id, kind in self._pages("edges_of", with_edges):
            self._link(parent_id, child_id, kind)
        waiters = [job.id for job in self.jobs.values() if job.options is not None]
        for child_id, parent_id, kind in self._pages("edges_into", waiters):
            if self.part(parent_id) is None:
                self._link(parent_id, child_id, kind)
        self._read_outside()

    def _read_outside(self) -> None:
        """Read how those parents have ended that are outside."""
        outside = sorted(id_ for id_ in self.dependents if self.part(id_) is None)
        for id_, state, cause in self._pages("outcomes_of", outside):
            self._outside[id_] = outcome_of(id_, state, cause)
        for row in self._pages("barriers_lock", outside):
            self._outside.pop(row[0], None)  # a spawner whose children are waited for
        for row in self._pages("workflow_rows", outside):
            if row[8] is not None:
                outcome = DependencyOutcome.good_if(row[3] == WorkflowState.COMPLETED)
                self._outside[row[0]] = outcome

    def _link(self, parent_id: bytes, child_id: bytes, kind: int) -> None:
        self.parents[child_id].append((parent_id, kind))
        self.dependents[parent_id].append((child_id, kind))
