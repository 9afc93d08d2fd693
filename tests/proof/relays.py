"""python -m tests.proof.relays: relays killed at random, slow writers and rolled-back ones.

Eight writers log the steps of jobs in transactions that take up to 50 ms, and roll back a tenth of
them. Two relay processes compete, and one of them is killed (SIGKILL) several times a second. A
reader follows the log meanwhile. Nothing may be lost, doubled or invented, positions have no holes,
and the steps of a job come in their order.
"""

from __future__ import annotations

import argparse
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass, field

from hammerflow.events.kinds import EventKind, mask_of
from hammerflow.events.record import Record
from hammerflow.ids import new_id
from hammerflow.settings import Settings
from hammerflow.stores import open_store
from hammerflow.stores.database import Tx
from hammerflow.stores.store import Store
from tests.support.servers import MariaDB, Postgres, create_database

__all__ = ["Figures", "run"]

_WRITERS, _RELAYS = 8, 2
_STEPS = 4
Step = tuple[bytes, int]


class _RolledBack(Exception):
    """Leaves a transaction that writes nothing."""


@dataclass(slots=True)
class Figures:
    """What a run has seen."""

    sent: list[Step] = field(default_factory=list)
    got: list[Step] = field(default_factory=list)
    rolled_back: int = 0
    kills: int = 0
    position: int = 0
    holes: int = 0

    @property
    def disordered(self) -> int:
        """Steps of a job that came before an earlier one."""
        last: Counter[bytes] = Counter()
        count = 0
        for job, step in self.got:
            count += step <= last[job]
            last[job] = max(step, last[job])
        return count

    def check(self) -> None:
        """Raise AssertionError where the promise does not hold."""
        assert self.holes == 0 and self.position == len(self.got), self.holes
        assert Counter(self.got) == Counter(self.sent), "lost, doubled or invented"
        assert self.disordered == 0, self.disordered
        assert self.kills and self.rolled_back and self.sent

    def __str__(self) -> str:
        return (
            f"{len(self.sent):,} events sent, {len(self.got):,} got, {self.holes} holes, "
            f"{self.disordered} out of order; {self.rolled_back:,} rolled back, {self.kills} kills"
        )


def run(url: str, seconds: float, seed: int) -> Figures:
    """Write, relay, kill and read for some seconds; the database has its tables."""
    store = open_store(Settings(database=url, max_connections=_WRITERS + 4))
    store.database.run("relay_want", wanted=mask_of(EventKind))
    store.names.outbox.refresh()
    figures, lock = Figures(), threading.Lock()
    until = time.monotonic() + seconds
    threads = [
        threading.Thread(target=_write, args=(store, figures, lock, until, seed * 100 + n))
        for n in range(_WRITERS)
    ]
    relays = [_start(url) for _ in range(_RELAYS)]
    dice = random.Random(seed)
    try:
        for thread in threads:
            thread.start()
        kill_at = time.monotonic() + 0.5
        while any(thread.is_alive() for thread in threads):
            _read(store, figures)
            if time.monotonic() > kill_at:
                number = dice.randrange(_RELAYS)
                relays[number].send_signal(signal.SIGKILL)
                relays[number].wait()
                relays[number] = _start(url)
                figures.kills += 1
                kill_at = time.monotonic() + dice.uniform(0.2, 0.6)
            time.sleep(0.005)
    finally:
        for relay in relays:
            relay.kill()
            relay.wait()
    while store.events.relay():
        pass
    _read(store, figures)
    store.close()
    return figures


def _write(store: Store, figures: Figures, lock: threading.Lock, until: float, seed: int) -> None:
    dice = random.Random(seed)
    while time.monotonic() < until:
        job = new_id()
        for step in range(1, _STEPS):
            pause = dice.random() * 0.05 if dice.random() < 0.2 else 0.0
            is_lost = dice.random() < 0.1

            def work(tx: Tx) -> None:
                record = Record(EventKind.JOB_RETRYING, job, step)  # noqa: B023
                store.names.outbox.write(tx, [record])
                time.sleep(pause)  # noqa: B023
                if is_lost:  # noqa: B023
                    raise _RolledBack

            try:
                store.database.unit(work)
            except _RolledBack:
                with lock:
                    figures.rolled_back += 1
                break
            with lock:
                figures.sent.append((job, step))


def _read(store: Store, figures: Figures) -> None:
    while (page := store.events.read(figures.position)).records:
        assert page.gap is None
        for record in page.records:
            figures.holes += record.position != figures.position + 1
            figures.position = record.position
            figures.got.append((record.id, record.lease))


def _start(url: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "tests.proof.relays", "--relay", url]
    return subprocess.Popen(command)


def _relay(url: str) -> None:
    store, dice = open_store(Settings(database=url)), random.Random()
    while True:
        if not store.events.relay(dice.choice((1, 7, 200))):
            time.sleep(0.002)


def main() -> None:
    """Run it on each server."""
    parser = argparse.ArgumentParser(prog="python -m tests.proof.relays", description=__doc__)
    parser.add_argument("--database", default="postgres,mariadb")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    parser.add_argument("--relay", metavar="URL", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.relay:
        _relay(given.relay)
    for kind in given.database.split(","):
        with {"postgres": Postgres, "mariadb": MariaDB}[kind]() as server:
            url = create_database(server.url(), "relays")
            store = open_store(Settings(database=url))
            store.schema.migrate()
            store.close()
            figures = run(url, given.seconds, given.seed)
            sys.stdout.write(f"{kind}, seed {given.seed}: {figures}\n")
            figures.check()


if __name__ == "__main__":
    main()
