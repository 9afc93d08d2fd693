"""Crowds: more jobs due at once, or children of one workflow, than usual; a writer in the way."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from hammerflow import chord
from tests.proof.faults.shops import Customers, shop_on
from tests.support.servers import Postgres
from tests.support.waiting import until

__all__ = ["many_due", "sqlite_writer_held", "wide_fan_in"]

_HOLD = """
import sqlite3, sys, time
connection = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=30)
connection.execute("BEGIN IMMEDIATE")
print("held", flush=True)
time.sleep(float(sys.argv[2]))
connection.execute("COMMIT")
"""


def sqlite_writer_held(folder: Path, _: int) -> str:
    """Another process holds SQLite's only write lock for 30 s while a worker runs."""
    path = folder / "shop.db"
    with shop_on(f"sqlite:///{path}", folder) as shop, Customers(shop) as customers:
        worker = shop.worker()
        customers.wait_for(100)
        held = shop.send("hold", "gate", 1)
        shop.wait_for_run(held)
        command = [sys.executable, "-c", _HOLD, str(path), "30"]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as holder:
            assert holder.stdout is not None
            assert holder.stdout.readline() == b"held\n"
            began = time.monotonic()
            shop.open("gate")  # its end must wait
            assert holder.wait(60) == 0
        assert held.get(timeout=15) == 1
        customers.wait_for(50)
        took = time.monotonic() - began
        customers.stop()
        shop.wait_until_quiet()
        assert worker.process.poll() is None, worker.log
        assert not worker.complaints(), worker.log
        everything = [held, *customers.acknowledged]
        assert shop.ledger.counts(r.id.hex for r in everything) == {1: len(everything)}
        shop.check(everything, unknown=len(customers.refused))
        assert shop.desk.sql("PRAGMA integrity_check") == [("ok",)]
    return (
        f"{len(everything)} jobs once each, {len(customers.refused)} enqueues refused, no body "
        f"lost; as before {took - 30:.1f} s after the 30 s"
    )


def many_due(folder: Path, _: int) -> str:
    """100 000 jobs are due at the moment at which two workers start."""
    count = 100_000
    with Postgres() as server, shop_on(server.create_database("shop"), folder) as shop:
        sent = shop.send_all("nap", ((0,) for _ in range(count)), delay=1)
        at = time.monotonic() + 1
        until("all are due", lambda: time.monotonic() > at)
        began = time.monotonic()
        workers = [shop.worker(), shop.worker()]
        left = count - shop.desk.count("done")
        sent_at = time.monotonic()
        urgent = shop.send("note", 1, priority=4)
        first = shop.wait_for_run(urgent).began - sent_at
        shop.wait_until_quiet(90)
        took = time.monotonic() - began
        assert not any(worker.complaints() for worker in workers)
        assert shop.desk.count("done") == count + 1
        shop.check([*sent, urgent], most_attempts=1)
    return (
        f"{count} jobs done in {took:.1f} s by two workers, start of these included; an urgent one "
        f"sent while {left} were left began after {first:.1f} s"
    )


def wide_fan_in(folder: Path, _: int) -> str:
    """10 000 jobs end into one; three children are killed meanwhile."""
    count, kills = 10_000, 3
    with Postgres() as server, shop_on(server.create_database("shop"), folder) as shop:
        workers = [shop.worker(), shop.worker()]
        members = [shop.call("leaf", i) for i in range(count)]
        result = shop.client.enqueue(chord(members, shop.call("total")))
        for kill in range(1, kills + 1):
            share = kill * count // (kills + 1)
            until(f"{share} of them", lambda: shop.desk.count("done") >= share)  # noqa: B023
            os.kill(min(workers[kill % 2].children()), signal.SIGKILL)
        assert result.get(timeout=40) == [count, True]
        shop.wait_until_quiet()
        deaths = sum(worker.log.count("child died") for worker in workers)
        assert deaths == kills
        losses = shop.desk.count("errors")
        assert len(shop.ledger.runs()) == 1, "the fan-in ran twice"
        shop.check()
    return f"{count} results in order in one body, {kills} children killed, {losses} attempts lost"
