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
    """

    is_weighted: bool = False


STRICT = PriorityRule()
