"""The demo's app: a spawner that sends out batches of files, and a fan-in that adds them up.

Its settings come from the environment, which the command ``demo`` prepares.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

from hammerflow.app import Hammerflow
from hammerflow.canvas.signature import Signature
from hammerflow.cli.demo import line_count

__all__ = ["app", "count_files", "count_library", "flood", "started_at"]

app = Hammerflow("hammerflow-demo")


@app.task(name="count_files")
def count_files(root: str, paths: list[str]) -> line_count.LineCount:
    """The census of one batch."""
    return line_count.count(Path(root), paths)


@app.task(name="merge")
def merge(parts: list[line_count.LineCount]) -> line_count.LineCount:
    """The fan-in: the sum of all batches."""
    return line_count.merge(parts)


@app.spawner(name="count_library", then=merge.s(), max_spawn_count=100_000)
def count_library(root: str, size: int) -> Iterator[Signature]:
    """One child for each batch of ``size`` files."""
    for paths in line_count.batches(line_count.source_files(Path(root)), size):
        yield count_files.s(root, paths)


@app.task(name="nothing", store_result=False)
def nothing() -> None:
    """An empty job, to see what a job costs by itself."""


@app.task(name="landed")
def landed() -> None:
    """Runs when all the empty ones have ended."""


@app.spawner(name="flood", then=landed.si(), max_spawn_count=100_000)
def flood(count: int) -> Iterator[Signature]:
    """Many empty jobs."""
    for _ in range(count):
        yield nothing.s()


@app.task(name="started_at")
def started_at() -> float:
    """When the body began, by the clock that all processes of a host share."""
    return time.monotonic()
