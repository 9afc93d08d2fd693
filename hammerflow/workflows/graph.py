"""Graphs and trees: nodes and edges drawn as Mermaid, DOT, JSON or text; large ones are folded."""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Iterator, Sequence
from graphlib import CycleError, TopologicalSorter
from typing import NamedTuple

from hammerflow.errors import ConfigError
from hammerflow.options.checks import choice, whole

__all__ = ["Graph", "GraphNode", "draw", "mermaid_text"]


class GraphNode(NamedTuple):
    """A node."""

    key: str  # unique in the graph
    label: str
    task: str | None = None  # nodes of one task may be folded into one
    state: str | None = None  # None before it is enqueued
    group: str | None = None  # nodes of one group are drawn in one frame and folded together
    note: str | None = None  # one more line, for example a condition
    size: int = 1  # how many jobs the node represents


class Graph(NamedTuple):
    """A directed acyclic graph; an edge is (from key, to key)."""

    name: str | None  # None: without a title
    nodes: Sequence[GraphNode]
    edges: Sequence[tuple[str, str]]


_FORMAT = choice("mermaid", "dot", "text", "json", "boxes")
_KEYS = 10  # nodes that a folded box names
_MAX_NODES, _MAX_DEPTH = whole(1, 1_000_000), whole(0, 1_000_000)
_Edges = list[tuple[int, int]]  # by index


class _Item(NamedTuple):
    """One node, or many folded into one."""

    title: str
    lines: list[str]  # below the title: state, note
    depth: int
    state: str | None
    group: str | None
    is_folded: bool
    keys: list[str]  # of the nodes
    states: dict[str, int]


class _Drawing(NamedTuple):
    """Items and their edges by index; ``parents`` and ``children`` are those edges again."""

    name: str | None
    items: list[_Item]
    edges: _Edges
    parents: list[list[int]]
    children: list[list[int]]


_STYLES = {
    "completed": "fill:#d4edda,stroke:#28a745,color:#000",
    "failed": "fill:#f8d7da,stroke:#dc3545,color:#000",
    "running": "fill:#cce5ff,stroke:#004085,color:#000",
    "parked": "fill:#fff3cd,stroke:#856404,color:#000",
    "skipped": "fill:#e2e3e5,stroke:#6c757d,color:#000",
    "cancelled": "fill:#e2e3e5,stroke:#6c757d,color:#000",
}
_FILLS = {state: style[len("fill:") : style.index(",")] for state, style in _STYLES.items()}
_LONGEST = 80  # characters of a label
_MERMAID_EDGES = 500  # its default maxEdges; a page can raise it, a diagram cannot
_MERMAID_SIZE = 50_000  # its default maxTextSize
_INDENTS = 20  # deeper than this, the text shows the depth as a number
_STROKES, _ASCII_STROKES = ("├─ ", "└─ ", "│  ", "   "), ("|- ", "`- ", "|  ", "   ")
_NAMED = 10  # parents that a join names


def draw(
    graph: Graph,
    format: str,  # noqa: A002 - as the command
    *,
    max_nodes: int = 200,
    max_depth: int | None = None,
    ascii_only: bool = False,
) -> str:
    """The graph as text.

    Args:
        format: ``mermaid``, ``dot``, ``text``, ``json``, which is never folded, or ``boxes``: what
            is drawn, as JSON.
        max_nodes: with more, nodes of one task and group (or depth) are drawn as one, with counts.
        max_depth: deeper nodes are drawn as one per task; the roots have depth 0.
        ascii_only: for ``text``, draw the lines of the tree in ASCII.

    Raises:
        ConfigError: an unknown format, a limit out of range, a faulty graph.
    """
    format = _FORMAT(format, "the format of a graph")  # noqa: A001
    max_nodes = _MAX_NODES(max_nodes, "max_nodes")
    if max_depth is not None:
        max_depth = _MAX_DEPTH(max_depth, "max_depth")
    edges = _edges(graph)
    depths = _depths(graph, edges)
    if format == "json":
        return _json(graph)
    drawing = _fold(graph, edges, depths, max_nodes, max_depth)
    if format == "boxes":
        return _boxes(drawing)
    if format == "text":
        return _text(drawing, _ASCII_STROKES if ascii_only else _STROKES)
    return _mermaid(drawing) if format == "mermaid" else "\n".join(_dot_lines(drawing))


def _edges(graph: Graph) -> _Edges:
    """The edges by index, each once."""
    places = {node.key: index for index, node in enumerate(graph.nodes)}
    if len(places) < len(graph.nodes):
        repeated = Counter(node.key for node in graph.nodes).most_common(1)[0][0]
        raise ConfigError(f"two nodes of a graph have the key {repeated!r}")
    try:
        return list(dict.fromkeys((places[above], places[below]) for above, below in graph.edges))
    except KeyError as error:
        raise ConfigError(f"an edge names the key {error.args[0]!r}, which no node has") from None


def _depths(graph: Graph, edges: _Edges) -> list[int]:
    """The length of the longest path from a root to each node."""
    parents, _ = _neighbours(len(graph.nodes), edges)
    depths = [0] * len(graph.nodes)
    try:
        for index in TopologicalSorter(dict(enumerate(parents))).static_order():
            depths[index] = max((depths[above] + 1 for above in parents[index]), default=0)
    except CycleError as error:
        cycle = " -> ".join(graph.nodes[index].key for index in error.args[1][:12])
        raise ConfigError(f"the graph has a cycle: {cycle}") from None
    return depths


def _neighbours(count: int, edges: _Edges) -> tuple[list[list[int]], list[list[int]]]:
    parents: list[list[int]] = [[] for _ in range(count)]
    children: list[list[int]] = [[] for _ in range(count)]
    for above, below in edges:
        parents[below].append(above)
        children[above].append(below)
    return parents, children


def _fold(
    graph: Graph, edges: _Edges, depths: list[int], max_nodes: int, max_depth: int | None
) -> _Drawing:
    """Nodes with one bucket become one item; edges inside a bucket vanish."""
    buckets: list[Hashable] = [*range(len(graph.nodes))]
    if max_depth is not None:
        _fold_deep(graph, buckets, depths, max_depth)
    _fold_alike(graph, buckets, depths, max_nodes)
    _fold_rest(graph, buckets, depths, max_nodes)

    members: dict[Hashable, list[int]] = defaultdict(list)
    for index, bucket in enumerate(buckets):
        members[bucket].append(index)
    places = {bucket: place for place, bucket in enumerate(members)}
    drawn = ((places[buckets[above]], places[buckets[below]]) for above, below in edges)
    kept = [(above, below) for above, below in dict.fromkeys(drawn) if above != below]
    items = [_item(graph, indexes, depths) for indexes in members.values()]
    return _Drawing(graph.name, items, kept, *_neighbours(len(items), kept))


def _fold_deep(graph: Graph, buckets: list[Hashable], depths: list[int], max_depth: int) -> None:
    """Fold nodes that are too deep by task; tasks with one such node together."""
    deep = [index for index, depth in enumerate(depths) if depth > max_depth]
    tasks = Counter(_task(graph.nodes[index]) for index in deep)
    for index in deep:
        task = _task(graph.nodes[index])
        buckets[index] = ("deep", task if tasks[task] > 1 else None)


def _fold_alike(graph: Graph, buckets: list[Hashable], depths: list[int], max_nodes: int) -> None:
    """Fold nodes of one task and group (or depth), largest sets first, while too many."""
    left = len(set(buckets))
    if left <= max_nodes:
        return
    alike: dict[Hashable, list[int]] = defaultdict(list)
    for index, node in enumerate(graph.nodes):
        if buckets[index] == index:
            alike[node.group or depths[index], _task(node)].append(index)
    for where, indexes in sorted(alike.items(), key=lambda pair: -len(pair[1])):
        if left <= max_nodes:
            return
        for index in indexes:
            buckets[index] = ("alike", where)
        left -= len(indexes) - 1


def _fold_rest(graph: Graph, buckets: list[Hashable], depths: list[int], max_nodes: int) -> None:
    """Keep the nodes nearest to the roots; fold the rest by task, and rare tasks together."""
    nearest: dict[Hashable, int] = {}
    for bucket, depth in zip(buckets, depths, strict=True):
        nearest[bucket] = min(depth, nearest.get(bucket, depth))
    if len(nearest) <= max_nodes:
        return
    room = min(20, max(1, max_nodes // 2))
    kept = set(sorted(nearest, key=nearest.__getitem__)[: max_nodes - room])
    rest = [index for index, bucket in enumerate(buckets) if bucket not in kept]
    tasks = Counter(_task(graph.nodes[index]) for index in rest)
    common = {task for task, _ in tasks.most_common(room if len(tasks) <= room else room - 1)}
    for index in rest:
        task = _task(graph.nodes[index])
        buckets[index] = ("rest", task if task in common else None)


def _task(node: GraphNode) -> str:
    return node.task or node.label


def _item(graph: Graph, indexes: list[int], depths: list[int]) -> _Item:
    first = graph.nodes[indexes[0]]
    if len(indexes) == 1:
        lines = [line for line in (first.state, first.note) if line]
        title = first.label if first.label.strip() else "unnamed"
        if first.size > 1:
            title = f"{title} x {_spaced(first.size)}"
        depth = depths[indexes[0]]
        own = {first.state: first.size} if first.state else {}
        is_folded = first.size > 1
        return _Item(title, lines, depth, first.state, first.group, is_folded, [first.key], own)
    nodes = [graph.nodes[index] for index in indexes]
    counts = Counter(node.state for node in nodes if node.state)
    states = ", ".join(f"{_spaced(count)} {state}" for state, count in sorted(counts.items()))
    tasks, groups = {_task(node) for node in nodes}, {node.group for node in nodes}
    return _Item(
        f"{tasks.pop() if len(tasks) == 1 else 'others'} x {_spaced(sum(n.size for n in nodes))}",
        [states] if states else [],
        min(depths[index] for index in indexes),
        next(iter(counts)) if len(counts) == 1 and counts.total() == len(nodes) else None,
        groups.pop() if len(groups) == 1 else None,
        is_folded=True,
        keys=[node.key for node in nodes],
        states=dict(counts),
    )


def _spaced(count: int) -> str:
    return f"{count:,}".replace(",", " ")


#: Characters with a meaning to Mermaid, or to the Markdown in its labels.
_ESCAPED = re.compile(r"(?<![^\W_])[_/.-]|[_/.-](?![^\W_])|(?<=www)\.|[^\w /.,-]", re.IGNORECASE)


def mermaid_text(text: str, longest: int = _LONGEST) -> str:
    """A text as part of a quoted label: on one line, cut to ``longest`` characters.

    Everything but letters, digits and punctuation inside a word becomes ``#number;``, Mermaid's
    own escape, so that Mermaid reads no quote, directive, HTML, Markdown, icon or entity in it.
    """
    return _ESCAPED.sub(lambda found: f"#{ord(found[0])};", _line(text, longest))


def _mermaid(drawing: _Drawing) -> str:
    """The labels are cut shorter until the text is within Mermaid's limit of size."""
    for longest in (_LONGEST, 20, 6):
        text = "\n".join(_mermaid_lines(drawing, longest))
        if len(text) < _MERMAID_SIZE:
            break
    return text


def _mermaid_lines(drawing: _Drawing, longest: int) -> Iterator[str]:
    yield "flowchart TD"
    for number, (group, indexes) in enumerate(_grouped(drawing)):
        if group is not None:
            yield f'  subgraph g{number}["{mermaid_text(group, longest) or "unnamed"}"]'
        for index in indexes:
            item = drawing.items[index]
            parts = [mermaid_text(part, longest) for part in (item.title, *item.lines)]
            open_, close = ("[[", "]]") if item.is_folded else ("[", "]")
            style = f":::{item.state}" if item.state in _FILLS else ""
            yield f'  n{index}{open_}"{"<br/>".join(parts)}"{close}{style}'
        if group is not None:
            yield "  end"
    for above, below in drawing.edges[:_MERMAID_EDGES]:
        yield f"  n{above} --> n{below}"
    if len(drawing.edges) > _MERMAID_EDGES:
        yield f'  more["{_spaced(len(drawing.edges) - _MERMAID_EDGES)} more edges are not drawn"]'
    for state, style in _STYLES.items():
        yield f"  classDef {state} {style}"


def _grouped(drawing: _Drawing) -> Iterable[tuple[str | None, list[int]]]:
    """The items without a group, then each group; a group folded into one item has no frame."""
    groups: dict[str | None, list[int]] = {None: []}
    for index, item in enumerate(drawing.items):
        groups.setdefault(item.group or None, []).append(index)
    for group, indexes in [*groups.items()][1:]:
        if len(indexes) == 1 and drawing.items[indexes[0]].is_folded:
            groups[None] += groups.pop(group)
    return groups.items()


def _dot_lines(drawing: _Drawing) -> Iterator[str]:
    yield f"digraph {_quoted(drawing.name or '')} {{"
    yield '  node [shape=box, style="rounded,filled", fillcolor="#ffffff"];'
    for number, (group, indexes) in enumerate(_grouped(drawing)):
        if group is not None:
            yield f"  subgraph cluster_{number} {{"
            yield f"    label={_quoted(group)};"
        for index in indexes:
            item = drawing.items[index]
            shape = ", shape=box3d" if item.is_folded else ""
            fill = f', fillcolor="{_FILLS[item.state]}"' if item.state in _FILLS else ""
            yield f"  n{index} [label={_quoted(item.title, *item.lines)}{shape}{fill}];"
        if group is not None:
            yield "  }"
    for above, below in drawing.edges:
        yield f"  n{above} -> n{below};"
    yield "}"


def _quoted(*lines: str) -> str:
    """Lines as one string of DOT, whose labels read backslashes and HTML entities."""
    escapes = str.maketrans({"\\": "\\\\", '"': '\\"', "&": "&amp;"})
    return '"' + "\\n".join(_line(line).translate(escapes) for line in lines) + '"'


def _boxes(drawing: _Drawing) -> str:
    """The items and their edges by index, for a program that draws them."""
    boxes = [
        {
            "title": item.title, "lines": item.lines, "depth": item.depth, "state": item.state,
            "group": item.group, "is_folded": item.is_folded, "states": item.states,
            "jobs": item.keys[:_KEYS], "count": len(item.keys),
        } for item in drawing.items
    ]  # fmt: skip
    return json.dumps({"name": drawing.name, "boxes": boxes, "edges": drawing.edges})


def _text(drawing: _Drawing, strokes: tuple[str, str, str, str]) -> str:
    """Each item once, as a tree: below the last of its parents, the others named behind it."""
    branch, last_branch, bar, space = strokes
    roots, below = _forest(drawing)
    lines = [] if drawing.name is None else [_line(drawing.name)]
    due = [(root, 0, "", "") for root in reversed(roots)]
    while due:
        index, depth, indent, rest = due.pop()
        item, parents = drawing.items[index], drawing.parents[index]
        facts = [item.title, *item.lines, *([f"({item.group})"] if item.group else [])]
        shown = "  ".join(_line(fact) for fact in facts)
        number = f"[{depth}] " if depth > _INDENTS else ""
        joins = parents if len(parents) > 1 or not depth else []
        lines.append(f"{indent}{number}{shown}{_joined(drawing, joins)}")
        is_last = True
        for child in reversed(below[index]):
            stroke, under = (last_branch, space) if is_last else (branch, bar)
            inner = rest + under if depth < _INDENTS else rest
            due.append((child, depth + 1, rest + stroke, inner))
            is_last = False
    return "\n".join(lines)


def _forest(drawing: _Drawing) -> tuple[list[int], list[list[int]]]:
    """The roots, and below each item the items whose last parent it is, depth first.

    Items that folding has tied into cycles are roots, in the order of their depth.
    """
    missing = [len(above) for above in drawing.parents]
    by_depth = sorted(range(len(missing)), key=lambda index: drawing.items[index].depth)
    roots: list[int] = []
    below: list[list[int]] = [[] for _ in missing]
    seen: set[int] = set()
    starts = [index for index in by_depth if not missing[index]]
    for start in (*starts, *by_depth):
        if start in seen:
            continue
        roots.append(start)
        stack = [start]
        while stack:
            index = stack.pop()
            seen.add(index)
            open_ = [child for child in drawing.children[index] if child not in seen]
            for child in open_:
                missing[child] -= 1
            ready = (child for child in open_ if not missing[child])
            below[index] = sorted(ready, key=lambda child: drawing.items[child].group or "")
            stack += reversed(below[index])
    return roots, below


def _joined(drawing: _Drawing, parents: list[int]) -> str:
    if not parents:
        return ""
    counts = Counter(_line(drawing.items[parent].title) for parent in parents)
    named = [f"{name} x {_spaced(n)}" if n > 1 else name for name, n in counts.items()]
    more = f" and {_spaced(len(named) - _NAMED)} more" if len(named) > _NAMED else ""
    return f"  <- {', '.join(named[:_NAMED])}{more}"


def _line(text: str, longest: int = _LONGEST) -> str:
    """A text on one line, without control characters and lone surrogates."""
    cut = text if len(text) <= 4 * longest else text[: 4 * longest] + "\u2026"
    shown = "".join(
        sign if sign.isprintable() or sign == "\u200d" else "\ufffd"  # U+200D joins emoji
        for sign in " ".join(cut.split())
    )
    return shown if len(shown) <= longest else shown[: longest - 1] + "\u2026"


def _json(graph: Graph) -> str:
    nodes = [node._asdict() for node in graph.nodes]
    edges = [{"from": above, "to": below} for above, below in graph.edges]
    return json.dumps({"name": graph.name, "nodes": nodes, "edges": edges}, indent=2)
