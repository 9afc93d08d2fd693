"""Databases: no connection left, a clock that jumps, transactions held open, serialization."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

from hammerflow import Hammerflow, StoreUnavailable
from tests.acceptance.kit import Shop, Worker
from tests.proof.faults.ground import faketime_library
from tests.proof.faults.shops import Customers, shop_on
from tests.stores.kit import Desk
from tests.support.servers import PROCESSES, MariaDB, Postgres, Server, open_admin
from tests.support.waiting import until

__all__ = [
    "backend_kills",
    "clock_jumps",
    "connection_limit",
    "held_transaction",
    "serializable_mariadb",
    "serializable_postgres",
]


_END_OF_ALL = "terminating any other active server processes"


def backend_kills(folder: Path, _: int) -> str:
    """kill -9 of one backend of PostgreSQL, ten times: it ends all others, too, and recovers."""
    kills = 10
    with (
        Postgres() as server,
        shop_on(server.create_database("shop"), folder) as shop,
        shop.worker(),
        Customers(shop) as customers,
    ):
        for kill in range(1, kills + 1):
            customers.wait_for(30)
            os.kill(until("a backend", lambda: _backend(server)), signal.SIGKILL)
            until("all end", lambda: server.log.count(_END_OF_ALL) >= kill)  # noqa: B023
        customers.wait_for(30)
        customers.stop()
        shop.desk = Desk(shop.url)
        shop.wait_until_quiet()
        shop.check(customers.acknowledged, unknown=len(customers.refused))
    return (
        f"{kills} kills, {len(customers.refused)} enqueues refused, "
        f"{len(customers.acknowledged)} acknowledged jobs done, none lost"
    )


def _backend(server: Server) -> int | None:
    """Any process of the server that serves the shop."""
    found = []
    for pid in server._family():
        with contextlib.suppress(OSError):
            if b" shop " in Path(f"/proc/{pid}/cmdline").read_bytes():
                found.append(pid)
    return random.choice(found) if found else None


class _SmallPostgres(Postgres):
    def _command(self) -> list[str]:
        return [*super()._command(), "--max_connections=14"]


class _SmallMariaDB(MariaDB):
    def _command(self) -> list[str]:
        return [*super()._command(), "--max-connections=14"]


def connection_limit(kind: str, folder: Path, _: int) -> str:
    """All connections are taken, also those of a worker; then there is room again."""
    small: Server = _SmallPostgres() if kind == "postgres" else _SmallMariaDB()
    with small as server, shop_on(server.create_database("shop"), folder) as shop:
        worker = shop.worker()
        sent = [shop.send("note", 1)]
        assert sent[0].get(timeout=10) == 1
        with _Hogs(server.url()) as hogs:
            hogs.take_all()
            said = _refusal(shop.url)
            late = Worker(shop, ["-c", "1"], {})
            shop.workers.append(late)
            assert late.process.wait(60) != 0
            assert "oo many c" in late.log and "Traceback" not in late.log, late.log
            hogs.take_over(lambda: "the database is down" in worker.log)
        worker.wait_for_log("the database is back")
        shop.desk = Desk(shop.url)
        second = shop.worker()
        sent += shop.send_all("note", ((i,) for i in range(100)))
        shop.wait_until_quiet()
        assert not worker.complaints() and not second.complaints(), worker.log + second.log
        shop.check(sent)
    return (
        f"a client is told {said!r}, a second worker ends with one sentence; one that ran loses "
        "its connections too, and goes on when there is room"
    )


class _Hogs:
    """Connections that do nothing."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._taken: list[Any] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for connection in self._taken:
            with contextlib.suppress(Exception):
                connection.close()

    def take_all(self) -> None:
        """Until the server refuses another one."""
        with contextlib.suppress(Exception):
            while True:
                self._taken.append(open_admin(self._url))

    def take_over(self, is_enough: Callable[[], bool]) -> None:
        """Close the connections of others and take their places, until it is enough."""
        until("the connections of others", lambda: self._take_over(is_enough), 30)

    def _take_over(self, is_enough: Callable[[], bool]) -> bool:
        for number in self._others():
            with contextlib.suppress(Exception):
                self._ask(
                    f"SELECT pg_terminate_backend({number})"
                    if self._url.startswith("postgres")
                    else f"KILL {number}"
                )
        self.take_all()
        return is_enough()

    def _others(self) -> list[int]:
        if self._url.startswith("postgres"):
            mine = {connection.info.backend_pid for connection in self._taken}
            rows = self._ask("SELECT pid FROM pg_stat_activity WHERE backend_type LIKE 'client%'")
        else:
            mine = {connection.thread_id() for connection in self._taken}
            rows = self._ask(f"SELECT id FROM {PROCESSES} WHERE user = 'hammerflow'")
        return [row[0] for row in rows if row[0] not in mine]

    def _ask(self, text: str) -> list[Any]:
        with self._taken[0].cursor() as cursor:
            cursor.execute(text)
            return list(cursor.fetchall()) if cursor.description else []


def _refusal(url: str) -> str:
    with contextlib.closing(Hammerflow("shop", database=url)) as app:
        try:
            app.enqueue(app.signature("tests.acceptance.shop.note", (1,)))
        except StoreUnavailable as error:
            assert "oo many c" in str(error), error
            return str(error).partition("cannot be used: ")[2].partition(";")[0]
    raise AssertionError("a client got a connection that should not be there")


class _FakedPostgres(Postgres):
    """Its clock is off by what a file says."""

    def set_clock(self, offset: str) -> None:
        """Jump."""
        clock = self.folder / "clock.new"
        clock.write_text(offset)
        clock.chmod(0o644)
        clock.rename(self.folder / "clock")

    def _command(self) -> list[str]:
        self.set_clock("+0")
        variables = {
            "LD_PRELOAD": faketime_library(),
            "FAKETIME_TIMESTAMP_FILE": self.folder / "clock",
            "FAKETIME_NO_CACHE": 1,
            "DONT_FAKE_MONOTONIC": 1,
        }
        pairs = [f"{name}={value}" for name, value in variables.items()]
        return ["/usr/bin/env", *pairs, *super()._command()]


def clock_jumps(folder: Path, _: int) -> str:
    """The database's clock jumps by an hour forward and back under load."""
    with (
        _FakedPostgres() as server,
        shop_on(server.create_database("shop"), folder) as shop,
        Customers(shop, pause=0.01) as customers,
    ):
        workers = [shop.worker(), shop.worker()]
        for offset in ("+3600", "+0", "-3600", "+0"):
            held = [shop.send("hold", f"gate {offset}", i) for i in range(3)]
            for result in held:
                shop.wait_for_run(result)
            customers.wait_for(100)
            before = _hours(shop.desk)
            server.set_clock(offset)
            until("the jump", lambda: abs(_hours(shop.desk) - before) > 0.5)  # noqa: B023
            customers.wait_for(100)
            shop.open(f"gate {offset}")
            assert [result.get(timeout=20) for result in held] == [0, 1, 2]
            customers.acknowledged += held
        taken = [run.job for run in shop.ledger.runs() if run.attempt > 1]
        assert not taken, "bodies of live workers were taken over"
        usual = _takeover(shop, workers[0], lambda: None, customers.acknowledged)
        server.set_clock("+10")
        until("beats of then", lambda: _hours(shop.desk) > before)
        workers.append(shop.worker())
        unlucky = _takeover(
            shop, workers[1], lambda: server.set_clock("+0"), customers.acknowledged
        )
        assert usual < 6, f"a killed worker's job began again after {usual:.1f} s"
        assert unlucky < 16, f"a killed worker's job began again after {unlucky:.1f} s"
        customers.stop()
        shop.wait_until_quiet()
        ids = [result.id.hex for result in customers.acknowledged]
        counts = shop.ledger.counts(ids)
        assert not counts[0]
        assert not customers.refused
        shop.check(customers.acknowledged)
        return (
            f"4 jumps of an hour, {len(ids)} jobs done, none lost, no body of a live worker taken "
            f"over; a killed worker's job began again after {usual:.1f} s, and where the clock "
            f"went back by 10 s at its death after {unlucky:.1f} s"
        )


def _takeover(
    shop: Shop, worker: Worker, then: Callable[[], None], acknowledged: list[Any]
) -> float:
    """Kill the worker while it runs a body; the seconds until that begins elsewhere."""
    while True:
        gate = f"gate {time.monotonic()}"
        held = shop.send("hold", gate)
        acknowledged.append(held)
        run = shop.wait_for_run(held)
        if run.pid in worker.family():
            break
        shop.open(gate)
    worker.kill()
    then()
    began = time.monotonic()
    again = until("a takeover", lambda: shop.ledger.runs(run.job)[1:], 30)[0]
    shop.open(gate)
    held.wait(timeout=20)
    return float(again.began - began)


def _hours(desk: Desk) -> float:
    return float(desk.sql("SELECT extract(epoch FROM clock_timestamp())")[0][0]) / 3600


def held_transaction(kind: str, folder: Path, _: int) -> str:
    """A snapshot from before the first job is held while 20 000 jobs are worked off in 4 waves."""
    begin = {
        "postgres": "BEGIN ISOLATION LEVEL REPEATABLE READ",
        "mariadb": "START TRANSACTION WITH CONSISTENT SNAPSHOT",
    }[kind]
    fresh: Server = Postgres() if kind == "postgres" else MariaDB()
    with fresh as server, shop_on(server.create_database("shop"), folder) as shop:
        shop.worker()
        shop.worker()
        holder = Desk(shop.url)
        try:
            holder.sql(begin)
            assert holder.count("jobs") == 0
            seconds = []
            for _wave in range(4):
                began = time.monotonic()
                shop.send_all("nap", [(0,)] * 5_000)
                shop.wait_until_quiet(60)
                seconds.append(time.monotonic() - began)
            assert holder.count("jobs") == 0, "the transaction was not held"
        finally:
            holder.close()
        assert shop.desk.count("done") == 20_000
        assert seconds[3] < 3 * seconds[0] + 1, f"the waves took {seconds}"
        shop.check()
    said = ", ".join(f"{s:.1f}" for s in seconds)
    return f"20 000 jobs in four waves of {said} s beside it"


class _SerializablePostgres(Postgres):
    def _command(self) -> list[str]:
        return [*super()._command(), "--default_transaction_isolation=serializable"]


class _SerializableMariaDB(MariaDB):
    def _command(self) -> list[str]:
        return [*super()._command(), "--transaction-isolation=SERIALIZABLE"]


def serializable_postgres(folder: Path, _: int) -> str:
    """PostgreSQL with serializable as its default: failures occur and are retried."""
    with _SerializablePostgres() as server:
        done = _busy(server, folder)
        failures = server.log.count("could not serialize access")
        assert failures, "no serialization failure occurred"
    return f"{failures} serialization failures, {done} jobs done, none refused, none lost"


def serializable_mariadb(folder: Path, _: int) -> str:
    """MariaDB with SERIALIZABLE as its default: connections choose their own level."""
    with _SerializableMariaDB() as server:
        done = _busy(server, folder)
    return f"{done} jobs done, none refused, none lost"


def _busy(server: Server, folder: Path) -> int:
    """Two workers, two customers, spawners; the number of jobs."""
    url = server.create_database("shop")
    with shop_on(url, folder) as shop:
        with (
            shop.worker() as one,
            shop.worker() as other,
            Customers(shop) as first,
            Customers(shop) as second,
        ):
            first.wait_for(20)
            spawners = shop.send_all("fan_out", [(300,)] * 5)
            first.wait_for(300)
            for result in spawners:
                result.wait(timeout=60)
            first.stop()
            second.stop()
            shop.wait_until_quiet(60)
            assert not one.complaints() and not other.complaints(), one.log + other.log
        assert not first.refused and not second.refused, first.refused + second.refused
        shop.check([*first.acknowledged, *second.acknowledged, *spawners], most_attempts=1)
        return shop.desk.count("done")
