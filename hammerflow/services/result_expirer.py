"""ResultExpirer: drops the results of jobs whose ``result_ttl`` is over, and unique keys."""

from __future__ import annotations

import random
from dataclasses import KW_ONLY, dataclass

from hammerflow.stores.store import Store

__all__ = ["ResultExpirer"]


@dataclass(eq=False)
class ResultExpirer:
    """Any number of workers may do so at once."""

    store: Store
    _: KW_ONLY
    interval: float  # seconds between ticks

    def tick(self, now: float) -> float:
        """Drop what is due; a result waits for the jobs that depend on it."""
        while self.store.expiry.drop_results():
            pass
        while self.store.expiry.drop_keys():
            pass
        return self.interval * random.uniform(0.8, 1.0)
