"""Schedule order: which schedules come after which, and what else a change of one must keep to,
inside one transaction."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

from hammerflow.errors import ConfigError
from hammerflow.schedules.definition import Definition, refuse_never_due
from hammerflow.schedules.order import circle_of, refuse_circle
from hammerflow.stores.database import Tx
from hammerflow.stores.transitions.schedule_ticks import ScheduleRow
from hammerflow.text import storable

__all__ = [
    "circles", "definition_of", "lock_order", "refuse_no_tick", "refuse_own_circle", "trouble_of",
]  # fmt: skip

#: The row of ``schedule_sets`` that changes of the order lock; no app has this number.
_ORDER = 0


def lock_order(tx: Tx) -> None:
    """Let nobody else change the order until this transaction ends: two changes at once could close
    a circle that neither of them sees."""
    tx.many("schedule_set_ensure", [(_ORDER, 0, 0)])
    tx.rows("schedule_sets_lock", app_id=_ORDER)


def refuse_own_circle(row: ScheduleRow, others: Callable[[], Sequence[ScheduleRow]]) -> None:
    """Raise ConfigError if a schedule would come after itself."""
    if _after(row) is not None:
        refuse_circle(row.name, {**_order(others()), row.name: _after(row)})


def refuse_no_tick(before: Definition | None, row: ScheduleRow, now: datetime) -> None:
    """Raise ConfigError if an operator gives a schedule times at which it is never due.

    An earlier end may leave it without a further tick, which ends it; without any since its
    creation it is a mistake. A new rhythm counts from now.

    Args:
        before: what held until now; None if the schedule is new, or what held cannot be read.
        row: as it is to be.
    """
    new = row.definition
    if before is not None and before.times == new.times:
        return
    is_kept = before is not None and (before.cron, before.every) == (new.cron, new.every)
    anchor, since = (row.anchor, row.created_at) if is_kept else (now, now)
    refuse_never_due(row.name, new, anchor, since)


def circles(rows: Sequence[ScheduleRow]) -> Sequence[ScheduleRow]:
    """The schedules that come after themselves."""
    order = _order(rows)
    return [row for row in rows if row.name in order and circle_of(row.name, order)]


def definition_of(row: ScheduleRow) -> Definition | None:
    """What holds; None if it cannot be read."""
    try:
        return row.definition
    except ConfigError:
        return None


def trouble_of(row: ScheduleRow) -> str | None:
    """Why what holds cannot be read; None if it can."""
    try:
        row.definition  # noqa: B018 - it is read here
    except ConfigError as error:
        return storable(str(error))
    return None


def _order(rows: Sequence[ScheduleRow]) -> Mapping[str, str | None]:
    """Of each schedule that is not disabled the one that it comes after."""
    return {row.name: _after(row) for row in rows if row.disabled_since is None}


def _after(row: ScheduleRow) -> str | None:
    if '"after"' not in f"{row.code}{row.edit}":  # as with most of ten thousand
        return None
    definition = definition_of(row)
    return None if definition is None else definition.after
