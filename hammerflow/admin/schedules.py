"""What is known of schedules, as values and JSON, and what an operator changes of them."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from datetime import datetime, timedelta
from itertools import islice
from typing import Any

from hammerflow.admin.calls import check_task, check_values
from hammerflow.durations import age
from hammerflow.enqueue.job_factory import JobFactory
from hammerflow.enqueue.schedule_edits import edited_call, placed_call
from hammerflow.errors import ConfigError
from hammerflow.options.option import checked
from hammerflow.schedules.call_template import CallTemplate
from hammerflow.schedules.definition import parsed_when, to_plain
from hammerflow.schedules.options import SCHEDULE_OPTIONS
from hammerflow.stores.schedules import ScheduleRow, TickRow

__all__ = [
    "STATES", "call_of", "definition_json", "edited_job", "is_like", "next_runs", "place_of",
    "schedule_changes", "schedule_json", "state_of", "tick_json", "when_of",
]  # fmt: skip

#: Whether a schedule runs: ``aside`` has trouble, ``over`` has no tick any more.
STATES = ("active", "paused", "disabled", "over", "aside")

#: What is shown of an edited call.
_EDITED = ("summary", "queue", "priority")


def state_of(row: ScheduleRow) -> str:
    """Whether it runs, and if not, why."""
    if row.disabled_since is not None:
        return f"disabled {age(row.disabled_since)} ago"
    if row.paused_at is not None:
        by = f" by {row.paused_by}" if row.paused_by else ""
        reason = f": {row.reason}" if row.reason else ""
        return f"paused {age(row.paused_at)} ago{by}{reason}"
    if row.trouble is not None:
        return row.trouble
    return "active" if row.look_at is not None else "over"


def is_like(row: ScheduleRow, state: str | None, task: str | None, queue: str | None) -> bool:
    """Whether a schedule is in a state (aside: it has trouble), and has such a job."""
    first = state_of(row).split(" ")[0]
    if state is not None and state != (first if first in STATES else "aside"):
        return False
    if task is None and queue is None:
        return True
    try:
        jobs = row.definition.call.jobs
    except ConfigError:
        return False
    return any(task in (None, job.task) and queue in (None, job.queue) for job in jobs)


def when_of(row: ScheduleRow) -> str:
    """When it is due, in words."""
    try:
        return row.definition.words(row.name)
    except ConfigError as error:
        return str(error)


def next_runs(row: ScheduleRow, after: datetime, count: int) -> list[tuple[datetime, datetime]]:
    """(tick, start) of the next ticks; the start is later by the jitter."""
    definition, ticks = row.definition, row.ticks
    found = [*islice(ticks.after(after), count + 1)]
    following = [*found[1:], None]
    pairs = zip(found, following, strict=True)
    return [(t, t + definition.delay_of(row.name, t, n)) for t, n in pairs][:count]


def schedule_json(row: ScheduleRow) -> dict[str, Any]:
    """Everything that is known of it but its ticks."""
    return {
        "name": row.name, "state": state_of(row).split(" ")[0], "description": when_of(row),
        "app": row.app or None, "call": call_of(row), **place_of(row),
        "code": definition_json(row.code), "edit": definition_json(row.edit),
        "edited_at": row.edited_at, "edited_by": row.edited_by,
        "created_at": row.created_at, "next_at": row.next_at, "paused_at": row.paused_at,
        "paused_by": row.paused_by, "reason": row.reason, "disabled_since": row.disabled_since,
        "trouble": row.trouble, "last_tick": row.last_tick, "last_outcome": row.last_outcome,
        "last_run": None if row.last_run is None else uuid.UUID(bytes=row.last_run),
        "missed": row.missed,
    }  # fmt: skip


def call_of(row: ScheduleRow) -> str:
    """The call that a tick makes, shortened."""
    try:
        return row.definition.summary
    except ConfigError:
        plain = {**(definition_json(row.code) or {}), **(definition_json(row.edit) or {})}
        return str(plain.get("summary", ""))


def place_of(row: ScheduleRow) -> Mapping[str, Any]:
    """The queue and the priority of the job that a tick makes; nothing of several jobs."""
    try:
        job = row.definition.call.job
    except ConfigError:
        return {}
    return {} if job is None else {"queue": job.queue, "priority": job.priority}


def definition_json(text: str | None) -> dict[str, Any] | None:
    """A definition without its rows; the tasks that it calls instead."""
    if text is None:
        return None
    try:
        plain: dict[str, Any] = json.loads(text)
        if "call" in plain:
            jobs = CallTemplate.from_json(plain.pop("call")).jobs
            plain["tasks"] = sorted({job.task for job in jobs})
        if "job" in plain:
            edited = plain.pop("job")
            plain |= {name: edited[name] for name in _EDITED if name in edited}
    except (KeyError, TypeError, ValueError):
        return {"unreadable": text[:200]}
    return plain


def schedule_changes(
    row: ScheduleRow, when: str | timedelta | None, given: Mapping[str, Any]
) -> dict[str, Any]:
    """What an operator changes of a schedule, as :meth:`Schedules.update` takes it.

    Args:
        when: another cron expression or interval; None leaves it.
        given: options of :data:`SCHEDULE_OPTIONS`.

    Raises:
        ConfigError: an option does not fit.
    """
    found = checked(SCHEDULE_OPTIONS, given, f"schedule {row.name}")
    try:
        kept = row.definition.cron, row.definition.tz
    except ConfigError:  # what is wrong with it is mended now
        kept = None, "UTC"
    is_moved = "tz" in found
    tz = found.pop("tz", kept[1])
    plain = to_plain(found, tz)
    if when is not None or (is_moved and kept[0] is not None):
        timing = parsed_when(row.name, kept[0] if when is None else when, tz)
        names = {"tz"} if when is None else {"cron", "every", *(("tz",) if is_moved else ())}
        plain |= {name: timing[name] for name in names & timing.keys()}
    return plain


def edited_job(
    app: Any, row: ScheduleRow, call: Mapping[str, Any], place: Mapping[str, Any]
) -> dict[str, Any]:
    """What is changed of the call, as the edit ``job``.

    Args:
        app: checks the arguments; not asked where ``call`` is empty.
        call: other ``args`` and ``kwargs``, decoded.
        place: another ``queue`` and ``priority``.

    Raises:
        ConfigError: the schedule does not call one task.
        TypeError: the arguments do not fit the task.
    """
    placed = placed_call(row.name, row.definition, **place)
    if not call:
        return placed
    check_task(app, placed["task"])
    check_values(app, placed["task"], call.get("args", ()), call.get("kwargs", {}))
    factory = JobFactory(app.tasks, app.codec)
    return {**placed, **edited_call(row.name, row.definition, factory, app.codec, **call)}


def tick_json(tick: TickRow) -> dict[str, Any]:
    """A tick for programs."""
    return {**tick._asdict(), "run": None if tick.run is None else uuid.UUID(bytes=tick.run)}
