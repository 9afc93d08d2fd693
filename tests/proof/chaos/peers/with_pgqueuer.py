"""PgQueuer on PostgreSQL: four processes that take a job at a time, two at once."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections.abc import AsyncIterator
from datetime import timedelta

import asyncpg
import pgqueuer
from pgqueuer import PgQueuer
from pgqueuer.db import AsyncpgPoolDriver
from pgqueuer.models import Job
from pgqueuer.queries import Queries

from tests.proof.chaos.peers import body

_runner = asyncio.Runner()
_pool: asyncpg.Pool
_queries: Queries


@contextlib.asynccontextmanager
async def worker() -> AsyncIterator[PgQueuer]:
    """The factory that its supervisor runs, and runs again after a failure."""
    async with asyncpg.create_pool(body.DATABASE, min_size=2, max_size=5) as pool:
        pgq = PgQueuer(AsyncpgPoolDriver(pool))

        @pgq.entrypoint("work")
        async def work(job: Job) -> None:
            key, seconds = json.loads(job.payload or b"")
            await asyncio.to_thread(body.work, key, seconds)

        yield pgq


def prepare() -> None:
    """The tables."""
    _runner.run(_prepare())


async def _prepare() -> None:
    global _pool, _queries
    _pool = await asyncpg.create_pool(body.DATABASE, min_size=1, max_size=2)
    _queries = Queries(AsyncpgPoolDriver(_pool))
    await _queries.install()


def commands() -> list[list[str]]:
    return [[sys.executable, "-m", __name__]] * 4


def enqueue(key: str, seconds: float) -> None:
    _runner.run(_queries.enqueue("work", json.dumps([key, seconds]).encode()))


def unfinished() -> set[str]:
    """What its table holds: queued, picked, or failed and held."""
    rows = _runner.run(_pool.fetch("SELECT payload FROM pgqueuer"))
    return {json.loads(row["payload"])[0] for row in rows}


if __name__ == "__main__":
    asyncio.run(
        pgqueuer.run(
            worker,
            heartbeat_timeout=timedelta(seconds=body.LEASE),
            dequeue_timeout=timedelta(seconds=body.LEASE / 2),
            batch_size=1,
            max_concurrent_tasks=2,
            shutdown_on_listener_failure=True,
            restart_on_failure=True,
            restart_delay=timedelta(seconds=1),
        )
    )
