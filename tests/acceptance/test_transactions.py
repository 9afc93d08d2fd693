"""in_transaction: the body's own writes are there exactly once if its job completed, else not."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time
from collections import Counter

import pytest

from hammerflow import JobFailed, JobState
from tests.acceptance.kit import LEASE, Shop
from tests.support.waiting import until

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def _table(shop: Shop) -> None:
    shop.desk.sql("CREATE TABLE marks (mark VARCHAR(64))")  # takes the same mark twice


def _marks(shop: Shop) -> Counter[str]:
    return Counter(row[0] for row in shop.desk.sql("SELECT mark FROM marks"))


def test_a_completed_job_leaves_its_mark_and_a_failed_one_none(shop: Shop) -> None:
    with shop.worker():
        well = shop.send("charge", "well")
        badly = shop.send("charge_and_fail", "badly")

        assert well.get(timeout=10) == "well"
        with pytest.raises(JobFailed, match="declined"):
            badly.get(timeout=10)

        assert _marks(shop) == {"well": 1}
        assert shop.kinds(badly) == ["failed", "failed"]
    shop.check([well, badly])


def test_kills_neither_lose_nor_double_a_mark(shop: Shop) -> None:
    with shop.worker(poison_limit=1000):
        jobs = [shop.send("charge", str(i), 0.05) for i in range(20)]

        for count in range(1, 16):
            until("another run", lambda: len(shop.ledger.runs()) >= count)  # noqa: B023
            run = shop.ledger.runs()[-1]
            time.sleep(random.uniform(0, 0.08))
            with contextlib.suppress(ProcessLookupError):
                os.kill(run.pid, signal.SIGKILL)

        shop.wait_until_quiet()
        assert {result.wait(timeout=1) for result in jobs} == {JobState.COMPLETED}
        assert _marks(shop) == {str(i): 1 for i in range(20)}
    shop.check(jobs)


def test_a_zombie_leaves_no_mark(shop: Shop) -> None:
    if shop.desk.kind == "sqlite":
        pytest.skip("a transaction left open on SQLite holds up every other writer")
    with shop.worker() as first:
        job = shop.send("charge", "once", 0, "gate")
        shop.wait_for_run(job)
        os.kill(first.pid, signal.SIGSTOP)
        with shop.worker():
            until("taken over", lambda: len(shop.ledger.runs()) > 1, timeout=LEASE + 7)

            shop.open("gate")  # the zombie's body and its heir's end at the same time

            assert job.get(timeout=10) == "once"
            until("both have ended", lambda: all(run.ended for run in shop.ledger.runs()))
            os.kill(first.pid, signal.SIGCONT)
            first.wait_for_log("no heartbeat for longer than the lease")
            assert shop.send("note", 7).get(timeout=10) == 7
        assert _marks(shop) == {"once": 1}
    shop.check(may_overlap=True)


def test_a_job_that_is_given_back_leaves_no_mark(shop: Shop) -> None:
    job = shop.send("charge", "once", 0, "gate")
    with shop.worker("--grace", "0.3") as worker:
        shop.wait_for_run(job)
        assert worker.stop() == 0
    assert _marks(shop) == {}
    shop.open("gate")
    with shop.worker():
        assert job.get(timeout=10) == "once"
    assert _marks(shop) == {"once": 1}
    shop.check([job])
