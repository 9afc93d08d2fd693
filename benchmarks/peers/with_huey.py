"""Huey on Redis: two worker processes."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from huey import RedisHuey

from benchmarks.peers import shared

huey = RedisHuey("bench", url=shared.REDIS)


@huey.task()
def count(x: int) -> None:
    shared.count()


@huey.task()
def start(sent: float) -> None:
    shared.start(sent)


def workers() -> list[list[str]]:
    consumer = str(Path(sys.executable).with_name("huey_consumer"))
    return [[consumer, f"{__name__}.huey", "-w", "2", "-k", "process", "-q"]]


def enqueue(n: int) -> None:
    for i in range(n):
        count(i)


def send_start() -> None:
    start(time.time())
