"""A queue that a worker has never heard of is served within the poll interval, rung or not."""

from __future__ import annotations

import time

from tests.acceptance.kit import Shop
from tests.support.waiting import until


def test_the_first_job_of_a_new_queue_waits_for_a_poll_at_most(shop: Shop) -> None:
    with shop.worker(doorbell="none", poll=0.2):
        shop.send("note", "warm").get(timeout=15)
        for number in range(2):
            begun = time.monotonic()
            assert shop.send("note", number, queue=f"new-{number}").get(timeout=15) == number
            assert time.monotonic() - begun < 6, "queues were read every ten seconds"

        shop.client.store.queues.pause("new-0")
        waits = shop.send("note", "paused", queue="new-0")
        shop.send("note", "other", queue="new-2").get(timeout=15)
        begun = time.monotonic()
        shop.client.store.queues.resume("new-0")
        assert waits.get(timeout=15) == "paused"
        assert time.monotonic() - begun < 6


def test_a_worker_drops_results_whose_time_is_over(shop: Shop) -> None:
    with shop.worker():
        brief, kept = shop.send("note", 1), shop.send("note", 2)
        shop.wait_until_quiet()
        row = f"{{done}} WHERE job_id = {shop.desk.id(brief.id.bytes)}"
        where = row.removeprefix("{done} ")
        shop.desk.sql(f"UPDATE {{done}} SET result_until = finished_at {where}")
        until("it is dropped", lambda: shop.desk.sql(f"SELECT 1 FROM {row} AND result IS NULL"))
        assert kept.get(timeout=5) == 2
