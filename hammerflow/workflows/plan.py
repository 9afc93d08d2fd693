"""Plan: a canvas, workflow or batch laid out as jobs and what each of them waits for."""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from hammerflow.canvas.chain import Canvas, Chain, Chord, Group
from hammerflow.canvas.signature import Signature
from hammerflow.errors import WorkflowInvalid
from hammerflow.jobs.job import CONDITIONAL, DEPENDENCY, Rule
from hammerflow.jobs.status import FailurePolicy
from hammerflow.workflows.batch import Batch
from hammerflow.workflows.references import FailedJobs, JobRange, ResultRef
from hammerflow.workflows.workflow import Workflow, WorkflowNode, is_id

__all__ = ["NOTHING", "Plan", "PlannedItem", "PlannedJob", "PlannedWorkflow", "plan_of"]

#: Stands where a group or batch is empty, so that what comes after it still comes after.
NOTHING = Signature("hammerflow.map", ("hammerflow.map", []), immutable=True)
#: So many results in a row are named by the first and the last.
_RANGE = 16
NewId = Callable[[], bytes]


class PlannedItem:
    """A job or a workflow inside another: something that ends."""

    __slots__ = ("flow", "id", "is_there", "name", "outs", "position")

    def __init__(self, id_: bytes, flow: PlannedWorkflow | None, name: str | None) -> None:
        self.id = id_
        self.is_there = False  # its row says already who waits for it
        self.flow = flow
        self.name = name
        self.outs: list[tuple[PlannedItem, int]] = []
        self.position: int | None = None
        if flow is not None:
            self.position = len(flow.items)
            flow.items.append(self)

    def place(self) -> tuple[bytes | None, bool, list[tuple[PlannedItem, int]]]:
        """(its only dependent or its workflow, whether edges start here, the dependents by edges).

        The first dependent in its workflow stands in the job's own row and needs no edge. One in
        a workflow inside is not enough: that may be cancelled by itself.
        """
        if self.is_there:
            return None, bool(self.outs), self.outs
        waits = [out for out in self.outs if self.is_waited_by(*out)]
        edges = [out for out in self.outs if not self.is_waited_by(*out)]
        if not waits:
            return (self.flow.id if self.flow else None), bool(edges), edges
        return waits[0][0].id, len(self.outs) > 1, waits[1:] + edges

    def is_waited_by(self, other: PlannedItem, kind: int) -> bool:
        """Whether a dependent stands in the same workflow and counts its end."""
        return kind == DEPENDENCY and other.flow is self.flow


class PlannedJob(PlannedItem):
    """A call that will be a job."""

    __slots__ = (
        "after",
        "external",
        "input_ref",
        "inputs",
        "rule",
        "signature",
        "wait_for_children",
        "when",
    )

    def __init__(
        self, id_: bytes, flow: PlannedWorkflow | None, name: str | None, signature: Signature
    ) -> None:
        super().__init__(id_, flow, name)
        self.signature = signature
        self.after: dict[PlannedItem, int] = {}
        self.external: list[bytes] = []  # jobs and workflows that are there already
        self.input_ref: ResultRef | FailedJobs | None = None  # comes before its own arguments
        self.inputs: dict[str, ResultRef] = {}
        self.rule = int(Rule.COMPLETED)
        self.when: str | None = None
        self.wait_for_children = False

    def wait_for(self, item: PlannedItem, kind: int = DEPENDENCY) -> None:
        """Start after it."""
        if item not in self.after:
            self.after[item] = kind
            item.outs.append((self, kind))


class PlannedWorkflow(PlannedItem):
    """A workflow of its own."""

    __slots__ = ("collects", "items", "kind", "label", "outputs_by_name", "policy", "workflow")

    def __init__(
        self,
        id_: bytes,
        flow: PlannedWorkflow | None,
        name: str | None,
        *,
        kind: str,
        label: str,
        policy: FailurePolicy,
        workflow: Workflow | None = None,
        collects: int = 0,
    ) -> None:
        super().__init__(id_, flow, name)
        self.kind = kind
        self.label = label
        self.policy = policy
        self.workflow = workflow
        self.collects = collects
        self.items: list[PlannedItem] = []
        self.outputs_by_name: dict[str, ResultRef] = {}  # nodes that result in several

    @property
    def ends(self) -> int:
        """How many of its items nothing else in it waits for."""
        return sum(not any(i.is_waited_by(*out) for out in i.outs) for i in self.items)


#: What comes out of a part: the item whose result it is, or several in order.
Out = PlannedItem | list[Any]


class Plan:
    """All flows (the outermost first) and steps, in order of their ids.

    Attributes:
        out: what the whole of it results in.
    """

    def __init__(self, new_id: NewId) -> None:
        self.flows: list[PlannedWorkflow] = []
        self.steps: list[PlannedJob] = []
        self.out: Out = []
        self._new_id = new_id
        self._known: dict[int, list[Out]] = {}  # id() of what was laid out to what came of it
        self._outs: dict[
            tuple[PlannedWorkflow | None, str], Out
        ] = {}  # what nodes result in, by name
        self._begins: list[PlannedJob] = []  # steps that take nothing from others
        #: The step whose condition is that of a workflow or batch: where it is skipped, so is what
        #: comes after, though a workflow of which all is skipped has completed.
        self._gates: dict[PlannedItem, PlannedJob] = {}

    def flow(
        self, parent: PlannedWorkflow | None, name: str | None = None, **facts: Any
    ) -> PlannedWorkflow:
        """One more workflow."""
        made = PlannedWorkflow(self._new_id(), parent, name, **facts)
        self.flows.append(made)
        return made

    def step(
        self, signature: Signature, flow: PlannedWorkflow | None, name: str | None = None,
        id_: bytes | None = None,
    ) -> PlannedJob:  # fmt: skip
        """One more job."""
        given = signature.options.get("job_id")
        made = PlannedJob(
            id_ or (given.bytes if given is not None else self._new_id()), flow, name, signature
        )
        made.is_there = id_ is not None
        self.steps.append(made)
        self._known.setdefault(id(signature), []).append(made)
        return made

    def given_ids(self) -> Iterable[uuid.UUID]:
        """The ids that its signatures ask for."""
        options = (step.signature.options for step in self.steps)
        return [given["job_id"] for given in options if "job_id" in given]

    # -- canvas -----------------------------------------------------------------------------------

    def place(
        self,
        canvas: Canvas,
        flow: PlannedWorkflow | None,
        *,
        feed: Out | None = None,
        name: str | None = None,
        last_id: bytes | None = None,
    ) -> Out:
        """Lay out a canvas.

        Args:
            feed: whose results its first tasks take.
            last_id: the id that its one last task must have.
        """
        first = len(self.steps)
        match canvas:
            case Signature():
                out: Out = self._signature(canvas, flow, feed, name, last_id)
            case Chain():
                out = feed if feed is not None else []
                for at, task in enumerate(canvas.tasks):
                    is_last = at == len(canvas.tasks) - 1
                    out = self.place(
                        task,
                        flow,
                        feed=feed if at == 0 else out,
                        name=name if is_last or name is None else f"{name}.{at + 1}",
                        last_id=last_id if is_last else None,
                    )
            case Chord():
                if canvas.body is None:
                    raise WorkflowInvalid("a chord needs a body: chord(header, body)")
                header = self._group(canvas.tasks, flow, feed, name)
                out = self.place(canvas.body, flow, feed=header, name=name, last_id=last_id)
            case Group():
                out = self._group(canvas.tasks, flow, feed, name)
            case _:
                raise TypeError(f"a canvas is wanted, not {type(canvas).__name__}")
        if not isinstance(canvas, Signature):
            self._known.setdefault(id(canvas), []).append(out)
        self._link(canvas, flow, out, self.steps[first:])
        return out

    def _signature(
        self, signature: Signature, flow: PlannedWorkflow | None, feed: Out | None,
        name: str | None,
        id_: bytes | None,
    ) -> PlannedJob:  # fmt: skip
        step = self.step(signature, flow, name, id_)
        before = [] if feed is None else _flat(feed)
        if not before:
            self._begins.append(step)
        for item in before:
            step.wait_for(item)
        if feed is not None and not signature.immutable:
            step.input_ref = reference(feed)
        for other in signature.after:
            self._depend(step, other)
        return step

    def _group(
        self,
        tasks: Iterable[Canvas],
        flow: PlannedWorkflow | None,
        feed: Out | None,
        name: str | None,
    ) -> Out:
        tasks = [*tasks]
        if not tasks and (feed is not None or name is not None):
            return self._signature(NOTHING, flow, feed, name, None)
        return [
            self.place(task, flow, feed=feed, name=None if name is None else f"{name}[{at}]")
            for at, task in enumerate(tasks)
        ]

    def _link(
        self, canvas: Canvas, flow: PlannedWorkflow | None, out: Out, made: Iterable[PlannedJob]
    ) -> None:  # fmt: skip
        leaves = {id(leaf) for leaf in canvas.leaves()} if canvas.errbacks else set()
        steps = [step for step in made if id(step.signature) in leaves]
        for callback in canvas.links:
            self.place(callback, flow, feed=out)
        for callback in canvas.errbacks:
            for leaf in self._begin(callback, flow):
                leaf.rule = int(Rule.FAILED)
                if not leaf.signature.immutable:
                    leaf.input_ref = FailedJobs([step.id for step in steps])
                for step in steps:
                    leaf.wait_for(step)

    def _begin(self, callback: Canvas, flow: PlannedWorkflow | None) -> list[PlannedJob]:
        """Lay out an errback; its first steps."""
        before = len(self._begins)
        self.place(callback, flow)
        begins = self._begins[before:]
        del self._begins[before:]
        return begins

    def _depend(self, step: PlannedJob, other: Any) -> None:
        if isinstance(other, str) and not is_id(other):
            out = self._outs.get((step.flow, other))
            if out is None:
                raise WorkflowInvalid(
                    f"{step.signature.task} depends on {other!r}: there is no node of that name "
                    "beside it in a workflow"
                )
            for item in _flat(out):
                step.wait_for(item)
            return
        if isinstance(other, Canvas | Workflow | Batch):
            known = self._known.get(id(other))
            if known is None:
                raise WorkflowInvalid(
                    f"{step.signature.task} depends on {other!r}, which is not sent with it: send "
                    "that first and depend on its result, or put both into one workflow"
                )
            for item in _flat(known):
                step.wait_for(item)
            return
        step.external.append(external_id(other))

    # -- workflows --------------------------------------------------------------------------------

    def workflow(
        self, workflow: Workflow, parent: PlannedWorkflow | None = None, *, name: str | None = None
    ) -> PlannedWorkflow:  # fmt: skip
        """Lay out a workflow that was validated."""
        flow = self.flow(
            parent, name, kind="workflow", label=workflow.name, policy=workflow.failure_policy,
            workflow=workflow,
        )  # fmt: skip
        outs: dict[int, Out] = {}
        for node in _in_order(workflow.nodes):
            outs[id(node)] = self._outs[flow, node.name] = self._node(node, flow, outs)
        flow.outputs_by_name = {
            n.name: reference(outs[id(n)]) for n in workflow.nodes if isinstance(outs[id(n)], list)
        }
        return flow

    def batch(
        self, batch: Batch, parent: PlannedWorkflow | None = None, *, name: str | None = None
    ) -> PlannedWorkflow:  # fmt: skip
        """Lay out a batch whose calls fit into memory."""
        flow = self.flow(
            parent, name, kind="batch", label=batch.name, policy=batch.policy,
            collects=batch.collects,
        )  # fmt: skip
        members: list[Any] = [
            self._signature(signature, flow, None, None, None) for signature in batch.calls()
        ]
        if batch.then is not None or not members:
            then = self._signature(batch.then or NOTHING, flow, members, "then", None)
            if batch.on_failure == "collect":
                then.rule = int(Rule.ENDED)
        return flow

    def _node(self, node: WorkflowNode, flow: PlannedWorkflow, outs: Mapping[int, Out]) -> Out:
        before = [outs[id(n)] for n in node.after]
        first, first_begin = len(self.steps), len(self._begins)
        gate = None
        if node.when is not None and not isinstance(node.content, Canvas):
            gate = self._signature(NOTHING, flow, None, None, None)
        match node.content:
            case Workflow():
                out: Out = self.workflow(node.content, flow, name=node.name)
            case Batch():
                out = self.batch(node.content, flow, name=node.name)
            case _:
                out = self.place(node.content, flow, name=node.name)
                for step in self.steps[first:]:
                    step.wait_for_children = node.wait_for_children
        if not isinstance(node.content, Canvas):
            self._known.setdefault(id(node.content), []).append(out)
        inputs = {n.name: reference(o) for n, o in zip(node.after, before, strict=True)}
        waits = [item for out_before in before for item in _flat(out_before)]
        waits += [self._gates[item] for item in waits if item in self._gates]
        begins = self._begins[first_begin:]
        if gate is not None and isinstance(out, PlannedWorkflow):
            self._gates[out] = gate
            for step in begins[1:]:
                step.wait_for(gate)
                step.inputs = {**inputs, **step.inputs}
        for step in begins if gate is None else [gate]:
            self._enter(step, node, waits, inputs)
        if node.after:
            del self._begins[first_begin:]
        return out

    def _enter(
        self,
        step: PlannedJob,
        node: WorkflowNode,
        waits: list[PlannedItem],
        inputs: Mapping[str, ResultRef],
    ) -> None:
        """A step with which a node begins waits for what the node waits for."""
        for item in waits:
            step.wait_for(item)
        step.inputs = {**inputs, **step.inputs}
        if node.when is not None:
            step.when = node.when
            step.rule |= CONDITIONAL
        if node.after_skipped == "run":
            step.rule = (step.rule & CONDITIONAL) | int(Rule.NOT_FAILED)


def plan_of(work: Any, new_id: NewId) -> Plan:
    """The plan of whatever can be sent.

    Raises:
        WorkflowInvalid: a fault in its structure.
    """
    plan = Plan(new_id)
    match work:
        case Workflow():
            plan.out = plan.workflow(work.validate())
        case Batch():
            plan.out = plan.batch(work)
        case Signature() if not (work.links or work.errbacks):
            plan.out = plan.place(work, None)
        case Canvas():
            kind = type(work).__name__.lower()
            kind = "chain" if kind == "signature" else kind
            flow = plan.flow(
                None, kind=kind, label=_label(work), policy=FailurePolicy.CONTINUE_ON_FAILURE
            )
            plan.out = plan.place(work, flow)
        case _:
            raise TypeError(
                "a signature, canvas, workflow or batch can be sent, not "
                f"{type(work).__name__}: make one with task.s(...)"
            )
    return plan


def reference(out: Out) -> ResultRef:
    """Where the results of an output will be found."""
    match out:
        case PlannedJob():
            return ResultRef(out.id)
        case PlannedWorkflow(kind="batch"):
            return reference([i for i in out.items if i.name != "then"])
        case PlannedWorkflow():
            return ResultRef({i.name: reference(i) for i in out.items if i.name is not None})
        case list() if _is_range(out):
            return ResultRef(JobRange(out[0].id, out[-1].id, out[0].flow.id))
        case list():
            return ResultRef([reference(part) for part in out])
        case _:
            raise TypeError(f"{out!r} has no results")


def external_id(other: Any) -> bytes:
    """The id that a result, workflow result, UUID or text stands for."""
    key = getattr(other, "id", other)
    if isinstance(key, str) and is_id(key):
        key = uuid.UUID(key)
    if not isinstance(key, uuid.UUID):
        raise WorkflowInvalid(f"a job cannot depend on {other!r}: give a result, an id or a name")
    return key.bytes


def _is_range(out: list[Any]) -> bool:
    """Steps of one workflow that stand side by side, in the order of their ids."""
    if len(out) < _RANGE or not all(isinstance(i, PlannedJob) for i in out) or out[0].flow is None:
        return False
    return all(
        b.flow is a.flow and b.position == a.position + 1 and b.id > a.id
        for a, b in itertools.pairwise(out)
    )


def _flat(out: Out) -> list[PlannedItem]:
    if isinstance(out, PlannedItem):
        return [out]
    return [item for part in out for item in _flat(part)]


def _in_order(nodes: list[WorkflowNode]) -> list[WorkflowNode]:
    """Each node after all that it waits for, otherwise in the order of definition."""
    order: list[WorkflowNode] = []
    seen: set[int] = set()
    for root in nodes:
        stack = [root]
        while stack:
            node = stack[-1]
            if id(node) in seen:
                stack.pop()
                continue
            missing = [n for n in node.after if id(n) not in seen]
            if missing:
                stack += reversed(missing)
            else:
                seen.add(id(node))
                order.append(stack.pop())
    return order


def _label(canvas: Canvas) -> str:
    """A canvas has no name: the names of its first tasks stand for it."""
    kind = type(canvas).__name__.lower()
    tasks = []
    for leaf in canvas.leaves():
        tasks.append(leaf.task.rpartition(".")[2])
        if len(tasks) == 4:
            break
    return f"{kind} of {', '.join(tasks[:3])}{' ...' if len(tasks) > 3 else ''}"
