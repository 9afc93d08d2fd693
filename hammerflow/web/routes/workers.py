"""Routes of workers: list them with their children."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec

from hammerflow.admin.workers import worker_json
from hammerflow.web.routes.types import converted
from hammerflow.web.routing import ApiCall, Nothing, Route

__all__ = ["ROUTES"]


class WorkerRow(msgspec.Struct):
    """A worker as of its last heartbeat.

    Attributes:
        silent_for: seconds since then.
        queues: those that it serves; null for all.
        waiting: jobs that it has claimed and not handed to a child.
        children: with the jobs that each runs.
    """

    id: int
    host: str
    pid: int
    started_at: datetime | None
    beat_at: datetime | None
    silent_for: float
    app: str | None
    version: str | None
    queues: list[str] | None
    task_count: int | None
    draining: bool | None
    waiting: int | None
    size: Any
    least: int | None
    most: int | None
    children: list[dict[str, Any]]


class WorkerList(msgspec.Struct):
    """All registered workers."""

    items: list[WorkerRow]


def list_workers(call: ApiCall[Nothing, None]) -> WorkerList:
    """List the workers and their children."""
    workers = call.backend.store.workers.list()
    return WorkerList([converted(worker_json(worker), WorkerRow) for worker in workers])


ROUTES: Sequence[Route] = (Route("GET", "/api/workers", list_workers, WorkerList),)
