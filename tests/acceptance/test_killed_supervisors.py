"""A supervisor that dies takes its children with it; another one takes its jobs over."""

from __future__ import annotations

import time

import pytest

from tests.acceptance.kit import LEASE, SWEEP, Shop
from tests.support.waiting import until

pytestmark = pytest.mark.slow


def test_children_do_not_outlive_their_supervisor(sqlite_shop: Shop) -> None:
    shop = sqlite_shop
    worker = shop.worker()
    held = [shop.send("hold", "never"), shop.send("hold_async", "never")]
    for result in held:
        shop.wait_for_run(result)
    assert len(worker.family()) >= 5

    worker.kill()

    until("the family is gone", lambda: not worker.family(), timeout=1.0)


def test_another_worker_takes_the_jobs_over(shop: Shop) -> None:
    first = shop.worker()
    held = [shop.send("hold", "gate", i) for i in range(2)]
    for result in held:
        shop.wait_for_run(result)
    short = shop.send_all("note", ((i,) for i in range(200)))
    with shop.worker() as second:
        second.wait_for_log("worker started")

        killed_at = time.monotonic()
        first.kill()
        again = [shop.wait_for_run(result, count=2) for result in held]
        shop.open("gate")
        shop.wait_until_quiet()

        assert max(run.began for run in again) - killed_at < LEASE + 2 * SWEEP + 1
        assert [result.get(timeout=1) for result in held] == [0, 1]
        assert [shop.kinds(result) for result in held] == [["lost"], ["lost"]]
        assert shop.ledger.counts(r.id.hex for r in short) == {1: 200}
    shop.check([*held, *short])


def test_a_killed_supervisor_loses_and_doubles_nothing(shop: Shop) -> None:
    doomed = shop.worker()
    jobs = shop.send_all("note", ((i, 0.003) for i in range(400)))
    with shop.worker():
        until("some have run", lambda: len(shop.ledger.runs()) > 60)

        doomed.kill()
        shop.wait_until_quiet()

        completed = {result.get(timeout=1) for result in jobs}
        assert completed == set(range(400))
        # What ran again had lost its lease before: its earlier run is on record.
        runs = shop.ledger.counts(r.id.hex for r in jobs)
        lost = shop.desk.sql("SELECT count(*) FROM {errors} WHERE kind = 'lost'")[0][0]
        assert runs[1] + runs[2] == 400
        assert runs[2] <= lost
    shop.check(jobs)
