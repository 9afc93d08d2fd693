"""A spawn tree: read from the store with wide levels folded, as a graph to draw or as JSON."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hammerflow.admin.jobs import error_notes
from hammerflow.jobs.job import DependencyStatus, Job, JobState
from hammerflow.stores.store import Store
from hammerflow.text import counts_text
from hammerflow.workflows.graph import Graph, GraphNode

__all__ = ["CHART_MOST", "SpawnNode", "as_graph", "as_json", "nodes_of", "read_tree"]

_MOST = 2_000  # nodes that are read one by one
#: Mermaid draws no more than 500 edges; nodes that are cut or folded have some below them, too.
CHART_MOST = 200


@dataclass(slots=True)
class SpawnNode:
    """A job and what it spawned: children one by one, or folded, and the fan-in.

    Attributes:
        error: what went wrong last, for the note.
        folded: task to state to count of the children that are not in ``children``.
        is_cut: there is more below than was asked for.
    """

    job: Job
    error: str = ""
    folded: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    children: list[SpawnNode] = field(default_factory=list)
    is_cut: bool = False

    @property
    def is_fan_in(self) -> bool:
        """Whether it waits, or waited, for its siblings."""
        return self.job.dependency_status is not DependencyStatus.NONE


def read_tree(store: Store, job: Job, *, max_depth: int, wide: int, most: int = _MOST) -> SpawnNode:
    """A job and its descendants.

    Args:
        max_depth: generations below the job.
        wide: a job with more children than this has them counted by task and state; their own
            children are not read.
        most: nodes from which on no more children are read.
    """
    root = SpawnNode(job)
    layer, left = [root], most
    for depth in range(max_depth + 1):
        for node in layer:
            if depth == max_depth or left <= 0:
                node.is_cut = bool(store.jobs.children(node.job.id.bytes, limit=1))
            else:
                _read_children(store, node, wide)
                left -= len(node.children)
        layer = [child for node in layer for child in node.children]
    _read_errors(store, root)
    return root


def nodes_of(root: SpawnNode) -> Sequence[SpawnNode]:
    """A node and all below it that were read, generation by generation."""
    nodes = [root]
    for node in nodes:
        nodes += node.children
    return nodes


def _read_errors(store: Store, root: SpawnNode) -> None:
    failed = [node for node in nodes_of(root) if node.job.state is JobState.FAILED]
    errors = error_notes(store, [node.job.id.bytes for node in failed])
    for node in failed:
        node.error = errors.get(node.job.id.bytes, "")


def _read_children(store: Store, node: SpawnNode, wide: int) -> None:
    key = node.job.id.bytes
    # One more than wide, and the fan-in that comes last.
    page = [SpawnNode(job) for job in store.jobs.children(key, limit=wide + 2)]
    if sum(not child.is_fan_in for child in page) <= wide:
        node.children = page
        return
    folded: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for state, task, count in store.jobs.children_states(key):
        folded[task][state] = count
    total = sum(states.total() for states in folded.values())
    last = [SpawnNode(job) for job in store.jobs.children(key, after=total - 2, limit=1)]
    node.children = [child for child in last if child.is_fan_in]
    for child in node.children:  # listed and not folded; the counts may be older than its state
        states, state = folded[child.job.task], str(child.job.state)
        states -= Counter([state if state in states else next(iter(states), "")])
    node.folded = {task: states for task, states in folded.items() if states}


def as_graph(root: SpawnNode) -> Graph:
    """The tree as nodes and edges, each folded set of children one node."""
    nodes: list[GraphNode] = []
    edges: list[tuple[str, str]] = []
    due = [root]
    for tree in due:
        key = str(tree.job.id)
        nodes.append(_graph_node(tree))
        below = [
            GraphNode(f"{key}/{task}", task, note=counts_text(states), size=sum(states.values()))
            for task, states in tree.folded.items()
        ]
        if tree.is_cut:
            below.append(GraphNode(f"{key}/more", "... more below (--max-depth)"))
        nodes += below
        edges += [(key, node.key) for node in below]
        edges += [(key, str(child.job.id)) for child in tree.children]
        due += tree.children
    return Graph(None, nodes, edges)


def _graph_node(node: SpawnNode) -> GraphNode:
    job = node.job
    notes = (
        str(job.id),
        "fan-in" if node.is_fan_in else "",
        f"attempt {job.attempt}" if job.attempt > 1 else "",
        f"{job.progress:.0%}" if job.progress is not None and not job.state.is_final else "",
        job.reason or node.error,
    )
    return GraphNode(
        str(job.id), job.task, job.task, job.state, note=", ".join(filter(None, notes))
    )


def as_json(node: SpawnNode) -> dict[str, Any]:
    """The tree as nested objects."""
    names = ("id", "task", "state", "attempt", "spawn_index", "reason")
    return {
        **{name: getattr(node.job, name) for name in names},
        "error": node.error or None,
        "is_fan_in": node.is_fan_in,
        "children": [as_json(child) for child in node.children],
        "folded": [
            {"task": task, "count": sum(states.values()), "states": states}
            for task, states in node.folded.items()
        ],
        "is_cut": node.is_cut,
    }
