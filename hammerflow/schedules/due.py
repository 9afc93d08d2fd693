"""Due: which ticks of a schedule are made now, and which were missed."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from datetime import datetime, timedelta

from hammerflow.schedules.definition import Definition, Ticks

__all__ = ["Due", "due_ticks"]

#: Missed ticks that are counted.
_COUNTED = 20_000


@dataclass(frozen=True, slots=True)
class Due:
    """What becomes of the ticks of a schedule up to now.

    Attributes:
        run: ticks that run, in order.
        missed: how many do not.
        missed_at: the last of these.
        next_at: the first tick that is not dealt with here; None after the last one.
        is_counted: there may be more missed ones than were counted.
        is_cut: there may be more that are due.
    """

    run: list[datetime]
    missed: int
    missed_at: datetime | None
    next_at: datetime | None
    is_counted: bool = True
    is_cut: bool = False


def due_ticks(
    definition: Definition, ticks: Ticks, first: datetime, now: datetime, since: datetime,
    most: int,
) -> Due:  # fmt: skip
    """Decide on the ticks from ``first`` to ``now``.

    Args:
        since: when the workers that live now began to look for ticks. A tick from then on is made,
            however late; one before was missed, and the misfire policy decides.
        most: how many ticks may run now; later ones are left for the next time.
    """
    missed = [first] if first < since else []
    if missed:
        later = itertools.takewhile(lambda tick: tick < since, ticks.after(first))
        missed += itertools.islice(later, _COUNTED)
    is_counted = len(missed) <= _COUNTED
    last = (missed[-1] if is_counted else ticks.last_before(since)) if missed else None
    run: list[datetime] = []
    if last is not None and definition.misfire != "skip":
        oldest = definition.oldest
        is_late = oldest is not None and last < now - timedelta(seconds=oldest)
        if definition.misfire == "once":
            run = [] if is_late else [last]
        elif oldest is not None and not is_late:
            begin = max(first, now - timedelta(seconds=oldest)) - timedelta(microseconds=1)
            caught = itertools.takewhile(lambda tick: tick < since, ticks.after(begin))
            run = [*itertools.islice(caught, most)]
    lost = missed if not run else [tick for tick in missed if tick < run[0]]
    if len(run) < most:
        on_time = itertools.takewhile(lambda tick: tick <= now, ticks.after(last or first))
        given = () if missed else (first,)
        run += itertools.islice(itertools.chain(given, on_time), most - len(run))
    is_cut = len(run) >= most
    handled = run[-1] if run and (is_cut or last is None) else max([last or first, *run[-1:]])
    next_at = ticks.next_after(handled)
    return Due(run, len(lost), lost[-1] if lost else None, next_at, is_counted, is_cut)
