"""PgQueuer on PostgreSQL: two asyncio processes that take a hundred jobs at a time."""

from __future__ import annotations

import asyncio
import sys
import time

import asyncpg
from pgqueuer import PgQueuer
from pgqueuer.db import AsyncpgDriver
from pgqueuer.models import Job
from pgqueuer.queries import Queries

from benchmarks.peers import shared


async def _connect() -> Queries:
    return Queries(AsyncpgDriver(await asyncpg.connect(shared.DATABASE)))


async def worker() -> PgQueuer:
    pgq = PgQueuer(AsyncpgDriver(await asyncpg.connect(shared.DATABASE)))

    @pgq.entrypoint("count")
    async def count(job: Job) -> None:
        await shared.acount()

    @pgq.entrypoint("start")
    async def start(job: Job) -> None:
        await shared.astart(float(job.payload or b""))

    return pgq


def prepare() -> None:
    global _queries
    _queries = shared.run(_connect())
    shared.run(_queries.install())


def workers() -> list[list[str]]:
    return [[sys.executable, "-m", __name__]] * 2


def enqueue(n: int) -> None:
    async def send() -> None:
        for i in range(n):
            await _queries.enqueue("count", b"%d" % i)

    shared.run(send())


def send_start() -> None:
    shared.run(_queries.enqueue("start", str(time.time()).encode()))


async def _work() -> None:
    pgq = await worker()
    await pgq.run(batch_size=100)


_queries: Queries

if __name__ == "__main__":
    asyncio.run(_work())
