"""What every peer's task does: one increment in Redis, or the note of how late it started."""

from __future__ import annotations

import asyncio
import os
import time

import redis
import redis.asyncio

__all__ = ["DATABASE", "REDIS", "acount", "astart", "count", "run", "start"]

REDIS = os.environ["BENCH_REDIS_URL"]
DATABASE = os.environ["BENCH_DATABASE_URL"]

_client: redis.Redis | None = None
_asynchronous: redis.asyncio.Redis | None = None
_runner = asyncio.Runner()
run = _runner.run  # one event loop for all calls of a client


def count() -> None:
    """The price of a body: the same for each."""
    _sync().incr("bench:done")


def start(sent: float) -> None:
    """Seconds from just before the call to this line, for the client that waits for them."""
    late = time.time() - sent
    _sync().lpush("bench:starts", late)


async def acount() -> None:
    """The same for a peer whose tasks are coroutines."""
    await _async().incr("bench:done")


async def astart(sent: float) -> None:
    """The same for a peer whose tasks are coroutines."""
    late = time.time() - sent
    await _async().lpush("bench:starts", late)


def _sync() -> redis.Redis:
    global _client
    if _client is None:  # after the fork
        _client = redis.Redis.from_url(REDIS)
    return _client


def _async() -> redis.asyncio.Redis:
    global _asynchronous
    if _asynchronous is None:
        _asynchronous = redis.asyncio.Redis.from_url(REDIS)
    return _asynchronous
