"""Routes of one job: why it does not run, its stack, dependencies, and other arguments."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from http import HTTPStatus
from typing import Annotated

import msgspec
from msgspec import Meta

from hammerflow.admin.asking import ask_worker
from hammerflow.admin.calls import read_arguments
from hammerflow.admin.dependencies import dependencies_of
from hammerflow.admin.edits import edit_of_arguments
from hammerflow.admin.ids import find_job, get_job
from hammerflow.admin.jobs import explanation_json
from hammerflow.errors import HammerflowError
from hammerflow.jobs.job import JobState, Priority
from hammerflow.options.checks import NAME_CHECK
from hammerflow.stores.dead_letters import JobChange
from hammerflow.stores.diagnosis.explain import explain
from hammerflow.web.access import Role
from hammerflow.web.problems import RequestRefused
from hammerflow.web.routes.jobs import Obstacle, obstacle_shown
from hammerflow.web.routes.types import (
    JsonList,
    JsonObject,
    Limit,
    NewName,
    app_for,
    checked_value,
    converted,
    given,
    no_json,
)
from hammerflow.web.routing import ApiCall, Nothing, Route

__all__ = ["ROUTES"]


def explain_job(call: ApiCall[Nothing, None]) -> Obstacle:
    """Say why a job does not run.

    It is the first condition that is not met; or where the job runs, or how it has ended.
    """
    backend = call.backend
    job = get_job(backend.store, call.path["job_id"])
    found = explanation_json(explain(backend.store, job, lease=backend.lease))
    return converted(obstacle_shown(found, call.texts), Obstacle)


class StackBody(msgspec.Struct, forbid_unknown_fields=True):
    """How many seconds the worker may take."""

    timeout: Annotated[float, Meta(gt=0, le=30)] = 10.0


class StackShown(msgspec.Struct):
    """Where a running body is: a sentence, and the stack."""

    says: str
    stack: str


def show_stack(call: ApiCall[Nothing, StackBody]) -> StackShown:
    """Show the Python stack of a running body, which keeps running."""
    backend = call.backend
    job = get_job(backend.store, call.path["job_id"])
    if job.state is not JobState.RUNNING or job.worker_id is None:
        raise HammerflowError(f"job {job.id} is {job.state}: only a running job has a stack")
    found = ask_worker(
        backend, job.worker_id, "stack", call.body.timeout, by=call.who.name, job_id=job.id.bytes
    )
    return StackShown(found["says"], found.get("stack") or "")


class DependenciesQuery(msgspec.Struct, forbid_unknown_fields=True):
    """How many are named on each side; all are counted."""

    limit: Limit = 50


class Neighbour(msgspec.Struct):
    """A job or workflow; name is its task."""

    id: uuid.UUID
    name: str
    state: str


class NeighbourSide(msgspec.Struct):
    """The jobs that a job waits for, or those that wait for it: all are counted, some named."""

    count: int
    states: dict[str, int]
    jobs: list[Neighbour]


class DependenciesShown(msgspec.Struct):
    """A job's place in its workflow; pending of total dependencies have not ended."""

    workflow_id: uuid.UUID | None
    node: str | None
    pending: int | None
    total: int | None
    depends_on: NeighbourSide
    dependents: NeighbourSide


def show_dependencies(call: ApiCall[DependenciesQuery, None]) -> DependenciesShown:
    """Show what a job waits for, and what waits for it."""
    store = call.backend.store
    found = dependencies_of(store, find_job(store, call.path["job_id"]), call.query.limit)
    return converted(found.as_json(), DependenciesShown)


class JobEdit(msgspec.Struct, forbid_unknown_fields=True):
    """Other arguments, or another place; what is left out stays."""

    args: JsonList = msgspec.field(default_factory=no_json)
    kwargs: JsonObject = msgspec.field(default_factory=no_json)
    queue: NewName | None = None
    priority: Annotated[int, Meta(ge=0, le=4)] | None = None


class JobEdited(msgspec.Struct):
    """The job that was changed; kept_keys are those that its new arguments have not changed."""

    id: uuid.UUID
    kept_keys: list[str]


def edit_job(call: ApiCall[Nothing, JobEdit]) -> JobEdited:
    """Change the arguments, queue or priority of a job that has not started.

    Arguments are checked as those of a new call are, and may also be changed where the job did not
    complete: POST .../retry then runs it again. Keys that the task makes from its arguments follow
    them. All of it is changed, or nothing.
    """
    body, backend = call.body, call.backend
    sent = given(body, "args", "kwargs")
    is_moved = body.queue is not None or body.priority is not None
    if not (sent or is_moved):
        detail = "give args, kwargs, queue or priority"
        raise RequestRefused(HTTPStatus.UNPROCESSABLE_ENTITY, detail)
    job = get_job(backend.store, call.path["job_id"])
    change = JobChange(call.who.name)
    if sent:
        app = app_for(backend, "check arguments")
        args, kwargs = (
            read_arguments(app.codec, bytes(sent[name]).decode(), kind, name)
            if name in sent else None
            for kind, name in ((list, "args"), (dict, "kwargs"))
        )  # fmt: skip
        change = edit_of_arguments(app, job, args, kwargs, by=call.who.name)
    if is_moved:
        queue = checked_value(NAME_CHECK, body.queue, "queue")
        priority = None if body.priority is None else Priority(body.priority)
        change = change._replace(queue=queue, priority=priority)
    kept, ready = backend.store.dead_letters.edit(job.id.bytes, change)
    backend.notifier.ring(ready)
    return JobEdited(job.id, [*kept])


class DeleteQuery(msgspec.Struct, forbid_unknown_fields=True):
    """What may go with the job."""

    whole: Annotated[
        bool, Meta(description="All of its workflow and spawn tree: a part never goes alone.")
    ] = False


class JobsDeleted(msgspec.Struct):
    """How many jobs are gone."""

    deleted: int


def delete_job(call: ApiCall[DeleteQuery, None]) -> JobsDeleted:
    """Delete a job that has ended, with its result, errors and logs, for good.

    What has not ended, what a job that has not completed depends on, and the last two runs of a
    schedule stay: the answer is 409 and says why. To delete many, start an operation.
    """
    retention = call.backend.store.retention
    job_id = find_job(call.backend.store, call.path["job_id"])
    return JobsDeleted(retention.delete(job_id, is_whole=call.query.whole))


_ONE = "/api/jobs/{job_id}"
ROUTES: Sequence[Route] = (
    Route("GET", f"{_ONE}/explain", explain_job, Obstacle),
    Route("POST", f"{_ONE}/stack", show_stack, StackShown, Role.OPERATE, body=StackBody),
    Route("GET", f"{_ONE}/dependencies", show_dependencies, DependenciesShown,
          query=DependenciesQuery),
    Route("DELETE", _ONE, delete_job, JobsDeleted, Role.ADMIN, query=DeleteQuery),
    Route("PATCH", _ONE, edit_job, JobEdited, Role.OPERATE, body=JobEdit),
)  # fmt: skip
