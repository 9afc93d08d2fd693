"""The app that the benchmarks run: its database and doorbell come from the environment."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

from hammerflow import Hammerflow, Signature

app = Hammerflow("bench")
if _lags := os.environ.get("BENCH_LAG_FILE"):
    app.sink("lag", "benchmarks.lag_sink:LagSink", path=_lags)


@app.task
def noop(x: int) -> None:
    """Nothing at all: what is left is the price of a job."""


@app.task
def plain(seconds: float = 0.0) -> None:
    """Work for that long, beside jobs of :func:`limited`."""
    _work(seconds)


@app.task
def limited(seconds: float = 0.0) -> None:
    """Work for that long, under a limit that the figure sets."""
    _work(seconds)


def _work(seconds: float) -> None:
    """Use the processor, as most bodies do; sleeping jobs would hide what claims cost."""
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


@app.task
def count(x: int) -> None:
    """One increment in Redis, so that each framework proves its work at the same price."""
    _redis().incr("bench:done")


@app.task
def stamp(sent: float) -> float:
    """Seconds from just before delay() to the first line of the body."""
    return time.time() - sent


@app.task
def sleep(seconds: float) -> None:
    """A long job."""
    time.sleep(seconds)


@app.task
def total(results: list[None]) -> int:
    """A fan-in."""
    return len(results)


@app.spawner(max_spawn_count=2_000_000)
def fan_out(n: int) -> Iterator[Signature]:
    """n children without a fan-in."""
    for i in range(n):
        yield noop.s(i)


@app.spawner(max_spawn_count=2_000_000, then=total.s())
def fan_out_in(n: int) -> Iterator[Signature]:
    """n children and one job that takes all their results."""
    for i in range(n):
        yield noop.s(i)


_client = None


def _redis():  # type: ignore[no-untyped-def]
    global _client
    if _client is None:
        import redis

        _client = redis.Redis.from_url(os.environ["HAMMERFLOW_REDIS_URL"])
    return _client
