"""Dramatiq on Redis: a master and four processes of one thread."""

from __future__ import annotations

import json
import sys

import dramatiq
import redis
from dramatiq.brokers.redis import RedisBroker

from tests.proof.chaos.peers import body

dramatiq.set_broker(
    RedisBroker(
        url=body.REDIS,
        heartbeat_timeout=int(body.LEASE * 1000),
        maintenance_chance=100_000,
    )
)


@dramatiq.actor
def work(key: str, seconds: float) -> None:
    body.work(key, seconds)


def prepare() -> None:
    """Nothing to make."""


def commands() -> list[list[str]]:
    return [[sys.executable, "-m", "dramatiq", __name__, "-p", "4", "-t", "1"]]


def enqueue(key: str, seconds: float) -> None:
    work.send(key, seconds)


def unfinished() -> set[str]:
    """Messages that are kept, queued or handed out, but for the dead letters."""
    with redis.Redis.from_url(body.REDIS) as client:
        queues = ("dramatiq:default.msgs", "dramatiq:default.DQ.msgs")
        return {json.loads(text)["args"][0] for name in queues for text in client.hvals(name)}
