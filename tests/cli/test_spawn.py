"""``hammerflow spawn`` list, stats, monitor, lineage and pending on each database."""

from __future__ import annotations

import json
import time
import uuid

import pytest

from hammerflow import Hammerflow
from hammerflow.jobs.outcome import Completed, Failed, Failure, Operation
from tests.cli.conftest import Run, claim, settle, spawn_album

FAILURE = Failure("failed", "hammerflow.SpawnInvalid", "too many children", "")


def fail_album(app: Hammerflow) -> str:
    """A spawner that has failed for good; its id."""
    job = app.tasks["shop.album"].delay(9)
    operation = Operation("shop.album", "op-9", '{"by": "hand"}', 9, 0.5)
    settle(app, claim(app, "shop.album"), Failed(FAILURE, operation))
    return str(job.id)


@pytest.mark.parametrize("command", ["list", "pending"])
def test_an_empty_database_has_nothing_to_list(
    run: Run, embedded_shop: Hammerflow, command: str
) -> None:
    assert embedded_shop.jobs() == []

    text, found = run("spawn", command), run("spawn", command, "--json")

    assert text.code == 0 and text.out.count("\n") == 1
    assert found.json == []


def test_operations_are_listed_newest_first_failed_ones_too(run: Run, shop: Hammerflow) -> None:
    good, bad = spawn_album(shop, 3), fail_album(shop)

    head, *rows = run("spawn", "list").out.splitlines()
    found = run("spawn", "list", "--json").json

    assert head.split()[:3] == ["ID", "STATE", "HANDLER"]
    assert [row.split()[:5] for row in rows] == [
        [bad, "failed", "shop.album", "default", "0"],
        [good, "completed", "shop.album", "default", "3"],
    ]
    assert rows[0].endswith("too many children")
    assert [run["parent_id"] for run in found] == [bad, good]
    assert (found[0]["metadata"], found[0]["seconds"]) == ({"by": "hand"}, 0.5)
    assert (found[1]["spawned"], found[1]["error"]) == (3, None)


@pytest.mark.parametrize(
    ("options", "count"),
    [
        (["--limit", "1"], 1),
        (["--queue", "nothing"], 0),
        (["--queue", "default"], 2),
        (["--recent"], 2),
    ],
)
def test_operations_can_be_narrowed(
    run: Run, embedded_shop: Hammerflow, options: list[str], count: int
) -> None:
    spawn_album(embedded_shop, 1)
    spawn_album(embedded_shop, 2)

    assert len(run("spawn", "list", "--json", *options).json) == count


def test_details_are_one_fact_a_line(run: Run, embedded_shop: Hammerflow) -> None:
    spawn_album(embedded_shop, 1)
    fail_album(embedded_shop)

    lines = run("spawn", "list", "--detailed").out.splitlines()

    facts = [tuple(line.split(None, 1)) for line in lines if line]
    assert ("operation", "op-9") in facts and ("took", "0.500 s") in facts
    assert ("metadata", '{"by": "hand"}') in facts and ("error", "too many children") in facts
    assert lines.count("") == 1


def test_stats_add_up_by_handler(run: Run, shop: Hammerflow) -> None:
    spawn_album(shop, 3)
    spawn_album(shop, 5)
    fail_album(shop)

    text = run("spawn", "stats", "--hours", 2).out.splitlines()
    detailed = run("spawn", "stats", "--detailed").out.splitlines()
    found = run("spawn", "stats", "--hours", 2, "--json").json

    assert "operations  3" in text and "children    8" in text and "failures    1" in text
    assert "succeeded   66.7%" in text
    assert text[-1].split() == ["shop.album", "3", "8", "1"]
    assert detailed[-1].split()[:7] == ["shop.album", "default", "3", "1", "17", "8", "5"]
    assert (found["operations"], found["children"], found["failures"]) == (3, 8, 1)
    assert found["operations_per_hour"] == 1.5
    assert found["handlers"][0]["most_children"] == 5


def test_stats_of_nothing_are_zeros(run: Run, embedded_shop: Hammerflow) -> None:
    spawn_album(embedded_shop, 1)

    text = run("spawn", "stats", "--queue", "nothing")
    found = run("spawn", "stats", "--hours", 0, "--json")

    assert text.code == found.code == 0
    assert "operations  0" in text.out
    assert (found.json["operations"], found.json["handlers"]) == (0, [])


def test_the_monitor_writes_a_line_at_each_look(run: Run, shop: Hammerflow) -> None:
    spawn_album(shop, 3)

    text = run("spawn", "monitor", "--count", 2, "--interval", 0.1)
    found = run("spawn", "monitor", "--count", 2, "--interval", 0.1, "--json")

    assert text.code == found.code == 0
    lines = text.out.splitlines()
    assert len(lines) == 2
    assert all(line.endswith("1 operation, 3 children, 0 failures") for line in lines)
    updates = [json.loads(line) for line in found.out.splitlines()]
    assert [update["children"] for update in updates] == [3, 3]


def test_ctrl_c_is_how_the_monitor_ends(
    run: Run, embedded_shop: Hammerflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    spawn_album(embedded_shop, 1)

    def interrupt(seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(time, "sleep", interrupt)

    ended = run("spawn", "monitor")

    assert (ended.code, ended.err) == (130, "")


def test_a_terminal_is_redrawn(
    run: Run, embedded_shop: Hammerflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    spawn_album(embedded_shop, 3)
    monkeypatch.setattr("hammerflow.cli.output.is_terminal", lambda: True)
    monkeypatch.setenv("COLUMNS", "160")

    ended = run("spawn", "monitor", "--count", 1)

    assert "until Ctrl-C" in ended.out
    assert "shop.album" in ended.out.splitlines()[-1]


def test_a_lineage_goes_both_ways(run: Run, shop: Hammerflow) -> None:
    root = spawn_album(shop, 30)
    (child,) = claim(shop, "shop.resize")[:1]
    settle(shop, [child], Completed(None))
    child_id = str(uuid.UUID(bytes=child.id))

    below = run("spawn", "lineage", root, "--limit", 5).out.splitlines()
    above = run("spawn", "lineage", child_id, "--json").json
    only = run("spawn", "lineage", root, "--ancestors", "--json").json

    assert below[1].split() == ["0", root, "shop.album", "completed"]
    assert {(row.split()[0], *row.split()[2:]) for row in below[2:7]} == {
        ("1", "shop.resize", "completed"),
        ("1", "shop.resize", "running"),
        ("1", "shop.total", "waiting"),
    }
    assert below[7].split() == ["1", "...", "26", "more", "shop.resize", "26", "running"]
    assert [job["id"] for job in above["ancestors"]] == [root]
    assert (above["job"]["id"], above["generations"], above["is_cut"]) == (child_id, [], False)
    assert (only["ancestors"], only["generations"]) == ([], [])


def test_a_lineage_in_json_counts_what_it_does_not_name(
    run: Run, embedded_shop: Hammerflow
) -> None:
    root = spawn_album(embedded_shop, 30)

    found = run("spawn", "lineage", root, "--descendants", "--limit", 2, "--json").json

    (generation,) = found["generations"]
    assert (generation["depth"], generation["count"], len(generation["jobs"])) == (1, 31, 2)
    assert generation["tasks"] == {"shop.resize": {"ready": 30}, "shop.total": {"waiting": 1}}


def test_pending_names_spawners_whose_children_go_on(run: Run, shop: Hammerflow) -> None:
    root = spawn_album(shop, 3)
    settle(shop, claim(shop, "shop.resize")[:1], Completed(None))

    _, row = run("spawn", "pending").out.splitlines()
    (found,) = run("spawn", "pending", "--json").json

    assert row.startswith(f"{root}  shop.album  ")
    assert row.endswith("2 running, 1 waiting")
    assert (found["parent_id"], found["not_ended"]) == (root, 3)
    assert found["operation"]["spawned"] == 3


@pytest.mark.parametrize(
    ("job_id", "words"),
    [("123", "'123' is not a job id"), (str(uuid.UUID(int=1)), "no job has the id 00000000-0000")],
)
def test_the_lineage_of_an_unknown_job_is_one_sentence(
    run: Run, embedded_shop: Hammerflow, job_id: str, words: str
) -> None:
    assert embedded_shop.jobs() == []

    plain = run("spawn", "lineage", job_id)
    as_json = run("spawn", "lineage", job_id, "--json")

    assert (plain.code, plain.out, as_json.code, as_json.out) == (1, "", 1, "")
    assert words in plain.err and plain.err.count("\n") == 1
    assert words in json.loads(as_json.err)["error"]
