"""Which job is next: priorities, weights, no waiting behind a long one, and many at once."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path

import pytest

from hammerflow import Priority
from tests.acceptance.kit import Shop
from tests.support.waiting import until

pytestmark = pytest.mark.slow


def test_a_higher_priority_runs_first(shop: Shop) -> None:
    for priority in (Priority.LOW, Priority.CRITICAL, Priority.BACKGROUND, Priority.HIGH):
        shop.send_all("note", ((int(priority),) for _ in range(5)), priority=priority)
    with shop.worker(children=1):
        shop.wait_until_quiet()
    order = [run.args[0] for run in shop.ledger.runs()]
    assert order == sorted(order, reverse=True)
    shop.check()


def test_weighted_queues_share_and_none_starves(sqlite_shop: Shop) -> None:
    shop = sqlite_shop
    for queue in ("high", "low"):
        shop.send_all("note", ((queue, 0.01) for _ in range(120)), queue=queue)
    unserved = shop.send("note", "other", queue="other")
    with shop.worker("-Q", "high:5,low:1", children=1):
        until("half is done", lambda: len(shop.ledger.runs()) >= 120, timeout=30)
        begun = Counter(run.args[0] for run in shop.ledger.runs()[:60])
        assert begun["high"] > begun["low"] > 0
        until("all are done", lambda: shop.desk.count("done") == 240, timeout=30)
    assert not shop.ledger.runs(unserved.id.hex)


def test_short_jobs_do_not_wait_behind_a_long_one(sqlite_shop: Shop) -> None:
    """The long one is of a task that is known to be short, so it is handed out among others."""
    shop = sqlite_shop
    with shop.worker(children=2):
        shop.send_all("nap", [(0,)] * 300)
        shop.wait_until_quiet()
        first, long, *short = shop.send_all("nap", [(0,), (5.0,), *[(0,)] * 200])

        for result in (first, *short):
            result.get(timeout=20)

        assert not long.ready()
        long.wait(timeout=20)
    shop.check()


def test_a_hundred_async_jobs_run_at_once_in_one_child(sqlite_shop: Shop) -> None:
    shop = sqlite_shop
    with shop.worker(children=1):
        jobs = shop.send_all("hold_async", (("gate", i) for i in range(100)))

        until("a hundred bodies run", lambda: len(shop.ledger.runs()) == 100)

        assert len({run.pid for run in shop.ledger.runs()}) == 1
        shop.open("gate")
        assert [result.get(timeout=10) for result in jobs] == list(range(100))
    shop.check(jobs)


def test_two_workers_share_the_jobs_and_run_each_once(shop: Shop) -> None:
    with shop.worker(), shop.worker():
        jobs = shop.send_all("note", ((i, 0.002) for i in range(300)))

        assert [result.get(timeout=20) for result in jobs] == list(range(300))

        assert shop.ledger.counts(r.id.hex for r in jobs) == {1: 300}
        assert len({run.pid for run in shop.ledger.runs()}) == 4
    shop.check(jobs)


_WRONG_CLOCK = """
import time
def _ahead(clock, by):
    return lambda: clock() + by
time.time = _ahead(time.time, {offset})
time.time_ns = _ahead(time.time_ns, {offset} * 10**9)
"""


@pytest.mark.parametrize("days", [365, -365])
def test_a_workers_clock_makes_no_difference(shop: Shop, tmp_path: Path, days: int) -> None:
    """All processes of the worker are a year off; faketime is not needed for that."""
    (tmp_path / "sitecustomize.py").write_text(_WRONG_CLOCK.format(offset=days * 86_400))
    with shop.worker(path=tmp_path) as worker:
        sent = time.monotonic()
        soon = shop.send("note", 1, expires=60)
        later = shop.send("note", 2, delay=0.5)
        retried = shop.send("fails", 1)
        spawner = shop.send("fan_out", 10)

        assert [r.get(timeout=15) for r in (soon, later, retried)] == [1, 2, "well"]
        spawner.wait(timeout=10)
        shop.wait_until_quiet()

        (run,) = shop.ledger.runs(later.id.hex)
        assert 0.45 < run.began - sent < 5
        assert str(shop.job(soon).created_at.year + days // 365) in worker.log
    shop.check()
