"""Schedules: what is due and when, the verbs of operators, and what the code of an app declares."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from hammerflow.errors import ConfigError, StoreUnavailable
from hammerflow.events.kinds import EventKind
from hammerflow.ids import name_id
from hammerflow.schedules.definition import merged_edit
from hammerflow.stores.database import Tx
from hammerflow.stores.transitions.late_dependencies import MemberNotUnique
from hammerflow.stores.transitions.schedule_order import (
    circles,
    definition_of,
    lock_order,
    refuse_no_tick,
    refuse_own_circle,
    trouble_of,
)
from hammerflow.stores.transitions.schedule_parts import Made, parts_of
from hammerflow.stores.transitions.schedule_ticks import (
    MadeTicks,
    ScheduleRow,
    TickRow,
    insert_run,
    live_runs,
    make_ticks,
    new_run,
    runs_there,
    with_run,
)
from hammerflow.stores.transitions.unit import Unit, Verbs
from hammerflow.text import storable

__all__ = ["Declared", "Made", "ScheduleRow", "Schedules", "TickRow"]

#: Schedules that are read at once, and ticks that one transaction removes.
_CHUNK, _PURGED = 200, 2_000
#: How long rows of ticks are kept; the newest one of each schedule stays.
_KEPT = timedelta(days=7)


class Declared(NamedTuple):
    """What became of the schedules of an app's code.

    Attributes:
        holds: whether it is this version that holds; else workers of a newer one live.
    """

    holds: bool
    added: Sequence[str] = ()
    changed: Sequence[str] = ()
    disabled: Sequence[str] = ()
    edited: Sequence[str] = ()  # the code's change waits below an operator's edit
    foreign: Sequence[str] = ()  # names that another app has
    circles: Sequence[str] = ()  # set aside, as they come after themselves


class Schedules(Verbs):
    """The tables ``schedules``, ``schedule_ticks`` and ``schedule_sets``."""

    def due_in(self) -> float | None:
        """Seconds until the next tick, 0 or less where one is due; None if there is none."""
        row = self._database.first("schedules_due_in")
        return None if row is None else float(row[0])

    def make(self, watched: float, cancel: Callable[[bytes], None], *, part: int = 0) -> Made:
        """Make ticks that are due, of up to 200 schedules.

        One transaction makes some of them only, as it begins again if it is interrupted: where a
        database has been down for long, it would come to no end.

        Args:
            watched: see :class:`Made`.
            cancel: cancels an earlier run, for the policy ``cancel_old``.
            part: how many times 200 of the most urgent ones are left to other workers.
        """
        rows = self._due(part) or (self._due(0) if part else [])
        made = Made(watched, is_more=part > 0 or len(rows) == _CHUNK)
        for some, most in parts_of(rows):
            for row in some:
                self._prepare(row, cancel, made.cancelled)
            self._make_part(some, made, most)
        made.is_crowded = made.ticks.taken < len(rows) // 2
        return made

    def _make_part(
        self, rows: Sequence[ScheduleRow], made: Made, most: int, holder: bytes | None = None
    ) -> None:
        try:
            self._make(rows, made, most, holder)
        except StoreUnavailable:
            raise
        except MemberNotUnique as error:  # of which schedule and tick is tried one by one
            is_one = len(rows) == most == 1
            for row in rows:
                holder = error.holder if is_one else None
                self._make_part([row], made, 1, holder)
        except Exception as error:  # noqa: BLE001 - a border: one of them must delay no other
            if len(rows) == 1:
                self._set_aside(rows[0], error, made)
                return
            for row in rows:
                self._make_part([row], made, most)

    def _due(self, part: int) -> Sequence[ScheduleRow]:
        return self._read(self._database.rows("schedules_due", n=_CHUNK, skip=part * _CHUNK))

    def _prepare(
        self, row: ScheduleRow, cancel: Callable[[bytes], None], cancelled: set[bytes]
    ) -> None:
        """Write the names that a schedule's jobs need, and cancel earlier runs where it says so."""
        try:
            definition = row.definition
        except ConfigError:
            return  # set aside with its reason in the transaction
        self._names.ensure(definition.call.jobs, None)
        if definition.overlap == "cancel_old" and row.paused_at is None:
            for run in self.live(row.known_runs):
                cancel(run)
                cancelled.add(run)

    def _make(
        self, rows: Sequence[ScheduleRow], made: Made, most: int, holder: bytes | None
    ) -> None:
        ids = [row.id for row in rows]

        def work(unit: Unit) -> tuple[MadeTicks, set[str]]:
            now = self._now(unit.tx)
            since, cancelled = now - timedelta(seconds=made.watched), made.cancelled
            ticks = make_ticks(
                unit, ids, now=now, since=since, cancelled=cancelled, most=most, holder=holder
            )
            return ticks, unit.settlement.queues

        ticks, queues = self._run(work)
        made.queues |= queues
        made.is_more |= ticks.is_cut
        made.ticks.taken += ticks.taken
        made.ticks.ticks += ticks.ticks
        made.ticks.runs += ticks.runs
        made.ticks.missed |= ticks.missed
        made.ticks.troubles |= ticks.troubles

    def _set_aside(self, row: ScheduleRow, error: Exception, made: Made) -> None:
        why = storable(f"its tick could not be made: {error}")

        def work(tx: Tx) -> None:
            self._move(tx, row, look_at=None, trouble=why)

        self._database.unit(work)
        made.ticks.troubles[row.name] = why

    def live(self, runs: Collection[bytes]) -> set[bytes]:
        """Which of these jobs and workflows have not ended."""
        return set(self._database.column("runs_live", ids=sorted(runs))) if runs else set()

    def list(self) -> Sequence[ScheduleRow]:
        """All schedules in the order of their names."""
        return self._read(self._database.rows("schedules_all"))

    def next(self, limit: int) -> Sequence[ScheduleRow]:
        """The schedules that are due next, the first one first."""
        return self._read(self._database.rows("schedules_next", n=limit))

    def get(self, name: str) -> ScheduleRow:
        """One schedule.

        Raises:
            ConfigError: there is none of this name.
        """
        rows = self._read(self._database.rows("schedule_by_id", id=name_id(name)))
        if not rows:
            raise ConfigError(f"there is no schedule {name!r}: see hammerflow schedule list")
        return rows[0]

    def ticks(self, name: str, limit: int) -> Sequence[TickRow]:
        """The last ticks of a schedule, newest first."""
        instant: Any = self._database.dialect.instant
        rows = self._database.rows("ticks_of", id=name_id(name), n=limit)
        return [TickRow(instant(row[0]), instant(row[1]), *row[2:]) for row in rows]

    def create(self, name: str, plain: Mapping[str, Any], *, by: str) -> ScheduleRow:
        """Make a schedule that no code declares.

        Raises:
            ConfigError: the name is taken, or the schedule would come after itself, or is never
                due from now to its end.
        """

        def work(tx: Tx) -> ScheduleRow:
            lock_order(tx)
            now, there = self._now(tx), self._locked(tx, name)
            row = self._new(name, "", None, json.dumps(plain), now)
            row = row._replace(edited_at=now, edited_by=by)
            if tx.repeated and there and (there.edit, there.edited_by) == (row.edit, by):
                return there  # an earlier run was committed, and its reply was lost
            if there is not None:
                raise ConfigError(
                    f"there is a schedule {name!r} already: change it with schedule update"
                )
            refuse_own_circle(row, lambda: self._all(tx))
            refuse_no_tick(None, row, now)
            return self._insert(tx, row, now)

        return self._database.unit(work)

    def update(self, name: str, changes: Mapping[str, Any] | None, *, by: str) -> ScheduleRow:
        """Lay an operator's changes over a schedule; with None what the code says holds again.

        It counts from now: the next tick is the first one after now.

        Raises:
            ConfigError: there is none of this name, or it would come after itself or never be due.
        """

        def work(tx: Tx) -> ScheduleRow:
            lock_order(tx)
            row, now = self._must(tx, name), self._now(tx)
            if changes is None:
                if row.code is None:
                    raise ConfigError(f"the schedule {name!r} is in no app's code to go back to")
                edited = row._replace(edit=None, edited_at=None, edited_by=None)
            else:
                edit = json.dumps(merged_edit(row.edited, changes))
                edited = row._replace(edit=edit, edited_at=now, edited_by=by)
                refuse_no_tick(definition_of(row), edited, now)
            refuse_own_circle(edited, lambda: self._all(tx))
            if row.trouble:  # perhaps a circle that this change parts
                for each in circles(self._all(tx)):
                    self._define(tx, each, each, now, moves=True)
            return self._define(tx, row, edited, now)

        return self._database.unit(work)

    def pause(self, name: str, *, by: str, reason: str) -> ScheduleRow:
        """Let its ticks pass without a job; they are recorded."""

        def work(tx: Tx) -> ScheduleRow:
            row, now = self._must(tx, name), self._now(tx)
            row = row._replace(paused_at=now, paused_by=storable(by), reason=storable(reason))
            self._write_pause(tx, row)
            return row

        return self._database.unit(work)

    def resume(self, name: str) -> ScheduleRow:
        """Go on with the first tick after now."""

        def work(tx: Tx) -> ScheduleRow:
            row, now = self._must(tx, name), self._now(tx)
            if row.paused_at is None and not row.trouble:
                return row  # what is due of it stays due
            row = row._replace(paused_at=None, paused_by=None, reason=None)
            self._write_pause(tx, row)
            return self._define(tx, row, row, now, moves=True)

        return self._database.unit(work)

    def delete(self, name: str) -> None:
        """Delete a schedule and its ticks; its jobs stay.

        Raises:
            ConfigError: an app's code declares it.
        """

        def work(tx: Tx) -> None:
            if tx.repeated and self._locked(tx, name) is None:
                return
            row = self._must(tx, name)
            if row.code is not None and row.disabled_since is None:
                raise ConfigError(
                    f"the code of {row.app} declares the schedule {name!r}, so that it would come "
                    "back: pause it, or remove it from the code"
                )
            far = self._database.dialect.time(datetime(9999, 12, 30, tzinfo=UTC))
            tx.run("ticks_delete", id=row.id, tick=far)
            tx.run("schedule_delete", id=row.id)
            self._note(tx, row, "deleted")

        self._database.unit(work)

    def run_now(self, name: str) -> tuple[bytes, set[str]]:
        """Enqueue one run at once, without a tick; (its id, queues with ready work)."""
        self._names.ensure(self.get(name).definition.call.jobs, None)

        def work(unit: Unit) -> tuple[bytes, set[str]]:
            row, now = self._must(unit.tx, name), self._now(unit.tx)
            if unit.tx.repeated and (there := runs_there(unit.tx, unit.written)):
                return there[0], {job.queue for job in row.definition.call.jobs}
            new = new_run(row, row.definition, None, now, now)
            run = insert_run(unit, new)
            if run == new.id:
                unit.written[run] = 0
            self._move(unit.tx, with_run(row, run, live_runs(unit.tx, [row])))
            return run, unit.settlement.queues

        return self._run(work)

    def purge(self) -> int:
        """Remove ticks that are older than a week, but for the newest of each schedule."""
        before = self._database.dialect.time(self._now_alone() - _KEPT)
        instant, time = self._database.dialect.instant, self._database.dialect.time
        rows = self._database.rows("ticks_old", before=before, n=_PURGED)
        old = [(id_, time(instant(last))) for id_, last in rows]

        def work(tx: Tx) -> int:
            return sum(tx.run("ticks_delete", id=id_, tick=last) for id_, last in old)

        return self._database.unit(work) if old else 0

    # -- what the code of an app declares

    def declare(
        self, app: str, version: int, definitions: Mapping[str, str],
        is_live: Callable[[int], bool],
    ) -> Declared:  # fmt: skip
        """Have the rows follow the code of an app.

        In a rolling deploy workers of two versions start. Whichever version was declared first
        counts as the older one, and holds again only once no worker of the newer one lives.

        Args:
            version: of all of its definitions together; 0 is none.
            definitions: by name, as JSON.
            is_live: whether a worker of another version lives.
        """
        app_id = name_id(app)
        if not definitions and not self._database.rows("schedule_sets_of", app_id=app_id):
            return Declared(holds=True)

        def work(tx: Tx) -> Declared:
            lock_order(tx)
            tx.many("schedule_set_ensure", [(app_id, 0, 0)])
            tx.rows("schedule_sets_lock", app_id=app_id)
            turns = dict(tx.rows("schedule_sets_of", app_id=app_id))
            known = list(turns)
            if known and known[0] == version:
                held = {row[0] for row in tx.rows("schedules_of_app", app=app)}
                if definitions.keys() <= held:
                    return Declared(holds=True)
            elif version in known and is_live(known[0]):
                return Declared(holds=False)
            tx.run("schedule_set_drop", app_id=app_id, version=version)
            turn = max(turns.values(), default=0) + 1
            tx.many("schedule_set_ensure", [(app_id, version, turn)])
            return self._follow(tx, app, definitions)

        return self._database.unit(work)

    def _follow(self, tx: Tx, app: str, definitions: Mapping[str, str]) -> Declared:
        now = self._now(tx)
        rows = {row.name: row for row in self._all(tx)}
        found = Declared(True, *([] for _ in Declared._fields[1:]))
        lists: dict[str, Any] = found._asdict()
        for name, code in sorted(definitions.items()):
            row = rows.get(name)
            if row is None:
                self._insert(tx, self._new(name, app, code, None, now), now)
                lists["added"].append(name)
            elif row.app not in ("", app) and row.disabled_since is None:
                lists["foreign"].append(name)
            elif row.code != code or row.disabled_since is not None:
                new = row._replace(app=app, code=code, disabled_since=None)
                paused = self._follow_pause(tx, row, new, now)
                moves = row.disabled_since is not None or (row.paused_at and not paused)
                self._define(tx, row, new, now, moves=bool(moves))
                lists["changed" if row.edit is None else "edited"].append(name)
        for name, row in rows.items():
            if row.app == app and name not in definitions and row.disabled_since is None:
                self._define(tx, row, row._replace(disabled_since=now), now)
                lists["disabled"].append(name)
        for each in circles(self._all(tx)):  # of this code and an operator's edit or other code
            self._move(tx, each, look_at=None, trouble="it comes after itself")
            lists["circles"].append(each.name)
        return found

    def _follow_pause(self, tx: Tx, old: ScheduleRow, new: ScheduleRow, now: datetime) -> bool:
        """Pause or resume where the code says something new; whether it is paused then."""
        was = definition_of(old._replace(edit=None) if old.code else old)
        is_paused = new._replace(edit=None).definition.paused
        if was is None or was.paused == is_paused:
            return old.paused_at is not None
        at, by, why = (now, new.app, "in its code") if is_paused else (None, None, None)
        self._write_pause(tx, new._replace(paused_at=at, paused_by=by, reason=why))
        return is_paused

    def _new(
        self, name: str, app: str, code: str | None, edit: str | None, now: datetime
    ) -> ScheduleRow:
        anchor = now.replace(microsecond=0)
        row = ScheduleRow._make([None] * len(ScheduleRow._fields))._replace(
            id=name_id(name), name=name, app=app, code=code, edit=edit, anchor=anchor,
            created_at=now, missed=0,
        )  # fmt: skip
        if row.definition.paused:
            row = row._replace(paused_at=now, paused_by=app or None, reason="from its creation")
        return row

    def _insert(self, tx: Tx, row: ScheduleRow, now: datetime) -> ScheduleRow:
        next_at = row.ticks.next_after(now)
        row = row._replace(next_at=next_at, look_at=next_at)
        values = self._values(row)
        tx.many("schedule_insert", [tuple(values[name] for name in _INSERTED)])
        self._note(tx, row, "created")
        return row

    def _define(
        self, tx: Tx, old: ScheduleRow, new: ScheduleRow, now: datetime, *, moves: bool = False
    ) -> ScheduleRow:
        """Write a changed definition; its next tick stays if the times are the same."""
        if new.disabled_since is not None:
            new = new._replace(next_at=None, look_at=None)
        elif (trouble := trouble_of(new)) and new.edited_at == old.edited_at:
            new = new._replace(next_at=None, look_at=None, trouble=trouble)  # one delays no other
        else:
            definition = new.definition
            before = definition_of(old)
            if before is None or before.every != definition.every:
                new = new._replace(anchor=now.replace(microsecond=0))
            if moves or before is None or old.trouble or before.times != definition.times:
                next_at = new.ticks.next_after(now)
                new = new._replace(next_at=next_at, look_at=next_at, trouble=None)
        values = self._values(new)
        tx.run("schedule_define", **{name: values[name] for name in _DEFINED})
        if (old.code, old.edit, old.disabled_since) != (new.code, new.edit, new.disabled_since):
            self._note(tx, new, "updated" if new.disabled_since is None else "disabled")
        return new

    def _note(self, tx: Tx, row: ScheduleRow, change: str) -> None:
        kind, told = EventKind.SCHEDULE_CHANGED, {"name": row.name, "change": change}
        self._names.outbox.note(tx, kind, row.id, **told)

    def _write_pause(self, tx: Tx, row: ScheduleRow) -> None:
        values = self._values(row)
        names = ("id", "paused_at", "paused_by", "reason")
        tx.run("schedule_pause", **{name: values[name] for name in names})
        self._note(tx, row, "resumed" if row.paused_at is None else "paused")

    def _move(self, tx: Tx, row: ScheduleRow, **changes: Any) -> None:
        values = self._values(row, **changes)
        tx.run("schedule_move", **{name: values[name] for name in _MOVE})

    def _values(self, row: ScheduleRow, **changes: Any) -> dict[str, Any]:
        time = self._database.dialect.time
        values = row._asdict() | changes
        return {
            name: time(value) if isinstance(value, datetime) else value
            for name, value in values.items()
        }

    def _must(self, tx: Tx, name: str) -> ScheduleRow:
        row = self._locked(tx, name)
        if row is None:
            raise ConfigError(f"there is no schedule {name!r}: see hammerflow schedule list")
        return row

    def _all(self, tx: Tx) -> Sequence[ScheduleRow]:
        return self._read(tx.rows("schedules_all"))

    def _locked(self, tx: Tx, name: str) -> ScheduleRow | None:
        rows = self._read(tx.rows("schedule_lock", id=name_id(name)))
        return rows[0] if rows else None

    def _read(self, rows: Sequence[Any]) -> Sequence[ScheduleRow]:
        instant = self._database.dialect.instant
        return [ScheduleRow.read(row, instant) for row in rows]

    def _now(self, tx: Tx) -> datetime:
        return datetime.fromtimestamp(float(tx.rows("clock")[0][0]), UTC)

    def _now_alone(self) -> datetime:
        return self._database.read(self._now)


_INSERTED = (
    "id", "name", "app", "code", "edit", "anchor", "created_at", "edited_at", "edited_by",
    "next_at", "look_at", "paused_at", "paused_by", "reason",
)  # fmt: skip
_DEFINED = (
    "id", "app", "code", "edit", "anchor", "edited_at", "edited_by", "next_at", "look_at",
    "disabled_since", "trouble",
)  # fmt: skip
_MOVE = (
    "id", "next_at", "look_at", "trouble", "last_tick", "last_outcome", "last_run", "earlier_run",
    "missed", "other_runs",
)  # fmt: skip
