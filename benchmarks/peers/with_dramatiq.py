"""Dramatiq on Redis: two processes of eight threads, its default number."""

from __future__ import annotations

import sys
import time

import dramatiq
from dramatiq.brokers.redis import RedisBroker

from benchmarks.peers import shared

dramatiq.set_broker(RedisBroker(url=shared.REDIS))


@dramatiq.actor
def count(x: int) -> None:
    shared.count()


@dramatiq.actor
def start(sent: float) -> None:
    shared.start(sent)


def workers() -> list[list[str]]:
    return [[sys.executable, "-m", "dramatiq", __name__, "-p", "2"]]


def enqueue(n: int) -> None:
    for i in range(n):
        count.send(i)


def send_start() -> None:
    start.send(time.time())
