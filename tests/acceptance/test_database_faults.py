"""The database is stopped, killed and restarted under load: what was acknowledged ends once."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from typing import Self

import pytest

from hammerflow import JobState, Result, StoreUnavailable
from hammerflow.settings import Settings
from hammerflow.stores import open_store
from tests.acceptance.kit import Shop, until
from tests.support.servers import MariaDB, Postgres, Server

pytestmark = pytest.mark.slow


@pytest.fixture(params=[Postgres, MariaDB])
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    """A server of the test's own."""
    with request.param() as server:
        yield server


@pytest.fixture
def fragile_shop(server: Server, shop_at: Callable[..., Shop]) -> Shop:
    """A shop on a server that may be broken."""
    url = server.create_database("shop")
    with contextlib.closing(open_store(Settings(database=url))) as store:
        store.schema.migrate()
    return shop_at(url)


def test_the_database_breaks_under_load(fragile_shop: Shop, server: Server) -> None:
    shop = fragile_shop
    stop = server.stop_at_once if isinstance(server, Postgres) else server.stop
    with shop.worker() as worker, _Customers(shop) as customers:
        for fault in (stop, server.kill, server.kill):
            customers.wait_for(100)
            fault()
            customers.wait_for_trouble()
            server.start()
        customers.wait_for(100)
        customers.stop()
        worker.wait_for_log("the database is back")  # a short outage may pass unnoticed
        shop.wait_until_quiet()

    ends = {result.wait(timeout=1) for result in customers.acknowledged}
    assert ends == {JobState.COMPLETED}
    assert customers.unknown > 0
    shop.check(customers.acknowledged, unknown=customers.unknown)


def test_a_job_outlasts_the_database(fragile_shop: Shop, server: Server) -> None:
    """The body ends while the database is away: its outcome is kept and written later."""
    shop = fragile_shop
    with shop.worker(lease=30) as worker:
        held = shop.send("hold", "gate", 5)
        shop.wait_for_run(held)

        server.kill()
        shop.open("gate")
        until("the body ends", lambda: shop.ledger.runs()[0].ended)
        worker.wait_for_log("the database is down")
        server.start()

        assert until("the result", lambda: _value(held)) == 5
        assert len(shop.ledger.runs()) == 1
    shop.check([held])


def test_a_worker_waits_for_its_database_in_silence(fragile_shop: Shop, server: Server) -> None:
    """It says once that it is lost and once that it is back, and tries now and then only."""
    with fragile_shop.worker() as worker:
        server.kill()
        worker.wait_for_log("the database is down")
        before = worker.cpu()
        time.sleep(3)  # an outage: there is nothing to wait for
        assert worker.cpu() - before < 1.0
        assert (worker.log.count("base is lost"), worker.log.count("base is back")) == (1, 0), (
            worker.log
        )

        server.start()

        worker.wait_for_log("the database is back")
        assert fragile_shop.send("note", 1).get(timeout=10) == 1
        assert (worker.log.count("base is lost"), worker.log.count("base is back")) == (1, 1), (
            worker.log
        )


def _value(result: Result[int]) -> int | None:
    try:
        return result.get(timeout=5)
    except StoreUnavailable:
        return None


class _Customers:
    """A thread that enqueues whatever happens, and what it was told."""

    def __init__(self, shop: Shop) -> None:
        self._shop = shop
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.acknowledged: list[Result[object]] = []
        self.unknown = 0

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
        """Until so many more jobs are acknowledged."""
        wanted = len(self.acknowledged) + more
        until(f"{wanted} jobs", lambda: len(self.acknowledged) >= wanted, timeout=30)

    def wait_for_trouble(self) -> None:
        """Until one more enqueue was refused."""
        known = self.unknown
        until("trouble", lambda: self.unknown > known)

    def _run(self) -> None:
        while not self._over.wait(0.005):
            try:
                result = self._shop.send("note", len(self.acknowledged))
            except StoreUnavailable:
                self.unknown += 1
            else:
                self.acknowledged.append(result)
