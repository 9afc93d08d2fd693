"""The demo's app: a spawner that makes a job of each batch of files, and a fan-in that adds up.

Its settings come from the environment, which :mod:`hammerflow.cli.demo.environment` prepares.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

from hammerflow.app import Hammerflow
from hammerflow.canvas.signature import Signature
from hammerflow.cli.demo import line_count

__all__ = ["app", "count_files", "count_library", "spawn_empty_jobs", "started_at"]

app = Hammerflow("hammerflow-demo")


@app.task(name="count_files")
def count_files(root: str, paths: list[str]) -> line_count.LineCount:
    """Count one batch of files."""
    return line_count.count(Path(root), paths)


@app.task(name="merge")
def merge(parts: list[line_count.LineCount]) -> line_count.LineCount:
    """The fan-in: add all batches up."""
    return line_count.merge(parts)


@app.spawner(name="count_library", then=merge.s(), max_spawn_count=100_000)
def count_library(root: str, size: int) -> Iterator[Signature]:
    """Spawn one child for each batch of ``size`` files."""
    for paths in line_count.batches(line_count.source_files(Path(root)), size):
        yield count_files.s(root, paths)


@app.task(name="empty", store_result=False)
def empty() -> None:
    """An empty job: it costs only what every job costs."""


@app.task(name="after_empty_jobs")
def after_empty_jobs() -> None:
    """The fan-in: runs when all empty jobs have ended."""


@app.spawner(name="spawn_empty_jobs", then=after_empty_jobs.si(), max_spawn_count=100_000)
def spawn_empty_jobs(count: int) -> Iterator[Signature]:
    """Spawn many empty jobs."""
    for _ in range(count):
        yield empty.s()


@app.task(name="started_at")
def started_at() -> float:
    """When the body began, by the monotonic clock that all processes of a host share."""
    return time.monotonic()
