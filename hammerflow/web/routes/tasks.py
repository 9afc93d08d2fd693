"""Routes of tasks: list, show, statistics, pause and resume."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec

from hammerflow.admin.calls import known_task
from hammerflow.admin.statistics import summary_json
from hammerflow.errors import HammerflowError, UnknownTask
from hammerflow.results.pauses import pause, resume
from hammerflow.results.statistics import task_totals
from hammerflow.stores.pauses import PauseKind
from hammerflow.web.access import Role
from hammerflow.web.backend import app_of
from hammerflow.web.routes.queues import PauseBody, Paused
from hammerflow.web.routes.types import Hours, Name, converted
from hammerflow.web.routing import ApiCall, Nothing, Route

__all__ = ["ROUTES"]


class TaskRow(msgspec.Struct):
    """A task: how many workers have registered it, and who has paused it."""

    name: str
    workers: int
    paused_at: datetime | None
    paused_by: str | None
    reason: str | None


class TaskList(msgspec.Struct):
    """All tasks in the order of their names."""

    items: list[TaskRow]


class StatsQuery(msgspec.Struct, forbid_unknown_fields=True):
    """Of which time."""

    hours: Hours = 24.0
    queue: Name | None = None


class TaskStats(msgspec.Struct):
    """How many jobs of a task were enqueued and ended, and how long they waited and ran.

    Times are in seconds; percentiles are right to within 9.1 %.
    """

    task: str
    enqueued: int
    completed: int
    failed: int
    cancelled: int
    skipped: int
    wait_p50: float | None
    wait_p95: float | None
    wait_p99: float | None
    run_p50: float | None
    run_p95: float | None
    run_p99: float | None
    wait_mean: float | None
    run_mean: float | None


class TaskStatsList(msgspec.Struct):
    """The statistics of each task."""

    items: list[TaskStats]


def list_tasks(call: ApiCall[Nothing, None]) -> TaskList:
    """List the tasks that the database knows."""
    return TaskList([converted(task, TaskRow) for task in call.backend.store.tasks.list()])


class ParameterShown(msgspec.Struct):
    """A parameter: kind is any, position, name, positions or names, by how it is given.

    Attributes:
        annotation: its type as the code has it.
    """

    name: str
    kind: str
    is_required: bool
    annotation: str


class TaskShown(msgspec.Struct, kw_only=True):
    """A task, and how it is called.

    Attributes:
        is_served: whether a live worker serves it.
        queue: where its jobs go; null where neither a live worker nor the app tells it.
        parameters: of its function; null if its calls are not checked, or nobody tells them.
    """

    name: str
    is_served: bool
    queue: str | None
    priority: int | None
    parameters: list[ParameterShown] | None


def show_task(call: ApiCall[Nothing, None]) -> TaskShown:
    """Show how a task is called: its parameters, its queue and its priority."""
    backend, name = call.backend, call.path["task"]
    try:
        task = known_task(backend.store, app_of(backend), name, lease=backend.lease)
    except UnknownTask:
        raise
    except HammerflowError:  # only ended workers have known it
        return TaskShown(name=name, is_served=False, queue=None, priority=None, parameters=None)
    shape = task.shape
    fields = {} if shape is None else shape._asdict()
    known = None if shape is None else shape.parameters
    shown = None if known is None else [converted(one, ParameterShown) for one in known]
    return TaskShown(
        name=name, is_served=task.is_served, queue=fields.get("queue"),
        priority=fields.get("priority"), parameters=shown,
    )  # fmt: skip


def list_task_stats(call: ApiCall[StatsQuery, None]) -> TaskStatsList:
    """Show how many jobs of each task were enqueued and ended, and their times."""
    query = call.query
    found = task_totals(call.backend.store, query.hours * 3600, queue=query.queue)
    return TaskStatsList([converted(summary_json("task", one), TaskStats) for one in found])


def pause_task(call: ApiCall[Nothing, PauseBody]) -> Paused:
    """Stop workers from starting jobs of a task in any queue; running jobs go on."""
    name = _known(call)
    pause(call.backend, PauseKind.TASK, name, by=call.who.name, reason=call.body.reason)
    return Paused(name, is_paused=True)


def resume_task(call: ApiCall[Nothing, None]) -> Paused:
    """Let workers start the jobs of a task again."""
    name = _known(call)
    resume(call.backend, PauseKind.TASK, name)
    return Paused(name, is_paused=False)


def _known(call: ApiCall[Any, Any]) -> str:
    name = call.path["task"]
    if name not in call.backend.store.tasks.names():
        raise UnknownTask(f"there is no task {name!r}: see GET /api/tasks")
    return name


_ONE = "/api/tasks/{task}"
ROUTES: Sequence[Route] = (
    Route("GET", "/api/tasks", list_tasks, TaskList),
    Route("GET", "/api/task-stats", list_task_stats, TaskStatsList, query=StatsQuery),
    Route("GET", _ONE, show_task, TaskShown),
    Route("POST", f"{_ONE}/pause", pause_task, Paused, Role.OPERATE, body=PauseBody),
    Route("POST", f"{_ONE}/resume", resume_task, Paused, Role.OPERATE),
)
