"""How schedules and their ticks are shown."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import islice
from typing import Any

from hammerflow.cli.output import TableView
from hammerflow.durations import age
from hammerflow.errors import ConfigError
from hammerflow.schedules.call_template import CallTemplate
from hammerflow.stores.schedules import ScheduleRow, TickRow
from hammerflow.text import one_line, timestamp

__all__ = ["SCHEDULES", "STATES", "as_json", "facts_of", "is_like", "next_runs", "tick_rows"]

#: What ``schedule list --state`` takes.
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


def as_json(row: ScheduleRow) -> dict[str, Any]:
    """Everything that is known of it but its ticks."""
    return {
        "name": row.name, "state": state_of(row).split(" ")[0], "description": when_of(row),
        "app": row.app or None, "call": _summary(row), **_place(row), "code": _plain(row.code),
        "edit": _plain(row.edit), "edited_at": row.edited_at, "edited_by": row.edited_by,
        "created_at": row.created_at, "next_at": row.next_at, "paused_at": row.paused_at,
        "paused_by": row.paused_by, "reason": row.reason, "disabled_since": row.disabled_since,
        "trouble": row.trouble, "last_tick": row.last_tick, "last_outcome": row.last_outcome,
        "last_run": None if row.last_run is None else uuid.UUID(bytes=row.last_run),
        "missed": row.missed,
    }  # fmt: skip


def facts_of(row: ScheduleRow) -> Mapping[str, Any]:
    """The same for people: what the code says and what an operator has set, apart."""
    edited = f" {age(row.edited_at)} ago by {row.edited_by}" if row.edited_at is not None else ""
    own = "made" if row.code is None else "edited"
    return {
        "name": row.name, "state": state_of(row), "when": when_of(row), "call": _summary(row),
        **_place(row), "app": row.app, "in the code": _options(row.code),
        f"{own}{edited}": _options(row.edit), "created": row.created_at, "next tick": row.next_at,
        "last tick": row.last_tick, "last outcome": row.last_outcome, "last run": row.last_run,
        "missed ticks": row.missed or None,
    }  # fmt: skip


def tick_rows(ticks: Sequence[TickRow]) -> tuple[Sequence[str], Sequence[Sequence[Any]]]:
    """The last ticks as a table."""
    heads = ("tick", "made", "outcome", "run", "note")
    return heads, [
        (timestamp(tick.tick), timestamp(tick.at), tick.outcome, tick.run, tick.detail or "")
        for tick in ticks
    ]


def _summary(row: ScheduleRow) -> str:
    try:
        return row.definition.summary
    except ConfigError:
        return str({**(_plain(row.code) or {}), **(_plain(row.edit) or {})}.get("summary", ""))


def _place(row: ScheduleRow) -> Mapping[str, Any]:
    """The queue and the priority of the job that a tick makes; nothing of several jobs."""
    try:
        job = row.definition.call.job
    except ConfigError:
        return {}
    return {} if job is None else {"queue": job.queue, "priority": job.priority}


def _plain(text: str | None) -> dict[str, Any] | None:
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


def _options(text: str | None) -> str:
    plain = _plain(text) or {}
    plain.pop("tasks", None)
    return ", ".join(f"{name}={value}" for name, value in plain.items())


def _row(row: ScheduleRow) -> Sequence[Any]:
    last = f"{row.last_outcome} {age(row.last_tick)} ago" if row.last_tick is not None else ""
    edited = "edited by hand" if row.code is not None and row.edit is not None else ""
    missed = f"{row.missed} missed" if row.missed else ""
    state = state_of(row)
    note = one_line(state, edited, missed)
    return (row.name, when_of(row), age(row.next_at), last, note, _summary(row))


SCHEDULES = TableView(("name", "when", "next", "last", "note", "call"), _row, as_json)
