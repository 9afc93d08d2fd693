"""Routes of jobs: list, show, enqueue, retry and cancel."""

from __future__ import annotations

import inspect
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from http import HTTPStatus
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from hammerflow.admin.calls import call_task, known_task, read_arguments
from hammerflow.admin.ids import find_job, get_job
from hammerflow.admin.job_filter import chosen_jobs, filter_page
from hammerflow.admin.jobs import details_of, job_json, job_lines, line_json
from hammerflow.admin.redaction import Redaction
from hammerflow.admin.shown_texts import ShownTexts
from hammerflow.jobs.job import JobState
from hammerflow.results.result import Result
from hammerflow.web.access import Role
from hammerflow.web.backend import Backend, app_of
from hammerflow.web.problems import RequestRefused
from hammerflow.web.routes.types import (
    Cursor,
    Limit,
    Name,
    NewName,
    Reason,
    State,
    Text1000,
    When,
    converted,
    given,
    instant_of,
)
from hammerflow.web.routing import ApiCall, ListPage, Nothing, Route, refuse_unseen

__all__ = [
    "ROUTES", "JobRow", "fields_shown", "obstacle_shown", "redacted_values", "row_shown",
    "with_errors",
]  # fmt: skip

_HIDDEN = ("args", "kwargs", "result", "call")


class JobsQuery(msgspec.Struct, forbid_unknown_fields=True):
    """Which jobs."""

    state: State | None = None
    queue: Name | None = None
    task: Name | None = None
    dependency_status: Literal["none", "waiting", "satisfied", "failed"] | None = None
    error: Annotated[
        Text1000, Meta(description="Its last error is of this type, or says this.")
    ] | None = None  # fmt: skip
    argument: Annotated[Text1000, Meta(description="Its call has this in it.")] | None = None
    since: When | None = None
    until: When | None = None
    before: Cursor | None = None
    limit: Limit = 50


class WorkerRef(msgspec.Struct):
    """The worker that runs a job or ran it last; without a host once it has ended."""

    id: int
    host: str | None
    pid: int | None


class ErrorNote(msgspec.Struct):
    """What went wrong last."""

    type: str
    message: str


class JobFields(msgspec.Struct, kw_only=True):
    """A job."""

    id: uuid.UUID
    task: str
    queue: str
    priority: int
    state: State
    dependency_status: str
    attempt: int
    created_at: datetime
    run_at: datetime | None
    started_at: datetime | None
    finished_at: datetime | None
    seconds: Annotated[float, Meta(description="How long its last attempt ran.")] | None
    parent_id: uuid.UUID | None
    root_id: uuid.UUID | None
    depth: int
    spawn_index: int | None
    unique_key: str | None
    reason: str | None
    progress: float | None
    progress_note: str | None
    headers: dict[str, Any]
    options: dict[str, Any]
    workflow_id: uuid.UUID | None
    worker_id: int | None


class JobRow(JobFields, kw_only=True):
    """A job of a list."""

    worker: WorkerRef | None
    error: ErrorNote | None


class Attempt(msgspec.Struct):
    """An entry of a job's error history.

    Attributes:
        started_at: when the attempt was claimed; null for what was not an attempt.
        seconds: how long the attempt ran.
        worker_id: the worker that held its lease.
    """

    attempt: int
    at: datetime
    kind: str
    type: str
    message: str
    traceback: str
    started_at: datetime | None = None
    seconds: float | None = None
    worker_id: int | None = None


class LogOfAttempt(msgspec.Struct):
    """How many lines an attempt has kept of what it logged, and how many were dropped.

    Attributes:
        lease: tells attempts of one number apart.
    """

    attempt: int
    lease: int
    lines: int
    dropped: int


class Obstacle(msgspec.Struct):
    """Why a job does not run, and what to do."""

    code: str
    says: str
    advice: str
    facts: dict[str, Any]


class JobShown(JobFields, kw_only=True):
    """Everything about one job; arguments and result only for those who may see them."""

    worker: WorkerRef | None
    call: Annotated[str, Meta(description="Its arguments as Python writes them.")] | None = None
    args: Any = None
    kwargs: Any = None
    result: Any = None
    result_text: str | None = None
    values_hidden: bool = False
    unique_holder: uuid.UUID | None = None
    limit_key: str | None = None
    fair_key: str | None = None
    spawn: dict[str, Any] | None = None
    obstacles: list[Obstacle] = []
    errors: list[Attempt] = []
    logs: list[LogOfAttempt] = []


def list_jobs(call: ApiCall[JobsQuery, None]) -> ListPage[JobRow]:
    """List jobs, newest first.

    A search by what the database has no index for (error, argument, times) reads 10 000 jobs at
    most and says so by is_tired; give next as before to read on.
    """
    query, backend = call.query, call.backend
    if query.argument is not None:
        refuse_unseen(call, "not search them either")
    wanted, chosen = chosen_jobs(
        {
            "state": query.state, "queue": query.queue, "task": query.task, "error": query.error,
            "dependency": query.dependency_status, "argument": query.argument,
            "since": instant_of(query.since, "since"), "until": instant_of(query.until, "until"),
        }
    )  # fmt: skip
    if query.error is not None:
        wanted = replace(wanted, says=call.texts.message)
    mark = wanted.newest if query.before is None else query.before.bytes
    page = filter_page(backend.store, backend.codec, wanted, chosen, query.limit, mark)
    lines = job_lines(backend.store, page.rows, _max_attempts(call))
    rows = [row_shown(line_json(line), call.texts) for line in lines]
    after = None if page.next is None else str(uuid.UUID(bytes=page.next))
    return ListPage(rows, after, page.is_tired)


def row_shown(fields: dict[str, Any], texts: ShownTexts) -> JobRow:
    """A job of a list for clients."""
    if fields["error"]:
        message = texts.message(fields["error"]["message"])
        fields = {**fields, "error": {**fields["error"], "message": message}}
    return converted(fields_shown(fields, texts), JobRow)


def fields_shown(fields: Mapping[str, Any], texts: ShownTexts) -> dict[str, Any]:
    """The fields of a job with what is shown of its headers, options and remarks."""
    told = {name: fields.get(name) for name in ("reason", "progress_note")}
    named = {name: texts.fields(fields[name]) for name in ("headers", "options")
             if fields.get(name)}  # fmt: skip
    return {**fields, **named, **{name: texts.remark(text) for name, text in told.items() if text}}


def _max_attempts(call: ApiCall[Any, Any]) -> Any:
    app = app_of(call.backend)

    def of(task: str) -> int | None:
        found = None if app is None else app.tasks.get(task)
        return None if found is None else found.defaults.max_attempts

    return of


def show_job(call: ApiCall[Nothing, None]) -> JobShown:
    """Show everything about one job, and why it does not run."""
    backend = call.backend
    job = get_job(backend.store, call.path["job_id"])
    details = details_of(backend.store, backend.codec, job, lease=backend.lease)
    fields = {"errors": (), **details.as_json()}
    fields |= {"call": details.values.call, "result_text": details.values.result}
    fields = with_errors(redacted_values(backend, job.task, fields), call.texts)
    if not call.who.sees_values:
        fields = {name: value for name, value in fields.items() if name not in _HIDDEN}
        fields |= {"result_text": None, "values_hidden": True}
    return converted(fields, JobShown)


def with_errors(fields: dict[str, Any], texts: ShownTexts) -> dict[str, Any]:
    """The fields of a job with what is shown of its errors, and of why it does not run."""
    errors = [_error_shown(dict(one), texts) for one in fields.get("errors") or ()]
    found = {**fields_shown(fields, texts), "errors": errors}
    if "obstacles" in found:
        found["obstacles"] = [obstacle_shown(one, texts) for one in found["obstacles"]]
    return found


def _error_shown(error: dict[str, Any], texts: ShownTexts) -> dict[str, Any]:
    shown = {"message": texts.message, "traceback": texts.traceback, "trace": texts.traceback}
    return {name: shown[name](one) if name in shown and one else one
            for name, one in error.items()}  # fmt: skip


def obstacle_shown(one: Mapping[str, Any], texts: ShownTexts) -> dict[str, Any]:
    """Why a job does not run; of one that has failed its error is the reason."""
    error = one["facts"].get("error")
    if not error:
        return dict(one)
    shown = texts.note(error)
    says = str(one["says"]).replace(" ".join(error.split()), " ".join(shown.split()))
    return {**one, "says": says, "facts": {**one["facts"], "error": shown}}


def redacted_values(backend: Backend, task: str, fields: dict[str, Any]) -> dict[str, Any]:
    """The fields of a job without what the setting ``redact`` hides, from everybody."""
    app, redaction = app_of(backend), Redaction(backend.settings.redact)
    known = None if app is None else app.tasks.get(task)
    parameters = [] if known is None else [*inspect.signature(known.fn).parameters]
    return redaction.call(fields, parameters)


class ChildrenQuery(msgspec.Struct, forbid_unknown_fields=True):
    """Which children."""

    after: Annotated[int, Meta(ge=-1, description="Begin behind this spawn_index.")] = -1
    limit: Limit = 50


class Children(msgspec.Struct):
    """What a job has spawned.

    Attributes:
        after: give it to read on; null after the last page.
        counts: all children by state.
    """

    items: list[JobFields]
    after: int | None
    counts: dict[str, int]


def list_children(call: ApiCall[ChildrenQuery, None]) -> Children:
    """List what a job has spawned, in the order of the spawns."""
    store, query = call.backend.store, call.query
    key = find_job(store, call.path["job_id"])
    jobs = store.jobs.children(key, after=query.after, limit=query.limit + 1)
    counts: dict[str, int] = {}
    for state, _, count in store.jobs.children_states(key):
        counts[state] = counts.get(state, 0) + count
    page = jobs[: query.limit]
    last = page[-1].spawn_index if len(jobs) > len(page) else None
    items = [converted(fields_shown(job_json(job), call.texts), JobFields) for job in page]
    return Children(items, last, counts)


class NewCall(msgspec.Struct, forbid_unknown_fields=True):
    """A call of a task.

    Attributes:
        args: the positional arguments, with the codec's tags for other types.
        kwargs: the keyword arguments, likewise.
        delay: seconds before which it does not start.
        job_id: the job's id; a second job with the same id is not written.
        unique_key: write it only if no unfinished job has this key.
        require_worker: refuse it unless a live worker serves the task.
    """

    task: Name
    args: Annotated[msgspec.Raw, Meta(extra_json_schema={"type": "array"})] = msgspec.field(
        default_factory=lambda: msgspec.Raw(b"[]")
    )
    kwargs: Annotated[msgspec.Raw, Meta(extra_json_schema={"type": "object"})] = msgspec.field(
        default_factory=lambda: msgspec.Raw(b"{}")
    )
    queue: NewName | None = None
    priority: Annotated[int, Meta(ge=0, le=4)] | None = None
    delay: Annotated[float, Meta(ge=0, le=10**9)] | None = None
    job_id: uuid.UUID | None = None
    unique_key: NewName | None = None
    require_worker: bool = False


class Enqueued(msgspec.Struct):
    """The job of a call.

    Attributes:
        id: its id, or that of the job which was there already.
        is_new: whether this request has written it.
        warning: why it may wait for long: no live worker serves its task.
    """

    id: uuid.UUID
    is_new: bool
    warning: str | None = None


def enqueue_job(call: ApiCall[Nothing, NewCall]) -> Enqueued:
    """Enqueue one call of a task; its arguments are checked first.

    They are checked against what the worker that came last has registered of the task, and against
    the code of the app, where this server has one.
    """
    backend, body = call.backend, call.body
    task = known_task(backend.store, app_of(backend), body.task, lease=backend.lease)
    waits = f"no live worker serves {task.name}: the job waits until one does"
    if body.require_worker and not task.is_served:
        raise RequestRefused(HTTPStatus.CONFLICT, f"no live worker serves {task.name}: start one")
    options = given(body, "queue", "priority", "delay", "job_id", "unique_key")
    args = read_arguments(backend.codec, bytes(body.args).decode(), list, "args")
    kwargs = read_arguments(backend.codec, bytes(body.kwargs).decode(), dict, "kwargs")
    result = call_task(backend, task, args, kwargs, options)
    return Enqueued(result.id, result.is_new, None if task.is_served else waits)


class CancelBody(msgspec.Struct, forbid_unknown_fields=True):
    """How to cancel."""

    reason: Reason = "cancelled"
    tree: Annotated[bool, Meta(description="Also all that it has spawned or is spawning.")] = False


class Changed(msgspec.Struct):
    """The state of a job after an action.

    Attributes:
        state: running, where its worker was told to stop it.
    """

    id: uuid.UUID
    state: State


def cancel_job(call: ApiCall[Nothing, CancelBody]) -> Changed:
    """Cancel a job; one that runs is told to stop."""
    result = _result(call)
    state = result.cancel(call.body.reason or "cancelled", tree=call.body.tree)
    if state.is_final and state is not JobState.CANCELLED:
        detail = f"job {result.id} is {state} already, so there is nothing to cancel"
        raise RequestRefused(HTTPStatus.CONFLICT, detail)
    return Changed(result.id, state.value)


def retry_job(call: ApiCall[Nothing, None]) -> Changed:
    """Run a job again, with all its attempts; it must be failed, cancelled, skipped or parked."""
    result = _result(call)
    result.retry()
    return Changed(result.id, "ready")


def _result(call: ApiCall[Any, Any]) -> Result[Any]:
    return Result(find_job(call.backend.store, call.path["job_id"]), call.backend)


_ONE = "/api/jobs/{job_id}"
ROUTES: Sequence[Route] = (
    Route("GET", "/api/jobs", list_jobs, ListPage[JobRow], query=JobsQuery),
    Route(
        "POST", "/api/jobs", enqueue_job, Enqueued, Role.OPERATE, body=NewCall,
        status=HTTPStatus.CREATED,
    ),
    Route("GET", _ONE, show_job, JobShown),
    Route("GET", f"{_ONE}/children", list_children, Children, query=ChildrenQuery),
    Route("POST", f"{_ONE}/cancel", cancel_job, Changed, Role.OPERATE, body=CancelBody),
    Route("POST", f"{_ONE}/retry", retry_job, Changed, Role.OPERATE),
)  # fmt: skip
