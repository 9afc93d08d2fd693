"""LeaseReconciler: releases leases of this worker whose jobs never reached it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import KW_ONLY, dataclass, field

from hammerflow.services.database_status import DatabaseStatus
from hammerflow.stores.store import Store
from hammerflow.text import counted

__all__ = ["LeaseReconciler"]

log = logging.getLogger("hammerflow.reconciler")
_INTERVAL = 5.0  # seconds
_EVERY_TICKS = 12  # once a minute without a recovery


@dataclass(eq=False)
class LeaseReconciler:
    """Compares leases once a minute, and soon after each recovery of the database.

    When a connection breaks during a claim, the database may have granted leases in a reply that
    never arrived. The worker's heartbeat keeps them alive, so no sweep would rescue those jobs.
    """

    store: Store
    _: KW_ONLY
    database_status: DatabaseStatus
    between_claims: Callable[[], AbstractContextManager[None]]  # no claim is under way in it
    held: Callable[[], tuple[int, set[bytes]]]  # worker id, jobs under it; called in there
    on_ready: Callable[[], None]  # called when jobs were released
    _ticks: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        self._recoveries = self.database_status.recoveries

    def tick(self, now: float) -> float:
        """Release what this worker does not hold, if it is time."""
        self._ticks += 1
        recoveries = self.database_status.recoveries
        if recoveries == self._recoveries and self._ticks % _EVERY_TICKS:
            return _INTERVAL
        self._recoveries = recoveries
        with self.between_claims():
            worker_id, held = self.held()
            released = self.store.jobs.release_unheld(worker_id, held)
        if released:
            log.warning(
                "released %s from claims whose reply never arrived", counted(released, "lease")
            )
            self.on_ready()
        return _INTERVAL
