"""Auditor: gives back leases of this worker that it knows nothing of."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import AbstractContextManager

from hammerflow.services.database_status import DatabaseStatus
from hammerflow.stores.store import Store

__all__ = ["LeaseReconciler"]

log = logging.getLogger("hammerflow.auditor")
_EVERY = 5.0
_SELDOM = 12


class LeaseReconciler:
    """When a connection breaks in mid-claim the database may have given leases whose rows never
    came. Asked once a minute, and soon after the database was lost.

    Args:
        between_claims: a context in which no claim is under way.
        held: gives worker id and the ids of all jobs held under it; called in that context.
        on_ready: called when jobs were given back.
    """

    def __init__(
        self,
        store: Store,
        *,
        weather: DatabaseStatus,
        between_claims: Callable[[], AbstractContextManager[None]],
        held: Callable[[], tuple[int, set[bytes]]],
        on_ready: Callable[[], None],
    ) -> None:
        self._store = store
        self._weather = weather
        self._between_claims = between_claims
        self._held = held
        self._on_ready = on_ready
        self._changes = weather.changes
        self._ticks = 0

    def tick(self) -> float:
        self._ticks += 1
        if self._weather.changes == self._changes and self._ticks % _SELDOM:
            return _EVERY
        self._changes = self._weather.changes
        with self._between_claims():
            worker_id, held = self._held()
            released = self._store.jobs.release_unheld(worker_id, held)
        if released:
            log.warning("gave back %d jobs of claims whose answer was lost", released)
            self._on_ready()
        return _EVERY
