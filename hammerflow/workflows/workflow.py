"""Workflow: named jobs that wait for each other, checked before anything is written."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Collection, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from graphlib import CycleError, TopologicalSorter
from typing import Any

from hammerflow.canvas.chain import Canvas, Group
from hammerflow.canvas.signature import Signature
from hammerflow.conditions.evaluator import Condition, compile_condition
from hammerflow.errors import ConditionError, ConfigError, WorkflowInvalid
from hammerflow.ids import is_id
from hammerflow.introspection.kinds import is_a, kind_name
from hammerflow.jobs.backoff import Backoff
from hammerflow.jobs.status import FailurePolicy
from hammerflow.options.checks import items_of
from hammerflow.options.option import checked, documented
from hammerflow.text import checked_name, placed, plain_text, safe_repr
from hammerflow.workflows.batch import Batch, submit_work
from hammerflow.workflows.graph import Graph, GraphNode, draw
from hammerflow.workflows.options import NODE_OPTIONS, WORKFLOW_OPTIONS

__all__ = ["Workflow", "WorkflowNode", "condition_of", "whole_of"]

#: What a plan adds to the name of a node for each step of a chain, and each member of a group.
_PART = re.compile(r"(\.\d+|\[\d+\])$")


@dataclass(eq=False, slots=True)
class WorkflowNode:
    """A node of a workflow: a job, canvas, batch or workflow, and what it waits for."""

    name: str
    content: Any  # a Canvas, Workflow or Batch
    given_after: list[str | WorkflowNode]  # as the user gave it
    when: str | None
    after_skipped: str
    wait_for_children: bool
    condition: Condition | None = None
    after: list[WorkflowNode] = field(default_factory=list)  # resolved by Workflow.validate

    @property
    def fields(self) -> list[str] | None:
        """The names that its result has in any case; None if only its task knows them."""
        if isinstance(self.content, Workflow):
            return [node.name for node in self.content.nodes]
        return [] if isinstance(self.content, Group | Batch) else None

    @property
    def is_composed(self) -> bool:
        """Whether it is a chain, group or chord, whose jobs are named after the node."""
        return isinstance(self.content, Canvas) and not isinstance(self.content, Signature)


@documented(*WORKFLOW_OPTIONS)
class Workflow:
    """Jobs that depend on each other: a directed acyclic graph of named nodes.

    ``Workflow("etl").add(extract.s()).then(transform.s()).then(load.s()).enqueue()``

    Args:
        name: 1 to 255 printable characters, shown in lists.
        submit: sends it; the ``enqueue`` of its app. By default that of its first signature.

    Raises:
        ConfigError: an option is out of range.
        WorkflowInvalid: the name is empty, too long or not printable.
    """

    def __init__(
        self,
        name: str,
        failure_policy: FailurePolicy | str = FailurePolicy.FAIL_FAST,
        *,
        description: str | None = None,
        timeout: float | timedelta | None = None,
        priority: int | None = None,
        retry: Backoff | int | Mapping[str, Any] | None = None,
        health_check_interval: float | timedelta | None = None,
        trace_id: str | None = None,
        correlation_id: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        submit: Callable[[Any], Any] | None = None,
    ) -> None:
        self.name = _name(name, "a workflow's name")
        given = {
            "failure_policy": failure_policy, "description": description, "timeout": timeout,
            "priority": priority, "retry": retry, "health_check_interval": health_check_interval,
            "trace_id": trace_id, "correlation_id": correlation_id, "metadata": metadata,
        }  # fmt: skip
        found = checked(WORKFLOW_OPTIONS, given, f"workflow {self.name}")
        self.failure_policy = FailurePolicy(found.get("failure_policy", FailurePolicy.FAIL_FAST))
        self.description: str | None = found.get("description")
        self.timeout: float | None = found.get("timeout")
        self.priority: int | None = found.get("priority")
        self.retry: dict[str, Any] = found.get("retry", {})
        self.health_check_interval: float | None = found.get("health_check_interval")
        self.trace_id: str | None = found.get("trace_id")
        self.correlation_id: str | None = found.get("correlation_id")
        self.metadata: dict[str, Any] = found.get("metadata", {})
        self.submit = submit
        self.nodes: list[WorkflowNode] = []
        self._names: dict[str, WorkflowNode] = {}
        self._numbers: dict[str, Iterator[int]] = {}  # for nodes without a name, by task
        self._last: list[WorkflowNode] = []  # what `then` waits for

    def add(
        self,
        job: Canvas | Workflow | Batch,
        *,
        name: str | None = None,
        after: str | WorkflowNode | Iterable[str | WorkflowNode] | None = None,
        when: str | None = None,
        after_skipped: str = "skip",
        wait_for_children: bool = False,
    ) -> Workflow:
        """Add a node; ``then`` continues from it.

        Args:
            job: a signature, canvas or batch, or an inner workflow.
            name: unique in this workflow; by default the name of the function.
            after: names of nodes that must have completed before; they may be added later.
            when: a condition on their results; the node is skipped when it is false.
            after_skipped: "skip" or "run": what happens to this node when a condition has skipped
                one that it waits for.
            wait_for_children: if True, the nodes after this spawner wait for its children, too.

        Returns:
            The workflow itself.

        Raises:
            WorkflowInvalid: the name is taken.
            TypeError: ``job`` is of another type.
            ConfigError: ``after_skipped`` is unknown.
        """
        self._last = [self._node(job, name, after, when, after_skipped, wait_for_children)]
        return self

    def add_parallel(
        self,
        jobs: Iterable[Canvas | Workflow | Batch],
        *,
        after: str | WorkflowNode | Iterable[str | WorkflowNode] | None = None,
        when: str | None = None,
    ) -> Workflow:
        """Add nodes that run in parallel; ``then`` waits for all of them.

        Args:
            jobs: one for each node, as in :meth:`add`.
            after: names of nodes that must have completed before.
            when: a condition on their results, for each of the nodes.
        """
        several = items_of(jobs, f"workflow {self.name}: jobs must be a list of signatures")
        self._last = self._nodes(several, after, when, "skip", False)
        return self

    def then(
        self,
        job: Canvas | Workflow | Batch | Sequence[Canvas | Workflow | Batch],
        *,
        name: str | None = None,
        when: str | None = None,
        after_skipped: str = "skip",
        wait_for_children: bool = False,
    ) -> Workflow:
        """Add a node, or a list of parallel nodes, after what was added last.

        The arguments are those of :meth:`add`; only a single node can have a name.
        """
        front: list[str | WorkflowNode] = [*self._last]
        if is_a(job, list | tuple):
            if name is not None:
                raise ConfigError("a list of nodes has no name: add them one by one with after=")
            jobs = items_of(job, f"workflow {self.name}: jobs must be a list of signatures")
            made = self._nodes(jobs, front, when, after_skipped, wait_for_children)
        else:
            made = [self._node(job, name, front, when, after_skipped, wait_for_children)]
        self._last = made or self._last
        return self

    def __len__(self) -> int:
        return len(self.nodes)

    def __repr__(self) -> str:
        return f"<Workflow {self.name}: {len(self.nodes)} nodes>"

    def node(self, name: str) -> WorkflowNode:
        """The node with a name; if there is none, the WorkflowInvalid lists the names."""
        plain = plain_text(name)
        if plain is None or plain not in self._names:
            known = ", ".join(sorted(self._names)[:20]) or "none yet"
            raise WorkflowInvalid(
                f"workflow {self.name} has no node {safe_repr(name)} (there are: {known})"
            )
        return self._names[plain]

    def validate(self, *, inside: tuple[Workflow, ...] = ()) -> Workflow:
        """Check names, cycles and conditions; tasks and arguments are checked by ``enqueue``.

        Args:
            inside: the workflows around this one.

        Raises:
            WorkflowInvalid: the first fault; of a cycle the message names the path.
        """
        self._check_nodes()
        if any(outer is self for outer in inside):
            raise WorkflowInvalid(f"workflow {self.name} contains itself")
        self._resolve()
        self._check_cycles()
        composed = {node.name for node in self.nodes if node.is_composed}
        for node in self.nodes:
            if (whole := whole_of(node.name, composed)) not in (None, node.name):
                raise WorkflowInvalid(
                    f"the name of node {node.name!r} is that of a job of node {whole!r}: choose "
                    "another name"
                )
            self._check_condition(node)
            if isinstance(node.content, Workflow):
                node.content.validate(inside=(*inside, self))
        return self

    def graph(self, format: str = "mermaid", **limits: Any) -> str:  # noqa: A002 - as the command
        """The graph as text.

        Args:
            format: ``mermaid``, ``dot``, ``json`` or ``text``.
            limits: ``max_nodes`` and ``max_depth``, beyond which nodes are folded.
        """
        self._resolve()
        nodes = [GraphNode(n.name, n.name, _task(n.content), note=n.when) for n in self.nodes]
        edges = [(before.name, node.name) for node in self.nodes for before in node.after]
        return draw(Graph(self.name, nodes, edges), format, **limits)

    def enqueue(self) -> Any:
        """Check it and write it in one transaction.

        Returns:
            The WorkflowResult.

        Raises:
            WorkflowInvalid: a cycle, an unknown name or task, or wrong arguments; nothing was
                written.
            ConfigError: none of its signatures has an app.
        """
        self._check_nodes()
        return submit_work(self, self._submit_of_leaves())

    delay = enqueue

    def _nodes(self, jobs: Iterable[Any], *options: Any) -> list[WorkflowNode]:
        """A node without a name for each job; the error of one has its index."""
        made: list[WorkflowNode] = []
        for index, job in enumerate(jobs):
            try:
                made.append(self._node(job, None, *options))
            except TypeError as error:
                raise placed(error, f"jobs[{index}]") from None
        return made

    def _node(
        self,
        job: Any,
        name: str | None,
        after: Any,
        when: str | None,
        after_skipped: str,
        wait_for_children: bool,
    ) -> WorkflowNode:
        if not is_a(job, Canvas | Workflow | Batch):
            kind = kind_name(job)
            raise TypeError(f"a node must be a signature, canvas, batch or workflow, not {kind}")
        given = {
            "after": after, "when": when, "after_skipped": after_skipped,
            "wait_for_children": wait_for_children,
        }  # fmt: skip
        options = {
            "after": [], "when": None, "after_skipped": "skip", "wait_for_children": False,
            **checked(NODE_OPTIONS, given, f"workflow {self.name}: a node"),
        }  # fmt: skip
        name = self._fresh(job) if name is None else _name(name, "a node's name")
        if name in self._names:
            raise WorkflowInvalid(f"workflow {self.name} has two nodes named {name!r}")
        node = WorkflowNode(name, job, *options.values())
        self.nodes.append(node)
        self._names[name] = node
        return node

    def _fresh(self, job: Any) -> str:
        base = job.name if isinstance(job, Workflow | Batch) else _task(job).rpartition(".")[2]
        if base not in self._names:
            return base
        numbers = self._numbers.setdefault(base, itertools.count(2))
        return next(name for n in numbers if (name := f"{base}-{n}") not in self._names)

    def _resolve(self) -> None:
        """Find the nodes that each node waits for.

        This comes last, because a name may be given before its node is added, and
        ``signature.depends_on`` may be called after it.
        """
        owners = {id(node.content): node for node in self.nodes}
        for node in self.nodes:
            after = [self.node(n) if isinstance(n, str) else n for n in node.given_after]
            leaves = node.content.leaves() if isinstance(node.content, Canvas) else ()
            for other in itertools.chain.from_iterable(leaf.after for leaf in leaves):
                if isinstance(other, str) and not is_id(other):
                    after.append(self.node(other))
                elif id(other) in owners:
                    after.append(owners[id(other)])
            if node in after:
                raise WorkflowInvalid(
                    f"node {node.name!r} of workflow {self.name} waits for itself"
                )
            foreign = next((n for n in after if self._names.get(n.name) is not n), None)
            if foreign is not None:
                raise WorkflowInvalid(
                    f"node {node.name!r} waits for {foreign.name!r}, a node of another workflow"
                )
            node.after = [*dict.fromkeys(after)]

    def _check_nodes(self) -> None:
        if not self.nodes:
            raise WorkflowInvalid(f"workflow {self.name} has no nodes")

    def _check_cycles(self) -> None:
        try:
            TopologicalSorter({node: node.after for node in self.nodes}).prepare()
        except CycleError as error:
            cycle = " -> ".join(node.name for node in error.args[1])
            raise WorkflowInvalid(f"workflow {self.name} has a cycle: {cycle}") from None

    def _check_condition(self, node: WorkflowNode) -> None:
        if node.when is None:
            return
        if not node.after:
            raise WorkflowInvalid(
                f"node {node.name!r} has a condition but no dependencies whose results it can read"
            )
        try:
            node.condition = condition_of(node.when, [n.name for n in node.after], self._names)
        except ConditionError as error:
            raise WorkflowInvalid(f"node {node.name!r}: {error}") from error
        only = node.after[0]
        fields = node.condition.names.difference(n.name for n in node.after)
        if only.fields is not None and (unknown := fields.difference(only.fields)):
            has = f"has only {', '.join(only.fields[:20])}" if only.fields else "is a list"
            raise WorkflowInvalid(
                f"node {node.name!r}: the condition reads {min(unknown)!r}, but the result of "
                f"{only.name!r} {has}"
            )

    def _submit_of_leaves(self) -> Callable[[Any], Any] | None:
        submits = (
            node.content._submit_of_leaves()
            if isinstance(node.content, Workflow)
            else node.content.submit
            for node in self.nodes
        )
        return self.submit or next(filter(None, submits), None)


def condition_of(source: str, dependencies: Sequence[str], nodes: Container[str]) -> Condition:
    """Compile the condition of a node.

    Args:
        dependencies: the names of the nodes that it depends on.
        nodes: the names of all nodes of the workflow.

    Raises:
        ConditionError: it is malformed, or reads a node that is not a dependency.
    """
    condition = compile_condition(source, dependencies)
    for name in sorted(condition.names.difference(dependencies)):
        if name in nodes:  # else it is a field of the only dependency
            raise ConditionError(
                f"{name!r} is a node that is not a dependency: add it to them, or write "
                f"deps[{dependencies[0]!r}].{name} for a field of that name"
            )
    return condition


def whole_of(name: str, composed: Collection[str]) -> str | None:
    """The node of a job: the one of ``composed`` nodes that a name such as ``node[0].2`` begins
    with; None if there is none."""
    while name not in composed:
        shorter = _PART.sub("", name)
        if shorter == name:
            return None
        name = shorter
    return name


def _name(value: Any, what: str) -> str:
    try:
        return checked_name(value, what)
    except ConfigError as error:
        raise WorkflowInvalid(str(error)) from None


def _task(content: Any) -> str:
    """The name after which a node without one is called."""
    if isinstance(content, Signature):
        return content.task
    if isinstance(content, Workflow | Batch):
        return content.name
    return next((leaf.task for leaf in content.leaves()), type(content).__name__.lower())
