"""How schedules and their ticks are shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hammerflow.admin.schedules import (
    call_of,
    definition_json,
    place_of,
    schedule_json,
    state_of,
    when_of,
)
from hammerflow.cli.output import TableView
from hammerflow.durations import age
from hammerflow.stores.schedules import ScheduleRow, TickRow
from hammerflow.text import one_line, timestamp

__all__ = ["SCHEDULES", "facts_of", "tick_rows"]


def facts_of(row: ScheduleRow) -> Mapping[str, Any]:
    """A schedule for people: what the code says and what an operator has set, apart."""
    edited = f" {age(row.edited_at)} ago by {row.edited_by}" if row.edited_at is not None else ""
    own = "made" if row.code is None else "edited"
    return {
        "name": row.name, "state": state_of(row), "when": when_of(row), "call": call_of(row),
        **place_of(row), "app": row.app, "in the code": _options(row.code),
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


def _options(text: str | None) -> str:
    plain = definition_json(text) or {}
    plain.pop("tasks", None)
    return ", ".join(f"{name}={value}" for name, value in plain.items())


def _row(row: ScheduleRow) -> Sequence[Any]:
    last = f"{row.last_outcome} {age(row.last_tick)} ago" if row.last_tick is not None else ""
    edited = "edited by hand" if row.code is not None and row.edit is not None else ""
    missed = f"{row.missed} missed" if row.missed else ""
    state = state_of(row)
    note = one_line(state, edited, missed)
    return (row.name, when_of(row), age(row.next_at), last, note, call_of(row))


SCHEDULES = TableView(("name", "when", "next", "last", "note", "call"), _row, schedule_json)
