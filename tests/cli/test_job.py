"""``hammerflow job``: what it shows and does on each database, and what it refuses."""

from __future__ import annotations

import json
import re
import subprocess
import uuid
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from hammerflow import Hammerflow, JobState
from hammerflow.admin.jobs import JobValues, job_json, worker_of
from hammerflow.cli.job_view import job_facts
from hammerflow.jobs.log_lines import KeptLine, LineBuffer
from hammerflow.jobs.outcome import Completed, Failed, Failure, Parked
from hammerflow.stores.rows import JobLogRow
from tests.cli.conftest import HAMMERFLOW, WORKER, Run, claim, environment, settle

FAILURE = Failure("failed", "builtins.ValueError", "no such image", "Traceback: line 1\nline 2")


def test_the_list_shows_jobs_newest_first(run: Run, shop: Hammerflow) -> None:
    first = shop.tasks["shop.add"].delay(1, 2)
    second = shop.tasks["shop.add"].apply_async(args=(3, 4), countdown=3600)

    ended = run("job", "list")

    assert ended.code == 0
    head, *rows = ended.out.splitlines()
    assert head.split()[:3] == ["ID", "STATE", "TASK"]
    assert [row.split()[:3] for row in rows] == [
        [str(second.id), "scheduled", "shop.add"],
        [str(first.id), "ready", "shop.add"],
    ]
    assert "due in 60m" in rows[0]


@pytest.mark.parametrize(
    ("options", "count"),
    [
        (["--state", "ready"], 2),
        (["--state", "completed"], 1),
        (["--task", "shop.resize"], 1),
        (["--queue", "nothing"], 0),
        (["--limit", "1"], 1),
    ],
)
def test_the_list_can_be_narrowed(
    run: Run, shop: Hammerflow, options: list[str], count: int
) -> None:
    shop.tasks["shop.resize"].delay(1)
    settle(shop, claim(shop), Completed(None))
    for _ in range(2):
        shop.tasks["shop.add"].delay(1, 2)

    ended = run("job", "list", "--json", *options)

    assert len(ended.json) == count


def test_a_page_follows_the_page_before(run: Run, embedded_shop: Hammerflow) -> None:
    ids = [str(embedded_shop.tasks["shop.add"].delay(n, n).id) for n in range(5)][::-1]

    page = run("job", "list", "--json", "--limit", 2).json
    rest = run("job", "list", "--json", "--before", page[-1]["id"]).json

    assert [job["id"] for job in page + rest] == ids


def test_an_empty_list_says_so(run: Run, embedded_shop: Hammerflow) -> None:
    assert embedded_shop.jobs() == []

    assert run("job", "list").out == "no matching jobs\n"
    assert run("job", "list", "--json").json == []


def test_show_tells_call_result_and_errors(run: Run, shop: Hammerflow) -> None:
    add = shop.tasks["shop.add"]
    good, bad = add.delay(1, y=2), add.apply_async(args=(1, 2), headers={"who": "me"})
    jobs = {job.id: job for job in claim(shop)}
    settle(shop, [jobs[good.id.bytes]], Completed(shop.codec.encode(3)))
    settle(shop, [jobs[bad.id.bytes]], Failed(FAILURE))

    shown, failed = run("job", "show", good.id), run("job", "show", bad.id)

    assert "call      (1, y=2)" in shown.out
    assert "result    3" in shown.out
    assert "attempt 1 failed at" in failed.out and " s after it began at " in failed.out
    assert "builtins.ValueError: no such image" in failed.out
    assert "line 2" in failed.out
    assert '{"who": "me"}' in failed.out


def test_show_in_json_has_all_fields(run: Run, shop: Hammerflow) -> None:
    result = shop.tasks["shop.add"].delay(1, y=2)
    settle(shop, claim(shop), Completed(shop.codec.encode({3})))

    found = run("job", "show", result.id, "--json").json

    assert found["id"] == str(result.id)
    assert (found["args"], found["kwargs"]) == ([1], {"y": 2})
    assert found["result"] == {"$set": [3]}
    assert (found["state"], found["priority"], found["attempt"]) == ("completed", 2, 1)


@pytest.mark.parametrize(
    ("worker_id", "text"), [(WORKER, "3.2 s on here:1 (worker 7)"), (8, "3.2 s on (worker 8)")]
)
def test_an_ended_job_tells_how_long_it_ran_and_where(
    embedded_shop: Hammerflow, worker_id: int, text: str
) -> None:
    begun = datetime(2026, 11, 26, 1, 8, 3, tzinfo=UTC)
    job = replace(
        embedded_shop.tasks["shop.add"].delay(1, 2).job(),
        started_at=begun, finished_at=begun + timedelta(seconds=3.21), worker_id=worker_id,
    )  # fmt: skip

    worker = worker_of(embedded_shop.store, job)
    facts = job_facts(job, JobValues(None, None, {}), None, worker)

    assert facts["ran"] == text
    assert job_json(job)["seconds"] == 3.21


def test_a_running_job_tells_how_long_it_has_run(run: Run, shop: Hammerflow) -> None:
    result = shop.tasks["shop.add"].delay(1, 2)
    assert len(claim(shop)) == 1

    (ran,) = [line for line in run("job", "show", result.id).out.splitlines() if "so far" in line]

    assert re.fullmatch(r"ran +[0-9.]+ s so far on here:1 \(worker 7\)", ran)


def test_a_job_that_has_not_started_has_no_duration(run: Run, embedded_shop: Hammerflow) -> None:
    result = embedded_shop.tasks["shop.add"].delay(1, 2)

    assert "\nran " not in run("job", "show", result.id).out
    assert run("job", "show", result.id, "--json").json["seconds"] is None


def test_what_only_the_app_can_read_is_said_in_its_place(
    run: Run, embedded_shop: Hammerflow
) -> None:
    colour = embedded_shop.codec.decode(b'J{"$enum": ["Colour", "RED"]}')
    result = embedded_shop.tasks["shop.paint"].delay(colour)

    without = run("job", "show", result.id)
    with_app = run("-A", "shop:app", "job", "show", result.id)

    assert "not readable here" in without.out
    assert "(<Colour.RED: 1>)" in with_app.out


def test_enqueue_checks_and_writes(run: Run, shop: Hammerflow) -> None:
    ended = run(
        "-A", "shop:app", "job", "enqueue", "shop.add", "--args", "[1]", "--kwargs", '{"y": 2}',
        "--queue", "fast", "--new-queue", "--priority", "high", "--countdown", "60",
    )  # fmt: skip

    job = shop.job(ended.out.strip())
    assert (job.queue, job.priority, job.state) == ("fast", 3, JobState.SCHEDULED)
    encoded = shop.store.jobs.args(job.id.bytes)
    assert encoded is not None
    assert shop.codec.decode_call(encoded) == ((1,), {"y": 2})


def test_enqueue_twice_under_one_id_is_one_job(run: Run, shop: Hammerflow) -> None:
    job_id = str(uuid.uuid4())

    for _ in range(2):
        ended = run(
            "-A", "shop:app", "job", "enqueue", "shop.add", "--args", "[1, 2]",
            "--job-id", job_id, "--json",
        )  # fmt: skip
        assert ended.json == {"id": job_id}

    assert len(shop.jobs()) == 1


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["shop.ad", "--args", "[1, 2]"], 1, "did you mean shop.add"),
        (["shop.add", "--args", "[1]"], 1, "missing 1 required positional argument: 'y'"),
        (["shop.add", "--args", "[1, 2"], 2, "--args is not valid JSON"),
        (["shop.add", "--args", "1"], 2, "--args must be a JSON list"),
        (["shop.add", "--kwargs", "[]"], 2, "--kwargs must be a JSON object"),
        (["shop.add", "--args", "[1, 2]", "--priority", "urgent"], 2, "--priority must be 0 to 4"),
        (["shop.add", "--args", "[1, 2]", "--job-id", "7"], 2, "not a valid UUID"),
        (["shop.add", "--args", '[{"$date": "x"}, 2]'], 2, "cannot be decoded"),
        (["shop.add", "--args", "[1, 1e400]"], 2, "--args: inf is not a finite number at [1]"),
        (["shop.add", "--args", "[1, NaN]"], 2, "--args: nan is not a finite number at [1]"),
        (["shop.add", "--kwargs", '{"x": [{"a": 1, "a": 2}]}'], 2, "--kwargs: "),
        (["shop.add", "--kwargs", '{"x": 1, "x": 2}'], 2, "--kwargs: "),
        (["shop.add", "--args", f"[1, {'7' * 5000}]"], 2, "--args: "),
        (["shop.add", "--args", "[" * 99 + "]" * 99], 2, "--args: "),
        (["shop.add", "--args", '["\\ud800", 2]'], 2, "--args: a text holds a lone surrogate"),
        (["shop.add", "--args", "[1, 2]", "--queue", "\n"], 2, "printable characters"),
        (["shop.add", "--args", "[1, 2]", "--wait", "0"], 1, "has not ended within"),
    ],
)
def test_enqueue_refuses_in_one_sentence(
    run: Run, embedded_shop: Hammerflow, arguments: list[str], code: int, words: str
) -> None:
    ended = run("-A", "shop:app", "job", "enqueue", *arguments)

    assert ended.code == code
    assert words in ended.err
    sentence = ended.err.splitlines()[-1]
    assert sentence.startswith("error: ") and len(sentence) < 300
    assert not embedded_shop.jobs() or "--wait" in arguments


def test_retry_revives_what_failed_or_is_parked(run: Run, shop: Hammerflow) -> None:
    failed, parked = (shop.tasks["shop.add"].delay(n, n) for n in range(2))
    jobs = {job.id: job for job in claim(shop)}
    settle(shop, [jobs[failed.id.bytes]], Failed(FAILURE))
    settle(shop, [jobs[parked.id.bytes]], Parked("undecodable", FAILURE))

    ended = run("job", "retry", failed.id, parked.id)

    assert ended.code == 0
    assert {failed.state, parked.state} == {JobState.READY}


def test_retry_of_a_running_job_is_refused(run: Run, shop: Hammerflow) -> None:
    result = shop.tasks["shop.add"].delay(1, 2)
    assert len(claim(shop)) == 1

    ended = run("job", "retry", result.id)

    assert ended.code == 1
    assert "has not ended" in ended.err


def test_one_that_cannot_be_retried_keeps_no_other_from_it(
    run: Run, embedded_shop: Hammerflow
) -> None:
    failed = embedded_shop.tasks["shop.add"].delay(1, 2)
    settle(embedded_shop, claim(embedded_shop), Failed(FAILURE))
    unknown = uuid.uuid4()

    ended = run("job", "retry", unknown, failed.id, "--json")

    assert ended.code == 1
    assert "no job has the id" in ended.json[0]["error"]
    assert ended.json[1] == {"id": str(failed.id), "now": "ready"}


def test_cancel_says_what_it_did(run: Run, shop: Hammerflow) -> None:
    running = shop.tasks["shop.add"].delay(1, 2)
    assert len(claim(shop)) == 1
    ready = shop.tasks["shop.add"].delay(3, 4)

    ended = run("job", "cancel", ready.id, running.id, "--reason", "not needed")

    assert ended.code == 0
    assert [line.split(None, 1)[1] for line in ended.out.splitlines()] == [
        "cancelled",
        "running, its worker was told to stop it",
    ]
    assert (ready.state, ready.job().reason) == (JobState.CANCELLED, "not needed")
    assert shop.store.workers.cancels(7) == [(running.id.bytes, "not needed")]


def test_cancel_of_an_ended_job_is_an_error(run: Run, embedded_shop: Hammerflow) -> None:
    result = embedded_shop.tasks["shop.add"].delay(1, 2)
    settle(embedded_shop, claim(embedded_shop), Completed(None))

    ended = run("job", "cancel", result.id)

    assert (ended.code, ended.out) == (1, "")
    assert "is completed already" in ended.err


@pytest.mark.parametrize("verb", ["show", "retry", "cancel"])
@pytest.mark.parametrize(
    ("job_id", "words"),
    [("123", "'123' is not a job id"), (str(uuid.UUID(int=1)), "no job has the id 00000000-0000")],
)
def test_an_unknown_job_is_one_sentence(
    run: Run, embedded_shop: Hammerflow, verb: str, job_id: str, words: str
) -> None:
    plain, as_json = run("job", verb, job_id), run("job", verb, job_id, "--json")

    assert (plain.code, plain.out, as_json.code, as_json.out) == (1, "", 1, "")
    assert words in plain.err
    assert plain.err.count("\n") == 1
    assert words in json.loads(as_json.err)["error"]


BROKEN_APP = """
from dataclasses import dataclass
from hammerflow import Hammerflow

app = Hammerflow("own")

@app.codec.register
@dataclass(repr=False)
class Order:
    id: int
    def __repr__(self):
        raise RuntimeError("no")

@app.task
def ship(order: Order) -> Order:
    return order
"""


def test_a_value_whose_repr_fails_is_shown_by_its_class(
    run: Run, folder: Path, sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "own.py").write_text(BROKEN_APP)
    monkeypatch.setenv("HAMMERFLOW_DATABASE_URL", sqlite_url)
    monkeypatch.setenv("HAMMERFLOW_APP", "own:app")
    args = '[{"$object": ["Order", {"id": 7}]}]'
    job_id = run("job", "enqueue", "own.ship", "--args", args).out.strip()

    shown, found = run("job", "show", job_id), run("job", "show", job_id, "--json")

    assert "call      (‹Order: repr failed›)" in shown.out
    assert found.json["args"] == [{"$object": ["Order", {"id": 7}]}]


def test_lines_are_followed_until_the_job_ends(run: Run, shop: Hammerflow) -> None:
    result = shop.tasks["shop.resize"].delay(1)
    (job,) = claim(shop)
    buffer = LineBuffer(4)

    def row(*texts: str) -> JobLogRow:
        for text in texts:
            buffer.add(KeptLine.of(1_700_000_000.0, 20, "stdout", text))
        return JobLogRow.of(job.id, job.lease, job.attempt, buffer)

    shop.store.job_logs.write_running(WORKER, [row("one", "two")], patience=1.0)
    command = [*HAMMERFLOW, "-A", "shop:app", "job", "logs", str(result.id), "--follow", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment()) as process:
        assert process.stdout is not None
        first = [json.loads(process.stdout.readline()) for _ in range(2)]
        logs = [row("three", "four", "five")]
        shop.store.jobs.settle(WORKER, [(job, Completed(None))], logs=logs)
        rest = [json.loads(line) for line in process.stdout]
    assert process.returncode == 0
    assert [line["message"] for line in (*first, *rest)] == ["one", "two", "three", "four", "five"]
    assert first[0] == {
        "attempt": 1, "at": "2023-11-14T22:13:20.000+00:00", "level": "info", "logger": "stdout",
        "message": "one",
    }  # fmt: skip
    shown = run("job", "logs", result.id, "--follow").out.splitlines()
    assert shown[0] == "attempt 1" and "INFO stdout one" in shown[1]
    assert "1 line dropped" in run("job", "logs", result.id).out
