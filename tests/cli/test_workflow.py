"""``hammerflow workflow``: what it shows and does on each database, and what it refuses."""

from __future__ import annotations

import io
import json
import sys
import time
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest

from hammerflow import FailurePolicy, Hammerflow, JobState, Workflow, WorkflowStatus, group
from hammerflow.admin import workflows as admin_workflows
from hammerflow.jobs.outcome import Completed, Failed, Failure
from hammerflow.results.workflow import WorkflowResult
from hammerflow.stores.pages import workflow_pages
from hammerflow.testing import drain
from tests.cli.conftest import Run, claim, settle
from tests.support.drawing import read_dot, read_mermaid

FAILURE = Failure("failed", "builtins.ValueError", "no such image", "")
FILE = {
    "name": "etl",
    "description": "Every day",
    "failure_policy": "continue_on_failure",
    "jobs": [
        {"name": "extract", "task": "add", "args": [1, 2], "queue": "etl", "max_attempts": 2},
        {"name": "load", "task": "shop.resize", "payload": [3], "depends_on": ["extract"]},
    ],
}


def start(app: Hammerflow, policy: str = "fail_fast") -> WorkflowResult:
    """``first``, then ``left`` and ``right`` at once, then ``last``."""
    add, resize = app.tasks["shop.add"], app.tasks["shop.resize"]
    flow = Workflow("images", FailurePolicy(policy), description="Some images")
    flow.add(add.s(1, 2), name="first")
    flow.add(resize.si(1), name="left", after="first")
    flow.add(resize.si(2), name="right", after="first")
    flow.add(add.si(3, 4), name="last", after=["left", "right"])
    result: WorkflowResult = app.enqueue(flow)
    return result


def finish(app: Hammerflow) -> None:
    """Complete everything that is or becomes ready."""
    while claimed := claim(app):
        settle(app, claimed, Completed(app.codec.encode(1)))


def fail(app: Hammerflow) -> None:
    """Let the first node fail."""
    settle(app, claim(app), Failed(FAILURE))


# -- reading


def test_an_empty_database_has_no_workflows(run: Run, embedded_shop: Hammerflow) -> None:
    assert embedded_shop.jobs() == []

    assert run("workflow", "list").out == "no matching workflows\n"
    assert run("workflow", "list", "--json").json == []
    assert "no workflow that ended then is counted" in run("workflow", "stats").out
    assert run("workflow", "stats", "nightly", "--json").json == []


def test_stats_show_each_name_and_one_over_time(
    run: Run, embedded_shop: Hammerflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = embedded_shop
    for _ in range(3):
        start(shop)
        finish(shop)
    start(shop)
    fail(shop)
    statistics, clock = shop.store.statistics, shop.store.clock
    shop.store.database.run("statistics_begin", begin=int(clock() // 60 - 5) * 60)
    monkeypatch.setattr(statistics, "_clock", lambda: clock() + 600)
    while statistics.count_next():
        pass
    head, row = run("workflow", "stats").out.splitlines()
    assert head.split()[:3] == ["NAME", "KIND", "COMPLETED"]
    assert row.split()[:6] == ["images", "workflow", "3", "1", "0", "75.0%"]
    [found] = run("workflow", "stats", "--json").json
    assert (found["success_ratio"], found["kind"]) == (0.75, "workflow")
    assert found["slowest_node"] in {"first", "left", "right", "last"}
    points = run("workflow", "stats", "images", "--json").json
    assert sum(point["completed"] + point["failed"] for point in points) == 4


def test_workflows_are_listed_newest_first(run: Run, shop: Hammerflow) -> None:
    first = start(shop)
    finish(shop)
    second = start(shop)

    head, *rows = run("workflow", "list").out.splitlines()
    found = run("workflow", "list", "--json").json

    assert head.split()[:4] == ["ID", "STATUS", "KIND", "NAME"]
    assert [row.split()[:4] for row in rows] == [
        [str(second.id), "running", "workflow", "images"],
        [str(first.id), "completed", "workflow", "images"],
    ]
    assert [flow["id"] for flow in found] == [str(second.id), str(first.id)]
    assert found[0]["description"] == "Some images"


def test_the_list_can_be_narrowed_and_paged(run: Run, embedded_shop: Hammerflow) -> None:
    done = start(embedded_shop)
    finish(embedded_shop)
    rest = [str(start(embedded_shop).id) for _ in range(3)][::-1]

    completed = run("workflow", "list", "--json", "--status", "completed").json
    page = run("workflow", "list", "--json", "--limit", 2).json
    next_page = run("workflow", "list", "--json", "--before", page[-1]["id"]).json

    assert [flow["id"] for flow in completed] == [str(done.id)]
    assert [flow["id"] for flow in page + next_page] == [*rest, str(done.id)]


@pytest.mark.parametrize("table", ["ready", "jobs"])
def test_show_names_members_whose_rows_were_deleted(run: Run, shop: Hammerflow, table: str) -> None:
    result = start(shop)
    with shop.transaction() as tx:
        column = "id" if table == "jobs" else "job_id"
        key = "SELECT min(job_id) FROM (SELECT job_id FROM hammerflow_ready) r"
        if shop.store.dialect == "postgres":
            key = "SELECT job_id FROM hammerflow_ready LIMIT 1"
        tx.execute(f"DELETE FROM hammerflow_{table} WHERE {column} = ({key})")

    text = run("workflow", "show", result.id).out

    (line,) = (line for line in text.splitlines() if "missing" in line)
    assert line.startswith("first") and line.endswith("its rows were deleted by hand")
    assert run("workflow", "show", result.id, "--json").json["nodes"][0]["state"] == "missing"
    for form in ("text", "dot", "mermaid", "json"):
        assert "missing" in run("workflow", "graph", result.id, "--format", form).out


def test_show_tells_of_jobs_and_errors(run: Run, shop: Hammerflow) -> None:
    result = start(shop)
    fail(shop)

    text = run("workflow", "show", result.id).out
    found = run("workflow", "show", result.id, "--json").json

    assert "status       failed" in text
    assert "jobs         4 of 4 ended (100%)" in text
    assert "builtins.ValueError: no such image" in text
    assert [node["name"] for node in found["nodes"]] == ["first", "left", "right", "last"]
    assert (found["status"], found["failure_policy"]) == ("failed", "fail_fast")
    assert (found["stats"]["total"], found["stats"]["failed"]) == (4, 1)
    assert found["errors"] == {
        found["nodes"][0]["id"]: "builtins.ValueError: no such image",
    }


def test_show_names_the_failed_first_and_counts_the_rest(
    run: Run, embedded_shop: Hammerflow
) -> None:
    resize = embedded_shop.tasks["shop.resize"]
    batch = embedded_shop.batch([resize.s(n) for n in range(100)]).enqueue()
    claimed = claim(embedded_shop)
    settle(embedded_shop, claimed[50:51], Failed(FAILURE))

    lines = run("workflow", "show", batch.id, "--limit", 2).out.splitlines()
    found = run("workflow", "show", batch.id, "--limit", 2, "--json").json

    assert "... 98 more" in lines[-1] and lines[-1].endswith("98 running")
    assert [node["state"] for node in found["nodes"]] == ["running", "failed"]
    assert found["more"] == {"running": 98}


@pytest.mark.parametrize("form", ["text", "dot", "mermaid", "json"])
def test_graphs_of_a_workflow(run: Run, shop: Hammerflow, form: str) -> None:
    result = start(shop)

    drawn = run("workflow", "graph", result.id, "--format", form).out

    match form:
        case "dot":
            assert len(read_dot(drawn)["edges"]) == 4
        case "mermaid":
            (read,) = read_mermaid([drawn])
            assert (len(read["nodes"]), len(read["edges"])) == (4, 4)
        case "json":
            found = json.loads(drawn)
            labels = {node["key"]: node["label"] for node in found["nodes"]}
            assert labels == {
                str(result.result(name).id): name for name in ("first", "left", "right", "last")
            }
            assert {(labels[edge["from"]], labels[edge["to"]]) for edge in found["edges"]} == {
                ("first", "left"), ("first", "right"), ("left", "last"), ("right", "last"),
            }  # fmt: skip
        case _:
            assert drawn.splitlines()[0] == "images"
            assert "first  ready" in drawn
    assert run("workflow", "graph", result.id, "--json").json["name"] == "images"


def test_spawned_jobs_hang_on_their_spawner(run: Run, embedded_shop: Hammerflow) -> None:
    flow = Workflow("albums").add(embedded_shop.tasks["shop.album"].s(2), name="album")
    result = embedded_shop.enqueue(flow)
    drain(embedded_shop)

    found = run("workflow", "graph", result.id, "--format", "json").json

    labels = {node["key"]: node["label"] for node in found["nodes"]}
    assert sorted((labels[edge["from"]], labels[edge["to"]]) for edge in found["edges"]) == [
        ("album", "resize"), ("album", "resize"), ("album", "total"),
        ("resize", "total"), ("resize", "total"),
    ]  # fmt: skip


def test_a_large_graph_is_folded(run: Run, embedded_shop: Hammerflow) -> None:
    resize, total = embedded_shop.tasks["shop.resize"], embedded_shop.tasks["shop.total"]
    flow = Workflow("wide").add(group(resize.s(n) for n in range(500)), name="all")
    result = embedded_shop.enqueue(flow.then(total.si([]), name="sum"))

    text = run("workflow", "graph", result.id).out
    whole = run("workflow", "graph", result.id, "--format", "json").json

    assert "shop.resize x 500" in text
    assert len(text.splitlines()) < 10
    assert len(whole["nodes"]) == 501


@pytest.mark.slow
def test_the_graph_of_ten_thousand_jobs_is_a_screen(run: Run, embedded_shop: Hammerflow) -> None:
    resize = embedded_shop.tasks["shop.resize"]
    batch = embedded_shop.batch(resize.s(n) for n in range(10_000)).enqueue()

    text = run("workflow", "graph", batch.id)
    shown = run("workflow", "show", batch.id)

    assert "x 10 000" in text.out and len(text.out.splitlines()) < 10
    assert "1951+ more" in shown.out and "0 of 10000 ended" in shown.out


def test_dependencies_of_a_job_on_both_sides(run: Run, shop: Hammerflow) -> None:
    result = start(shop)
    left = result.result("left").id

    rows = run("workflow", "dependencies", left).out.splitlines()[1:]
    found = run("workflow", "dependencies", left, "--json").json
    shown = run("job", "show", left, "--include-dependencies")
    in_json = run("job", "show", left, "--include-dependencies", "--json").json

    ids = {name: str(result.result(name).id) for name in ("first", "last")}
    assert [row.split() for row in rows] == [
        ["waits", "for", ids["first"], "shop.add", "ready"],
        ["then", ids["last"], "shop.add", "waiting"],
    ]
    assert (found["node"], found["pending"], found["total"]) == ("left", 1, 1)
    assert found["depends_on"]["jobs"][0]["id"] == ids["first"]
    assert found["dependents"]["states"] == {"waiting": 1}
    assert f"waits for  {ids['first']}" in shown.out and "waiting    1 of 1 to end" in shown.out
    assert in_json["dependencies"]["dependents"]["jobs"][0]["id"] == ids["last"]
    assert "dependencies" not in run("job", "show", left, "--json").json


def test_many_dependencies_are_counted(run: Run, embedded_shop: Hammerflow) -> None:
    resize, total = embedded_shop.tasks["shop.resize"], embedded_shop.tasks["shop.total"]
    flow = Workflow("wide").add(group(resize.s(n) for n in range(60)), name="all")
    result = embedded_shop.enqueue(flow.then(total.si([]), name="sum"))
    job_id = result.result("sum").id

    text = run("workflow", "dependencies", job_id, "--limit", 5).out
    found = run("workflow", "dependencies", job_id, "--limit", 5, "--json").json

    assert "... 55 more" in text and "all: 60 ready" in text
    assert (found["depends_on"]["count"], len(found["depends_on"]["jobs"])) == (60, 5)


def test_a_job_by_itself_has_no_dependencies(run: Run, embedded_shop: Hammerflow) -> None:
    job = embedded_shop.tasks["shop.add"].delay(1, 2)

    assert "waits for nothing" in run("workflow", "dependencies", job.id).out
    assert run("workflow", "dependencies", job.id, "--json").json["depends_on"]["count"] == 0


def test_status_is_one_line(run: Run, shop: Hammerflow) -> None:
    result = start(shop)

    text = run("workflow", "status", result.id)
    found = run("workflow", "status", result.id, "--json").json

    assert text.out == "images  running: 0 of 4 ended (0%): 4 pending\n"
    assert (found["status"], found["stats"]["pending"]) == ("running", 4)


def test_watch_goes_on_until_the_end(
    run: Run, embedded_shop: Hammerflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = start(embedded_shop)
    monkeypatch.setattr(time, "sleep", lambda seconds: finish(embedded_shop))

    ended = run("workflow", "status", result.id, "--watch")

    assert ended.code == 0
    assert [line.split()[1] for line in ended.out.splitlines()] == ["running:", "completed:"]


def test_watch_of_what_fails_ends_with_one(run: Run, embedded_shop: Hammerflow) -> None:
    going, failed = start(embedded_shop), start(embedded_shop)
    job_id = failed.result("first").id.bytes
    settle(embedded_shop, [j for j in claim(embedded_shop) if j.id == job_id], Failed(FAILURE))

    watched = run("workflow", "status", failed.id, "--watch", "--json")
    cut = run("workflow", "status", going.id, "--watch", "--count", 2, "--interval", 0.1)

    assert (watched.code, watched.json["status"]) == (1, "failed")
    assert run("workflow", "status", failed.id).code == 0
    assert (cut.code, len(cut.out.splitlines())) == (1, 1)  # nothing new at the second update
    assert f"workflow {going.id} has not ended within 2 updates" in cut.err


def test_an_interrupted_watch_does_not_end_as_the_workflow(
    run: Run, embedded_shop: Hammerflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    going = start(embedded_shop)

    def interrupt(seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(time, "sleep", interrupt)
    ended = run("workflow", "status", going.id, "--watch")

    assert ended.code == 130
    assert f"interrupted; workflow {going.id} goes on" in ended.err


# -- control


def test_cancel_ends_what_has_not_started(run: Run, shop: Hammerflow) -> None:
    result = start(shop)

    ended = run("workflow", "cancel", result.id, "--reason", "not needed")
    again = run("workflow", "cancel", result.id)

    assert ended.out == f"{result.id}  cancelled\n"
    assert (result.status(), result.row().reason) == (WorkflowStatus.CANCELLED, "not needed")
    assert again.code == 1 and "is cancelled already" in again.err


def test_cancel_of_what_runs_says_so(run: Run, embedded_shop: Hammerflow) -> None:
    result = start(embedded_shop)
    assert len(claim(embedded_shop)) == 1

    ended = run("workflow", "cancel", result.id)

    assert "its running jobs were told to stop" in ended.out
    assert len(embedded_shop.store.workers.cancels(7)) == 1


def test_retry_runs_what_failed_again(run: Run, shop: Hammerflow) -> None:
    result = start(shop)
    fail(shop)

    ended = run("workflow", "retry", result.id, "--json")

    assert ended.json == {"id": str(result.id), "status": "running"}
    finish(shop)
    assert result.status() is WorkflowStatus.COMPLETED


def test_retry_of_one_node_downstream(run: Run, embedded_shop: Hammerflow) -> None:
    result = start(embedded_shop)
    finish(embedded_shop)

    ended = run("workflow", "retry", result.id, "--node", "left", "--downstream")

    assert ended.code == 0
    states = {m.name: m.state for m in result.members()}
    assert states == {
        "first": "completed", "left": "ready", "right": "completed", "last": "waiting",
    }  # fmt: skip


def test_a_paused_workflow_is_resumed_or_its_node_skipped(run: Run, shop: Hammerflow) -> None:
    resumed, skipped = start(shop, "manual"), start(shop, "manual")
    fail(shop)

    paused = run("workflow", "list", "--status", "paused", "--json").json
    first = run("workflow", "resume", resumed.id)
    second = run("workflow", "skip", skipped.id, "first")

    assert len(paused) == 2
    assert first.code == second.code == 0
    assert resumed.status() is WorkflowStatus.FAILED
    assert skipped.result("first").state is JobState.SKIPPED
    assert "running" in second.out


def test_control_refuses_in_one_sentence(run: Run, embedded_shop: Hammerflow) -> None:
    result = start(embedded_shop)

    not_paused = run("workflow", "resume", result.id)
    no_node = run("workflow", "skip", result.id, "nothing")
    not_ended = run("workflow", "skip", result.id, "first")

    assert (not_paused.code, no_node.code, not_ended.code) == (1, 1, 1)
    assert "is running, not paused" in not_paused.err
    assert "has no node 'nothing'" in no_node.err
    assert "has not ended" in not_ended.err


@pytest.mark.parametrize(
    ("workflow_id", "words"),
    [("123", "'123' is not a"), (str(uuid.UUID(int=1)), "has the id 00000000-0000")],
)
@pytest.mark.parametrize(
    "command",
    ["show", "graph", "status", "cancel", "retry", "resume", "skip", "dependencies"],
)
def test_an_unknown_id_is_one_sentence(
    run: Run, embedded_shop: Hammerflow, command: str, workflow_id: str, words: str
) -> None:
    assert embedded_shop.jobs() == []
    more = ["node"] if command == "skip" else []

    plain = run("workflow", command, workflow_id, *more)
    as_json = run("workflow", command, workflow_id, *more, "--json")

    assert (plain.code, plain.out, as_json.code, as_json.out) == (1, "", 1, "")
    assert words in plain.err and plain.err.count("\n") == 1
    assert words in json.loads(as_json.err)["error"]


# -- creating


def test_create_enqueues_a_file(run: Run, shop: Hammerflow, folder: Path) -> None:
    (folder / "etl.json").write_text(json.dumps(FILE))

    ended = run("-A", "shop:app", "workflow", "create", "--file", "etl.json")

    result = shop.workflow_result(ended.out.strip())
    extract = result.result("extract").job()
    assert (extract.task, extract.queue, extract.state) == ("shop.add", "etl", JobState.READY)
    assert extract.options["max_attempts"] == 2
    assert result.result("load").state is JobState.WAITING
    assert (result.row().name, result.row().policy) == ("etl", "continue_on_failure")


def test_create_reads_yaml_from_standard_input(
    run: Run, embedded_shop: Hammerflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "name: tiny\njobs:\n- {name: one, task: resize, payload: {image: 3}}\n"
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode()), "utf-8"))

    ended = run("-A", "shop:app", "workflow", "create", "--file", "-", "--json")

    assert (ended.json["name"], ended.json["nodes"]) == ("tiny", 1)
    assert len(embedded_shop.jobs(task="shop.resize")) == 1


def changed(**job: object) -> str:
    """The file with a job like that."""
    return json.dumps({"name": "etl", "jobs": [{"name": "one", **job}]})


REFUSED: list[tuple[Callable[[], str], str]] = [
    (
        lambda: changed(task="resise"),
        "has no task 'resise' for job 'one': did you mean shop.resize",
    ),
    (lambda: changed(task="add", args=[1]), "node 'one': "),
    (lambda: changed(task="add", args=[1, 2], depends_on=["two"]), "there is no job named 'two'"),
    (lambda: "{", "bad.json, line 1"),
    (lambda: changed(task="add", args=[1, 2], when="1 +"), "jobs[0].when: a condition reads"),
    (lambda: changed(task="add", args=[1, 2], depends_on=["zero"], when="1 +"), "no job named"),
]


@pytest.mark.parametrize(("text", "words"), REFUSED)
def test_create_refuses_in_one_sentence_and_writes_nothing(
    run: Run, embedded_shop: Hammerflow, folder: Path, text: Callable[[], str], words: str
) -> None:
    (folder / "bad.json").write_text(text())

    ended = run("-A", "shop:app", "workflow", "create", "--file", "bad.json")

    assert (ended.code, ended.out) == (1, "")
    assert words in ended.err
    assert embedded_shop.jobs() == [] == embedded_shop.workflows()


def test_create_needs_an_app_and_a_file(run: Run, embedded_shop: Hammerflow, folder: Path) -> None:
    assert embedded_shop.jobs() == []
    (folder / "latin.json").write_bytes(b'{"name": "\xe9"}')

    no_app = run("workflow", "create", "--file", "etl.json")
    no_option = run("-A", "shop:app", "workflow", "create")
    no_file = run("-A", "shop:app", "workflow", "create", "--file", "nowhere.json")
    no_text = run("-A", "shop:app", "workflow", "create", "--file", "latin.json")

    assert (no_app.code, no_option.code, no_file.code, no_text.code) == (2, 2, 1, 1)
    assert "cannot read nowhere.json: No such file" in no_file.err
    assert "is not UTF-8 text" in no_text.err


# -- jobs that wait


def test_jobs_are_listed_by_what_their_dependencies_do(run: Run, shop: Hammerflow) -> None:
    result = start(shop, "continue_on_failure")
    alone = shop.tasks["shop.add"].delay(1, 2)

    def listed(*options: str) -> set[str]:
        return {job["id"] for job in run("job", "list", "--json", *options).json}

    waiting = {str(result.result(name).id) for name in ("left", "right", "last")}
    first = str(result.result("first").id)
    both = ("--status", "waiting", "--dependency-status", "waiting")
    assert listed(*both) == waiting == listed("--dependency-status", "waiting")
    assert listed("--dependency-status", "none") == {first, str(alone.id)}
    assert listed("--dependency-status", "satisfied") == set()
    settle(shop, [j for j in claim(shop) if str(uuid.UUID(bytes=j.id)) == first], Failed(FAILURE))
    assert listed("--dependency-status", "failed") == waiting
    assert len(listed("--dependency-status", "failed", "--limit", "2")) == 2


def test_a_list_of_few_among_many_goes_on_where_it_stopped(
    run: Run, embedded_shop: Hammerflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = embedded_shop.batch([embedded_shop.tasks["shop.add"].s(1, 2)]).enqueue()
    for _ in range(9):
        (
            embedded_shop.tasks["shop.add"].si(1, 2) | embedded_shop.tasks["shop.add"].si(1, 2)
        ).delay()
    monkeypatch.setattr(workflow_pages, "_SCANNED", 2)

    cut = run("batch", "list", "--limit", 1)
    goes_on = cut.err.split("--before ")[1].strip()
    rest = run("batch", "list", "--limit", 1, "--before", goes_on, "--json").json

    assert "this is how far one command searches" in cut.err
    assert [row["id"] for row in rest] == [str(batch.id)]
    assert [row["id"] for row in run("batch", "list", "--json").json] == [str(batch.id)]


def test_a_large_workflow_is_shown_in_part(
    run: Run, shop: Hammerflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    add = shop.tasks["shop.add"].si(1, 2)
    batch = shop.batch([add] * 5).enqueue()
    whole = run("workflow", "show", batch.id, "--limit", 1, "--json").json
    monkeypatch.setattr(admin_workflows, "MEMBERS_READ", 2)

    cut = run("workflow", "show", batch.id, "--limit", 1, "--json")

    assert (whole["more"], whole["is_cut"]) == ({"ready": 4}, False)
    assert (cut.json["more"], cut.json["is_cut"]) == ({"ready": 2}, True)
    assert cut.json["stats"]["total"] == 5
    assert "jobs are looked at" in cut.err
