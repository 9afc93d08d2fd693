"""Routes of workers: list, show, stop and resize them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from http import HTTPStatus
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from hammerflow.admin.asking import ask_worker
from hammerflow.admin.ids import find_worker
from hammerflow.admin.workers import worker_json
from hammerflow.errors import HammerflowError
from hammerflow.tasks.builtin import BUILTIN
from hammerflow.web.access import Role
from hammerflow.web.problems import RequestRefused
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
    workers = call.recent.get("workers", 1.0, call.backend.store.workers.list)
    return WorkerList([converted(worker_json(worker), WorkerRow) for worker in workers])


class WorkerShown(WorkerRow):
    """A worker and the tasks that it has registered."""

    tasks: list[str] = []


def show_worker(call: ApiCall[Nothing, None]) -> WorkerShown:
    """Show a worker, named by its number, a prefix of it, or HOST:PID."""
    found = _found(call)
    names = call.backend.store.workers.tasks(found["id"])
    tasks = [name for name in names if not name.startswith(BUILTIN)]
    return converted({**worker_json(found), "tasks": tasks}, WorkerShown)


def _found(call: ApiCall[Any, Any]) -> dict[str, Any]:
    try:
        return find_worker(call.backend.store, call.path["worker"])
    except HammerflowError as error:
        raise RequestRefused(HTTPStatus.NOT_FOUND, str(error)) from None


class WorkerStopped(msgspec.Struct):
    """A worker that was told to stop; holds: how many jobs it has."""

    id: int
    host: str
    pid: int
    holds: int


def stop_worker(call: ApiCall[Nothing, None]) -> WorkerStopped:
    """Drain and stop a worker; running bodies get its grace period."""
    workers, found = call.backend.store.workers, _found(call)
    holds = workers.running(found["id"])
    workers.ask(found["id"], "stop", by=call.who.name)
    call.backend.notifier.ring_control()
    return WorkerStopped(found["id"], found["host"], found["pid"], holds)


class ResizeBody(msgspec.Struct, forbid_unknown_fields=True):
    """How many children of each kind: a number, or a range such as 2:16."""

    children: Annotated[str, Meta(pattern="^[0-9]{1,4}(:[0-9]{1,4})?$")]
    timeout: Annotated[float, Meta(gt=0, le=30)] = 10.0


class Resized(msgspec.Struct):
    """What the worker has now; ending: children that end once their jobs have."""

    children: int
    before: int
    asked: int
    ending: int
    least: int
    most: int


def resize_worker(call: ApiCall[Nothing, ResizeBody]) -> Resized:
    """Change how many children a worker has, until it ends."""
    body, found = call.body, _found(call)
    told = ask_worker(
        call.backend, found["id"], "pool", body.timeout, by=call.who.name,
        detail=json.dumps({"set": body.children}),
    )  # fmt: skip
    return converted(told, Resized)


_ONE = "/api/workers/{worker}"
ROUTES: Sequence[Route] = (
    Route("GET", "/api/workers", list_workers, WorkerList),
    Route("GET", _ONE, show_worker, WorkerShown),
    Route("POST", f"{_ONE}/stop", stop_worker, WorkerStopped, Role.OPERATE),
    Route("POST", f"{_ONE}/resize", resize_worker, Resized, Role.OPERATE, body=ResizeBody),
)
