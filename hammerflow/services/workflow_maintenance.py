"""WorkflowMaintenance: ends overdue workflows, checks their health, unblocks stuck jobs."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable

from hammerflow.jobs.settlement import Settlement
from hammerflow.stores.store import Store

__all__ = ["WorkflowMaintenance"]

log = logging.getLogger("hammerflow.maintenance")
_HEAL_EVERY = 6  # ticks


class WorkflowMaintenance:
    """Any number of workers may do so at once: each store verb takes the workflow's lock.

    Args:
        interval: seconds between ticks.
        on_settled: called with what a tick has ended or unblocked.
    """

    def __init__(
        self, store: Store, *, interval: float, on_settled: Callable[[Settlement], None]
    ) -> None:
        self._store = store
        self._interval = interval
        self._on_settled = on_settled
        self._ticks = 0

    def tick(self, now: float) -> float:
        """End and check; heal at every sixth tick."""
        workflows = self._store.workflows
        overdue = workflows.expire()
        if overdue.ended:
            log.warning("ended %d jobs and workflows: workflow timeout", len(overdue.ended))
        self._on_settled(overdue)
        for row, health in workflows.check():
            log.info("workflow %s (%s): %s", row.id.hex(), row.name, health)
        if self._ticks % _HEAL_EVERY == 0:
            healed = workflows.heal()
            if healed.ended or healed.queues:
                log.warning("unblocked jobs whose dependencies had already ended")
            self._on_settled(healed)
        self._ticks += 1
        return self._interval * random.uniform(0.8, 1.2)
