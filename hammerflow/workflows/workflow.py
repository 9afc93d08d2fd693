"""Workflow and Batch: named jobs that wait for each other, checked before anything is written."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any

from hammerflow.canvas.signature import Canvas, Signature, plain
from hammerflow.conditions.evaluator import Condition, compile_condition
from hammerflow.durations import seconds
from hammerflow.errors import ConditionError, ConfigError, WorkflowInvalid
from hammerflow.jobs.backoff import Backoff
from hammerflow.jobs.status import FailurePolicy
from hammerflow.workflows.graph import Graph, GraphNode, draw

__all__ = ["Batch", "Workflow", "WorkflowNode", "is_id"]

_MODES = ("continue", "fail_fast", "collect")


class Batch:
    """Many calls as one thing: made by ``app.batch(...)``, sent alone or as a node of a workflow.

    Args:
        signatures: any number of calls; a generator is read once, when it is sent.
        on_failure: ``continue`` (the rest runs, ``then`` is skipped, the batch fails),
            ``fail_fast`` (what has not started is cancelled) or ``collect`` (the rest runs, then
            ``then`` runs with the results of those that completed, None for the others; the
            batch completes).
        then: runs after all of them, with the list of their results as first argument.
        name: shown in lists.
    """

    __slots__ = ("_was_read", "name", "on_failure", "signatures", "submit", "then")

    def __init__(
        self,
        signatures: Iterable[Signature],
        *,
        on_failure: str = "continue",
        then: Signature | None = None,
        name: str = "batch",
        submit: Callable[[Any], Any] | None = None,
    ) -> None:
        if on_failure not in _MODES:
            raise ConfigError(f"on_failure is one of {', '.join(_MODES)}, not {on_failure!r}")
        if then is not None:
            then = plain(then, "what comes after a batch")
        self._was_read = False
        self.signatures = signatures
        self.on_failure = on_failure
        self.then = then
        self.name = name
        self.submit = submit

    def enqueue(self) -> Any:
        """Write all calls in one transaction.

        Returns:
            BatchResult.
        """
        return _submit(self, self.submit)

    delay = enqueue

    def calls(self) -> Iterator[Signature]:
        """Its calls.

        Raises:
            TypeError: one of them is no signature.
            ConfigError: one has links.
            WorkflowInvalid: they came from a generator that was read before.
        """
        if self._was_read and iter(self.signatures) is self.signatures:
            raise WorkflowInvalid(
                f"the calls of batch {self.name} came from a generator, which was read when it was "
                "sent: make a new batch"
            )
        self._was_read = True
        for signature in self.signatures:
            yield plain(signature, "a call of a batch")

    @property
    def collects(self) -> int:
        """Whether failures are no failure of the batch; 1: but for that of ``then``."""
        return 0 if self.on_failure != "collect" else 1 if self.then is not None else 2

    @property
    def policy(self) -> FailurePolicy:
        """The failure policy that ``on_failure`` stands for."""
        if self.on_failure == "fail_fast":
            return FailurePolicy.FAIL_FAST
        return FailurePolicy.CONTINUE_ON_FAILURE


class WorkflowNode:
    """A place in a workflow."""

    __slots__ = (
        "after",
        "after_skipped",
        "condition",
        "content",
        "name",
        "wait_for_children",
        "when",
    )

    def __init__(
        self,
        name: str,
        content: Any,  # Canvas, Workflow or Batch
        after: list[WorkflowNode],
        when: str | None,
        after_skipped: str,
        wait_for_children: bool,
    ) -> None:
        self.name = name
        self.content = content
        self.after = after
        self.when = when
        self.after_skipped = after_skipped
        self.wait_for_children = wait_for_children
        self.condition: Condition | None = None


class Workflow:
    """Jobs that wait for each other, and what a failure among them means.

    ``Workflow("etl").add(extract.s()).then(transform.s()).then(load.s()).enqueue()``

    Args:
        name: shown in lists.
        failure_policy: what happens to the rest when a node fails.
        description: for people.
        timeout: seconds or timedelta from enqueue until it is ended as failed.
        priority: of nodes without one of their own.
        retry: for nodes without their own: a backoff, a number of attempts, or a mapping with
            ``max_attempts`` and ``backoff``.
        health_check_interval: seconds or timedelta between two looks of a worker at its jobs,
            kept with the workflow (``workflow show``).
        trace_id: carried by all its jobs.
        correlation_id: for people and other systems.
        metadata: a mapping that JSON can hold.
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
        try:
            self.failure_policy = FailurePolicy(failure_policy)
        except ValueError:
            known = ", ".join(FailurePolicy)
            raise ConfigError(f"failure_policy is one of {known}, not {failure_policy!r}") from None
        self.description = description
        self.timeout = None if timeout is None else seconds(timeout, "timeout")
        self.priority = priority
        self.retry = _retry(retry)
        self.health_check_interval = (
            None
            if health_check_interval is None
            else seconds(health_check_interval, "health_check_interval")
        )
        self.trace_id = trace_id
        self.correlation_id = correlation_id
        self.metadata = dict(metadata or {})
        self.submit = submit
        self.nodes: list[WorkflowNode] = []
        self._names: dict[str, WorkflowNode] = {}
        self._front: list[WorkflowNode] = []
        self._late: list[tuple[WorkflowNode, list[str]]] = []  # names that were not there yet

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
            job: a signature, a canvas, a batch, or a workflow to stand inside this one.
            name: unique here; the function's name when left out.
            after: names of nodes that must have completed before (they may be added later).
            when: a condition on their results (docs/conditions.md); the node is skipped when it
                is false.
            after_skipped: "skip" or "run": what becomes of this node when one that it waits for
                was skipped by a condition.
            wait_for_children: what waits for this spawner waits for its children, too.

        Raises:
            WorkflowInvalid: the name is taken.
        """
        self._front = [self._node(job, name, _list(after), when, after_skipped, wait_for_children)]
        return self

    def add_parallel(
        self,
        jobs: Iterable[Canvas | Workflow | Batch],
        *,
        after: str | WorkflowNode | Iterable[str | WorkflowNode] | None = None,
        when: str | None = None,
    ) -> Workflow:
        """Add nodes that run at once; ``then`` waits for all of them."""
        waits = _list(after)
        self._front = [self._node(job, None, waits, when, "skip", False) for job in jobs]
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
        """Add a node (or several at once) that waits for what was added last."""
        front: list[str | WorkflowNode] = [*self._front]
        if isinstance(job, list | tuple):
            if name is not None:
                raise ConfigError("a name is for one node: add several one by one, with after=...")
            made = [self._node(j, None, front, when, after_skipped, wait_for_children) for j in job]
            self._front = made or self._front
            return self
        single: Any = job
        return self.add(
            single,
            name=name,
            after=front,
            when=when,
            after_skipped=after_skipped,
            wait_for_children=wait_for_children,
        )

    def __len__(self) -> int:
        return len(self.nodes)

    def __repr__(self) -> str:
        return f"<Workflow {self.name}: {len(self.nodes)} nodes>"

    def node(self, name: str) -> WorkflowNode:
        """The node of a name.

        Raises:
            WorkflowInvalid: there is none.
        """
        if name not in self._names:
            known = ", ".join(sorted(self._names)[:20]) or "none yet"
            raise WorkflowInvalid(f"workflow {self.name} has no node {name!r} (there are: {known})")
        return self._names[name]

    def validate(self, *, inside: tuple[Workflow, ...] = ()) -> Workflow:
        """Check names, cycles and conditions; what needs the app is checked when it is enqueued.

        Args:
            inside: the workflows around this one.

        Raises:
            WorkflowInvalid: the first fault; of a cycle the message names the path.
        """
        if not self.nodes:
            raise WorkflowInvalid(f"workflow {self.name} has no nodes")
        if any(outer is self for outer in inside):
            raise WorkflowInvalid(f"workflow {self.name} stands inside itself")
        self._resolve()
        self._check_cycles()
        for node in self.nodes:
            self._check_condition(node)
            if isinstance(node.content, Workflow):
                node.content.validate(inside=(*inside, self))
        return self

    def graph(self, format: str = "mermaid", **limits: Any) -> str:  # noqa: A002 - as the command
        """The graph as text: ``mermaid``, ``dot``, ``json`` or ``text``."""
        self._resolve()
        nodes = [GraphNode(n.name, n.name, _task(n.content), note=n.when) for n in self.nodes]
        edges = [(before.name, node.name) for node in self.nodes for before in node.after]
        return draw(Graph(self.name, nodes, edges), format, **limits)

    def enqueue(self) -> Any:
        """Check it whole and write it in one transaction.

        Returns:
            WorkflowResult.

        Raises:
            WorkflowInvalid: a cycle, an unknown name, task or argument: nothing was written.
        """
        return _submit(self, self._submit_of_leaves())

    delay = enqueue

    # -- inside -----------------------------------------------------------------------------------

    def _node(
        self,
        job: Any,
        name: str | None,
        after: list[str | WorkflowNode],
        when: str | None,
        after_skipped: str,
        wait_for_children: bool,
    ) -> WorkflowNode:
        if not isinstance(job, Canvas | Workflow | Batch):
            kind = type(job).__name__
            raise TypeError(f"a node is a signature, canvas, batch or workflow, not {kind}")
        if after_skipped not in ("skip", "run"):
            raise ConfigError(f"after_skipped is 'skip' or 'run', not {after_skipped!r}")
        name = self._fresh(job) if name is None else _name(name, "a node's name")
        if name in self._names:
            raise WorkflowInvalid(f"workflow {self.name} has two nodes named {name!r}")
        node = WorkflowNode(name, job, [], when, after_skipped, wait_for_children)
        late = [other for other in after if isinstance(other, str)]
        node.after = [other for other in after if isinstance(other, WorkflowNode)]
        waits = [other for leaf in _leaves(job) for other in leaf.after]
        late += [other for other in waits if isinstance(other, str) and not is_id(other)]
        if late:
            self._late.append((node, late))
        self.nodes.append(node)
        self._names[name] = node
        return node

    def _fresh(self, job: Any) -> str:
        base = job.name if isinstance(job, Workflow | Batch) else _task(job).rpartition(".")[2]
        name, n = base, 1
        while name in self._names:
            n += 1
            name = f"{base}-{n}"
        return str(name)

    def _resolve(self) -> None:
        """Names and signatures that nodes depend on become nodes."""
        late, self._late = self._late, []
        for node, names in late:
            for name in names:
                before = self.node(name)
                if before is node:
                    raise WorkflowInvalid(f"node {name!r} of workflow {self.name} waits for itself")
                node.after.append(before)
        owners = {id(node.content): node for node in self.nodes}
        for node in self.nodes:
            waits = [other for leaf in _leaves(node.content) for other in leaf.after]
            own = [owners[id(other)] for other in waits if id(other) in owners]
            if node in own:
                raise WorkflowInvalid(
                    f"node {node.name!r} of workflow {self.name} waits for itself"
                )
            node.after += own
            node.after = [*dict.fromkeys(node.after)]
            strange = next((n for n in node.after if self._names.get(n.name) is not n), None)
            if strange is not None:
                raise WorkflowInvalid(
                    f"node {node.name!r} waits for {strange.name!r}, a node of another workflow"
                )

    def _check_cycles(self) -> None:
        """Depth first, without recursion: graphs may be long."""
        state: dict[int, int] = {}
        for root in self.nodes:
            if id(root) in state:
                continue
            path: list[WorkflowNode] = [root]
            iterators = [iter(root.after)]
            state[id(root)] = 1
            while path:
                nxt = next(iterators[-1], None)
                if nxt is None:
                    state[id(path.pop())] = 2
                    iterators.pop()
                elif state.get(id(nxt)) == 1:
                    names = [n.name for n in path[path.index(nxt) :]]
                    cycle = " -> ".join([*reversed(names), names[-1]])
                    raise WorkflowInvalid(f"workflow {self.name} has a cycle: {cycle}")
                elif id(nxt) not in state:
                    state[id(nxt)] = 1
                    path.append(nxt)
                    iterators.append(iter(nxt.after))

    def _check_condition(self, node: WorkflowNode) -> None:
        if node.when is None:
            return
        if not node.after:
            raise WorkflowInvalid(
                f"node {node.name!r} has a condition and depends on nothing: a condition is on "
                "the results of its dependencies"
            )
        try:
            node.condition = compile_condition(node.when, [n.name for n in node.after])
        except ConditionError as error:
            raise WorkflowInvalid(f"node {node.name!r}: {error}") from error

    def _submit_of_leaves(self) -> Callable[[Any], Any] | None:
        if self.submit is not None:
            return self.submit
        for node in self.nodes:
            content = node.content
            if isinstance(content, Workflow):
                submit = content._submit_of_leaves()
            else:
                submit = content.submit
            if submit is not None:
                return submit
        return None


def _submit(work: Any, submit: Callable[[Any], Any] | None) -> Any:
    if submit is None:
        raise ConfigError("none of its signatures was made by a task: use app.enqueue(...)")
    return submit(work)


def _name(value: Any, what: str) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= 255 or not value.isprintable():
        raise WorkflowInvalid(f"{what} is 1 to 255 printable characters, not {value!r}")
    return value


def _list(after: Any) -> list[Any]:
    if after is None:
        return []
    return [after] if isinstance(after, str | WorkflowNode) else [*after]


def _leaves(content: Any) -> Iterable[Signature]:
    return content.leaves() if isinstance(content, Canvas) else ()


def is_id(text: str) -> bool:
    """Whether a text is an id of a job, not the name of a node."""
    try:
        uuid.UUID(text)
    except ValueError:
        return False
    return True


def _task(content: Any) -> str:
    """What a node without a name is called after."""
    if isinstance(content, Signature):
        return content.task
    if isinstance(content, Workflow | Batch):
        return content.name
    last: Iterator[Signature] = content.leaves()
    return next((leaf.task for leaf in last), type(content).__name__.lower())


def _retry(retry: Any) -> dict[str, Any]:
    if retry is None:
        return {}
    if isinstance(retry, int):
        return {"max_attempts": retry}
    if isinstance(retry, Mapping):
        unknown = retry.keys() - {"max_attempts", "backoff"}
        if unknown:
            raise ConfigError(f"retry holds max_attempts and backoff, not {min(unknown)!r}")
        return dict(retry)
    return {"backoff": retry}
