"""Networks: slow lines between a worker and its database, and a Redis that refuses everything."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path

import redis

from tests.acceptance import kit
from tests.acceptance.kit import Shop
from tests.proof.faults.shops import Customers, percentile, shop_on
from tests.support.proxy import Proxy
from tests.support.servers import MariaDB, Postgres, Redis, Server, open_redis
from tests.support.waiting import until

__all__ = ["redis_refuses", "slow_network"]

#: Jobs in each phase; a claim is one round trip on PostgreSQL, and several on MariaDB.
_COUNTS = {"postgres": (300, 20, 200), "mariadb": (60, 2, 100)}


def slow_network(kind: str, folder: Path, _: int) -> str:
    """The worker's line has 50 ms, then 2 s a round trip, 10 kB/s, and is cut every 5 s."""
    fresh: Server = Postgres() if kind == "postgres" else MariaDB()
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(fresh)
        url = server.create_database("shop")
        shop = stack.enter_context(shop_on(url, folder))
        proxy = stack.enter_context(Proxy(url))
        shop.url = proxy.url
        worker = shop.worker(lease=30)
        sent, seconds = [], []
        phases = zip((0.025, 1.0, 0.0), (None, None, 10_000), _COUNTS[kind], strict=True)
        for delay, rate, count in phases:
            proxy.delay(delay)
            proxy.limit(rate)
            began = time.monotonic()
            sent += shop.send_all("note", ((i,) for i in range(count)))
            shop.wait_until_quiet(60)
            seconds.append(time.monotonic() - began)
        proxy.limit(None)
        proxy.delay(0.025)
        with Customers(shop, pause=0.1) as customers:  # straight to the database
            for _cut in range(2):
                deadline = time.monotonic() + 5
                until("5 s", lambda: time.monotonic() > deadline)  # noqa: B023
                proxy.drop_all()
            customers.wait_for(20)
            customers.stop()
        shop.wait_until_quiet(60)
        proxy.delay(0)
        assert not worker.complaints(), worker.log
        everything = [*sent, *customers.acknowledged]
        assert shop.ledger.counts(r.id.hex for r in everything) == {1: len(everything)}
        shop.check(everything, most_attempts=1)
    return (
        f"{_COUNTS[kind]} jobs in {seconds[0]:.1f} s at 50 ms a round trip, {seconds[1]:.1f} s at "
        f"2 s, {seconds[2]:.1f} s at 10 kB/s; {len(customers.acknowledged)} with a cut every 5 s: "
        "each once"
    )


def redis_refuses(folder: Path, _: int) -> str:
    """Redis without memory for a write, then without room for a connection, under load."""
    with (
        Postgres() as server,
        Redis() as bell,
        open_redis(bell.url()) as admin,
        shop_on(server.create_database("shop"), folder, redis=bell.url()) as shop,
        shop.worker(),
        Customers(shop, pause=0.03) as customers,
    ):
        customers.wait_for(100)
        shop.wait_until_quiet()
        usual = percentile(customers.delays(), 0.5)
        admin.config_set("maxmemory", "1")
        with contextlib.suppress(redis.exceptions.OutOfMemoryError):
            admin.set("a", "b")
            raise AssertionError("Redis has memory left")
        customers.wait_for(100)
        admin.config_set("maxclients", "1")
        for kind in ("normal", "pubsub"):
            admin.client_kill_filter(_type=kind)
        customers.wait_for(200)
        customers.stop()
        shop.wait_until_quiet()
        delays = customers.delays()
        middle = percentile(delays, 0.5)
        assert middle < usual + kit.POLL + 0.5, (
            f"p50 of the start was {middle:.2f} s, not {usual:.2f}"
        )
        admin.config_set("maxclients", "1000")
        admin.config_set("maxmemory", "0")
        until("rings are heard again", lambda: _starts_within(shop, customers, 0.1), 30)
        shop.wait_until_quiet()
        shop.check(customers.acknowledged, most_attempts=1)
    return (
        f"{len(delays)} jobs once each, none refused; start p50 {middle * 1e3:.0f} ms, p99 "
        f"{percentile(delays, 0.99) * 1e3:.0f} ms (poll {kit.POLL:g} s); rings are heard again"
    )


def _starts_within(shop: Shop, customers: Customers, seconds: float) -> bool:
    """Ten jobs in a row: the poll alone would miss one of them."""
    for _ in range(10):
        at = time.monotonic()
        result = shop.send("note", 1)
        customers.acknowledged.append(result)
        if shop.wait_for_run(result).began - at > seconds:
            return False
    return True
