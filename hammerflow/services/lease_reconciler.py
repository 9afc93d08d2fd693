"""LeaseReconciler: releases leases of this worker whose jobs never reached it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import AbstractContextManager

from hammerflow.services.database_status import DatabaseStatus
from hammerflow.stores.store import Store

__all__ = ["LeaseReconciler"]

log = logging.getLogger("hammerflow.reconciler")
_INTERVAL = 5.0  # seconds
_EVERY_TICKS = 12  # once a minute without a recovery


class LeaseReconciler:
    """Compares leases once a minute, and soon after each recovery of the database.

    When a connection breaks during a claim, the database may have granted leases in a reply that
    never arrived. The worker's heartbeat keeps them alive, so no sweep would rescue those jobs.

    Args:
        database_status: says when the database has recovered.
        between_claims: a context in which no claim is under way.
        held: gives the worker id and the ids of all jobs held under it; called in that context.
        on_ready: called when jobs were released.
    """

    def __init__(
        self,
        store: Store,
        *,
        database_status: DatabaseStatus,
        between_claims: Callable[[], AbstractContextManager[None]],
        held: Callable[[], tuple[int, set[bytes]]],
        on_ready: Callable[[], None],
    ) -> None:
        self._store = store
        self._database_status = database_status
        self._between_claims = between_claims
        self._held = held
        self._on_ready = on_ready
        self._recoveries = database_status.recoveries
        self._ticks = 0

    def tick(self, now: float) -> float:
        """Release what this worker does not hold, if it is time."""
        self._ticks += 1
        recoveries = self._database_status.recoveries
        if recoveries == self._recoveries and self._ticks % _EVERY_TICKS:
            return _INTERVAL
        self._recoveries = recoveries
        with self._between_claims():
            worker_id, held = self._held()
            released = self._store.jobs.release_unheld(worker_id, held)
        if released:
            log.warning("released %d leases from claims whose reply never arrived", released)
            self._on_ready()
        return _INTERVAL
