"""A supervisor that dies takes its children with it; another one takes its jobs over."""

from __future__ import annotations

import time

import pytest

from hammerflow import JobState
from tests.acceptance.kit import LEASE, SWEEP, Shop
from tests.support.waiting import until

pytestmark = pytest.mark.slow

#: With a poison_limit of 2: some are not charged, as the worker held another job, too.
MOST_DEATHS = 5


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


def test_a_job_that_kills_each_worker_is_parked_and_its_neighbours_complete(
    sqlite_shop: Shop,
) -> None:
    """A worker that is started again whenever it dies, as by systemd."""
    shop = sqlite_shop
    neighbour = shop.send("note", "beside it", 2.0, max_attempts=1000)
    poison = shop.send("die", "its worker", 1000)
    short = shop.send_all("note", ((i,) for i in range(20)), priority=1)
    deaths = 0
    while shop.job(poison).state is not JobState.PARKED:
        assert deaths < MOST_DEATHS
        worker = shop.worker(lease=1, sweep=0.2, poison_limit=2, wait=False)
        until(
            "it dies or has parked the job",
            lambda: worker.process.poll() or shop.job(poison).state is JobState.PARKED,  # noqa: B023
            30,
        )
        deaths += worker.process.poll() is not None
    shop.wait_until_quiet()
    assert shop.job(neighbour).state is JobState.COMPLETED
    assert shop.kinds(poison).count("lost") == 2
    assert deaths == len(shop.ledger.runs(poison.id.hex)) == len(shop.kinds(poison))
    assert shop.job(poison).errors[-1].message
    assert worker.stop() == 0
    shop.check([poison, neighbour, *short])
