"""``hammerflow spawn tree``: text, JSON and Mermaid, with wide and deep trees cut."""

from __future__ import annotations

import uuid
from dataclasses import replace

import pytest

from hammerflow import Hammerflow
from hammerflow.admin.spawn_tree import as_graph, read_tree
from hammerflow.ids import new_id
from hammerflow.jobs.outcome import Completed, Failed, Failure
from hammerflow.workflows.graph import draw
from tests.cli.conftest import Run, claim, settle, spawn_album
from tests.support.drawing import read_mermaid


def test_a_small_tree_shows_every_job(run: Run, shop: Hammerflow) -> None:
    root = spawn_album(shop, 2)

    lines = run("spawn", "tree", root).out.splitlines()

    assert lines[0] == f"shop.album  completed  {root}"
    assert [line.split()[:2] for line in lines[1:]] == [
        ["├─", "shop.resize"],
        ["├─", "shop.resize"],
        ["└─", "shop.total"],
    ]
    assert lines[-1].startswith("└─ shop.total  waiting") and lines[-1].endswith("fan-in")


def test_a_wide_level_is_folded_into_counts(run: Run, shop: Hammerflow) -> None:
    root = spawn_album(shop, 30)
    first, second, *_ = claim(shop, "shop.resize")
    settle(shop, [first], Completed(None))
    settle(shop, [second], Failed(Failure("failed", "E", "m", "")))

    lines = run("spawn", "tree", root).out.splitlines()
    tree = run("spawn", "tree", root, "--json").json

    assert lines[1] == "├─ shop.resize x 30  1 completed, 1 failed, 28 running"
    assert lines[2].startswith("└─ shop.total  ")
    assert tree["folded"] == [
        {
            "task": "shop.resize",
            "count": 30,
            "states": {"completed": 1, "failed": 1, "running": 28},
        }
    ]
    assert [(child["task"], child["is_fan_in"]) for child in tree["children"]] == [
        ("shop.total", True)
    ]


def test_wide_levels_can_be_listed(run: Run, embedded_shop: Hammerflow) -> None:
    root = spawn_album(embedded_shop, 30)

    lines = run("spawn", "tree", root, "--wide", 30).out.splitlines()

    assert len(lines) == 32


def test_a_deep_tree_is_cut_where_asked(run: Run, embedded_shop: Hammerflow) -> None:
    root = spawn_album(embedded_shop, 2)

    text = run("spawn", "tree", root, "--max-depth", 0).out.splitlines()
    tree = run("spawn", "tree", root, "--max-depth", 0, "--format", "json").json

    assert text[1:] == ["└─ ... more below (--max-depth)"]
    assert (tree["is_cut"], tree["children"]) == (True, [])


def test_mermaid_is_a_flow_chart(run: Run, shop: Hammerflow) -> None:
    root = spawn_album(shop, 21)

    lines = run("spawn", "tree", root, "--format", "mermaid").out.splitlines()

    assert lines[0] == "flowchart TD"
    assert lines[1] == f'  n0["shop.album<br/>completed<br/>{root}"]:::completed'
    assert '  n1[["shop.resize x 21<br/>21 ready"]]' in lines
    assert lines[3].startswith('  n2["shop.total<br/>waiting<br/>') and ", fan-in" in lines[3]
    assert "  n0 --> n2" in lines


@pytest.mark.slow
def test_mermaid_itself_reads_the_chart(run: Run, embedded_shop: Hammerflow) -> None:
    job = embedded_shop.result(spawn_album(embedded_shop, 3)).job()
    tree = read_tree(embedded_shop.store, job, max_depth=5, wide=2)
    nasty = replace(tree, job=replace(tree.job, task='a"]; end <b> %%{init: {}}%%'))

    plain, strange = read_mermaid([draw(as_graph(part), "mermaid") for part in (tree, nasty)])

    assert len(plain["nodes"]) == len(strange["nodes"]) == 3
    assert plain["edges"] == strange["edges"] == [["n0", "n1"], ["n0", "n2"]]


@pytest.mark.slow
def test_a_tree_of_thousands_is_a_chart_that_mermaid_draws(
    run: Run, embedded_shop: Hammerflow
) -> None:
    root = embedded_shop.tasks["shop.album"].delay(20)
    call = embedded_shop.new_job(embedded_shop.tasks["shop.resize"].s(1))
    layer = [call._replace(id=root.id.bytes)]
    for _ in range(3):
        layer = [
            call._replace(id=new_id(), parent_id=job.id, root_id=root.id.bytes, spawn_index=index)
            for job in layer
            for index in range(20)
        ]
        embedded_shop.store.jobs.insert(layer)

    chart = run("spawn", "tree", root.id, "--format", "mermaid").out
    text = run("spawn", "tree", root.id).out

    (read,) = read_mermaid([chart])
    assert 200 < len(read["edges"]) <= 500 and len(chart) < 50_000
    assert "more below" in chart
    assert 2_000 < len(text.splitlines()) < 5_000


def test_a_job_without_children_is_a_tree_of_one(run: Run, shop: Hammerflow) -> None:
    result = shop.tasks["shop.add"].delay(1, 2)

    assert run("spawn", "tree", result.id).out == f"shop.add  ready  {result.id}\n"


def test_an_unknown_job_is_one_sentence(run: Run, embedded_shop: Hammerflow) -> None:
    assert embedded_shop.jobs() == []

    ended = run("spawn", "tree", uuid.UUID(int=5))

    assert (ended.code, ended.out) == (1, "")
    assert "no job has the id" in ended.err
