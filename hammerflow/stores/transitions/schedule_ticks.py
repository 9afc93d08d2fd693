"""Ticks: what becomes of each tick of a schedule that is due, inside one transaction."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from hammerflow.errors import ConfigError
from hammerflow.events.kinds import EventKind
from hammerflow.ids import name_id, new_id
from hammerflow.jobs.job import DEPENDENCY, ORDER, NewJob
from hammerflow.schedules.call_template import Run
from hammerflow.schedules.definition import Definition, Ticks, read_definition
from hammerflow.schedules.due import Due, due_ticks
from hammerflow.stores.database import Tx
from hammerflow.stores.transitions.ends import DependencyOutcome
from hammerflow.stores.transitions.insert import insert_jobs
from hammerflow.stores.transitions.late_dependencies import insert_whole, mark_all
from hammerflow.stores.transitions.unit import Unit
from hammerflow.text import storable

__all__ = [
    "MadeTicks", "ScheduleRow", "TickRow", "insert_run", "live_runs", "make_ticks", "new_run",
    "runs_there", "with_run",
]  # fmt: skip

#: Seconds until a schedule is looked at again that waits for another one's tick.
_AGAIN = timedelta(seconds=1)
_ANY = 10**9
#: Ticks of one schedule that one transaction makes in any case.
_MOST = 1_000
#: Runs that are remembered besides the last two, while they have not ended.
_REMEMBERED = 100


class ScheduleRow(NamedTuple):
    """A row of ``schedules``."""

    id: int
    name: str
    app: str  # the namespace whose code declares it; empty if an operator has made it
    code: str | None  # the definition in the code, as JSON
    edit: str | None  # what an operator has set over it
    anchor: datetime
    created_at: datetime
    edited_at: datetime | None
    edited_by: str | None
    next_at: datetime | None  # its next tick
    look_at: datetime | None  # when a worker looks at it; None if nothing is due any more
    paused_at: datetime | None
    paused_by: str | None
    reason: str | None
    disabled_since: datetime | None  # the code has it no longer
    trouble: str | None  # why it is set aside, or what it waits for
    last_tick: datetime | None
    last_outcome: str | None
    last_run: bytes | None  # the job or workflow of the last tick that made one
    earlier_run: bytes | None  # and of the one before
    missed: int
    other_runs: str | None = None  # older runs that had not ended, as hexadecimal ids

    @classmethod
    def read(cls, row: Sequence[Any], instant: Callable[[Any], datetime | None]) -> ScheduleRow:
        """A row as a driver gives it; ``instant`` is the dialect's."""
        found = cls._make(row)
        times: Any = {name: instant(getattr(found, name)) for name in _TIMES}
        return found._replace(**times)

    @property
    def definition(self) -> Definition:
        """What holds; ConfigError if it cannot be read."""
        return read_definition(self.code, self.edit, self.name)

    @property
    def edited(self) -> Mapping[str, Any]:
        """What an operator has set; nothing where that cannot be read."""
        try:
            return dict(json.loads(self.edit or "{}"))
        except (TypeError, ValueError):
            return {}

    @property
    def known_runs(self) -> list[bytes]:
        """Its runs that may not have ended, the last one first."""
        others = map(bytes.fromhex, (self.other_runs or "").split())
        return [run for run in (self.last_run, self.earlier_run, *others) if run]

    @property
    def ticks(self) -> Ticks:
        """Its ticks."""
        return Ticks(self.name, self.definition, self.anchor)


_TIMES = (
    "anchor", "created_at", "edited_at", "next_at", "look_at", "paused_at", "disabled_since",
    "last_tick",
)  # fmt: skip


_MOVED = (
    "id", "next_at", "last_tick", "last_outcome", "last_run", "earlier_run", "missed", "trouble",
    "other_runs",
)  # fmt: skip
_COLUMNS = (
    "id", "name", "app", "anchor", "created_at", "next_at", "look_at", "trouble", "last_tick",
    "last_outcome", "last_run", "earlier_run", "missed", "other_runs",
)  # fmt: skip


class TickRow(NamedTuple):
    """A row of ``schedule_ticks``."""

    tick: datetime
    at: datetime  # when it was made
    outcome: str
    run: bytes | None
    missed: int  # how many ticks that did not run this row counts
    detail: str | None


@dataclass(slots=True)
class MadeTicks:
    """What a transaction has made: ticks, jobs or workflows, and schedules set aside with why; and
    whether it has left ticks that are due.


    Attributes:
        taken: schedules that no other worker had locked.
    """

    taken: int = 0
    ticks: int = 0
    runs: int = 0
    is_cut: bool = False
    missed: dict[str, int] = field(default_factory=dict)
    troubles: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class _Tick:
    tick: datetime
    outcome: str
    detail: str | None = None
    missed: int = 0
    run: Run | None = None
    waits_for: bytes | None = None  # a run that has not ended
    kind: int = ORDER


@dataclass(slots=True)
class _Plan:
    """The ticks of one schedule."""

    row: ScheduleRow
    definition: Definition
    ticks: Ticks
    due: Due
    live: set[bytes]
    made: list[_Tick] = field(default_factory=list)
    next_at: datetime | None = None
    look_at: datetime | None = None
    trouble: str | None = None


def make_ticks(
    unit: Unit, ids: Sequence[int], *, now: datetime, since: datetime, cancelled: set[bytes],
    most: int, holder: bytes | None = None,
) -> MadeTicks:  # fmt: skip
    """Make the ticks of these schedules that are due, and the jobs and workflows of these.

    Each schedule is locked; one that another worker has locked is passed over. The key of the row
    of a tick, written in the same transaction, is what makes it happen once.

    Args:
        since, most: see :func:`hammerflow.schedules.due.due_ticks`.
        cancelled: earlier runs that were cancelled for the policy ``cancel_old``.
        holder: a job that holds the unique key of a member of the next run, which is not made.
    """
    made, times = MadeTicks(), (now, since, most)
    instant = unit.database.dialect.instant
    rows = [ScheduleRow.read(row, instant) for row in unit.tx.rows("schedules_take", ids=ids)]
    made.taken = len(rows)
    plans = [plan for row in rows if (plan := _plan(unit, row, times, made)) is not None]
    live = live_runs(unit.tx, [plan.row for plan in plans])
    for is_later in (False, True):  # those that come after another schedule see its ticks
        part = [plan for plan in plans if (plan.definition.after is not None) is is_later]
        for plan in part:
            plan.live |= live.intersection(plan.row.known_runs)
            _decide(unit, plan, now, cancelled, holder)
        _write(unit, part, now, made)
    return made


def _plan(
    unit: Unit, row: ScheduleRow, times: tuple[datetime, datetime, int], made: MadeTicks
) -> _Plan | None:
    """What is due of a schedule; None if that cannot be computed, and it is set aside."""
    now, since, most = times
    try:
        if row.next_at is None:
            raise ConfigError("it has no next tick")
        definition, ticks = row.definition, row.ticks
        if definition.overlap == "cancel_old":
            most = _MOST  # all but the last one make no run
        due = due_ticks(definition, ticks, row.next_at, now, since, most)
    except (ConfigError, ValueError, OverflowError) as error:
        made.troubles[row.name] = str(error)
        unit.tx.run("schedule_move", **_moved(unit, row, trouble=storable(str(error))))
        return None
    made.is_cut |= due.is_cut
    return _Plan(row, definition, ticks, due, set())


def _moved(unit: Unit, row: ScheduleRow, **changes: Any) -> dict[str, Any]:
    values = {name: getattr(row, name) for name in _MOVED} | {"look_at": None} | changes
    time = unit.database.dialect.time
    return values | {name: time(values[name]) for name in ("next_at", "look_at", "last_tick")}


def _decide(
    unit: Unit, plan: _Plan, now: datetime, cancelled: set[bytes], holder: bytes | None
) -> None:
    due, row = plan.due, plan.row
    plan.next_at = plan.look_at = due.next_at
    if row.paused_at is not None:
        last = max(filter(None, (due.missed_at, *due.run[-1:])))
        plan.made.append(_Tick(last, "paused", missed=due.missed + len(due.run)))
        return
    if due.missed_at is not None:
        many = "" if due.is_counted else "at least "
        detail = f"{many}{due.missed} missed: no worker lived"
        plan.made.append(_Tick(due.missed_at, "missed", detail, due.missed))
    if plan.definition.overlap == "cancel_old" and plan.live - cancelled:
        plan.made.clear()  # another worker has made a tick meanwhile: look again
        plan.next_at, plan.look_at = row.next_at, now
        return
    for tick in due.run:
        if (made := _decided(unit, plan, tick, now)) is None:
            return
        if made.run is not None and holder is not None:
            detail = f"{_names({holder})} holds the unique key of a member"
            made = _Tick(tick, "duplicate", detail)
        plan.made.append(made)


def _decided(unit: Unit, plan: _Plan, tick: datetime, now: datetime) -> _Tick | None:
    """What becomes of one tick; None if it waits for another schedule's tick."""
    made = _Tick(tick, "enqueued")
    overlap, definition = plan.definition.overlap, plan.definition
    if overlap == "cancel_old" and tick != plan.due.run[-1]:
        return _Tick(tick, "skipped", "a later tick was due")
    if len(plan.live) > {"skip": 0, "queue_one": 1}.get(overlap, _ANY):
        have = "has" if len(plan.live) == 1 else "have"
        return _Tick(tick, "skipped", f"{_names(plan.live)} {have} not ended")
    if overlap == "queue_one" and plan.live:
        made.outcome, made.waits_for = "queued", next(iter(plan.live))
    if definition.after is not None:
        awaited = _awaited(unit, plan, definition.after, tick, now)
        if isinstance(awaited, str):
            return _Tick(tick, "skipped", awaited)
        if awaited is None:
            return None
        made.waits_for, made.kind = awaited, DEPENDENCY
    made.run = new_run(plan.row, plan.definition, plan.ticks, tick, now)
    plan.live = {*plan.live, made.run.id}
    return made


def _awaited(
    unit: Unit, plan: _Plan, after: str, tick: datetime, now: datetime
) -> bytes | str | None:
    """The run of another schedule that this tick comes after, or why there is none; None if it has
    not been made yet."""
    time, instant = unit.database.dialect.time, unit.database.dialect.instant
    found = unit.tx.rows("schedule_by_id", id=name_id(after))
    if not found:
        return f"there is no schedule {after}"
    other = ScheduleRow.read(found[0], instant)
    local = tick.astimezone(plan.definition.zone)
    begin = local.replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
    end = (begin + timedelta(days=1)).astimezone(UTC)
    coming = other.next_at if other.look_at is not None else None
    if coming is not None and coming <= tick:
        _hold(plan, tick, now + _AGAIN)
        return None
    between = {"first": time(begin.astimezone(UTC)), "last": time(end)}
    rows = unit.tx.rows("ticks_between", id=other.id, **between)
    runs = [(at, run) for t, _, run in rows if run is not None and (at := instant(t))]
    if runs:
        earlier = [run for at, run in runs if at <= tick]
        return bytes(earlier[0] if earlier else runs[-1][1])
    if rows:
        return f"the tick of {after} was {rows[0][1]}"
    if coming is not None and coming < end:
        _hold(plan, tick, coming)
        return None
    return f"{after} has no tick on {begin:%Y-%m-%d}"


def _hold(plan: _Plan, tick: datetime, until: datetime) -> None:
    plan.next_at, plan.look_at = tick, until
    plan.trouble = f"waits for the tick of {plan.definition.after}"


def live_runs(tx: Tx, rows: Sequence[ScheduleRow]) -> set[bytes]:
    """The runs of these schedules that have not ended."""
    known = {run for row in rows for run in row.known_runs}
    return {row[0] for row in tx.rows("runs_live", ids=sorted(known))} if known else set()


def with_run(row: ScheduleRow, run: bytes, live: set[bytes]) -> ScheduleRow:
    """A schedule after one more run. It keeps the run before that, and those that have not ended:
    an overlap policy must see all of these."""
    known = [each for each in row.known_runs if each != run]
    alive = [each for each in known if each in live]
    earlier = next(iter(alive or known), None)
    others = [each.hex() for each in alive if each != earlier][:_REMEMBERED]
    return row._replace(last_run=run, earlier_run=earlier, other_runs=" ".join(others) or None)


def new_run(
    row: ScheduleRow, definition: Definition, ticks: Ticks | None, tick: datetime, now: datetime
) -> Run:
    """The rows of one tick, or of a run by hand, which has no jitter.

    Args:
        ticks: None for a run by hand.
    """
    eta = tick
    if ticks is not None and definition.jitter:
        eta += definition.delay_of(row.name, tick, ticks.next_after(tick))
    headers = {"schedule": row.name, "tick": tick.isoformat()}
    return definition.call.run(new_id, eta=eta, now=now, headers=headers)


def _write(unit: Unit, plans: Sequence[_Plan], now: datetime, made: MadeTicks) -> None:
    """Write the ticks, then the runs of those that no one else had written, then the schedules."""
    _wait_for_runs(unit, plans)
    time = unit.database.dialect.time
    rows = [
        (p.row.id, time(t.tick), t.outcome, t.run and t.run.id, t.missed, t.detail)
        for p in plans
        for t in p.made
    ]
    unit.insert("ticks_insert", rows)
    ours = _ours(unit, rows)
    holders = _insert_all(unit, [t.run for p in plans for t in p.made if t.run], ours)
    for plan in plans:
        for tick in plan.made:
            made.ticks += 1
            if tick.run is not None and tick.run.id in holders:
                plan.row = with_run(plan.row, holders[tick.run.id], plan.live)
                _note_holder(unit, plan, tick, holders[tick.run.id])
                made.runs += 1
            _note_event(unit, plan.row, tick, holders)
        if plan.due.missed and plan.made and plan.row.paused_at is None:
            made.missed[plan.row.name] = plan.due.missed
    if plans:
        moved = [_after(unit, plan) for plan in plans]
        unit.tx.many("schedules_move", [tuple(row[name] for name in _COLUMNS) for row in moved])


def _note_event(unit: Unit, row: ScheduleRow, tick: _Tick, holders: Mapping[bytes, bytes]) -> None:
    is_missed = tick.outcome == "missed"
    kind = EventKind.SCHEDULE_MISSED if is_missed else EventKind.SCHEDULE_TICKED
    run = holders.get(tick.run.id) if tick.run is not None else None
    detail = {
        "name": row.name, "tick": tick.tick.isoformat(), "outcome": tick.outcome,
        "missed": tick.missed, "run": run and str(uuid.UUID(bytes=run)),
    }  # fmt: skip
    unit.records.add(kind, row.id.to_bytes(16), detail=detail)


def _ours(unit: Unit, rows: Sequence[tuple[Any, ...]]) -> set[bytes]:
    """The runs whose tick's row is the one that was just written."""
    with_run = [row for row in rows if row[3] is not None]
    if not with_run:
        return set()
    ids, ticks = ({row[at] for row in with_run} for at in (0, 1))
    found = unit.tx.rows("ticks_made", ids=sorted(ids), ticks=sorted(ticks))
    return {row[2] for row in found if row[2] is not None}


def _after(unit: Unit, plan: _Plan) -> dict[str, Any]:
    """The columns of a schedule after its ticks."""
    row, last = plan.row, plan.made[-1] if plan.made else None
    paused = last is not None and last.outcome == "paused"
    time = unit.database.dialect.time
    moved = _moved(
        unit, row, next_at=plan.next_at, look_at=plan.look_at, trouble=plan.trouble,
        last_tick=last.tick if last else row.last_tick,
        last_outcome=last.outcome if last else row.last_outcome,
        missed=row.missed + (plan.due.missed if plan.made and not paused else 0),
    )  # fmt: skip
    there = {"anchor": time(row.anchor), "created_at": time(row.created_at)}
    return {**moved, **there, "name": row.name, "app": row.app}


def _wait_for_runs(unit: Unit, plans: Sequence[_Plan]) -> None:
    """Make the jobs of ticks wait for runs that have not ended.

    A run that was made in this transaction is not in the database yet: the job that waits for it
    gets its edge all the same, and it is marked when it is written.
    """
    new = {t.run.id: t.run for p in plans for t in p.made if t.run is not None}
    wanted = {t.waits_for for p in plans for t in p.made if t.waits_for} - new.keys()
    there = set(runs_there(unit.tx, wanted))
    outcomes = mark_all(unit.tx, sorted(there)) if there else {}
    for tick in [tick for plan in plans for tick in plan.made]:
        target = tick.waits_for
        if target is None or tick.run is None:
            continue
        if target in new:
            _mark_new(new[target])
        elif target not in there or outcomes[target] is DependencyOutcome.COMPLETED:
            continue
        elif outcomes[target] is not None:
            if tick.kind == DEPENDENCY:
                what = _names({target})
                tick.run, tick.outcome, tick.detail = None, "skipped", f"{what} did not complete"
            continue
        tick.run = tick.run._replace(jobs=[_behind(job, target, tick) for job in tick.run.jobs])


def _behind(job: NewJob, target: bytes, tick: _Tick) -> NewJob:
    """A job that waits for no other of its run then waits for the target."""
    if job.pending is not None:
        return job
    return job._replace(pending=1, after=[*(job.after or ()), (target, tick.kind)])


def _mark_new(run: Run) -> None:
    """Have the end of a run that is not written yet read edges."""
    rows: list[Any] = run.workflows or run.jobs
    rows[0] = rows[0]._replace(flags=rows[0].flags | 1)


def _insert_all(unit: Unit, runs: Sequence[Run], ours: set[bytes]) -> dict[bytes, bytes]:
    """Insert those of these runs that are ours, single jobs by one statement; for each its id, or
    that of the job that holds its unique key."""
    mine = [run for run in runs if run.id in ours]
    single = [run.jobs[0] for run in mine if not run.workflows]
    holders = dict(zip([job.id for job in single], insert_jobs(unit, single)[0], strict=True))
    return holders | {run.id: insert_run(unit, run) for run in mine if run.workflows}


def _note_holder(unit: Unit, plan: _Plan, tick: _Tick, holder: bytes) -> None:
    """Record that another job held the unique key, if one did."""
    if tick.run is not None and holder != tick.run.id:
        values = {"schedule_id": plan.row.id, "tick": unit.database.dialect.time(tick.tick)}
        unit.tx.run("tick_duplicate", run=holder, **values)
        tick.outcome = "duplicate"


def runs_there(tx: Tx, ids: Collection[bytes]) -> Sequence[bytes]:
    """Those of these jobs and workflows that exist."""
    return [row[0] for row in tx.rows("runs_there", ids=sorted(ids))] if ids else []


def insert_run(unit: Unit, run: Run) -> bytes:
    """Insert the rows of a run; its id, or that of the job that holds its unique key."""
    if run.workflows:
        insert_whole(unit, run.workflows, [run.jobs])
        return run.id
    return insert_jobs(unit, run.jobs)[0][0]


def _names(ids: set[bytes]) -> str:
    return " and ".join(str(uuid.UUID(bytes=id_)) for id_ in sorted(ids))
