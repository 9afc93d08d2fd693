"""PriorityRule: which ready jobs of a queue a worker starts first."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["STRICT", "WEIGHTS", "PriorityRule"]

#: Shares of starts under weighted priorities, by order: 0 is Priority.CRITICAL.
WEIGHTS = {0: 20, 1: 10, 2: 5, 3: 2, 4: 1}


@dataclass(frozen=True, slots=True)
class PriorityRule:
    """How priorities count.

    Attributes:
        is_weighted: they are shares of starts; else the best priority always comes first.
        aging: seconds after which a ready job counts as of the next better priority, again and
            again; None: it keeps its own. Not with weights, as no priority starves there.
    """

    is_weighted: bool = False
    aging: float | None = None

    @staticmethod
    def of(priorities: str, aging: float | None) -> PriorityRule:
        """The rule that the settings of these names give."""
        is_weighted = priorities == "weighted"
        return PriorityRule(is_weighted, None if is_weighted else aging)


STRICT = PriorityRule()
