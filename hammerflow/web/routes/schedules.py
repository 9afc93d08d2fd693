"""Routes of schedules: list, show, create, change, pause, resume, run, delete; when one is due."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from itertools import islice
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from hammerflow.admin.calls import check_task, check_values, read_arguments
from hammerflow.admin.pauses import held_by, held_json
from hammerflow.admin.schedules import (
    edited_job,
    is_like,
    next_runs,
    schedule_changes,
    schedule_json,
    tick_json,
)
from hammerflow.enqueue.files import workflow_from_text
from hammerflow.options.checks import MOMENT
from hammerflow.schedules.cron import Cron
from hammerflow.schedules.description import description
from hammerflow.schedules.options import INTERVAL, SCHEDULE_OPTIONS
from hammerflow.stores.schedules import ScheduleRow
from hammerflow.web.access import Role
from hammerflow.web.problems import RequestRefused
from hammerflow.web.routes.types import (
    Done,
    JsonList,
    JsonObject,
    Limit,
    Name,
    NewName,
    Priority,
    Reason,
    app_for,
    checked_value,
    converted,
    given,
    known,
    no_json,
)
from hammerflow.web.routing import ApiCall, Nothing, Route

__all__ = ["ROUTES"]

_Count = Annotated[int, Meta(ge=0, le=1000)]
_Interval = Annotated[
    str, Meta(min_length=1, max_length=64, description="Seconds, or such as 90s or 1h30m.")
]
_Time = Annotated[
    str, Meta(min_length=1, max_length=64, description="Such as 2026-03-29 01:00, in the zone tz.")
]
_Cron = Annotated[str, Meta(min_length=1, max_length=200, description="A cron expression.")]
_Zone = Annotated[str, Meta(min_length=1, max_length=100, description="Such as Europe/Berlin.")]
#: Fields of a body that are options of a schedule.
_OPTIONS = ("tz", "misfire", "catch_up", "overlap", "jitter", "start", "end", "after")


class SchedulesQuery(msgspec.Struct, forbid_unknown_fields=True):
    """Which schedules."""

    state: Literal["active", "paused", "disabled", "over", "aside"] | None = None
    task: Name | None = None
    queue: Name | None = None
    after: Annotated[str, Meta(max_length=255, description="Only names behind this one.")] = ""
    limit: Limit = 50


class ScheduleShownRow(msgspec.Struct, kw_only=True):
    """A schedule; queue and priority are null where a tick enqueues several jobs.

    Attributes:
        description: when it is due, in words.
        code: the definition in the code of an app; edit: what an operator has changed of it.
        missed: ticks at which no worker was alive.
    """

    name: str
    state: str
    description: str
    app: str | None
    call: str
    queue: str | None = None
    priority: int | None = None
    code: dict[str, Any] | None
    edit: dict[str, Any] | None
    edited_at: datetime | None
    edited_by: str | None
    created_at: datetime | None
    next_at: datetime | None
    paused_at: datetime | None
    paused_by: str | None
    reason: str | None
    disabled_since: datetime | None
    trouble: str | None
    last_tick: datetime | None
    last_outcome: str | None
    last_run: uuid.UUID | None
    missed: int


class ScheduleList(msgspec.Struct):
    """Schedules by name; give next as after to read on."""

    items: list[ScheduleShownRow]
    next: str | None = None


class TickShown(msgspec.Struct):
    """A tick: when it was due and made, and what became of it."""

    tick: datetime | None
    at: datetime | None
    outcome: str
    run: uuid.UUID | None
    detail: str | None


class ScheduleShown(ScheduleShownRow, kw_only=True):
    """A schedule with its last ticks."""

    ticks: list[TickShown]


class TicksQuery(msgspec.Struct, forbid_unknown_fields=True):
    """How many."""

    ticks: _Count = 10


def list_schedules(call: ApiCall[SchedulesQuery, None]) -> ScheduleList:
    """List the schedules by name."""
    query = call.query
    rows = [
        row for row in call.backend.store.schedules.list()
        if row.name > query.after and is_like(row, query.state, query.task, query.queue)
    ]  # fmt: skip
    page = rows[: query.limit]
    following = page[-1].name if len(rows) > len(page) else None
    return ScheduleList(
        [converted(_fields(call, row), ScheduleShownRow) for row in page], following
    )


def _fields(call: ApiCall[Any, Any], row: ScheduleRow) -> dict[str, Any]:
    """A schedule with what is shown of the arguments of its call."""
    found, texts = schedule_json(row), call.texts
    for name in ("code", "edit"):
        if found[name]:
            told = {key: show(found[name][key]) for key, show in (("summary", texts.call),
                    ("unreadable", texts.answer)) if found[name].get(key)}  # fmt: skip
            found[name] = {**found[name], **told}
    return {**found, "call": texts.call(found["call"])}


def show_schedule(call: ApiCall[TicksQuery, None]) -> ScheduleShown:
    """Show one schedule and its last ticks."""
    return _shown(call, _row(call), call.query.ticks)


def _row(call: ApiCall[Any, Any]) -> ScheduleRow:
    return known(lambda: call.backend.store.schedules.get(call.path["schedule"]))


def _shown(call: ApiCall[Any, Any], row: ScheduleRow, ticks: int = 10) -> ScheduleShown:
    last = call.backend.store.schedules.ticks(row.name, ticks) if ticks else []
    return converted({**_fields(call, row), "ticks": [*map(tick_json, last)]}, ScheduleShown)


class ScheduleOptionsBody(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """When it is due and how its ticks behave; the reference of schedules says what each means.

    Attributes:
        workflow: what each tick enqueues, in the form of a workflow file of JSON, instead of a
            task with its arguments, queue and priority.
    """

    cron: _Cron | None = None
    every: _Interval | None = None
    args: JsonList = msgspec.field(default_factory=no_json)
    kwargs: JsonObject = msgspec.field(default_factory=no_json)
    queue: NewName | None = None
    priority: Priority | None = None
    workflow: JsonObject = msgspec.field(default_factory=no_json)
    tz: _Zone | None = None
    misfire: Literal["skip", "once", "all"] | None = None
    catch_up: _Interval | None = None
    overlap: Literal["allow", "skip", "queue_one", "cancel_old"] | None = None
    jitter: _Interval | None = None
    start: _Time | None = None
    end: _Time | None = None
    after: NewName | None = None


class NewSchedule(ScheduleOptionsBody, forbid_unknown_fields=True, kw_only=True):
    """A schedule that calls a task or enqueues a workflow; give cron or every."""

    name: NewName
    task: Name | None = None
    paused: bool = False


class ScheduleEdit(ScheduleOptionsBody, forbid_unknown_fields=True, kw_only=True):
    """What to change; what is left out stays.

    Attributes:
        no_after: it comes after no other schedule any more.
        reset: drop what was edited: what the code says holds again.
    """

    no_after: bool = False
    reset: bool = False


def create_schedule(call: ApiCall[Nothing, NewSchedule]) -> ScheduleShown:
    """Create a schedule that calls a task of the app, or enqueues a workflow; both are checked."""
    body, app = call.body, app_for(call.backend, "create schedules")
    when = _when(body)
    if when is None:
        raise RequestRefused(HTTPStatus.UNPROCESSABLE_ENTITY, "say when: give cron or every")
    if any(row.name == body.name for row in app.store.schedules.list()):
        detail = f"there is a schedule {body.name!r} already: change it with PATCH"
        raise RequestRefused(HTTPStatus.CONFLICT, detail)
    work = _workflow(app, body) or _signature(app, body)
    options = {**_options(body), "paused": body.paused}
    plain = app.schedules.definition(body.name, when, work, options)
    row = app.store.schedules.create(body.name, plain, by=call.who.name)
    app.notifier.ring_control()
    return _shown(call, row)


def update_schedule(call: ApiCall[Nothing, ScheduleEdit]) -> ScheduleShown:
    """Change a schedule from now on; the change overrides the code."""
    body, backend, row = call.body, call.backend, _row(call)
    options, place, when = _options(body), given(body, "queue", "priority"), _when(body)
    is_call = bool(given(body, "args", "kwargs", "workflow"))
    is_change = bool(options or place or is_call or body.no_after) or when is not None
    if body.reset == is_change or (body.no_after and body.after is not None):
        detail = "say what to change, or give reset alone; and give after or no_after, not both"
        raise RequestRefused(HTTPStatus.UNPROCESSABLE_ENTITY, detail)
    changes: dict[str, Any] | None = None
    if not body.reset:
        changes = schedule_changes(row, when, options)
        changes |= {"after": None} if body.no_after else {}
        app: Any = app_for(backend, "check arguments") if is_call else None
        if (workflow := _workflow(app, body)) is not None:
            changes |= app.schedules.call(row.name, workflow)
        elif is_call or place:
            changes["job"] = edited_job(app, row, _call(app, body) if app else {}, place)
    row = backend.store.schedules.update(row.name, changes, by=call.who.name)
    backend.notifier.ring_control()
    return _shown(call, row)


def _signature(app: Any, body: NewSchedule) -> Any:
    if body.task is None:
        raise RequestRefused(HTTPStatus.UNPROCESSABLE_ENTITY, "give task or workflow")
    check_task(app, body.task)
    call = {"args": [], "kwargs": {}, **_call(app, body)}
    check_values(app, body.task, call["args"], call["kwargs"])
    return app.signature(
        body.task, call["args"], call["kwargs"], **given(body, "queue", "priority")
    )


def _workflow(app: Any, body: ScheduleOptionsBody) -> Any:
    """The workflow of the body, if it has one."""
    text = given(body, "workflow").get("workflow")
    if text is None:
        return None
    is_task = getattr(body, "task", None) is not None
    if is_task or given(body, "args", "kwargs", "queue", "priority"):
        detail = "a workflow has the arguments, queues and priorities of its jobs: give it alone"
        raise RequestRefused(HTTPStatus.UNPROCESSABLE_ENTITY, detail)
    return workflow_from_text(app, bytes(text).decode(), format="json", source="the workflow")


def _call(app: Any, body: ScheduleOptionsBody) -> dict[str, Any]:
    kinds = {"args": list, "kwargs": dict}
    return {
        name: read_arguments(app.codec, bytes(raw).decode(), kinds[name], name)
        for name, raw in given(body, "args", "kwargs").items()
    }


def _options(body: ScheduleOptionsBody) -> dict[str, Any]:
    found = given(body, *_OPTIONS)
    for name in ("catch_up", "jitter"):
        if name in found:
            check = SCHEDULE_OPTIONS.by_name[name].check
            found[name] = check.from_text(found[name], name)
    for name in ("start", "end"):
        if name in found:
            found[name] = _moment(found[name], name)
    return found


def _when(body: ScheduleOptionsBody) -> str | timedelta | None:
    if body.cron is not None and body.every is not None:
        raise RequestRefused(HTTPStatus.UNPROCESSABLE_ENTITY, "give cron or every, not both")
    if body.every is None:
        return body.cron
    return timedelta(seconds=INTERVAL.from_text(body.every, "every"))


def _moment(text: str, name: str) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        detail = f"{name} must be a time such as 2026-03-29 01:00, not {text!r}"
        raise RequestRefused(HTTPStatus.UNPROCESSABLE_ENTITY, detail) from None


class PauseReason(msgspec.Struct, forbid_unknown_fields=True):
    """Why."""

    reason: Reason = ""


def pause_schedule(call: ApiCall[Nothing, PauseReason]) -> ScheduleShown:
    """Pause a schedule: until it is resumed, its ticks are recorded but enqueue nothing."""
    store, name = call.backend.store, _row(call).name
    return _shown(call, store.schedules.pause(name, by=call.who.name, reason=call.body.reason))


def resume_schedule(call: ApiCall[Nothing, None]) -> ScheduleShown:
    """Resume a schedule with its next tick; ticks during the pause do not run."""
    row = call.backend.store.schedules.resume(_row(call).name)
    call.backend.notifier.ring_control()
    return _shown(call, row)


def delete_schedule(call: ApiCall[Nothing, None]) -> Done:
    """Delete a schedule that no code declares, with the record of its ticks; its jobs stay."""
    row = _row(call)
    if row.code is not None and row.disabled_since is None:
        detail = f"the code of {row.app} declares the schedule {row.name!r}: pause it instead"
        raise RequestRefused(HTTPStatus.CONFLICT, detail)
    call.backend.store.schedules.delete(row.name)
    return Done(f"deleted schedule {row.name}")


class ScheduleRun(msgspec.Struct):
    """The run that was enqueued; paused: what keeps its jobs from starting."""

    id: uuid.UUID
    paused: list[dict[str, Any]]


def run_schedule(call: ApiCall[Nothing, None]) -> ScheduleRun:
    """Enqueue one extra run now, apart from the schedule's ticks."""
    backend, row = call.backend, _row(call)
    run, queues = backend.store.schedules.run_now(row.name)
    backend.notifier.ring(queues)
    held = held_by(backend.store, [(job.queue, job.task) for job in row.definition.call.jobs])
    return ScheduleRun(uuid.UUID(bytes=run), held_json(held))


class NextQuery(msgspec.Struct, forbid_unknown_fields=True):
    """How many, and after when."""

    count: Annotated[int, Meta(ge=1, le=1000)] = 5
    after: _Time | None = None


class CronQuery(NextQuery, forbid_unknown_fields=True, kw_only=True):
    """The expression."""

    cron: _Cron
    tz: _Zone = "UTC"


class NextRun(msgspec.Struct):
    """A tick, and when its run starts: later by the jitter."""

    tick: datetime
    starts_at: datetime


class NextRuns(msgspec.Struct):
    """When something is due, in words and as times."""

    description: str
    tz: str
    runs: list[NextRun]


def show_next_runs(call: ApiCall[NextQuery, None]) -> NextRuns:
    """Show when a schedule is due next."""
    row = _row(call)
    zone = row.definition.zone
    begin = _begin(call.query.after, zone)
    runs = next_runs(row, begin, call.query.count) if row.disabled_since is None else []
    shown = [NextRun(tick, start) for tick, start in runs]
    return NextRuns(schedule_json(row)["description"], str(zone), shown)


def explain_cron(call: ApiCall[CronQuery, None]) -> NextRuns:
    """Say in words when a cron expression is due, and list the next times."""
    query = call.query
    parsed = Cron.parse(query.cron, query.tz)
    ticks = islice(parsed.ticks_after(_begin(query.after, parsed.zone)), query.count)
    return NextRuns(description(parsed), query.tz, [NextRun(tick, tick) for tick in ticks])


def _begin(text: str | None, zone: Any) -> datetime:
    if text is None:
        return datetime.now(UTC)
    found = _moment(text, "after")
    found = found if found.tzinfo is not None else found.replace(tzinfo=zone)
    return checked_value(MOMENT, found, "after")  # type: ignore[no-any-return]


_ONE = "/api/schedules/{schedule}"
_BY = Role.OPERATE
ROUTES: Sequence[Route] = (
    Route("GET", "/api/schedules", list_schedules, ScheduleList, query=SchedulesQuery),
    Route("POST", "/api/schedules", create_schedule, ScheduleShown, _BY, body=NewSchedule,
          status=HTTPStatus.CREATED),
    Route("GET", "/api/cron", explain_cron, NextRuns, query=CronQuery),
    Route("GET", _ONE, show_schedule, ScheduleShown, query=TicksQuery),
    Route("PATCH", _ONE, update_schedule, ScheduleShown, _BY, body=ScheduleEdit),
    Route("DELETE", _ONE, delete_schedule, Done, _BY),
    Route("GET", f"{_ONE}/next", show_next_runs, NextRuns, query=NextQuery),
    Route("POST", f"{_ONE}/pause", pause_schedule, ScheduleShown, _BY, body=PauseReason),
    Route("POST", f"{_ONE}/resume", resume_schedule, ScheduleShown, _BY),
    Route("POST", f"{_ONE}/run", run_schedule, ScheduleRun, _BY),
)  # fmt: skip
