"""SIGTERM lets bodies end and gives the rest back; SIGHUP and recycling change the children."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest

from hammerflow import JobState
from tests.acceptance.kit import Shop
from tests.support.waiting import until

pytestmark = pytest.mark.slow


def test_a_drain_lets_bodies_end(shop: Shop) -> None:
    with shop.worker("--grace", "20") as worker:
        held = shop.send_all("hold", (("gate", i) for i in range(2)))
        held.append(shop.send("hold_async", "gate", 2))
        for result in held:
            shop.wait_for_run(result)

        worker.signal(signal.SIGTERM)
        worker.wait_for_log("draining")
        late = shop.send("note", 1)
        shop.open("gate")

        assert worker.process.wait(10) == 0
        assert [result.get(timeout=1) for result in held] == [0, 1, 2]
        assert shop.job(late).state is JobState.READY
        assert shop.job(late).attempt == 0
        assert shop.desk.count("workers") == 0


def test_a_drain_gives_back_what_had_not_started(shop: Shop) -> None:
    with shop.worker("--grace", "20", children=1) as worker:
        shop.send_all("note", ((i,) for i in range(50)))  # the task is known to be short
        shop.wait_until_quiet()
        first = shop.send("note", "first", 0.3)
        rest = shop.send_all("note", ((i, 0.1) for i in range(25)))
        shop.wait_for_run(first)

        assert worker.stop() == 0

        jobs = [shop.job(result) for result in rest]
        assert first.wait(timeout=1) is JobState.COMPLETED
        back = [job for job in jobs if job.state is JobState.READY]
        assert len(back) > 10
        assert {job.attempt for job in back} == {0}
        assert not shop.desk.count("leases")
    with shop.worker():
        shop.wait_until_quiet()
        assert shop.ledger.counts(r.id.hex for r in rest) == {1: 25}
    shop.check()


def test_when_the_grace_is_over_a_job_goes_back_uncharged(shop: Shop) -> None:
    with shop.worker("--grace", "0.5") as worker:
        held = [shop.send("hold", "gate"), shop.send("hold_async", "gate")]
        for result in held:
            shop.wait_for_run(result)

        assert worker.stop() == 0

        assert [(shop.job(r).state, shop.job(r).attempt) for r in held] == [("ready", 0)] * 2
        assert [shop.kinds(result) for result in held] == [[], []]
    shop.open("gate")
    with shop.worker():
        shop.wait_until_quiet()
        assert [shop.job(result).attempt for result in held] == [1, 1]
    shop.check(held)


def test_a_second_sigterm_stops_at_once(sqlite_shop: Shop) -> None:
    shop = sqlite_shop
    with shop.worker("--grace", "60") as worker:
        held = shop.send("hold", "gate")
        shop.wait_for_run(held)
        worker.signal(signal.SIGTERM)
        worker.wait_for_log("draining")

        begun = time.monotonic()
        worker.signal(signal.SIGTERM)

        assert worker.process.wait(10) == 0
        assert time.monotonic() - begun < 3
        assert (shop.job(held).state, shop.job(held).attempt) == ("ready", 0)


def test_a_job_survives_any_number_of_drains(sqlite_shop: Shop) -> None:
    shop = sqlite_shop
    held = shop.send("hold", "gate", max_attempts=2)
    for count in range(1, 4):
        with shop.worker("--grace", "0") as worker:
            shop.wait_for_run(held, count)
            assert worker.stop() == 0
    shop.open("gate")
    with shop.worker():
        assert held.wait(timeout=10) is JobState.COMPLETED
    assert shop.job(held).attempt == 1
    shop.check([held])


_SOURCE = """
from hammerflow import Hammerflow
from tests.acceptance.shop import entered, is_open
import time
app = Hammerflow("shop")

@app.task(name="version")
def version(gate=None):
    with entered(gate):
        while gate is not None and not is_open(gate):
            time.sleep(0.01)
    return {version}
"""


def test_sighup_loads_changed_code_and_lets_old_bodies_end(
    sqlite_shop: Shop, tmp_path: Path
) -> None:
    shop = sqlite_shop
    module = tmp_path / "changing.py"
    module.write_text(_SOURCE.format(version=1))
    with shop.worker(app="changing:app", folder=tmp_path) as worker:
        call = shop.client.signature
        assert shop.client.enqueue(call("version")).get(timeout=10) == 1
        held = shop.client.enqueue(call("version", ("gate",)))
        shop.wait_for_run(held)

        module.write_text(_SOURCE.format(version=22))
        worker.signal(signal.SIGHUP)

        until("new code", lambda: shop.client.enqueue(call("version")).get(timeout=10) == 22)
        assert shop.job(held).state is JobState.RUNNING
        shop.open("gate")
        assert held.get(timeout=10) == 1


def test_sighup_with_broken_code_keeps_the_old(sqlite_shop: Shop, tmp_path: Path) -> None:
    shop = sqlite_shop
    module = tmp_path / "changing.py"
    module.write_text(_SOURCE.format(version=1))
    with shop.worker(app="changing:app", folder=tmp_path) as worker:
        module.write_text("no python")
        worker.signal(signal.SIGHUP)
        worker.wait_for_log("the app cannot be loaded")

        assert shop.client.enqueue(shop.client.signature("version")).get(timeout=10) == 1


@pytest.mark.parametrize("task", ["hold", "hold_async"])
def test_children_are_replaced_after_so_many_jobs(sqlite_shop: Shop, task: str) -> None:
    shop = sqlite_shop
    shop.open("gate")
    with shop.worker("--max-jobs-per-child", "10", "--async-slots", "5"):
        jobs = shop.send_all(task, (("gate", i) for i in range(100)))
        shop.wait_until_quiet()

        assert shop.ledger.counts(r.id.hex for r in jobs) == {1: 100}
        pids = {run.pid for run in shop.ledger.runs()}
        assert len(pids) >= 5
    shop.check(jobs, most_attempts=1)
