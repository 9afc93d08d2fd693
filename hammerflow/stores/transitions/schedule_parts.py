"""Schedule parts: how many ticks one transaction makes of which schedules, and what came of all."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from hammerflow.stores.transitions.schedule_order import definition_of
from hammerflow.stores.transitions.schedule_ticks import MadeTicks, ScheduleRow

__all__ = ["Made", "parts_of"]

#: Runs that one transaction makes: jobs, which are inserted by one statement for all of them. What
#: takes statements of its own, as a workflow or a run behind another one does, counts so often.
_RUNS, _COSTLY = 200, 20
#: What one run each of the costly schedules of a transaction may count together: few of them, so
#: that each makes several ticks of a backlog, and another worker makes those of others meanwhile.
_TOGETHER = 50


@dataclass(slots=True)
class Made:
    """What one round has made.

    Attributes:
        watched: for how many seconds the workers that live now have looked for ticks.
        cancelled: earlier runs that were cancelled for the policy ``cancel_old``.
        queues: with ready work.
        is_more: more is due.
        is_crowded: another worker has made most of what this one had found.
    """

    watched: float = 0.0
    cancelled: set[bytes] = field(default_factory=set)
    ticks: MadeTicks = field(default_factory=MadeTicks)
    queues: set[str] = field(default_factory=set)
    is_more: bool = False
    is_crowded: bool = False


def parts_of(rows: Sequence[ScheduleRow]) -> Iterator[tuple[Sequence[ScheduleRow], int]]:
    """Due schedules in lists for one transaction each, with how many ticks of each it makes at
    most. Plain ones come first, and wait for no other; those that come after another one's tick are
    last."""
    part: list[ScheduleRow] = []
    costs, was_costly = 0, False
    for row in sorted(rows, key=lambda row: (_comes_after(row), _cost(row) > 1)):
        cost = _cost(row)
        is_costly = cost > 1
        most = _TOGETHER if is_costly else _RUNS
        if part and (is_costly != was_costly or costs + cost > most):
            yield part, max(1, _RUNS // costs)
            part, costs = [], 0
        part.append(row)
        costs, was_costly = costs + cost, is_costly
    if part:
        yield part, max(1, _RUNS // costs)


def _comes_after(row: ScheduleRow) -> bool:
    definition = definition_of(row)
    return definition is not None and definition.after is not None


def _cost(row: ScheduleRow) -> int:
    """Of one run."""
    definition = definition_of(row)
    if definition is None:
        return 1
    jobs = definition.call.jobs
    is_alone = definition.after is None and definition.overlap in ("allow", "skip")
    is_plain = is_alone and not definition.call.workflows and jobs[0].unique is None
    return 1 if is_plain else _COSTLY + len(jobs)
