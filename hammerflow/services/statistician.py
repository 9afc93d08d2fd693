"""Statistician: counts the jobs of each minute, in turns with the other workers."""

from __future__ import annotations

import random
import time
from dataclasses import KW_ONLY, dataclass

from hammerflow.stores.store import Store

__all__ = ["Statistician"]

#: Seconds until the turn of a worker that has not noted its end passes to another.
_HOLD = 60.0
#: Minutes that are counted in one turn; a backlog is made up for in several.
_MOST = 120
#: Seconds between two questions whose turn it is; and the pause after a turn that was not enough,
#: as a multiple of the time that it took.
_ASK, _PAUSES = 20.0, 4.0


@dataclass(eq=False)
class Statistician:
    """One worker at a time counts; who ticks when it is due goes on with it."""

    store: Store
    _: KW_ONLY

    def tick(self, now: float) -> float:
        """Count the minutes that are over, if it is due and no other worker does it."""
        statistics = self.store.statistics
        if not statistics.take_turn(_HOLD):
            progress = statistics.progress()
            due_in = 0.0 if progress is None else progress.due_in
            return min(max(due_in, 1.0), _ASK) + random.uniform(0.0, 1.0)
        begun = time.monotonic()
        for _ in range(_MOST):
            if not statistics.count_next():
                pause = statistics.due_in()
                break
        else:
            pause = _PAUSES * (time.monotonic() - begun)
        statistics.end_turn(pause)
        return pause + random.uniform(0.0, 1.0)
