"""Graph: drawn so that people and the real readers understand it, whatever it holds."""

from __future__ import annotations

import html
import itertools
import json
import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hammerflow.errors import ConfigError
from hammerflow.workflows.graph import Graph, GraphNode, draw, mermaid_text
from tests.support.drawing import read_dot, read_mermaid

NASTY = [
    'say "hi"', "a]b[c", "`code`", "end", "a end b", "😀 👩‍👧", "one\ntwo", "<b>bold</b><script>",
    "x" * 5_000, '%%{init: {"theme": "dark"}}%%', "%% comment", "#quot; #35;", "&quot; &amp;",
    "a --> b", "style a:\"", "classDef a:#;", "subgraph", "\\", "\\N \\G \\", "\\n", "$$x^2$$",
    "1. one", "- two", "**bold** _it_", "www.example.org", "fa:fa-car", "---", "\x00\x1b[31m",
    "\ud800", "\u202e right", "", "  ", "{{}}", "(a)", "a|b|c", "a;b", "@{ shape: circle }", ":::x",
    "ﬂ°°34¶ß",
]  # fmt: skip


def node(key: str, **facts: str) -> GraphNode:
    return GraphNode(key, facts.pop("label", key), **facts)


def fan(width: int) -> Graph:
    """One node, many below it, one below them all."""
    chunks = [
        GraphNode(str(i), f"chunk {i}", "chunk", "failed" if i < 80 else "completed")
        for i in range(width)
    ]
    edges = [("split", chunk.key) for chunk in chunks] + [(chunk.key, "end") for chunk in chunks]
    return Graph("fan", [node("split"), *chunks, node("end")], edges)


def line(length: int) -> Graph:
    keys = [f"step{i}" for i in range(length)]
    return Graph("line", [node(key) for key in keys], list(itertools.pairwise(keys)))


def labelled(labels: list[str]) -> Graph:
    """The labels, each as a name, a note, a group and the name of the graph."""
    nodes = [GraphNode(f"k{i}", label, note=label, group=label) for i, label in enumerate(labels)]
    return Graph(labels[0], nodes, [(a.key, b.key) for a, b in itertools.pairwise(nodes)])


DIAMOND = Graph(
    "etl",
    [node("extract", state="completed"), node("left", state="failed"), node("right"),
     node("load", note="result > 3")],
    [("extract", "left"), ("extract", "right"), ("left", "load"), ("right", "load")],
)  # fmt: skip


def test_text_shows_depth_and_a_join_once() -> None:
    assert draw(DIAMOND, "text").splitlines() == [
        "etl",
        "extract  completed",
        "├─ left  failed",
        "└─ right",
        "   └─ load  result > 3  <- left, right",
    ]


def test_text_can_be_drawn_in_ascii_and_without_a_title() -> None:
    nodes = [*DIAMOND.nodes, GraphNode("many", "many", size=1_200)]
    edges = [("extract", "left"), ("extract", "right"), ("left", "load"), ("left", "many")]
    tree = Graph(None, nodes, edges)

    assert draw(tree, "text", ascii_only=True).splitlines() == [
        "extract  completed",
        "|- left  failed",
        "|  |- load  result > 3",
        "|  `- many x 1 200",
        "`- right",
    ]


def test_a_deep_text_has_numbers_and_does_not_grow_wide() -> None:
    lines = draw(line(200), "text").splitlines()

    assert lines[-1].strip() == "└─ [199] step199"
    assert max(map(len, lines)) < 100


def test_mermaid_has_classes_by_state() -> None:
    lines = draw(DIAMOND, "mermaid").splitlines()

    assert lines[:3] == [
        "flowchart TD",
        '  n0["extract<br/>completed"]:::completed',
        '  n1["left<br/>failed"]:::failed',
    ]
    assert "  n0 --> n1" in lines
    assert any(text.startswith("  classDef failed ") for text in lines)


def test_json_is_never_folded() -> None:
    graph = json.loads(draw(fan(10_000), "json", max_nodes=1))

    assert len(graph["nodes"]) == 10_002
    assert graph["edges"][0] == {"from": "split", "to": "0"}


@pytest.mark.parametrize("format", ["mermaid", "dot", "text"])
def test_ten_thousand_neighbours_are_one_node_with_counts(format: str) -> None:  # noqa: A002
    start = time.monotonic()

    drawn = draw(fan(10_000), format)

    assert "chunk x 10 000" in drawn
    assert "9 920 completed, 80 failed" in drawn
    assert len(drawn) < 1_500
    assert time.monotonic() - start < 5


@pytest.mark.parametrize("graph", [fan(10_000), line(10_000)], ids=["fan", "line"])
@pytest.mark.parametrize("most", [1, 2, 7, 200])
def test_no_more_is_drawn_than_asked_for(graph: Graph, most: int) -> None:
    names = [GraphNode(n.key, n.key) for n in graph.nodes]  # each a task of its own

    assert len(draw(graph._replace(nodes=names), "text", max_nodes=most).splitlines()) <= most + 1


def test_what_is_too_deep_is_folded() -> None:
    lines = draw(line(50), "text", max_depth=1).splitlines()

    assert lines == ["line", "step0", "└─ step1", "   └─ others x 48"]


def test_a_group_stands_together_and_is_folded_together() -> None:
    nodes = [node(f"{group}{i}", label="load", group=group) for i in range(3) for group in "ab"]
    edges = [("a0", "a1"), ("a1", "a2")]
    graph = Graph("g", nodes, edges)

    assert draw(graph, "mermaid").count("subgraph ") == 2
    assert draw(graph, "dot").count("subgraph cluster_") == 2
    assert draw(graph, "text", max_nodes=2) == "g\nload x 3  (a)\nload x 3  (b)"


@pytest.mark.parametrize(
    ("graph", "said"),
    [
        (Graph("g", [node("a"), node("a")], []), "two nodes of a graph have the key 'a'"),
        (Graph("g", [node("a")], [("a", "b")]), "names the key 'b', which no node has"),
        (
            Graph("g", [node("a"), node("b")], [("a", "b"), ("b", "a")]),
            "has a cycle: b -> a -> b|has a cycle: a -> b -> a",
        ),
    ],
)
def test_what_is_no_graph_is_refused(graph: Graph, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        draw(graph, "text")


def test_unknown_formats_and_limits_are_refused() -> None:
    with pytest.raises(ConfigError, match="mermaid, dot, text, json, boxes, not 'svg'"):
        draw(DIAMOND, "svg")
    with pytest.raises(ConfigError, match="max_nodes must be a whole number from 1"):
        draw(DIAMOND, "text", max_nodes=0)


@given(st.lists(st.text(), min_size=1, max_size=5), st.sampled_from(["mermaid", "dot", "text"]))
@example(NASTY, "text")
def test_labels_break_no_line(labels: list[str], format: str) -> None:  # noqa: A002
    graph = labelled(labels)
    harmless = graph._replace(
        name="g", nodes=[n._replace(label="a", note=None, group=None) for n in graph.nodes]
    )
    grouped = len({label for label in labels if label})

    lines = draw(graph, format).split("\n")

    frames = {"mermaid": 2, "dot": 3, "text": 0}[format] * grouped
    assert len(lines) == len(draw(harmless, format).split("\n")) + frames
    assert all(text.isprintable() or "\u200d" in text for text in lines)
    "\n".join(lines).encode()


@given(st.text())
def test_mermaid_text_is_plain(text: str) -> None:
    escaped = mermaid_text(text)

    assert not set('"`[]{}<>\\%$*&|@:()\n') & set(escaped)
    assert html.unescape(escaped.replace("#", "&#")) == " ".join(shown(text).split())


def shown(text: str) -> str:
    """What a label says of a text in one line."""
    words = " ".join(text.split())
    plain = "".join(c if c.isprintable() or c == "\u200d" else "\ufffd" for c in words)
    return plain if len(plain) <= 80 else plain[:79] + "…"


@pytest.mark.slow
def test_mermaid_itself_reads_every_label() -> None:
    words = [text for text in NASTY if text.strip()]
    every = [draw(labelled([text]), "mermaid") for text in words]
    huge = [draw(fan(150), "mermaid"), draw(fan(10_000), "mermaid", max_nodes=20)]
    dense = Graph(
        "dense",
        [node(str(i), label="\n😀" * 80) for i in range(100)],
        [(str(a), str(b)) for a, b in itertools.combinations(range(100), 2)],
    )

    *read, small, folded, limited = read_mermaid([*every, *huge, draw(dense, "mermaid")])

    for text, answer in zip(words, read, strict=True):
        assert "error" not in answer, (text, answer)
        assert decoded(answer["nodes"][0][1]) == f"{shown(text)}<br>{shown(text)}"
    assert len(small["edges"]) == 300
    assert len(folded["nodes"]) == 3
    assert len(limited["edges"]) == 500


def decoded(text: str) -> str:
    """What Mermaid shows for the text that it keeps."""
    return html.unescape(text.replace("ﬂ°°", "&#").replace("¶ß", ";"))


def test_graphviz_itself_reads_every_label() -> None:
    words = [text for text in NASTY if text.strip()]
    graph = labelled(words)

    read = read_dot(draw(graph, "dot"))

    labels = {thing.get("label") for thing in read["objects"] if thing["name"].startswith("n")}
    assert len(labels) == len({shown(text) for text in words})
    assert len(read["edges"]) == len(words) - 1
    assert html.unescape(read["name"]) == shown(words[0])
