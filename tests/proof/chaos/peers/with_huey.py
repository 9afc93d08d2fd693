"""Huey on Redis: a consumer with four worker processes."""

from __future__ import annotations

import sys
from pathlib import Path

from huey import RedisHuey

from tests.proof.chaos.peers import body

huey = RedisHuey("chaos", url=body.REDIS)


@huey.task(retries=3)
def work(key: str, seconds: float) -> None:
    body.work(key, seconds)


def prepare() -> None:
    """Nothing to make."""


def commands() -> list[list[str]]:
    consumer = str(Path(sys.executable).with_name("huey_consumer"))
    return [[consumer, f"{__name__}.huey", "-w", "4", "-k", "process", "-c", "1", "-q"]]


def enqueue(key: str, seconds: float) -> None:
    work(key, seconds)


def unfinished() -> set[str]:
    """Queued, or put off for a retry."""
    return {task.args[0] for task in huey.pending() + huey.scheduled()}
