"""A spawn tree: read from the store with wide levels folded, and written as text, JSON, Mermaid."""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from hammerflow.errors import JobNotFound
from hammerflow.jobs.job import DependencyStatus, Job
from hammerflow.stores.store import Store
from hammerflow.workflows.graph import STATE_STYLES, mermaid_text

__all__ = ["MERMAID_MOST", "Folded", "SpawnNode", "as_json", "as_mermaid", "as_text", "read_tree"]

_MOST = 2_000  # nodes that are read one by one
#: Mermaid draws no more than 500 edges; nodes that are cut or folded have some below them, too.
MERMAID_MOST = 200


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


# -- text


def as_text(root: SpawnNode, *, is_drawn: bool = True) -> str:
    """One line a job, drawn as a tree; in ASCII where lines cannot be drawn."""
    return "\n".join(_lines(root, "├─ └─ │  " if is_drawn else "|- `- |  ", is_drawn))


def _lines(node: SpawnNode, strokes: str, is_drawn: bool) -> Iterator[str]:
    yield _title(node.job)
    blocks: list[list[str]] = [[_fold_title(fold, is_drawn)] for fold in node.folded]
    blocks += [list(_lines(child, strokes, is_drawn)) for child in node.children]
    if node.is_cut:
        blocks.append(["... more below (--max-depth)"])
    for block in blocks:
        is_last = block is blocks[-1]
        yield (strokes[3:6] if is_last else strokes[:3]) + block[0]
        for line in block[1:]:
            yield ("   " if is_last else strokes[6:]) + line


def _title(job: Job) -> str:
    attempt = f", attempt {job.attempt}" if job.attempt > 1 else ""
    progress = "" if job.progress is None or job.state.is_final else f", {job.progress:.0%}"
    reason = f": {' '.join(job.reason.split())}" if job.reason else ""
    return f"{job.task}  {job.id}  {job.state}{attempt}{progress}{reason}"


def _fold_title(fold: Folded, is_drawn: bool) -> str:
    sign = "×" if is_drawn else "x"  # noqa: RUF001 - a multiplication sign is meant
    return f"{fold.task} {sign} {fold.count}: {_states(fold)}"


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


# -- Mermaid


def as_mermaid(root: SpawnNode) -> str:
    """The tree as a Mermaid flow chart."""
    lines = ["graph TD"]
    _draw(root, lines, itertools.count())
    lines += [f"  classDef {state} {style}" for state, style in STATE_STYLES.items()]
    return "\n".join(lines)


def _draw(node: SpawnNode, lines: list[str], numbers: Iterator[int]) -> str:
    """Add a node and all below it; its name."""
    name = f"n{next(numbers)}"
    label = f"{mermaid_text(node.job.task)}<br/>{str(node.job.id)[-12:]}<br/>{node.job.state}"
    style = f":::{node.job.state}" if node.job.state in STATE_STYLES else ""
    lines.append(f'  {name}["{label}"]{style}')
    for fold in node.folded:
        below = f"n{next(numbers)}"
        label = f"{mermaid_text(fold.task)}<br/>{fold.count} jobs<br/>{_states(fold)}"
        lines += [f'  {below}[["{label}"]]', f"  {name} --> {below}"]
    for child in node.children:
        is_plain = child.job.dependency_status is DependencyStatus.NONE
        lines.append(f"  {name} {'-->' if is_plain else '-.->'} {_draw(child, lines, numbers)}")
    if node.is_cut:
        below = f"n{next(numbers)}"
        lines += [f'  {below}["..."]', f"  {name} --> {below}"]
    return name
