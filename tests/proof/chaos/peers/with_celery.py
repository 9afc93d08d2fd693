"""Celery on Redis, with its early acknowledgement or as its documentation advises for safety."""

from __future__ import annotations

import json
import os
import sys

import redis
from celery import Celery

from tests.proof.chaos.peers import body

app = Celery("peers", broker=body.REDIS)
app.conf.task_ignore_result = True
app.conf.broker_connection_retry_on_startup = True
app.conf.broker_transport_options = {
    "visibility_timeout": body.LEASE,
    "unacked_restore_interval": body.LEASE / 2,
    "unacked_restore_throttle": 1,
}
if os.environ.get("CHAOS_ACKS_LATE"):
    app.conf.task_acks_late = True
    app.conf.task_reject_on_worker_lost = True
    app.conf.worker_prefetch_multiplier = 1


@app.task
def work(key: str, seconds: float) -> None:
    body.work(key, seconds)


def prepare() -> None:
    """Nothing to make."""


def commands() -> list[list[str]]:
    return [[sys.executable, "-m", "celery", "-A", f"{__name__}:app", "worker", "-c", "4",
             "-l", "WARNING"]]  # fmt: skip


def enqueue(key: str, seconds: float) -> None:
    work.apply_async((key, seconds), task_id=key)


def unfinished() -> set[str]:
    """What is queued, and what was handed out and not acknowledged."""
    with redis.Redis.from_url(body.REDIS) as client:
        queued = [json.loads(text) for text in client.lrange("celery", 0, -1)]
        unacked = [json.loads(text)[0] for text in client.hvals("unacked")]
    return {message["headers"]["id"] for message in queued + unacked}
