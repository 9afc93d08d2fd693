"""A spawn tree: read from the store with wide levels folded, as a graph to draw or as JSON."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from typing import Any

from hammerflow.errors import JobNotFound
from hammerflow.jobs.job import DependencyStatus, Job
from hammerflow.stores.store import Store
from hammerflow.workflows.graph import Graph, GraphNode

__all__ = ["CHART_MOST", "Folded", "SpawnNode", "as_graph", "as_json", "read_tree"]

_MOST = 2_000  # nodes that are read one by one
#: Mermaid draws no more than 500 edges; nodes that are cut or folded have some below them, too.
CHART_MOST = 200


@dataclass(slots=True)
class Folded:
    """Children of one task that were counted and not listed."""

    task: str
    states: dict[str, int] = field(default_factory=dict)

    @property
    def count(self) -> int:
        """How many they are."""
        return sum(self.states.values())


@dataclass(slots=True)
class SpawnNode:
    """A job and what it spawned: children one by one, or folded, and the fan-in."""

    job: Job
    folded: list[Folded] = field(default_factory=list)
    children: list[SpawnNode] = field(default_factory=list)
    is_cut: bool = False  # there may be more below than was asked for


def read_tree(
    store: Store, job_id: bytes, *, max_depth: int, wide: int, most: int = _MOST
) -> SpawnNode:
    """A job and its descendants.

    Args:
        max_depth: generations below the job.
        wide: a job with more children than this has them counted by task and state; their own
            children are not looked at.
        most: nodes from which on no more children are read.

    Raises:
        JobNotFound: there is no such job.
    """
    job = store.jobs.get(job_id)
    if job is None:
        raise JobNotFound(f"no job has the id {uuid.UUID(bytes=job_id)} in this database")
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
    return root


def _read_children(store: Store, node: SpawnNode, wide: int) -> None:
    key = node.job.id.bytes
    # One more than wide, and the fan-in that comes last.
    page = store.jobs.children(key, limit=wide + 2)
    plain = [job for job in page if job.dependency_status is DependencyStatus.NONE]
    if len(plain) <= wide:
        node.children = [SpawnNode(job) for job in page]
        return
    folded: dict[str, Folded] = {}
    for state, task, count in store.jobs.children_states(key):
        folded.setdefault(task, Folded(task)).states[state] = count
    total = sum(fold.count for fold in folded.values())
    last = store.jobs.children(key, after=total - 2, limit=1)
    if last and last[0].dependency_status is not DependencyStatus.NONE:
        _take_out(folded, last[0])
        node.children = [SpawnNode(last[0])]
    node.folded = [fold for fold in folded.values() if fold.count]


def _take_out(folded: dict[str, Folded], job: Job) -> None:
    """The fan-in is shown by itself; the counts may be a moment older than its state."""
    states = folded[job.task].states if job.task in folded else {}
    state = job.state if states.get(job.state) else next(iter(states), None)
    if state is not None:
        states[state] -= 1
        if not states[state]:
            del states[state]


# -- as a graph


def as_graph(root: SpawnNode) -> Graph:
    """The tree as nodes and edges, each folded set of children one node."""
    nodes: list[GraphNode] = []
    edges: list[tuple[str, str]] = []
    due = [root]
    for tree in due:
        key = str(tree.job.id)
        nodes.append(_graph_node(tree.job))
        below = [
            GraphNode(f"{key}/{number}", fold.task, note=_states(fold), size=fold.count)
            for number, fold in enumerate(tree.folded)
        ]
        if tree.is_cut:
            below.append(GraphNode(f"{key}/more", "... more below (--max-depth)"))
        nodes += below
        edges += [(key, node.key) for node in below]
        edges += [(key, str(child.job.id)) for child in tree.children]
        due += tree.children
    return Graph(None, nodes, edges)


def _graph_node(job: Job) -> GraphNode:
    notes = [str(job.id)]
    if job.dependency_status is not DependencyStatus.NONE:
        notes.append("fan-in")
    if job.attempt > 1:
        notes.append(f"attempt {job.attempt}")
    if job.progress is not None and not job.state.is_final:
        notes.append(f"{job.progress:.0%}")
    if job.reason:
        notes.append(job.reason)
    return GraphNode(str(job.id), job.task, job.task, job.state, note=", ".join(notes))


def _states(fold: Folded) -> str:
    return ", ".join(f"{count} {state}" for state, count in sorted(fold.states.items()))


# -- JSON


def as_json(node: SpawnNode) -> dict[str, Any]:
    """The tree as nested objects."""
    job = node.job
    return {
        "id": job.id,
        "task": job.task,
        "state": job.state,
        "attempt": job.attempt,
        "spawn_index": job.spawn_index,
        "is_fan_in": job.dependency_status is not DependencyStatus.NONE,
        "reason": job.reason,
        "children": [as_json(child) for child in node.children],
        "folded": [
            {"task": fold.task, "count": fold.count, "states": fold.states} for fold in node.folded
        ],
        "is_cut": node.is_cut,
    }
