"""Graph (stand-in)."""

from typing import NamedTuple


class GraphNode(NamedTuple):
    key: str
    label: str
    task: str | None = None
    state: str | None = None
    group: str | None = None
    note: str | None = None


class Graph(NamedTuple):
    name: str
    nodes: list
    edges: list


def draw(graph, format, **k):
    return repr(graph)
