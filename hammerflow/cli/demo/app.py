"""The demo's app: a spawner that makes a job of each batch of files, and a fan-in that adds up.

Its settings come from the environment, which :mod:`hammerflow.cli.demo.environment` prepares.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from pathlib import Path

from hammerflow.app import Hammerflow
from hammerflow.canvas.signature import Signature
from hammerflow.cli.demo import line_count
from hammerflow.workflows.workflow import Workflow

__all__ = [
    "app", "count_files", "count_library", "count_workflow", "spawn_empty_jobs", "started_at",
]  # fmt: skip

app = Hammerflow("hammerflow-demo")
_NODES = 8  # batches of one workflow


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


@app.task(name="list_files")
def list_files(root: str) -> list[str]:
    """The first node of the workflow."""
    return line_count.source_files(Path(root))


def count_workflow(root: Path, size: int) -> Workflow:
    """Some batches of files, each a node of a workflow, and their sum."""
    flow = app.workflow("count-library")
    flow.add(list_files.s(str(root)), name="list files")
    batches = [*itertools.islice(line_count.batches(line_count.source_files(root), size), _NODES)]
    names = [f"batch {number}" for number in range(1, 1 + len(batches))]
    for name, paths in zip(names, batches, strict=True):
        flow.add(count_files.si(str(root), paths), name=name, after="list files")
    return flow.add(started_at.si(), name="report", after=names)


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
