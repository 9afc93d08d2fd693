"""RQ: two processes of SimpleWorker, which runs a job without a fork of its own."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import redis
from rq import Queue

from benchmarks.peers import shared

queue = Queue("bench", connection=redis.Redis.from_url(shared.REDIS))


def count(x: int) -> None:
    shared.count()


def start(sent: float) -> None:
    shared.start(sent)


def workers() -> list[list[str]]:
    rq = str(Path(sys.executable).with_name("rq"))
    command = [rq, "worker", "--worker-class", "rq.SimpleWorker", "--quiet"]
    return [[*command, "--url", shared.REDIS, "bench"]] * 2


def enqueue(n: int) -> None:
    for i in range(n):
        queue.enqueue(count, i)


def send_start() -> None:
    queue.enqueue(start, time.time())
