"""Schedules of a store under test, whose time passes by moving their rows into the past."""

from __future__ import annotations

import base64
import json
from datetime import datetime, timedelta
from typing import Any

from hammerflow.stores.schedules import Made, ScheduleRow
from hammerflow.stores.store import Store
from tests.stores.kit import Desk

__all__ = ["Beat", "definition"]

_TIMES = {
    "schedules": ("next_at", "look_at", "anchor", "created_at", "last_tick", "paused_at"),
    "schedule_ticks": ("tick", "at"),
    "schedule_sets": ("declared_at",),
}


def definition(task: str = "t", **given: Any) -> dict[str, Any]:
    """A definition that calls one task in the queue ``q``."""
    row = {"id": "0" * 31 + "1", "task": task, "queue": "q", "priority": 2}
    args = base64.b64encode(b"M\x92").decode()
    if "every" not in given:
        given.setdefault("cron", "0 0 * * *")
    return {"call": {"jobs": [{**row, "args": args}]}, "summary": f"{task}()", **given}


class Beat:
    """The schedules of a desk."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.schedules = desk.store.schedules
        self.cancelled: list[bytes] = []

    def create(self, name: str, **given: Any) -> ScheduleRow:
        return self.schedules.create(name, definition(**given), by="test")

    def now(self) -> datetime:
        return self.schedules._now_alone()

    def elapse(self, **time: float) -> None:
        """Let time pass: the schedules lie further back."""
        seconds = timedelta(**time).total_seconds()
        for table, columns in _TIMES.items():
            order = (
                " ORDER BY tick" if table == "schedule_ticks" and self.desk.kind == "mysql" else ""
            )
            moved = ", ".join(f"{c} = {self.desk.shift(c, seconds)}" for c in columns)
            self.desk.sql(f"UPDATE {{{table}}} SET {moved}{order}")

    def put(self, name: str, **columns: datetime | str | None) -> None:
        """Write columns of a row."""
        time = self.desk.store.database.dialect.time
        for column, value in columns.items():
            plain = time(value) if isinstance(value, datetime) else value
            text = (
                "NULL"
                if plain is None
                else repr(plain)
                if isinstance(plain, float)
                else f"'{plain}'"
            )
            self.desk.sql(f"UPDATE {{schedules}} SET {column} = {text} WHERE name = '{name}'")

    def spoil(self, name: str, edit: str) -> None:
        """Write an operator's edit as no command writes it."""
        row = self.schedules.get(name)
        values = self.schedules._values(row._replace(edit=edit))
        names = ("id", "app", "code", "edit", "anchor", "edited_at", "edited_by", "next_at")
        names += ("look_at", "disabled_since", "trouble")
        database = self.desk.store.database
        database.unit(lambda tx: tx.run("schedule_define", **{n: values[n] for n in names}))

    def due(self, name: str, tick: datetime) -> None:
        """Make this the next tick of a schedule."""
        self.put(name, next_at=tick, look_at=tick)

    def make(self, watched: float = 0.0, store: Store | None = None) -> Made:
        """One round of a worker that has watched for so many seconds."""
        cancel = self._cancel
        return (store or self.desk.store).schedules.make(watched, cancel)

    def _cancel(self, run: bytes) -> None:
        self.cancelled.append(run)
        self.desk.store.jobs.cancel(run, "the next one is due")

    def outcomes(self, name: str) -> list[str]:
        """Of its ticks, oldest first."""
        return [tick.outcome for tick in reversed(self.schedules.ticks(name, 10_000))]

    def runs(self, name: str) -> list[bytes]:
        return [t.run for t in reversed(self.schedules.ticks(name, 10_000)) if t.run is not None]

    def declare(self, version: int = 1, *, live: int | None = None, **plain: Any) -> Any:
        """What a worker of the app does at its start; ``live`` is the version of another one."""
        found = {name: json.dumps(value, sort_keys=True) for name, value in plain.items()}
        return self.schedules.declare("shop", version, found, lambda other: other == live)
