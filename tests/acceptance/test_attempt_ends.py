"""How an attempt may end: timeouts, retries, snoozes, cancels, expiry, and what cannot be run."""

from __future__ import annotations

import time
from itertools import pairwise
from pathlib import Path

import pytest

from hammerflow import JobCancelled, JobFailed, JobState, Result
from hammerflow.ids import new_id
from hammerflow.jobs.job import NewJob
from tests.acceptance.kit import Shop
from tests.acceptance.shop import RAISED, SPOILS
from tests.support.waiting import until

pytestmark = pytest.mark.slow

_SHOP = "tests.acceptance.shop"


@pytest.mark.parametrize("task", ["overlong", "overlong_async"])
def test_a_hard_timeout_stops_the_body(sqlite_shop: Shop, task: str) -> None:
    shop = sqlite_shop
    with shop.worker(children=1):
        result = shop.send(task, 30.0)
        well = shop.send(task, 0.0)

        with pytest.raises(JobFailed, match=r"longer than its timeout of 0.4 s"):
            result.get(timeout=10)

        first, second = shop.ledger.runs(result.id.hex)
        assert (first.ended, second.ended) == (None, None)
        assert 0.5 < second.began - first.began < 6
        assert shop.kinds(result) == ["timeout", "timeout"]
        assert well.get(timeout=5) == "done"
    shop.check([result, well])


def test_an_async_body_that_holds_its_loop_is_killed(sqlite_shop: Shop) -> None:
    shop = sqlite_shop
    with shop.worker(children=1):
        neighbour = shop.send("hold_async", "gate")
        shop.wait_for_run(neighbour)
        spinner = shop.send("spins", 60.0)

        with pytest.raises(JobFailed, match="timeout"):
            spinner.get(timeout=20)

        shop.open("gate")
        assert neighbour.wait(timeout=10) is JobState.COMPLETED
        assert shop.kinds(neighbour) == []  # killed for no fault of its own
    shop.check([neighbour, spinner])


@pytest.mark.parametrize("task", ["softly", "softly_async"])
def test_a_soft_timeout_may_be_caught(sqlite_shop: Shop, task: str) -> None:
    shop = sqlite_shop
    with shop.worker(children=1) as worker:
        caught = shop.send(task, 20.0, True)
        uncaught = shop.send(task, 20.0, False)

        assert caught.get(timeout=10) == "cleaned up"
        with pytest.raises(JobFailed, match="soft timeout of 0.3 s"):
            uncaught.get(timeout=10)

        assert shop.kinds(uncaught) == ["timeout"]
        assert "child died" not in worker.log
    shop.check([caught, uncaught])


def test_retries_keep_their_backoff(shop: Shop) -> None:
    with shop.worker():
        result = shop.send("fails", 3)
        beyond = shop.send("fails", 9)

        assert result.get(timeout=15) == "well"
        with pytest.raises(JobFailed, match="attempt 4 is no good"):
            beyond.get(timeout=15)

        for job, kinds in ((result, 3), (beyond, 4)):
            assert shop.kinds(job) == ["failed"] * kinds
            began = [run.began for run in shop.ledger.runs(job.id.hex)]
            for wanted, (before, after) in zip((0.2, 0.5, 0.8), pairwise(began), strict=True):
                assert wanted - 0.02 < after - before < wanted + 3
    shop.check([result, beyond], most_attempts=4)


def test_a_body_chooses_its_end(shop: Shop) -> None:
    with shop.worker():
        retry = shop.send("asks_retry", 0.3)
        snooze = shop.send("snoozes", 3, 0.1)
        cancel = shop.send("gives_up", "the customer is gone")

        assert retry.get(timeout=10) == "second"
        assert snooze.get(timeout=10) == 1  # three snoozes cost no attempt
        with pytest.raises(JobCancelled, match="the customer is gone"):
            cancel.get(timeout=10)

        first, second = shop.ledger.runs(retry.id.hex)
        assert 0.28 < second.began - first.began < 4
        assert len(shop.ledger.runs(snooze.id.hex)) == 4
    shop.check([retry, snooze, cancel])


def test_a_job_starts_neither_before_its_time_nor_after_its_expiry(shop: Shop) -> None:
    expired = shop.send("note", 1, expires=0.1)
    sent = time.monotonic()
    until("it has expired", lambda: time.monotonic() - sent > 0.2)
    with shop.worker():
        sent = time.monotonic()
        later = shop.send("note", 2, delay=0.7)

        with pytest.raises(JobCancelled, match="expired"):
            expired.get(timeout=10)
        assert later.get(timeout=10) == 2

        (run,) = shop.ledger.runs()
        assert 0.68 < run.began - sent < 4
    shop.check([expired, later])


def test_an_unknown_task_is_parked_and_runs_where_it_is_known(shop: Shop, tmp_path: object) -> None:

    folder = Path(str(tmp_path))
    (folder / "newer.py").write_text(
        "from hammerflow import Hammerflow\n"
        "app = Hammerflow('shop')\n"
        "@app.task(name='newest')\n"
        "def newest():\n"
        "    return 'known'\n"
    )
    with shop.worker():
        unknown = shop.client.enqueue(shop.client.signature("newest"))
        known = shop.send("note", 1)

        until("parked", lambda: shop.job(unknown).state is JobState.PARKED)

        assert "newest" in str(shop.job(unknown).reason)
        assert known.get(timeout=5) == 1
        with shop.worker(app="newer:app", folder=tmp_path):
            assert unknown.get(timeout=10) == "known"
    shop.check([unknown, known])


def test_undecodable_arguments_are_parked_and_others_run(shop: Shop) -> None:
    bad = NewJob(new_id(), f"{_SHOP}.note", "default", 2, b"M\xc1\xc1")
    odd = NewJob(new_id(), f"{_SHOP}.note", "default", 2, b"?what")
    shop.client.store.jobs.insert([bad, odd])
    with shop.worker():
        well = shop.send("note", 1)

        assert well.get(timeout=10) == 1
        for job in (bad, odd):
            result: Result[object] = Result(job.id, shop.client)
            until("parked", lambda: shop.job(result).state is JobState.PARKED)  # noqa: B023
            assert "stored bytes" in str(shop.job(result).reason)
            assert shop.kinds(result) == ["parked"]
        assert len(shop.ledger.runs()) == 1
    shop.check()


@pytest.mark.parametrize("task", ["hold", "hold_async"])
def test_a_running_job_is_cancelled(shop: Shop, task: str) -> None:
    with shop.worker(children=1) as worker:
        victim = shop.send(task, "never")
        run = shop.wait_for_run(victim)
        waiting = shop.send(task, "never", delay=60)

        assert victim.cancel("enough") is JobState.RUNNING
        assert waiting.cancel("not wanted") is JobState.CANCELLED

        with pytest.raises(JobCancelled, match="enough"):
            victim.get(timeout=10)
        with pytest.raises(JobCancelled, match="not wanted"):
            waiting.get(timeout=1)
        assert shop.ledger.runs() == [run]
        assert run.pid in worker.children()  # stopped by an exception, not by a kill
        assert shop.send("note", 1).get(timeout=5) == 1
    shop.check()


def test_a_body_that_does_not_heed_a_cancel_is_killed_after_the_grace(sqlite_shop: Shop) -> None:
    shop = sqlite_shop
    with shop.worker("--grace", "1", children=1) as worker:
        victim = shop.send("deaf", 60.0)
        run = shop.wait_for_run(victim)
        victim.cancel("enough")

        with pytest.raises(JobCancelled, match="enough"):
            victim.get(timeout=10)

        until("the child is gone", lambda: run.pid not in worker.children())
        assert len(shop.ledger.runs()) == 1
    shop.check([victim])


def test_a_cancel_holds_whatever_the_body_answers(shop: Shop) -> None:
    """Errors, retries, snoozes, exits and bodies that go on: none is run again. And a job that is
    cancelled while no worker is alive never starts."""
    early = [shop.send("note", 1), shop.send("note", 2, delay=0.1)]
    assert [result.cancel("early") for result in early] == [JobState.CANCELLED] * 2
    shop.desk.sql("CREATE TABLE marks (mark VARCHAR(40))")
    plain = ("error", "retry", "snooze", "cancel", "exit", "late", "swallow")
    with shop.worker("--grace", "1", children=len(plain) + 2) as worker:
        asked = [shop.send("answers", how) for how in plain]
        asked += [shop.send("answers_async", how) for how in plain if how not in ("exit", "late")]
        asked.append(shop.send("spawn_after_all"))
        if shop.desk.kind != "sqlite":  # there its transaction holds the only writer
            asked.append(shop.send("charge_after_all", "mark"))
        for result in asked:
            shop.wait_for_run(result)

        assert {result.cancel("enough") for result in asked} == {JobState.RUNNING}

        for result in asked:
            with pytest.raises(JobCancelled, match="enough"):
                result.get(timeout=15)
        shop.wait_until_quiet()
        assert shop.ledger.counts(result.id.hex for result in asked) == {1: len(asked)}
        assert shop.ledger.counts(result.id.hex for result in early) == {0: 2}
        assert shop.desk.sql("SELECT mark FROM marks") == []
        assert worker.complaints() == []
    shop.check([*asked, *early])


def test_what_bodies_do_around_their_end_harms_no_other_job(shop: Shop) -> None:
    """Hard exceptions, disorder in the process, exits on the loop: each costs its own attempt."""
    with shop.worker(children=1) as worker:
        neighbours = [shop.send("neighbour", 0.5) for _ in range(5)]
        rude = [shop.send("raises", what) for what in RAISED]
        rude += [shop.send("raises_async", what) for what in (*RAISED, "task", "callback", "all")]
        spoilt = [shop.send("spoil", what) for what in (*SPOILS, *SPOILS)]

        assert [result.get(timeout=20) for result in rude] == ["well"] * len(rude)
        assert [result.get(timeout=20) for result in spoilt] == [[]] * len(spoilt)
        assert [result.get(timeout=20) for result in neighbours] == [0.5] * 5
        assert [shop.kinds(result) for result in rude] == [["failed"]] * len(rude), worker.log
        assert [shop.kinds(result) for result in neighbours] == [[]] * 5
        assert worker.complaints() == []
