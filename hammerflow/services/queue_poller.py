"""QueuePoller: reads which queues exist and which are paused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass

from hammerflow.stores.store import Store

__all__ = ["QueuePoller"]

_INTERVAL = 10.0  # seconds


@dataclass(eq=False)
class QueuePoller:
    """Reads the queues every ten seconds, and when it is woken.

    A claim refuses a paused queue in any case; to know it here saves the claim.
    """

    store: Store
    _: KW_ONLY
    with_names: bool  # read the names of all queues, too
    on_queues: Callable[[set[str], set[str]], None]  # called with the paused queues and all queues

    def tick(self, now: float) -> float:
        """Report the queues."""
        queues = self.store.queues
        self.on_queues(queues.paused(), queues.names() if self.with_names else set())
        return _INTERVAL
