"""``hammerflow batch``: files of calls, and what became of them."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest

from hammerflow import Hammerflow, WorkflowStatus
from hammerflow.jobs.outcome import Completed, Failed, Failure
from tests.cli.conftest import Run, claim, settle

CALLS = [
    {"task": "shop.add", "args": [1, 2]},
    {"task": "resize", "kwargs": {"image": 7}, "queue": "default", "priority": 3},
    {"task": "shop.paint", "args": [{"$enum": ["shop.Colour", "RED"]}]},
]


def written(folder: Path, *calls: object) -> Path:
    path = folder / "calls.jsonl"
    texts = [call if isinstance(call, str) else json.dumps(call) for call in calls]
    path.write_text("\n".join(texts) + "\n")
    return path


def created(run: Run, folder: Path, *calls: object) -> str:
    given = ("--name", "night", "--json")
    ended = run("-A", "shop:app", "batch", "create", "--file", written(folder, *calls), *given)
    assert ended.code == 0, ended.err
    assert ended.json["calls"] == len(calls)
    return str(ended.json["id"])


def test_a_file_of_calls_becomes_a_batch(run: Run, shop: Hammerflow, folder: Path) -> None:
    batch_id = created(run, folder, CALLS[0], CALLS[1])
    shop.workflow("other").add(shop.tasks["shop.add"].s(1, 2), name="a").enqueue()

    listed, shown = run("batch", "list", "--json"), run("batch", "show", batch_id, "--json")

    assert [row["id"] for row in listed.json] == [batch_id]
    for command, number in (("batch", 1), ("workflow", 2)):
        ids = run(command, "list", "--json").json
        assert run(command, "list", "--json", "--since", "1h").json == ids and len(ids) == number
        assert run(command, "list", "--json", "--until", "1h").json == []
        assert run(command, "list", "--until", "1h").out.startswith("no matching")
    assert (shown.json["name"], shown.json["stats"]["pending"]) == ("night", 2)
    jobs = {job.task: job for job in shop.jobs(task="shop.resize")}
    assert jobs["shop.resize"].priority == 3


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("{", "invalid JSON"),
        ("[1]", "a call is an object"),
        ({"args": [1]}, "the key task is missing"),
        ({"task": "shop.ad"}, "has no task 'shop.ad': did you mean shop.add"),
        ({"task": "shop.add", "args": [1]}, "missing 1 required positional argument: 'y'"),
        ({"task": "shop.add", "args": {"x": 1}}, "args must be a list"),
        ({"task": "shop.add", "args": [1, 2], "retries": 3}, "unknown key 'retries'"),
        ({"task": "shop.add", "args": [1, 2], "delay": -1}, "delay"),
        ({"task": "shop.add", "args": [{"$nothing": 1}, 2]}, "nothing"),
    ],
)
def test_an_error_names_its_line_and_nothing_is_written(
    run: Run, embedded_shop: Hammerflow, folder: Path, line: object, words: str
) -> None:
    path = written(folder, CALLS[0], "", line, CALLS[1])

    ended = run("-A", "shop:app", "batch", "create", "--file", path)

    assert (ended.code, ended.out) == (1, "")
    assert f"{path}, line 3: " in ended.err
    assert words in ended.err
    assert embedded_shop.jobs() == []
    assert embedded_shop.workflows() == []


def test_the_failed_part_is_shown_exported_and_run_again(
    run: Run, shop: Hammerflow, folder: Path
) -> None:
    batch_id = created(run, folder, CALLS[0], CALLS[1])
    settle(shop, claim(shop, "shop.add"), Completed(shop.codec.encode({"a": [1, "é"]})))
    failure = Failure("failed", "builtins.ValueError", "no good", "")
    settle(shop, claim(shop, "shop.resize"), Failed(failure))

    shown = run("batch", "show", batch_id[:13])
    assert "2 of 2 ended (100%): 1 completed, 1 failed" in shown.out
    assert "ValueError: no good" in shown.out
    assert "per second" in shown.out

    lines = [json.loads(line) for line in run("batch", "export", batch_id).out.splitlines()]
    assert [(line["state"], line["result"]) for line in lines] == [
        ("completed", {"a": [1, "é"]}), ("failed", None),
    ]  # fmt: skip
    assert lines[1]["error"] == "builtins.ValueError: no good"
    table = run("batch", "export", batch_id, "--format", "csv").out
    rows = [*csv.DictReader(io.StringIO(table))]
    assert [row["id"] for row in rows] == [line["id"] for line in lines]
    assert json.loads(rows[0]["result"]) == {"a": [1, "é"]}
    assert len(run("batch", "export", batch_id, "--state", "failed").out.splitlines()) == 1

    assert run("batch", "retry", batch_id, "--dry-run").out == "this would retry 1 call\n"
    assert run("batch", "retry", batch_id).code == 2
    again = run("batch", "retry", batch_id, "--yes", "--json")
    assert (again.json["retried"], again.json["status"]) == (1, "running")
    assert len(claim(shop)) == 1


def test_a_batch_is_cancelled(run: Run, embedded_shop: Hammerflow, folder: Path) -> None:
    batch_id = created(run, folder, *CALLS)
    assert run("batch", "cancel", batch_id, "--dry-run", "--json").json == {"matching": 3}
    ended = run("batch", "cancel", batch_id, "--yes", "--reason", "late")
    assert ended.out == f"{batch_id}  cancelled: 3 calls cancelled\n"
    assert {job.reason for job in embedded_shop.jobs()} == {"late"}
    again = run("batch", "cancel", batch_id, "--yes")
    assert (again.code, "nothing to cancel" in again.err) == (1, True)
    assert run("batch", "list", "--status", "cancelled", "--json").json[0]["id"] == batch_id


def test_a_rate_is_shown_changed_and_removed(
    run: Run, embedded_shop: Hammerflow, folder: Path
) -> None:
    path, target = written(folder, *[CALLS[0]] * 4), ("--rate", "1/m burst 2")
    made = run("-A", "shop:app", "batch", "create", "--file", path, *target, "--json").json["id"]

    shown, (listed,) = run("batch", "show", made), run("limit", "list", "--json").json
    first = len(claim(embedded_shop))
    changed = run("limit", "set", f"batch:{made[:13]}", "--rate", "2/s burst 3")
    removed = run("limit", "remove", f"batch:{made}")
    rest = len(claim(embedded_shop))
    plain = created(run, folder, CALLS[0])
    refused = run("limit", "set", f"batch:{plain}", "--rate", "1/s")

    assert "\nlimit       1/m burst 2\n" in shown.out
    assert (listed["target"], listed["waiting"]) == (f"batch:{made}", 4)
    assert (first, rest) == (2, 2)
    assert changed.out == f"batch:{made}: 2/s burst 3\n"
    assert removed.out == f"batch:{made}: no limit\n"
    assert refused.code == 1 and "has no rate limit" in refused.err


def test_other_workflows_are_no_batches(run: Run, embedded_shop: Hammerflow) -> None:
    flow = embedded_shop.workflow("flow").add(embedded_shop.tasks["shop.add"].s(1, 2), name="a")
    result = flow.enqueue()
    assert result.status() is WorkflowStatus.RUNNING
    for command in ("show", "export", "retry", "cancel"):
        ended = run("batch", command, result.id)
        assert (ended.code, "is a workflow: see hammerflow workflow show" in ended.err) == (1, True)
    assert run("batch", "list").out == "no matching batches\n"
    for given, says in (("ffffffff", "no batch has an id"), ("what", "is not a batch id")):
        assert says in run("batch", "show", given).err
