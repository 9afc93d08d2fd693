"""Dead letters on the command line: counted, replayed, undone, edited and purged."""

from __future__ import annotations

import csv
import io
import json

import pytest

from hammerflow import Hammerflow, JobState
from hammerflow.jobs.outcome import Completed, Failed, Failure, Parked
from hammerflow.testing import drain
from tests.cli.conftest import Run, claim, settle

BAD = Failure("failed", "builtins.ValueError", "no such image", "Traceback")
DOWN = Failure("failed", "builtins.OSError", "host is down", "Traceback")


def fail(app: Hammerflow, *calls: tuple[int, int], failure: Failure = BAD, **options: str) -> None:
    for args in calls:
        app.tasks["shop.add"].apply_async(args=args, **options)  # type: ignore[arg-type]
        settle(app, claim(app), Failed(failure))


def states(run: Run) -> list[str]:
    return [job["state"] for job in run("job", "list", "--json").json]


def test_the_list_counts_by_error_task_and_day(run: Run, shop: Hammerflow) -> None:
    fail(shop, (1, 2), (3, 4))
    fail(shop, (5, 6), failure=DOWN)
    shop.tasks["shop.resize"].delay(1)
    settle(shop, claim(shop), Parked("poison", Failure("lost", "WorkerLost", "gone", "")))

    counts = run("job", "dead", "list", "--json").json
    narrowed = run("job", "dead", "list", "--json", "--error", "ValueError").json
    assert run("job", "dead", "list", "--json", "--since", "1h").json == counts
    assert run("job", "dead", "list", "--json", "--until", "1h").json == []
    assert run("job", "dead", "list", "--json", "--queue", "default").json == counts
    assert run("job", "dead", "list", "--queue", "nowhere").err.startswith("warning: there is no")
    head, first, *_ = run("job", "dead", "list").out.splitlines()

    assert [(c["by"], c["value"], c["jobs"]) for c in counts[:5]] == [
        ("error", "ValueError", 2), ("error", "OSError", 1), ("error", "poison", 1),
        ("task", "shop.add", 3), ("task", "shop.resize", 1),
    ]  # fmt: skip
    assert sum(c["jobs"] for c in counts if c["by"] == "day") == 4
    assert [c["jobs"] for c in narrowed] == [2, 2, 2]
    assert head.split() == ["BY", "VALUE", "JOBS", "LAST", "EXAMPLE"]
    assert first.split()[:3] == ["error", "ValueError", "2"]
    assert run("job", "dead", "show", counts[0]["example"][:18]).code == 0


def test_a_list_is_exported_as_csv_and_json_lines(run: Run, embedded_shop: Hammerflow) -> None:
    fail(embedded_shop, *((n, n) for n in range(60)), failure=BAD._replace(message='"a",\nb'))
    embedded_shop.tasks["shop.add"].apply_async(args=(1, 2), unique_key="=1+1")

    rows = list(csv.DictReader(io.StringIO(run("job", "list", "--csv").out, newline="")))
    lines = run("job", "list", "--json-lines").out.splitlines()

    assert [row["id"] for row in rows] == [json.loads(line)["id"] for line in lines]
    assert len(rows) == 61 and rows[0]["unique_key"] == "'=1+1"
    assert json.loads(rows[1]["error"])["message"] == '"a",\nb'
    assert rows[1]["finished_at"].endswith("+00:00")


@pytest.mark.parametrize(
    ("filters", "count"),
    [
        (["--error", "ValueError"], 2), (["--error", "is down"], 1), (["--argument", "5, 6"], 1),
        (["--since", "1h"], 3), (["--until", "1h"], 0), (["--since", "2020-01-01"], 3),
        (["--error", "ValueError", "--argument", "3"], 1),
    ],
)  # fmt: skip
def test_jobs_are_found_by_time_argument_and_error(
    run: Run, embedded_shop: Hammerflow, filters: list[str], count: int
) -> None:
    fail(embedded_shop, (1, 2), (3, 4))
    fail(embedded_shop, (5, 6), failure=DOWN)
    embedded_shop.tasks["shop.add"].delay(1, 2)

    found = run("job", "list", "--json", "--state", "failed", *filters)
    planned = run("job", "dead", "replay", "--dry-run", "--json", *filters)

    assert len(found.json) == count
    assert planned.json["replayed"] == count


def test_a_replay_is_tried_done_and_undone(run: Run, shop: Hammerflow) -> None:
    fail(shop, (1, 2), (3, 4), (5, 6))

    tried = run("job", "dead", "replay", "--all", "--dry-run")
    asked = run("job", "dead", "replay", "--all")
    done = run("job", "dead", "replay", "--all", "--yes", "--json").json
    after = states(run)
    (held,) = claim(shop)[:1] or [None]
    started = states(run).count("running")
    undone = run("job", "dead", "undo", done["operation"], "--json").json

    assert tried.out == "would replay 3 jobs\n"
    assert asked.code == 2 and "this would replay 3 jobs: give --yes" in asked.err
    assert (done["replayed"], after) == (3, ["ready"] * 3)
    assert held is not None and held.attempt == 1
    assert (undone["undone"], undone["started"]) == (3 - started, started)
    assert states(run).count("failed") == 3 - started


def test_a_replay_into_a_paused_queue_waits_and_says_so(
    run: Run, embedded_shop: Hammerflow
) -> None:
    fail(embedded_shop, (1, 2), (3, 4))
    embedded_shop.pause(queue="default", reason="the provider is down")

    tried = run("job", "dead", "replay", "--all", "--dry-run")
    found = run("job", "dead", "replay", "--all", "--yes", "--json").json

    says = "2 jobs wait while queue default is paused: hammerflow queue resume default"
    assert tried.out.splitlines() == ["would replay 2 jobs", says]
    assert found["paused"] == [{"kind": "queue", "name": "default", "jobs": 2}]
    assert drain(embedded_shop) == 0 and states(run) == ["ready"] * 2
    embedded_shop.resume(queue="default")
    assert drain(embedded_shop) == 2


def test_a_rate_spreads_the_starts(run: Run, embedded_shop: Hammerflow) -> None:
    fail(embedded_shop, (1, 2), (3, 4), (5, 6))
    done = run("job", "dead", "replay", "--all", "--rate", "1/m", "--yes", "--json").json
    assert states(run) == ["scheduled", "scheduled", "ready"]
    undone = run("job", "dead", "undo", done["operation"][:20])
    assert undone.out == "put 3 jobs back; 0 jobs had started\n"
    assert states(run) == ["failed"] * 3


def test_refused_jobs_leave_no_gap_in_the_rate(run: Run, embedded_shop: Hammerflow) -> None:
    fail(embedded_shop, (1, 2), (3, 4), unique_key="k")
    fail(embedded_shop, (5, 6))
    run("job", "dead", "replay", "--all", "--rate", "1/h", "--yes")
    (last,) = embedded_shop.jobs(state=JobState.SCHEDULED)
    assert last.run_at is not None
    assert 3_500 < last.run_at.timestamp() - embedded_shop.store.clock() <= 3_600


def test_twins_are_named_with_their_holder(run: Run, shop: Hammerflow) -> None:
    fail(shop, (1, 2), (3, 4), (5, 6), unique_key="k")

    tried = run("job", "dead", "replay", "--all", "--dry-run", "--json").json
    done = run("job", "dead", "replay", "--all", "--yes", "--json")

    holder = run("job", "list", "--state", "ready", "--json").json[0]["id"]
    for refused in (tried["refused"], done.json["refused"]):
        assert len(refused) == 2 and all(holder in each["error"] for each in refused)
    assert (tried["replayed"], done.json["replayed"], done.code) == (1, 1, 1)


def test_arguments_are_edited_and_checked(run: Run, shop: Hammerflow) -> None:
    fail(shop, (1, 2))
    (job,) = run("job", "list", "--json").json
    edit = ("-A", "shop:app", "job", "edit", job["id"])

    refused = run(*edit, "--args", "[1, 2, 3]")
    edited = run(*edit, "--args", "[7]", "--kwargs", '{"y": 8}')

    assert refused.code == 1 and "argument" in refused.err
    assert edited.code == 0
    shown = run("job", "show", job["id"], "--json").json
    assert (shown["args"], shown["kwargs"]) == ([7], {"y": 8})
    run("job", "dead", "replay", job["id"])
    assert claim(shop)[0].attempt == 1
    assert "running" in run(*edit, "--args", "[9]").err


def test_a_job_is_moved(run: Run, embedded_shop: Hammerflow) -> None:
    job_id = str(embedded_shop.tasks["shop.add"].options(delay=3600).delay(1, 2).id)
    edit = ("job", "edit", job_id)

    refused = run(*edit, "--queue", "mial")
    moved = run(*edit, "--queue", "mial", "--new-queue", "--priority", "high")

    assert refused.code == 1 and "--new-queue" in refused.err
    assert moved.out == f"job {job_id} was moved to queue mial at priority high\n"
    shown = run("job", "show", job_id, "--json").json
    assert (shown["queue"], shown["priority"]) == ("mial", 3)


def test_a_purge_removes_what_matches(run: Run, shop: Hammerflow) -> None:
    fail(shop, (1, 2), (3, 4))
    shop.tasks["shop.add"].delay(5, 6)
    settle(shop, claim(shop), Completed(b"M\x01"))
    shop.tasks["shop.add"].delay(7, 8)

    refused = run("job", "purge")
    none = run("job", "purge", "--state", "failed", "--older-than", "1h", "--yes").out
    tried = run("job", "purge", "--state", "failed", "--dry-run").out
    purged = run("job", "purge", "--state", "failed", "--task", "shop.add", "--yes", "--json").json

    assert refused.code == 2 and "--all" in refused.err
    assert (none, tried) == ("removed 0 ended jobs\n", "2 ended jobs would be removed\n")
    assert purged == {"removed": 2}
    assert states(run) == ["ready", "completed"]


def test_a_purge_counts_for_a_second_unless_told_otherwise(
    run: Run, shop: Hammerflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail(shop, (1, 2), (3, 4))
    monkeypatch.setattr("hammerflow.cli.job_edit._COUNT_SECONDS", 0.0)
    purge = ("job", "purge", "--task", "shop.add")
    assert run(*purge, "--dry-run").out.startswith("at least 2 ended jobs would be removed; coun")
    assert run(*purge, "--dry-run", "--json").json == {"matching": 2, "is_whole": False}
    assert run(*purge, "--dry-run", "--exact").out == "2 ended jobs would be removed\n"
    assert "would remove at least 2 ended jobs for good" in run(*purge).err
    assert run(*purge, "--yes").out == "removed 2 ended jobs\n"


@pytest.mark.parametrize(
    ("command", "advice"),
    [
        ("job dead replay", "by filters, or by --all"),
        ("job dead replay --all --task x", "by filters, or by --all"),
        ("job dead replay --all --rate fast", "such as 100/m"),
        ("job dead undo 01936", "no operation has"),
        ("job list --since yesterday", "a duration before now"),
        ("-A shop:app job edit 0193", "give --args, --kwargs, --queue or --priority"),
    ],
)
def test_what_is_unclear_is_refused(
    run: Run, embedded_shop: Hammerflow, command: str, advice: str
) -> None:
    ended = run(*command.split())
    assert ended.code != 0 and advice in ended.err


def test_jobs_are_found_by_correlation_and_trace(run: Run, embedded_shop: Hammerflow) -> None:
    add = embedded_shop.tasks["shop.add"]
    wanted = add.options(headers={"correlation_id": "c1"}).delay(1, 2)
    add.delay(3, 4)

    found = run("job", "list", "--json", "--correlation-id", "c1")
    none = run("job", "list", "--json", "--trace-id", "c1")

    assert [job["id"] for job in found.json] == [str(wanted.id)]
    assert none.json == []
