"""taskiq on Redis streams: two worker processes, tasks as coroutines."""

from __future__ import annotations

import sys
import time

from taskiq_redis import RedisStreamBroker

from benchmarks.peers import shared

broker = RedisStreamBroker(shared.REDIS)


@broker.task
async def count(x: int) -> None:
    await shared.acount()


@broker.task
async def start(sent: float) -> None:
    await shared.astart(sent)


def prepare() -> None:
    shared.run(broker.startup())


def workers() -> list[list[str]]:
    return [[sys.executable, "-m", "taskiq", "worker", f"{__name__}:broker", "--workers", "2",
             "--log-level", "WARNING"]]  # fmt: skip


def enqueue(n: int) -> None:
    async def send() -> None:
        for i in range(n):
            await count.kiq(i)

    shared.run(send())


def send_start() -> None:
    shared.run(start.kiq(time.time()))
