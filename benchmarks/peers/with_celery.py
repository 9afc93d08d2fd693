"""Celery on Redis: two prefork processes; results only for the chord, which needs them."""

from __future__ import annotations

import sys
import time

from celery import Celery
from celery import chord as chord_of

from benchmarks.peers import shared

app = Celery("peers", broker=shared.REDIS, backend=shared.REDIS)
app.conf.worker_prefetch_multiplier = 64
app.conf.broker_connection_retry_on_startup = True


@app.task(ignore_result=True)
def count(x: int) -> None:
    shared.count()


@app.task(ignore_result=True)
def start(sent: float) -> None:
    shared.start(sent)


@app.task
def noop(x: int) -> int:
    return x


@app.task
def total(results: list[int]) -> int:
    return len(results)


def workers() -> list[list[str]]:
    return [[sys.executable, "-m", "celery", "-A", f"{__name__}:app", "worker", "-c", "2",
             "-l", "WARNING"]]  # fmt: skip


def enqueue(n: int) -> None:
    for i in range(n):
        count.delay(i)


def send_start() -> None:
    start.delay(time.time())


def chord(n: int) -> int:
    result: int = chord_of((noop.s(i) for i in range(n)), total.s()).delay().get(timeout=120)
    return result
