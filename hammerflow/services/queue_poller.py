"""QueuePoller: reads which queues exist and which are paused."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass, field

from hammerflow.stores.store import Store

__all__ = ["QueuePoller"]

log = logging.getLogger("hammerflow.queues")
_MOST = 10.0  # seconds between two ticks, and between two searches for queues without a name
_SHARE = 50  # a tick that takes long, because there are very many queues, comes less often


@dataclass(eq=False)
class QueuePoller:
    """Reads the queues at each poll, and when it is woken.

    So the first job of a new queue waits for a poll at most, whether or not a ring is heard. A
    claim refuses a paused queue in any case; to know it here saves the claim.
    """

    store: Store
    _: KW_ONLY
    poll: float  # seconds
    with_names: bool  # every queue is served, so report their names, too
    on_queues: Callable[[set[str], set[str]], None]  # called with the paused queues and all queues
    _search_at: float = field(init=False, default=0.0)
    _unnamed: set[str] = field(init=False, default_factory=set)

    def tick(self, now: float) -> float:
        """Report the queues."""
        began = time.monotonic()
        paused, names = self.store.queues.seen()
        if self.with_names and now >= self._search_at:
            self._search_at = now + _MOST
            self._search()
        self.on_queues(paused, names | self._unnamed if self.with_names else set())
        return min(max(self.poll, _SHARE * (time.monotonic() - began)), max(self.poll, _MOST))

    def _search(self) -> None:
        """Find queues with ready jobs that have no name."""
        found = self.store.queues.unnamed()
        if found - self._unnamed:
            log.warning(
                "the database has ready jobs in queues whose names are gone: %s (were its tables "
                "emptied, or a backup restored?); they are served all the same",
                ", ".join(sorted(found)),
            )
        self._unnamed = found
