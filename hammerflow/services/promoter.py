"""Promoter: moves jobs whose time has come from scheduled to ready."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from hammerflow.stores.store import Store

__all__ = ["Promoter"]

_LIMIT = 5_000


class Promoter:
    """Looks every poll interval at least, and sooner if it knows of a job that is due sooner.

    Args:
        on_ready: called with the names of queues that have new work.
    """

    def __init__(
        self, store: Store, *, poll: float, on_ready: Callable[[Iterable[str]], None]
    ) -> None:
        self._store = store
        self._poll = poll
        self._on_ready = on_ready

    def tick(self) -> float:
        next_in = self._next_due()
        if next_in is None or next_in > 0:  # an idle worker asks one cheap question
            return min(self._poll, max(0.001, next_in or self._poll))
        promoted = self._store.jobs.promote(_LIMIT)
        if promoted.queues:
            self._on_ready(promoted.queues)
        if promoted.count >= _LIMIT:
            return 0.0
        next_in = self._poll if promoted.next_in is None else promoted.next_in
        return max(0.001, min(next_in, self._poll))

    def _next_due(self) -> float | None:
        rows = self._store.database.rows("scheduled_next")
        return None if rows[0][0] is None else float(rows[0][0])
