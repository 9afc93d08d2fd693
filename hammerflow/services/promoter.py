"""Promoter: moves jobs whose time has come from scheduled to ready."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from hammerflow.stores.store import Store

__all__ = ["Promoter"]

_LIMIT = 5_000  # jobs in one transaction
_SHORTEST = 0.001  # seconds


class Promoter:
    """Ticks at least once a poll interval, and sooner when it knows of a job that is due sooner.

    Args:
        poll: seconds.
        on_ready: called with the names of queues that have new work.
    """

    def __init__(
        self, store: Store, *, poll: float, on_ready: Callable[[Iterable[str]], None]
    ) -> None:
        self._store = store
        self._poll = poll
        self._on_ready = on_ready

    def tick(self, now: float) -> float:
        """Promote the jobs that are due."""
        next_in = self._store.jobs.next_due()  # one cheap read is all that an idle worker asks
        if next_in is not None and next_in <= 0:
            promoted = self._store.jobs.promote(_LIMIT)
            if promoted.queues:
                self._on_ready(promoted.queues)
            if promoted.count >= _LIMIT:
                return 0.0
            next_in = promoted.next_in
        return self._poll if next_in is None else max(_SHORTEST, min(next_in, self._poll))
