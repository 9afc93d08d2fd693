"""WorkflowMaintenance: ends overdue workflows, checks their health, unblocks stuck jobs, drops the
limits of ended batches."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass, field

from hammerflow.jobs.settlement import Settlement
from hammerflow.stores.store import Store
from hammerflow.text import counted

__all__ = ["WorkflowMaintenance"]

log = logging.getLogger("hammerflow.maintenance")
_HEAL_EVERY = 6  # ticks


@dataclass(eq=False)
class WorkflowMaintenance:
    """Any number of workers may do so at once: each store verb takes the workflow's lock."""

    store: Store
    _: KW_ONLY
    interval: float  # seconds between ticks
    on_settled: Callable[[Settlement], None]  # called with what a tick has ended or unblocked
    _ticks: int = field(init=False, default=0)

    def tick(self, now: float) -> float:
        """End and check; heal at every sixth tick."""
        workflows = self.store.workflows
        overdue = workflows.expire()
        if overdue.ended:
            log.warning(
                "ended %s at the timeout of a workflow",
                counted(len(overdue.ended), "job or workflow", "jobs and workflows"),
            )
        self.on_settled(overdue)
        for row, health in workflows.check():
            log.info("workflow %s (%s): %s", row.id.hex(), row.name, health)
        if self._ticks % _HEAL_EVERY == 0:
            healed = workflows.heal()
            if healed.ended or healed.queues:
                log.warning("unblocked jobs whose dependencies had already ended")
            self.on_settled(healed)
            self.store.limits.drop_ended()
        self._ticks += 1
        return self.interval * random.uniform(0.8, 1.2)
