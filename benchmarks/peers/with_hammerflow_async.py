"""hammerflow with coroutines as bodies, as the peers that have nothing else are measured."""

from __future__ import annotations

import sys
import time

from benchmarks.peers import shared
from benchmarks.peers.with_hammerflow import app, prepare

__all__ = ["app", "enqueue", "prepare", "send_start", "workers"]


@app.task
async def count(x: int) -> None:
    """One increment, awaited."""
    await shared.acount()


@app.task
async def start(sent: float) -> None:
    """How late it began."""
    await shared.astart(sent)


def workers() -> list[list[str]]:
    """One supervisor with two children of a hundred coroutines, its default number."""
    return [[sys.executable, "-m", "hammerflow", "-A", f"{__name__}:app", "worker", "-c", "2"]]


def enqueue(n: int) -> None:
    """One by one."""
    for i in range(n):
        count.delay(i)


def send_start() -> None:
    """One job on an idle system."""
    start.delay(time.time())
