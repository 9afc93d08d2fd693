"""SAQ on Redis: two processes of ten coroutines, its default number."""

from __future__ import annotations

import sys
import time
from typing import Any

from saq import Queue

from benchmarks.peers import shared

queue = Queue.from_url(shared.REDIS)


async def count(context: Any, *, x: int) -> None:
    await shared.acount()


async def start(context: Any, *, sent: float) -> None:
    await shared.astart(sent)


settings = {"queue": queue, "functions": [count, start]}


def workers() -> list[list[str]]:
    return [[sys.executable, "-m", "saq", f"{__name__}.settings", "--quiet"]] * 2


def enqueue(n: int) -> None:
    async def send() -> None:
        for i in range(n):
            await queue.enqueue("count", x=i)

    shared.run(send())


def send_start() -> None:
    shared.run(queue.enqueue("start", sent=time.time()))
