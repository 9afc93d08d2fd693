"""Redis may be killed, stopped, flushed and restarted: that costs time, never a job."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Self

import pytest

from hammerflow import Result
from tests.acceptance.kit import Shop
from tests.support.servers import Redis
from tests.support.waiting import until

pytestmark = pytest.mark.slow
_BOUND = 0.5  # seconds that Redis may add to a delay()
_MARGIN = 4.0  # for a busy machine; a call that waited for Redis would wait until it answers


@pytest.fixture
def shop_by_redis(
    migrated_database: Callable[[str], str], shop_at: Callable[..., Shop], own_redis: Redis
) -> Shop:
    """A shop on PostgreSQL with a Redis that may be broken."""
    return shop_at(migrated_database("postgres"), redis=own_redis.url())


def test_redis_breaks_under_load(shop_by_redis: Shop, own_redis: Redis) -> None:
    shop = shop_by_redis
    with shop.worker(), _Customers(shop) as customers:
        for fault in (
            own_redis.kill,
            own_redis.start,
            own_redis.pause,
            own_redis.resume,
            own_redis.flush,
            own_redis.kill,
        ):
            customers.wait_for(40)
            fault()
        customers.wait_for(40)
        customers.stop()
        shop.wait_until_quiet()

    assert customers.slowest < _BOUND + _MARGIN
    assert shop.ledger.counts(r.id.hex for r in customers.results) == {1: len(customers.results)}
    shop.check(customers.results)


def test_a_worker_subscribes_again(shop_by_redis: Shop, own_redis: Redis) -> None:
    shop = shop_by_redis
    with shop.worker("--poll", "60"):  # only a ring can tell it soon
        assert shop.send("note", 1).get(timeout=10) == 1
        own_redis.kill()
        unheard = shop.send("note", 2)

        own_redis.start()

        assert unheard.get(timeout=15) == 2  # it may have missed rings, and so looks
        begun = time.monotonic()
        until("rings are heard again", lambda: _is_quick(shop.send("note", 3)))
        assert time.monotonic() - begun < 12


def test_without_redis_a_job_starts_within_the_poll_interval(
    shop_by_redis: Shop, own_redis: Redis
) -> None:
    shop = shop_by_redis
    own_redis.kill()
    with shop.worker("--poll", "0.5"):
        for _ in range(3):
            sent = time.monotonic()
            result = shop.send("note", 1)
            assert shop.wait_for_run(result).began - sent < 0.5 + 0.5 + _MARGIN


def _is_quick(result: Result[object]) -> bool:
    try:
        result.get(timeout=1)
    except TimeoutError:
        return False
    return True


class _Customers:
    """A thread that enqueues without pause, and what it was told."""

    def __init__(self, shop: Shop) -> None:
        self._shop = shop
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.results: list[Result[object]] = []
        self.slowest = 0.0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """The last call is over when this returns."""
        self._over.set()
        self._thread.join()

    def wait_for(self, more: int) -> None:
        """Until so many more jobs are enqueued."""
        wanted = len(self.results) + more
        until(f"{wanted} jobs", lambda: len(self.results) >= wanted or not self._thread.is_alive())

    def _run(self) -> None:
        while not self._over.wait(0.005):
            begun = time.monotonic()
            self.results.append(self._shop.send("note", len(self.results)))
            self.slowest = max(self.slowest, time.monotonic() - begun)
