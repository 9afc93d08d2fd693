"""Picture: a workflow with all that are inside it, read whole under their locks."""

from __future__ import annotations

import json
import uuid
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from hammerflow.errors import JobNotFound
from hammerflow.jobs.job import CHUNK, CONDITIONAL, DEPENDENCY, FINAL_CODES, JobState
from hammerflow.jobs.status import FailurePolicy, WorkflowState
from hammerflow.stores.database import Tx
from hammerflow.stores.transitions.dependents import BAD, DONE, DependencyResolver, verdict_of

__all__ = ["DECIDED", "WAIVED", "SnapshotJob", "SnapshotWorkflow", "WorkflowSnapshot"]

#: Of ``workflows.flags``: a person has decided about its failure; has taken it as done.
DECIDED, WAIVED = 2, 4
_ENDED_BAD = (FINAL_CODES[JobState.FAILED], FINAL_CODES[JobState.CANCELLED])
_UNRUN = (FINAL_CODES[JobState.SKIPPED], FINAL_CODES[JobState.CANCELLED])


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
    def is_unrun(self) -> bool:
        """Whether it has ended without having started, and not by a person's word."""
        return self.state in _UNRUN and not self.attempt and self.cause != self.id

    @property
    def has_failed(self) -> bool:
        """Whether it failed or was cancelled itself."""
        return self.state in _ENDED_BAD

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
        """Whether it ended by failures in it, or was halted; a person has not waived that."""
        bad = self.is_over and self.state is not WorkflowState.COMPLETED
        return bad and not self.flags & WAIVED and bool(self.failures or self.was_halted)

    @property
    def is_decided(self) -> bool:
        """Whether a person has decided to go on without it."""
        return bool(self.flags & DECIDED)


Part = SnapshotJob | SnapshotWorkflow


class WorkflowSnapshot:
    """The outermost workflow around one, all inside it, their jobs and what links them.

    Attributes:
        flows, jobs: by id.
        parents: of each id those whose ends it counts, with the kind of edge.
        dependents: of each id those that count its end, with the kind of edge.
    """

    def __init__(self, tx: Tx, release: DependencyResolver, workflow_id: bytes) -> None:
        self._tx = tx
        self._release = release
        self.flows: dict[bytes, SnapshotWorkflow] = {}
        self.jobs: dict[bytes, SnapshotJob] = {}
        self._read_flows(self._outermost(workflow_id))
        for inside_id in self.flows:
            for row in tx.rows("members_snapshot", id=inside_id):
                self.jobs[row[0]] = SnapshotJob(row[0], inside_id, *row[1:])
        self.parents: dict[bytes, list[tuple[bytes, int]]] = defaultdict(list)
        self.dependents: dict[bytes, list[tuple[bytes, int]]] = defaultdict(list)
        self._outside: dict[bytes, int] = {}
        self._link_all()

    @property
    def parts(self) -> Iterator[Part]:
        """Everything that ends."""
        yield from self.jobs.values()
        yield from self.flows.values()

    def part(self, id_: bytes) -> Part | None:
        """A job or workflow of it."""
        return self.jobs.get(id_) or self.flows.get(id_)

    def flow_of(self, part: Part) -> SnapshotWorkflow | None:
        """The workflow that something stands in."""
        workflow_id = part.workflow_id if isinstance(part, SnapshotJob) else part.parent_id
        return None if workflow_id is None else self.flows.get(workflow_id)

    def inside(self, workflow_id: bytes) -> Iterator[Part]:
        """What stands in a workflow, at any depth."""
        for part in self.members(workflow_id):
            yield part
            if isinstance(part, SnapshotWorkflow):
                yield from self.inside(part.id)

    def members(self, workflow_id: bytes) -> Iterator[Part]:
        """What stands in a workflow itself."""
        yield from (job for job in self.jobs.values() if job.workflow_id == workflow_id)
        yield from (flow for flow in self.flows.values() if flow.parent_id == workflow_id)

    def outside_verdict(self, id_: bytes) -> int | None:
        """How something outside counts; None while it has not ended."""
        return self._outside.get(id_)

    def verdict(self, part: Part) -> int:
        """How the end of a part counts."""
        if isinstance(part, SnapshotWorkflow):
            good = part.state is WorkflowState.COMPLETED or part.flags & WAIVED
            return DONE if good else BAD
        if any(self.verdict(child) == BAD for child in self.grafts(part)):
            return BAD
        return verdict_of(part.id, part.state or 0, part.cause)

    def grafts(self, part: Part) -> Iterator[Part]:
        """The children that are waited for together with a spawner."""
        if not (isinstance(part, SnapshotJob) and part.has_spawned):
            return
        for id_, _ in self.parents[part.id]:
            child = self.part(id_)
            if child is not None and self.is_grafted(child, part.id):
                yield child

    def is_grafted(self, child: Part, spawner_id: bytes) -> bool:
        """Whether a spawner's dependents wait for this child of its, too."""
        if child.dependent_id != spawner_id:
            return False
        if isinstance(child, SnapshotJob):
            return child.parent_id == spawner_id
        jobs = (job for job in self.inside(child.id) if isinstance(job, SnapshotJob))
        return any(job.parent_id == spawner_id for job in jobs)

    def pages(self, statement: str, ids: Sequence[bytes]) -> Iterable[list[tuple[Any, ...]]]:
        """The rows of a statement for any number of ids."""
        for at in range(0, len(ids), CHUNK):
            yield self._tx.rows(statement, ids=ids[at : at + CHUNK])

    # -- reading ----------------------------------------------------------------------------------

    def _outermost(self, workflow_id: bytes) -> bytes:
        while True:
            row = self._tx.rows("workflow_rows", ids=[workflow_id])
            if not row:
                raise JobNotFound(f"no workflow has the id {uuid.UUID(bytes=workflow_id)}")
            if row[0][6] is None or not self._tx.rows("workflow_rows", ids=[row[0][6]]):
                return workflow_id
            workflow_id = row[0][6]

    def _read_flows(self, outermost: bytes) -> None:
        level = [outermost]
        while level:
            self._release.flows.load(level, exclusive=True)
            for row in self._tx.rows("workflows_snapshot", ids=level):
                state, policy = WorkflowState(row[1]), FailurePolicy.of(row[2])
                self.flows[row[0]] = SnapshotWorkflow(row[0], state, policy, *row[3:])
            level = sorted(r[0] for id_ in level for r in self._tx.rows("workflows_inside", id=id_))

    def _link_all(self) -> None:
        for part in self.parts:
            if part.dependent_id is not None:
                self._link(part.id, part.dependent_id, DEPENDENCY)
        for rows in self.pages("edges_of", [part.id for part in self.parts if part.flags & 1]):
            for row in rows:
                self._link(*row)
        waiters = [job.id for job in self.jobs.values() if job.options is not None]
        for rows in self.pages("edges_into", waiters):
            for child_id, parent_id, kind in rows:
                if self.part(parent_id) is None:
                    self._link(parent_id, child_id, kind)
        self._read_outside()

    def _read_outside(self) -> None:
        outside = sorted(id_ for id_ in self.dependents if self.part(id_) is None)
        for rows in self.pages("outcomes_of", outside):
            self._outside |= {id_: verdict_of(id_, state, cause) for id_, state, cause in rows}
        for rows in self.pages("barriers_lock", outside):
            for row in rows:
                self._outside.pop(row[0], None)  # a spawner whose children are waited for
        for rows in self.pages("workflow_rows", outside):
            for row in rows:
                if row[8] is not None:
                    self._outside[row[0]] = DONE if row[3] == WorkflowState.COMPLETED else BAD

    def _link(self, parent_id: bytes, child_id: bytes, kind: int) -> None:
        self.parents[child_id].append((parent_id, kind))
        self.dependents[parent_id].append((child_id, kind))
