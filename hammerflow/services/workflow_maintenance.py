"""Keeper: ends workflows whose timeout is over, looks at their health, frees what hands broke."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable

from hammerflow.jobs.settlement import Settlement
from hammerflow.stores.store import Store

__all__ = ["WorkflowMaintenance"]

log = logging.getLogger("hammerflow.keeper")
#: Waiting jobs with nothing unfinished before them are looked for at every so-manieth tick.
_SELDOM = 6


class WorkflowMaintenance:
    """Any number of workers may do so at once: each verb takes the workflow's lock.

    Args:
        every: seconds between looks.
        on_settled: called with what a look has ended or let go.
    """

    def __init__(
        self, store: Store, *, every: float, on_settled: Callable[[Settlement], None]
    ) -> None:
        self._store = store
        self._every = every
        self._on_settled = on_settled
        self._ticks = 0

    def tick(self) -> float:
        workflows = self._store.workflows
        overdue = workflows.expire()
        if overdue.ended:
            log.warning("ended %d jobs and workflows whose time was over", len(overdue.ended))
        self._on_settled(overdue)
        for row, health in workflows.check():
            log.info("workflow %s (%s): %s", row.id.hex(), row.name, health)
        if self._ticks % _SELDOM == 0:
            healed = workflows.heal()
            if healed.ended or healed.queues:
                log.warning("let go jobs that waited for nothing unfinished")
            self._on_settled(healed)
        self._ticks += 1
        return self._every * random.uniform(0.8, 1.2)
