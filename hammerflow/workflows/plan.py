"""Plan: a canvas, workflow or batch laid out as jobs, and what each of them waits for.

What must hold:

- Predecessors are laid out before their successors, because a successor stores a reference to the
  ids of their results.
- Jobs are created in the order of their ids, members of a workflow at positions without gaps.
  Therefore consecutive results can be stored as a range: its first and its last id.
- Every member of a workflow is followed by another member or by the end of the workflow. So a
  workflow only counts the ends of members without a successor in it (``end_count``).
- The first successor in the same workflow is stored in the job's own row; all other dependents are
  edges. Most jobs have just one, so most workflows need few edges.
"""

from __future__ import annotations

import heapq
import itertools
import uuid
from collections.abc import Callable, Iterable, Iterator
from graphlib import TopologicalSorter
from typing import Any

from hammerflow.canvas.chain import Canvas, Chain, Chord, Group
from hammerflow.canvas.signature import Signature
from hammerflow.errors import WorkflowInvalid
from hammerflow.ids import is_id, plain_id
from hammerflow.introspection.kinds import is_a, kind_name
from hammerflow.jobs.job import CONDITIONAL, Rule
from hammerflow.jobs.status import FailurePolicy
from hammerflow.text import safe_repr
from hammerflow.workflows.batch import Batch
from hammerflow.workflows.planned import Output, PlannedItem, PlannedJob, PlannedWorkflow
from hammerflow.workflows.references import FailedJobs, JobRange, ResultRef
from hammerflow.workflows.workflow import Workflow, WorkflowNode

__all__ = ["Plan", "external_id", "jobs_of", "plan_of", "reference"]

#: Placeholder job for an empty group or batch, so that its successors still have a predecessor.
NOTHING = Signature("hammerflow.collect", ([],), immutable=True)
#: From this many results in a row, a reference is a range.
_RANGE = 16
NewId = Callable[[], bytes]


class Plan:
    """What is inserted: workflows (the outermost first) and jobs, each in order of their ids."""

    def __init__(self, new_id: NewId, work: Any = None) -> None:
        self.work = work  # what the user has composed
        self.workflows: list[PlannedWorkflow] = []
        self.jobs: list[PlannedJob] = []
        self.output: Output = []  # of the whole
        self._new_id = new_id
        # By id() of a user's object: what came of it, each time it was laid out.
        self._outputs: dict[int, list[Output]] = {}
        # A stack of jobs that have no predecessor yet. Whoever lays out a part remembers the height
        # before: what lies above are the roots of that part. A node with predecessors takes its
        # roots off and makes them wait; those of a node without any stay for the node around it.
        self._roots: list[PlannedJob] = []
        # The gate of a workflow or batch with a condition: see _add_node.
        self._gates: dict[PlannedItem, PlannedJob] = {}

    def new_workflow(
        self, parent: PlannedWorkflow | None, name: str | None = None, **fields: Any
    ) -> PlannedWorkflow:
        """One more workflow; ``fields`` are those of :class:`PlannedWorkflow`."""
        made = PlannedWorkflow(self._new_id(), parent, name, **fields)
        self.workflows.append(made)
        return made

    def new_job(
        self, signature: Signature, workflow: PlannedWorkflow | None, name: str | None = None,
        existing_id: bytes | None = None,
    ) -> PlannedJob:  # fmt: skip
        """One more job; ``existing_id`` is that of a job which goes on as this call."""
        given = signature.options.get("job_id")
        id_ = existing_id or (self._new_id() if given is None else given.bytes)
        made = PlannedJob(id_, workflow, name, signature, exists=existing_id is not None)
        self.jobs.append(made)
        self._outputs.setdefault(id(signature), []).append(made)
        return made

    def fill(self) -> None:
        """Add a job that does nothing to a plan without jobs, so that its workflow has an end."""
        if not self.jobs:
            self.add_canvas(NOTHING, self.workflows[0])

    def given_ids(self) -> Iterable[uuid.UUID]:
        """The ids that its signatures ask for."""
        options = (job.signature.options for job in self.jobs)
        return [given["job_id"] for given in options if "job_id" in given]

    def add_canvas(
        self, canvas: Canvas, workflow: PlannedWorkflow | None, *, source: Output | None = None,
        name: str | None = None, last_id: bytes | None = None,
    ) -> Output:  # fmt: skip
        """Lay out a canvas.

        Args:
            source: whose results its first tasks take.
            name: of its node; parts get it with a number.
            last_id: the id of the existing job that its last task replaces.
        """
        first = len(self.jobs)
        match canvas:
            case Signature():
                output: Output = self._add_signature(canvas, workflow, source, name, last_id)
            case Chain():
                output = self._add_chain(canvas.tasks, workflow, source, name, last_id)
            case Chord():
                if canvas.body is None:
                    raise WorkflowInvalid("a chord needs a body: chord(header, body)")
                header = self._add_group(canvas.tasks, workflow, source, name)
                output = self.add_canvas(
                    canvas.body, workflow, source=header, name=name, last_id=last_id
                )
            case Group():
                output = self._add_group(canvas.tasks, workflow, source, name)
            case _:
                raise TypeError(f"expected a canvas, got {type(canvas).__name__}")
        if not isinstance(canvas, Signature):
            self._outputs.setdefault(id(canvas), []).append(output)
        self._add_links(canvas, workflow, output, self.jobs[first:])
        return output

    def _add_signature(
        self, signature: Signature, workflow: PlannedWorkflow | None, source: Output | None,
        name: str | None, existing_id: bytes | None,
    ) -> PlannedJob:  # fmt: skip
        job = self.new_job(signature, workflow, name, existing_id)
        before = [] if source is None else _flat(source)
        if not before:
            self._roots.append(job)
        for item in before:
            job.wait_for(item)
        if source is not None and not signature.immutable:
            job.source, job.input_ref = source, reference(source)
        for other in signature.after:
            self._add_dependency(job, other)
        return job

    def _add_chain(
        self, tasks: list[Canvas], workflow: PlannedWorkflow | None, source: Output | None,
        name: str | None, last_id: bytes | None,
    ) -> Output:  # fmt: skip
        output = source
        for number, task in enumerate(tasks, 1):
            is_last = number == len(tasks)
            part = name if is_last or name is None else f"{name}.{number}"
            id_ = last_id if is_last else None
            output = self.add_canvas(task, workflow, source=output, name=part, last_id=id_)
        return output if output is not None else []

    def _add_group(
        self, tasks: list[Canvas], workflow: PlannedWorkflow | None, source: Output | None,
        name: str | None,
    ) -> Output:  # fmt: skip
        if not tasks and (source is not None or name is not None):
            return self._add_signature(NOTHING, workflow, source, name, None)
        names = (None if name is None else f"{name}[{index}]" for index in itertools.count())
        return [
            self.add_canvas(task, workflow, source=source, name=part)
            for task, part in zip(tasks, names, strict=False)
        ]

    def _add_links(
        self, canvas: Canvas, workflow: PlannedWorkflow | None, output: Output,
        made: list[PlannedJob],
    ) -> None:  # fmt: skip
        """Lay out the callbacks of a canvas: links after its output, errbacks after all its jobs.

        An errback waits for every job of the canvas (but for those of links inside), as any of
        them may be the one that fails.
        """
        for callback in canvas.links:
            self.add_canvas(callback, workflow, source=output)
        if not canvas.errbacks:
            return
        leaves = {id(leaf) for leaf in canvas.leaves()}
        jobs = [job for job in made if id(job.signature) in leaves]
        for callback in canvas.errbacks:
            height = len(self._roots)
            self.add_canvas(callback, workflow)
            for root in self._roots[height:]:
                root.rule = int(Rule.FAILED)
                if not root.signature.immutable:
                    root.input_ref = FailedJobs([job.id for job in jobs])
                for job in jobs:
                    root.wait_for(job)
            # They wait for the canvas, so not for the predecessors of its node as well.
            del self._roots[height:]

    def _add_dependency(self, job: PlannedJob, other: Any) -> None:
        """``signature.depends_on(other)``."""
        shown = safe_repr(other)
        if isinstance(other, str) and not is_id(other):
            output = None if job.workflow is None else job.workflow.outputs.get(other)
            if output is None:
                raise WorkflowInvalid(
                    f"{job.signature.task} depends on {shown}, but its workflow has no node of "
                    "that name"
                )
        elif isinstance(other, Canvas | Workflow | Batch):
            output = self._outputs.get(id(other))
            if output is None:
                raise WorkflowInvalid(
                    f"{job.signature.task} depends on {shown}, which is not sent with it: send "
                    "that first and depend on its result, or put both into one workflow"
                )
        else:
            job.external_ids.append(external_id(other))
            return
        for item in _flat(output):
            job.wait_for(item)

    def add_workflow(
        self, definition: Workflow, parent: PlannedWorkflow | None = None, name: str | None = None
    ) -> PlannedWorkflow:
        """Lay out a workflow that was validated."""
        workflow = self.new_workflow(
            parent, name, kind="workflow", label=definition.name,
            policy=definition.failure_policy, definition=definition,
        )  # fmt: skip
        for node in _in_order(definition.nodes):
            workflow.outputs[node.name] = self._add_node(node, workflow)
        workflow.outputs = {node.name: workflow.outputs[node.name] for node in definition.nodes}
        return workflow

    def add_batch(
        self, batch: Batch, parent: PlannedWorkflow | None = None, name: str | None = None
    ) -> PlannedWorkflow:
        """Lay out a batch whose calls fit into memory."""
        if batch.rate_limit is not None:
            raise WorkflowInvalid(
                f"batch {batch.name} has a rate_limit, so it cannot be a node of a workflow or be "
                "spawned: call enqueue() on the batch"
            )
        workflow = self.new_workflow(
            parent, name, kind="batch", label=batch.name, policy=batch.policy,
            collects=batch.collects,
        )  # fmt: skip
        calls = batch.calls()
        members: Output = [self._add_signature(call, workflow, None, None, None) for call in calls]
        if batch.then is not None or not members:
            then = self._add_signature(batch.then or NOTHING, workflow, members, "then", None)
            if batch.on_failure == "collect":
                then.rule = int(Rule.ENDED)
        return workflow

    def _add_node(self, node: WorkflowNode, workflow: PlannedWorkflow) -> Output:
        """Lay out a node, and let its roots wait for the nodes before it.

        A condition is checked by a job. On a workflow or batch it goes to a gate, a job of its own
        before all others: when the gate is skipped, so are the roots behind it. As a workflow all
        of whose jobs were skipped has completed, what follows waits for the gate, too, and is
        skipped with it.
        """
        first_job, height = len(self.jobs), len(self._roots)
        gate = None
        if node.when is not None and not isinstance(node.content, Canvas):
            gate = self._add_signature(NOTHING, workflow, None, None, None)
        match node.content:
            case Workflow():
                output: Output = self.add_workflow(node.content, workflow, node.name)
            case Batch():
                output = self.add_batch(node.content, workflow, node.name)
            case _:
                output = self.add_canvas(node.content, workflow, name=node.name)
                for job in self.jobs[first_job:]:
                    job.wait_for_children = node.wait_for_children
        if not isinstance(node.content, Canvas):
            self._outputs.setdefault(id(node.content), []).append(output)
        before = {n.name: workflow.outputs[n.name] for n in node.after}
        inputs = {name: reference(part) for name, part in before.items()}
        waits = [item for part in before.values() for item in _flat(part)]
        waits += [self._gates[item] for item in waits if item in self._gates]
        roots = self._roots[height:]
        if gate is not None and isinstance(output, PlannedItem):
            self._gates[output] = gate
            for job in roots[1:]:  # the first is the gate itself
                job.wait_for(gate)
                job.inputs, job.before = {**inputs, **job.inputs}, {**before, **job.before}
            roots = [gate]
        for job in roots:
            job.inputs, job.before = {**inputs, **job.inputs}, {**before, **job.before}
            self._enter(job, node, waits)
        if node.after:
            del self._roots[height:]
        return output

    @staticmethod
    def _enter(job: PlannedJob, node: WorkflowNode, waits: list[PlannedItem]) -> None:
        """A root of a node waits for what the node waits for, and has its condition."""
        for item in waits:
            job.wait_for(item)
        if node.when is not None:
            job.when = node.when
            job.rule |= CONDITIONAL
        if node.after_skipped == "run":
            job.rule = (job.rule & CONDITIONAL) | int(Rule.NOT_FAILED)


def plan_of(work: Any, new_id: NewId) -> Plan:
    """The plan of a signature, canvas, workflow or batch; ``new_id`` gives ascending ids."""
    plan = Plan(new_id, work)
    if not is_a(work, Canvas | Workflow | Batch):
        expected = "a signature (task.s(...)), canvas, workflow or batch"
        raise TypeError(f"expected {expected}, got {kind_name(work)}")
    match work:
        case Workflow():
            plan.output = plan.add_workflow(work.validate())
        case Batch():
            plan.output = plan.add_batch(work)
        case Signature() if not (work.links or work.errbacks):
            plan.output = plan.add_canvas(work, None)
        case Canvas():
            kind = "chain" if isinstance(work, Signature) else type(work).__name__.lower()
            workflow = plan.new_workflow(
                None, kind=kind, label=_label(work), policy=FailurePolicy.CONTINUE_ON_FAILURE
            )
            plan.output = plan.add_canvas(work, workflow)
    return plan


def reference(output: Output) -> ResultRef:
    """Where the results of an output will be found."""
    match output:
        case PlannedJob():
            return ResultRef(output.id)
        case PlannedWorkflow(kind="batch"):
            return reference([i for i in output.items if i.name != "then"])
        case PlannedWorkflow():
            return ResultRef({name: reference(part) for name, part in output.outputs.items()})
        case list() if _is_range(output):
            return ResultRef(JobRange(output[0].id, output[-1].id, output[0].workflow.id))
        case list():
            return ResultRef([reference(part) for part in output])
        case _:
            raise TypeError(f"{output!r} has no results")


def jobs_of(output: Output) -> Iterator[PlannedJob]:
    """The jobs of which the results of an output consist; those of its :func:`reference`."""
    match output:
        case PlannedJob():
            yield output
        case PlannedWorkflow(kind="batch"):
            for item in output.items:
                if item.name != "then":
                    yield from jobs_of(item)
        case PlannedWorkflow():
            yield from jobs_of([*output.outputs.values()])
        case list():
            for part in output:
                yield from jobs_of(part)


def external_id(other: Any) -> bytes:
    """The id of what a job outside the plan was given as: a result, a UUID or its text."""
    key = plain_id(getattr(other, "id", other))
    if key is None:
        raise WorkflowInvalid(
            f"a job cannot depend on {safe_repr(other)}: give a result, an id or a name"
        )
    return key.bytes


def _is_range(output: list[Any]) -> bool:
    """Whether these are jobs of one workflow without others between them, with ascending ids.

    The ids need a check, as ``job_id`` lets users choose them.
    """
    if len(output) < _RANGE or not all(isinstance(i, PlannedJob) for i in output):
        return False
    return output[0].workflow is not None and all(
        b.workflow is a.workflow and b.position == a.position + 1 and b.id > a.id
        for a, b in itertools.pairwise(output)
    )


def _flat(output: Output) -> list[PlannedItem]:
    if isinstance(output, PlannedItem):
        return [output]
    return [item for part in output for item in _flat(part)]


def _in_order(nodes: list[WorkflowNode]) -> list[WorkflowNode]:
    """Each node after all that it waits for, otherwise in the order of definition."""
    places = {node: place for place, node in enumerate(nodes)}
    sorter = TopologicalSorter({node: node.after for node in nodes})
    sorter.prepare()
    order: list[WorkflowNode] = []
    ready: list[int] = []
    while sorter.is_active():
        for node in sorter.get_ready():
            heapq.heappush(ready, places[node])
        order.append(nodes[heapq.heappop(ready)])
        sorter.done(order[-1])
    return order


def _label(canvas: Canvas) -> str:
    """The name of a canvas in lists: its kind and its first three tasks."""
    tasks = [leaf.task.rpartition(".")[2] for leaf in itertools.islice(canvas.leaves(), 4)]
    kind, more = type(canvas).__name__.lower(), " ..." if len(tasks) > 3 else ""
    return f"{kind} of {', '.join(tasks[:3])}{more}" if tasks else f"empty {kind}"
