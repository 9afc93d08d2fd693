"""How many children a worker has and should have, as others are told."""

from __future__ import annotations

import math
import time

from hammerflow.worker.options import ChildRange
from hammerflow.worker.supervisor.pool import Pool

__all__ = ["ChildCount"]

#: Seconds after which a child that is missing counts: longer than a fork takes.
_MISSING_WAIT = 5.0


class ChildCount:
    """The numbers of children that a worker registers, for ``worker list`` and ``doctor``.

    Args:
        limits: of the start, before the pool has any.
    """

    def __init__(self, limits: ChildRange) -> None:
        self._told = 0, limits.least, limits
        self._complete_at = -math.inf  # when none was missing last

    def update(self, pool: Pool) -> bool:
        """Look at the pool; whether there is something to tell."""
        now, missing = time.monotonic(), pool.missing_children
        if not missing or self._complete_at == -math.inf:
            self._complete_at = now
        if now - self._complete_at < _MISSING_WAIT:
            missing = min(missing, self._told[0])
        before, self._told = self._told, (missing, pool.size, pool.child_range)
        return self._told != before

    @property
    def info(self) -> dict[str, int | str]:
        """What is told."""
        missing, size, limits = self._told
        return {"children": size, "missing": missing, "child_range": limits.to_plain()}
