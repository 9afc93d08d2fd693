"""Promoter: moves jobs whose time has come from scheduled to ready."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import KW_ONLY, dataclass

from hammerflow.stores.store import Store

__all__ = ["Promoter"]

_LIMIT = 5_000  # jobs in one transaction
_SHORTEST = 0.001  # seconds


@dataclass(eq=False)
class Promoter:
    """Ticks at least once a poll interval, and sooner when it knows of a job that is due sooner."""

    store: Store
    _: KW_ONLY
    poll: float  # seconds
    on_ready: Callable[[Iterable[str]], None]  # called with the queues that have new work

    def tick(self, now: float) -> float:
        """Promote the jobs that are due."""
        next_in = self.store.jobs.next_due()  # one cheap read is all that an idle worker asks
        if next_in is not None and next_in <= 0:
            promoted = self.store.jobs.promote(_LIMIT)
            if promoted.queues:
                self.on_ready(promoted.queues)
            if promoted.count >= _LIMIT:
                return 0.0
            next_in = self.store.jobs.next_due()
        return self.poll if next_in is None else max(_SHORTEST, min(next_in, self.poll))
