"""A worker that was stopped beyond its lease wakes up as a zombie: it can change nothing."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest

from hammerflow import Result
from tests.acceptance.kit import LEASE, Shop, Worker
from tests.acceptance.ledger import Run
from tests.support.waiting import until

pytestmark = pytest.mark.slow

_TAKEN = LEASE + 7.0  # seconds within which another worker has taken over


def test_what_a_zombie_has_done_does_not_count(shop: Shop) -> None:
    with shop.worker() as first:
        held = shop.send_all("hold", (("gate", i) for i in range(2)))
        ranks = [shop.wait_for_run(result) for result in held]
        first.freeze()
        with shop.worker():
            again = [_run_elsewhere(shop, result) for result in held]
            shop.open("gate")
            values = [result.get(timeout=10) for result in held]
            before = shop.desk.sql("SELECT job_id, lease, worker_id, finished_at FROM {done}")

            first.thaw()
            first.wait_for_log("no heartbeat for longer than the lease")

            assert values == [0, 1]
            assert {run.pid for run in again}.isdisjoint(run.pid for run in ranks)
            assert [shop.kinds(result) for result in held] == [["lost"], ["lost"]]
        _works_again(shop, first)
        after = shop.desk.sql("SELECT job_id, lease, worker_id, finished_at FROM {done}")
        assert set(before) <= set(after)
    shop.check(may_overlap=True)


def test_the_settle_of_a_zombie_is_refused(shop: Shop) -> None:
    """The bodies end while the supervisor alone is stopped: their outcomes wait in the pipe."""
    with shop.worker() as first:
        held = shop.send_all("hold", (("gate", i) for i in range(2)))
        for result in held:
            shop.wait_for_run(result)
        os.kill(first.pid, signal.SIGSTOP)
        shop.open("gate")
        until("both have ended", lambda: all(run.ended for run in shop.ledger.runs()))
        with shop.worker():
            for result in held:
                _run_elsewhere(shop, result)
                result.get(timeout=10)
            before = shop.desk.sql("SELECT job_id, lease, worker_id, finished_at FROM {done}")

            os.kill(first.pid, signal.SIGCONT)
            first.wait_for_log("dropped 2 outcomes")

        assert before == shop.desk.sql("SELECT job_id, lease, worker_id, finished_at FROM {done}")
        _works_again(shop, first)
    shop.check()


def test_a_zombie_spawner_has_no_child(shop: Shop) -> None:
    with shop.worker() as first:
        parent = shop.send("fan_out_held", "gate", 300)
        shop.wait_for_run(parent)
        os.kill(first.pid, signal.SIGSTOP)
        with shop.worker():
            again = _run_elsewhere(shop, parent)
            os.kill(again.pid, signal.SIGSTOP)  # the heir is kept from ending before the zombie
            shop.open("gate")
            until("the zombie's body ends", lambda: shop.ledger.runs(parent.id.hex)[0].ended)

            os.kill(first.pid, signal.SIGCONT)
            first.wait_for_log("dropped 1 outcome")

            assert shop.desk.sql("SELECT count(*) FROM {jobs} WHERE parent_id IS NOT NULL") == [
                (0,)
            ]
            os.kill(again.pid, signal.SIGCONT)
            children = until("children", parent.children)
            assert children[-1].get(timeout=20) == [300, True]
    shop.check(may_overlap=True)


def test_a_streamed_zombie_spawner_has_no_child(shop: Shop) -> None:
    """More children than travel in the outcome: the child process settles by itself."""
    with shop.worker() as first:
        parent = shop.send("fan_out_held", "gate", 6_000)
        run = shop.wait_for_run(parent)
        first.freeze()
        with shop.worker():
            again = _run_elsewhere(shop, parent)
            os.kill(again.pid, signal.SIGSTOP)
            shop.open("gate")
            os.kill(run.pid, signal.SIGCONT)  # the zombie's child alone: nobody stops it
            until("the zombie's child has settled", lambda: _waits_for_work(run.pid))
            assert shop.ledger.runs(parent.id.hex)[0].ended
            first.thaw()
            first.wait_for_log("dropped 1 outcome")

            assert shop.desk.sql("SELECT count(*) FROM {jobs} WHERE parent_id IS NOT NULL") == [
                (0,)
            ]
            os.kill(again.pid, signal.SIGCONT)
            children = until("children", parent.children)
            assert children[-1].get(timeout=60) == [6_000, True]
    shop.check(may_overlap=True)


def _run_elsewhere(shop: Shop, result: Result[Any]) -> Run:
    """The second run of a job, which another worker begins when the lease is over."""
    until(
        "another worker runs the job",
        lambda: len(shop.ledger.runs(result.id.hex)) > 1,
        timeout=_TAKEN,
    )
    return shop.ledger.runs(result.id.hex)[1]


def _waits_for_work(pid: int) -> bool:
    """Whether a child is done with its job: it reads from the pipe that jobs come by."""
    return "pipe_read" in Path(f"/proc/{pid}/wchan").read_text()


def _works_again(shop: Shop, worker: Worker) -> None:
    """A zombie that has noticed registers anew and works as before."""
    shop.send("note", 7).get(timeout=10)
    assert worker.process.poll() is None
