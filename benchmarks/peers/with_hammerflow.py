"""hammerflow beside its peers, results stored; on whatever database the run names."""

from __future__ import annotations

import sys
import time

from benchmarks.peers import shared
from hammerflow import Hammerflow
from hammerflow import chord as chord_of

app = Hammerflow("peers", database=shared.DATABASE, redis=shared.REDIS)


@app.task
def count(x: int) -> None:
    """One increment."""
    shared.count()


@app.task
def start(sent: float) -> None:
    """How late it began."""
    shared.start(sent)


@app.task
def noop(x: int) -> int:
    """A member of the chord."""
    return x


@app.task
def total(results: list[int]) -> int:
    """The end of the chord."""
    return len(results)


def prepare() -> None:
    """The tables."""
    app.migrate()


def workers() -> list[list[str]]:
    """One supervisor with two children."""
    return [[sys.executable, "-m", "hammerflow", "-A", f"{__name__}:app", "worker", "-c", "2"]]


def enqueue(n: int) -> None:
    """One by one."""
    for i in range(n):
        count.delay(i)


def send_start() -> None:
    """One job on an idle system."""
    start.delay(time.time())


def chord(n: int) -> int:
    """n members, then their fan-in."""
    result: int = chord_of([noop.s(i) for i in range(n)], total.s()).delay().get(timeout=120)
    return result
