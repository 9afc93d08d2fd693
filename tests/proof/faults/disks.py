"""Disks: one that fills up, and ones that report an error when they are told to sync."""

from __future__ import annotations

import contextlib
import functools
import time
from collections.abc import Callable
from pathlib import Path

from hammerflow import StoreUnavailable
from tests.acceptance.kit import Shop
from tests.proof.faults.ground import failing_syncs, small_memory_disk
from tests.proof.faults.power import move_data
from tests.proof.faults.shops import loading, shop_on
from tests.support.servers import MariaDB, Postgres, Server
from tests.support.waiting import until

__all__ = [
    "disk_full",
    "disk_full_under_a_server",
    "sync_errors_mariadb",
    "sync_errors_postgres",
    "sync_errors_sqlite",
]


def disk_full(folder: Path, _: int) -> str:
    """SQLite on a disk that fills up under load and gets room again."""
    with (
        small_memory_disk(folder, 12) as place,
        shop_on(f"sqlite:///{place / 'shop.db'}", folder) as shop,
    ):
        said = _fill_and_empty(shop, place, lambda: None)
        assert shop.desk.sql("PRAGMA integrity_check") == [("ok",)]
    return said


def disk_full_under_a_server(kind: str, folder: Path, _: int) -> str:
    """The data of a server on a disk that fills up under load and gets room again."""
    server: Server = Postgres() if kind == "postgres" else MariaDB()
    with contextlib.closing(server), small_memory_disk(folder, 300) as place:
        move_data(server, place)
        server.start()
        with shop_on(server.create_database("shop"), folder) as shop:
            restarts = 0

            def restart() -> None:
                nonlocal restarts
                if server.process is not None and server.process.poll() is not None:
                    server.kill()
                    server.start()
                    restarts += 1

            said = _fill_and_empty(shop, place, restart)
        server.kill()
    return f"{said}; the server had given up and was started again" if restarts else said


def _fill_and_empty(shop: Shop, place: Path, restart: Callable[[], None]) -> str:
    """No room while the worker runs and enqueues are tried, until five are refused; then room."""
    worker = shop.worker()
    ballast = place / "ballast"
    acknowledged = shop.send_all("note", ((i,) for i in range(100)))
    with contextlib.suppress(OSError), open(ballast, "wb") as file:
        while True:
            file.write(b"x" * 4096)
            file.flush()
    refused = 0
    deadline = time.monotonic() + 20
    while refused < 5 and time.monotonic() < deadline:
        try:
            acknowledged += shop.send_all("note", [("x" * 20_000,)] * 20)
        except StoreUnavailable:
            refused += 1
    assert refused == 5, "the full disk refused nothing"
    ballast.unlink()
    restart()
    acknowledged.append(until("room again", functools.partial(_try_to_send, shop)))
    shop.wait_until_quiet(60)
    assert worker.process.poll() is None, worker.log
    assert not worker.complaints(), worker.log
    shop.check(acknowledged, unknown=refused * 20)
    return f"{refused} enqueues refused, {len(acknowledged)} acknowledged jobs done, none lost"


def _try_to_send(shop: Shop) -> object:
    try:
        return shop.send("note", 0)
    except StoreUnavailable:
        return None


def sync_errors_sqlite(folder: Path, _: int) -> str:
    """fsync fails in the client, then in the worker, each time until they have noticed."""
    with (
        shop_on(f"sqlite:///{folder / 'shop.db'}", folder) as shop,
        loading(shop.url, folder / "acknowledged") as load,
    ):
        worker = shop.worker()
        failed = 0
        for outage in range(1, 3):
            load.wait_for(20)
            with failing_syncs([load.process.pid]) as trace:
                load.wait_for_trouble(5)
                failed += trace.read_text().count("INJECTED")
            load.wait_for(20)
            with failing_syncs([worker.pid]) as trace:
                worker.wait_for_log("the database is down", outage)
                failed += trace.read_text().count("INJECTED")
            worker.wait_for_log("the database is back", outage)
        load.end()
        shop.wait_until_quiet(60)
        assert worker.process.poll() is None, worker.log
        shop.check(load.promised, unknown=load.unknown)
        assert shop.desk.sql("PRAGMA integrity_check") == [("ok",)]
        return (
            f"{failed} syncs failed, {load.refusals} enqueues refused, "
            f"{len(load.promised)} acknowledged jobs done, none lost, integrity_check ok"
        )


def sync_errors_postgres(folder: Path, _: int) -> str:
    """fsync fails in the backends: PostgreSQL must panic, and recovers by itself."""
    with Postgres(durable=True) as server:
        return _server_panics(server, folder, "PANIC")


def sync_errors_mariadb(folder: Path, _: int) -> str:
    """fsync fails in InnoDB, which ends the server; it is started again."""
    with MariaDB(durable=True) as server:
        return _server_panics(server, folder, "[ERROR] [FATAL] InnoDB")


def _server_panics(server: Server, folder: Path, word: str) -> str:
    url = server.create_database("shop")
    panics = 3
    with (
        shop_on(url, folder) as shop,
        loading(url, folder / "acknowledged") as load,
    ):
        worker = shop.worker()
        for panic in range(1, panics + 1):
            load.wait_for(20)
            backends = server._family() if isinstance(server, MariaDB) else server._family()[1:]
            with failing_syncs(backends, when="1"):
                until(f"panic {panic}", lambda: server.log.count(word) >= panic, 20)  # noqa: B023
            if isinstance(server, MariaDB):
                server.kill()
                server.start()
        load.wait_for(20)
        load.end()
        shop.wait_until_quiet(60)
        assert worker.process.poll() is None, worker.log
        shop.check(load.promised, unknown=load.unknown)
        assert load.refusals, "no enqueue was refused"
        return (
            f"{panics} panics of the server, {load.refusals} enqueues refused, "
            f"{len(load.promised)} acknowledged jobs done, none lost"
        )
