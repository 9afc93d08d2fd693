"""A queue that a worker has never heard of is served within the poll interval, rung or not."""

from __future__ import annotations

import time

from tests.acceptance.kit import Shop


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
