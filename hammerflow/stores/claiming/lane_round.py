"""How far the lanes of a queue have been looked at by one process."""

from __future__ import annotations

from dataclasses import dataclass, field

from hammerflow.jobs.limit import span_of

__all__ = ["NARROW", "WINDOW", "LaneRound"]

#: Lanes that one claim looks at, for each priority; fewer where the last one has found enough.
WINDOW, NARROW = 250, 32


@dataclass(slots=True)
class LaneRound:
    """How far the lanes of a queue have been looked at, and when to look again."""

    cursors: dict[int, int] = field(default_factory=dict)  # by order: the last lane
    waits: list[float] = field(default_factory=list)  # of the lanes that the last claim met
    began: float = 0.0
    rest_until: float = 0.0  # lanes that hold nothing to claim take their share of the time only
    search_at: float = 0.0
    searched: dict[int, bytes] = field(default_factory=dict)  # by order: the next id to search from
    is_wide: bool = False  # there are more lanes than those that were read last
    wide: set[int] = field(default_factory=set)  # the orders with more lanes than a claim looks at
    width: int = 2  # lanes that one claim tries at first
    window: int = WINDOW  # lanes that one claim looks at
    is_fair: bool = False  # the last claim met jobs with a fairness key
    lane_of: dict[int, int] = field(default_factory=dict)  # the last lane of each fairness key

    def best_wide(self, after: int, end: int) -> int | None:
        """The best order between two lanes that has more lanes than a claim looks at."""
        known = (order for order in self.wide if after <= span_of(order)[0] < end)
        return min(known, default=None)
