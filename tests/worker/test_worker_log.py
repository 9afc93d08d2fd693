"""What a worker's log tells of jobs, kills, releases and drains, in text and as JSON."""

from __future__ import annotations

import json
import signal
from typing import Any

import pytest

from hammerflow import JobCancelled, JobFailed
from tests.acceptance.kit import Shop, Worker, until


def _lines(worker: Worker, message: str) -> list[dict[str, Any]]:
    """The lines of a log of JSON whose message begins so."""
    lines = [json.loads(line) for line in worker.log.splitlines() if line.startswith("{")]
    return [line for line in lines if line["message"].startswith(message)]


def _all_lines(worker: Worker, message: str, count: int) -> list[dict[str, Any]]:
    return until(  # type: ignore[no-any-return]
        f"{count} lines {message!r}",
        lambda: lines if len(lines := _lines(worker, message)) >= count else None,
    )


@pytest.mark.parametrize("option", [["--log-jobs"], ["--log-level", "debug"], []])
def test_the_end_of_every_job_is_one_line_if_asked_for(
    sqlite_shop: Shop, option: list[str]
) -> None:
    shop = sqlite_shop
    with shop.worker("--log-format", "json", *option) as worker:
        results = shop.send_all("note", ((i,) for i in range(50)))
        coroutine = shop.send("hold_async", "gate")
        shop.open("gate")
        shop.wait_until_quiet()

        if not option:
            assert _lines(worker, "job completed") == []
            return
        lines = _all_lines(worker, "job completed", 51)

    assert {line["job"] for line in lines} == {str(r.id) for r in [*results, coroutine]}
    assert {line["task"].rpartition(".")[2] for line in lines} == {"note", "hold_async"}
    assert {(line["queue"], line["attempt"], line["outcome"]) for line in lines} == {
        ("default", 1, "completed")
    }
    assert all(0 <= line["duration"] < 30 for line in lines)
    assert {line["child"] for line in lines} <= {run.pid for run in shop.ledger.runs()}


def test_log_jobs_is_a_setting(sqlite_shop: Shop) -> None:
    shop = sqlite_shop
    with shop.worker("--log-format", "json", log_jobs=True) as worker:
        result = shop.send("note", 1)

        [line] = _all_lines(worker, "job completed", 1)

    assert line["job"] == str(result.id)
    assert line["level"] == "info"


def test_a_kill_says_why_and_for_which_job(sqlite_shop: Shop) -> None:
    shop = sqlite_shop
    with shop.worker("--log-format", "json") as worker:
        slow = shop.send("spins", 60.0)  # its timeout is 0.5 s
        run = shop.wait_for_run(slow)
        with pytest.raises(JobFailed):
            slow.get(timeout=15)

        [killed] = _all_lines(worker, f"killing child {run.pid}: ", 1)
        [failed] = _all_lines(worker, "job failed", 1)

    assert killed["message"].endswith("its job exceeded the timeout of 0.5 s")
    assert (killed["job"], killed["child"], killed["level"]) == (str(slow.id), run.pid, "warning")
    assert (failed["job"], failed["kind"]) == (str(slow.id), "timeout")
    assert failed["duration"] >= 0.5


def test_a_cancelled_body_is_told_of(sqlite_shop: Shop) -> None:
    shop = sqlite_shop
    with shop.worker("--log-format", "json", "--log-level", "debug") as worker:
        victim = shop.send("hold", "never")
        run = shop.wait_for_run(victim)
        victim.cancel("not wanted")
        with pytest.raises(JobCancelled):
            victim.get(timeout=10)

        [interrupted] = _all_lines(worker, "interrupting a cancelled job", 1)
        [ended] = _all_lines(worker, "job cancelled", 1)

    assert (interrupted["job"], interrupted["child"]) == (str(victim.id), run.pid)
    assert ended["job"] == str(victim.id)


def test_a_parked_job_has_a_line(sqlite_shop: Shop) -> None:
    shop = sqlite_shop
    parked = shop.send("note", 1)
    job_id = shop.desk.id(parked.id.bytes)
    shop.desk.sql(f"UPDATE {{jobs}} SET options = 'not json' WHERE id = {job_id}")
    with shop.worker("--log-format", "json") as worker:
        [line] = _all_lines(worker, "job is parked", 1)

    assert line["message"] == "job is parked (undecodable)"
    assert (line["job"], line["level"]) == (str(parked.id), "warning")


def test_a_drain_counts_what_runs_and_what_it_released(sqlite_shop: Shop) -> None:
    shop = sqlite_shop
    worker = shop.worker("--log-format", "json", "--grace", "20", children=2)
    held = [shop.send("hold", "gate", i) for i in range(2)]
    for result in held:
        shop.wait_for_run(result)
    worker.signal(signal.SIGTERM)
    [begun] = _all_lines(worker, "draining", 1)
    shop.open("gate")

    assert worker.process.wait(15) == 0

    [drained] = _lines(worker, "drained")
    assert (begun["message"], begun["running"]) == ("draining: 2 jobs still run", 2)
    assert (drained["message"], drained["leases"]) == ("drained: released 0 leases", 0)


@pytest.mark.parametrize(
    ("grace", "why"), [("0.2", "the grace period is over"), ("60", "a second signal came")]
)
def test_a_drain_that_kills_says_so_and_counts_the_releases(
    sqlite_shop: Shop, grace: str, why: str
) -> None:
    shop = sqlite_shop
    worker = shop.worker("--log-format", "json", "--grace", grace, children=1)
    held = shop.send("hold", "gate")
    run = shop.wait_for_run(held)
    if grace == "60":
        worker.signal(signal.SIGTERM)
        _all_lines(worker, "draining", 1)

    assert worker.stop() == 0

    [killed] = _lines(worker, "killing child")
    [drained] = _lines(worker, "drained")
    assert killed["message"] == f"killing child {run.pid}: {why}"
    assert killed["running"] == 1
    assert (drained["message"], drained["leases"]) == ("drained: released 1 lease", 1)
