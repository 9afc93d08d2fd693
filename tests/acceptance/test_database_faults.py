"""The database is stopped, killed and restarted under load: what was acknowledged ends once."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Self

import pytest

from hammerflow import JobState, Result, StoreUnavailable
from hammerflow.settings import Settings
from hammerflow.stores import open_store
from tests.acceptance.kit import Shop
from tests.support.servers import MariaDB, Postgres, Server
from tests.support.waiting import until

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


def test_a_worker_waits_quietly_for_its_database(fragile_shop: Shop, server: Server) -> None:
    """It logs one line when the database goes down, one when it is back, and tries at intervals."""
    with fragile_shop.worker() as worker:
        server.kill()
        worker.wait_for_log("the database is down")
        before = worker.cpu()
        with _Refusals(server.port) as refusals:
            # Each thread may find out by itself, then one of them probes.
            until("12 attempts to connect", lambda: refusals.count >= 12, timeout=60)
            seconds = refusals.seconds
        assert seconds > 2.0, "the worker tries without a pause"
        assert worker.cpu() - before < 0.35 * seconds
        assert (worker.log.count("base is down"), worker.log.count("base is back")) == (1, 0), (
            worker.log
        )

        server.start()

        worker.wait_for_log("the database is back")
        assert fragile_shop.send("note", 1).get(timeout=10) == 1
        assert (worker.log.count("base is down"), worker.log.count("base is back")) == (1, 1), (
            worker.log
        )


class _Refusals:
    """Takes connections on the port of a dead server, closes each at once, and counts them."""

    def __init__(self, port: int) -> None:
        self._began = time.monotonic()
        self._socket = socket.create_server(("127.0.0.1", port))
        self._thread = threading.Thread(target=self._refuse)
        self.count = 0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._socket.close()

    @property
    def seconds(self) -> float:
        """Seconds since the first connection could come."""
        return time.monotonic() - self._began

    def _refuse(self) -> None:
        with contextlib.suppress(OSError):  # shut down
            while True:
                self._socket.accept()[0].close()
                self.count += 1


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
