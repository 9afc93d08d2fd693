"""Schedule order: which schedules come after which, inside one transaction."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from hammerflow.errors import ConfigError
from hammerflow.schedules.definition import Definition
from hammerflow.schedules.order import circle_of, refuse_circle
from hammerflow.stores.database import Tx
from hammerflow.stores.transitions.schedule_ticks import ScheduleRow
from hammerflow.text import storable

__all__ = ["circles", "definition_of", "lock_order", "refuse_own_circle", "trouble_of"]

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
