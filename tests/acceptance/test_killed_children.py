"""A child that dies is noticed at once; its job runs again, and what it had queued goes on."""

from __future__ import annotations

import os
import signal

import pytest

from hammerflow import JobFailed, JobState
from tests.acceptance.kit import Shop
from tests.support.waiting import until

pytestmark = pytest.mark.slow


def test_a_job_whose_child_is_killed_runs_again(shop: Shop) -> None:
    with shop.worker() as worker:
        victim = shop.send("hold", "gate", "v")
        run = shop.wait_for_run(victim)

        os.kill(run.pid, signal.SIGKILL)
        again = shop.wait_for_run(victim, count=2)
        shop.open("gate")

        assert victim.get(timeout=10) == "v"
        (error,) = shop.job(victim).errors
        assert (error.kind, error.attempt) == ("lost", 1)
        assert "SIGKILL" in error.message
        assert again.attempt == 2
        assert again.pid != run.pid
        worker.wait_for_log("child died")
    shop.check([victim])


def test_what_waits_in_a_killed_child_runs_once(shop: Shop) -> None:
    with shop.worker(children=1):
        warm = shop.send_all("note", ((i,) for i in range(50)))  # the task is known to be short
        shop.wait_until_quiet()
        short = shop.send_all("note", ((i, 0.002) for i in range(150)))
        victim = shop.send("hold", "gate", priority=4)
        short += shop.send_all("note", ((i,) for i in range(150)))

        os.kill(shop.wait_for_run(victim).pid, signal.SIGKILL)
        shop.wait_for_run(victim, count=2)
        shop.open("gate")
        shop.wait_until_quiet()

        assert shop.ledger.counts(result.id.hex for result in short) == {1: 300}
        assert shop.kinds(victim) == ["lost"]
    shop.check([*warm, *short, victim])


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("SIGKILL", "killed by SIGKILL"),
        ("SIGSEGV", "killed by SIGSEGV"),
        ("_exit(0)", "exit code 0"),
        ("_exit(3)", "exit code 3"),
        ("closes all", "child process"),
        ("beside a daemon", "exit code 3"),
    ],
)
def test_a_body_that_ends_its_process_once_is_tried_again(
    sqlite_shop: Shop, how: str, said: str
) -> None:
    shop = sqlite_shop
    with shop.worker():
        result = shop.send("die", how)
        bystanders = shop.send_all("note", ((i,) for i in range(20)))

        assert result.get(timeout=10) == "survived"
        (error,) = shop.job(result).errors
        assert error.kind == "lost"
        assert said in error.message
        shop.wait_until_quiet()
        assert shop.ledger.counts(r.id.hex for r in bystanders) == {1: 20}
    shop.check([result, *bystanders])


def test_the_third_loss_parks_a_job(shop: Shop) -> None:
    with shop.worker() as worker:
        poison = shop.send("die", "SIGKILL", 1000)
        others = shop.send_all("note", ((i,) for i in range(50)))

        until("parked", lambda: shop.job(poison).state is JobState.PARKED)
        shop.wait_until_quiet()

        worker.wait_for_log("job is parked: its process has died too often")
        assert worker.log.count("job will be tried again") == 2
        assert shop.kinds(poison) == ["lost"] * 3
        assert len(shop.ledger.runs(poison.id.hex)) == 3
        assert shop.ledger.counts(r.id.hex for r in others) == {1: 50}
    shop.check([poison, *others])


@pytest.mark.parametrize("how", ["sys.exit", "SystemExit", "KeyboardInterrupt"])
def test_leaving_python_fails_the_attempt_only(sqlite_shop: Shop, how: str) -> None:
    shop = sqlite_shop
    with shop.worker(children=1):
        result = shop.send("die", how)
        beyond = shop.send("die", how, 1000, max_attempts=2)

        assert result.get(timeout=10) == "survived"
        with pytest.raises(JobFailed, match="SystemExit|KeyboardInterrupt"):
            beyond.get(timeout=10)
        assert shop.kinds(result) == ["failed"]
        assert shop.kinds(beyond) == ["failed", "failed"]
        assert len({run.pid for run in shop.ledger.runs()}) == 1  # the child has lived on
    shop.check([result, beyond])


def test_a_killed_fork_server_is_replaced(shop: Shop) -> None:
    with shop.worker() as worker:
        held = shop.send("hold", "gate")
        run = shop.wait_for_run(held)
        (forker,) = {worker.family()[run.pid]}

        os.kill(forker, signal.SIGKILL)
        shop.wait_for_run(held, count=2)
        shop.open("gate")
        more = shop.send_all("note", ((i,) for i in range(20)))

        held.wait(timeout=10)
        shop.wait_until_quiet()
        worker.wait_for_log("fresh code")
    shop.check([held, *more])
