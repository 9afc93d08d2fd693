"""RQ: four workers that fork for each job."""

from __future__ import annotations

import sys
from pathlib import Path

import redis
from rq import Queue, Retry

from tests.proof.chaos.peers import body

_client = redis.Redis.from_url(body.REDIS)
queue = Queue("chaos", connection=_client)


def prepare() -> None:
    """Nothing to make."""


def commands() -> list[list[str]]:
    rq = str(Path(sys.executable).with_name("rq"))
    often = str(max(1, round(body.LEASE / 2)))
    options = ["--worker-ttl", "20", "--maintenance-interval", often]
    options += ["--job-monitoring-interval", often, "--quiet", "--url", body.REDIS]
    return [[rq, "worker", *options, "chaos"]] * 4


def enqueue(key: str, seconds: float) -> None:
    queue.enqueue(body.work, key, seconds, job_id=key, retry=Retry(max=3))


def unfinished() -> set[str]:
    """Queued, handed out or started; a failed one is not unfinished."""
    started = queue.started_job_registry.get_job_ids(cleanup=False)
    scheduled = queue.scheduled_job_registry.get_job_ids(cleanup=False)
    handed = queue.intermediate_queue.get_job_ids()
    return {*queue.job_ids, *started, *scheduled, *handed}
