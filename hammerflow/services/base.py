"""Service: the one protocol that every periodic duty implements."""

from __future__ import annotations

from typing import Protocol

__all__ = ["Service"]


class Service(Protocol):
    """A periodic duty; to add one, write its class and name it in the supervisor's runtime."""

    def tick(self, now: float) -> float:
        """Do the duty once.

        Ticks may come early or late: do not measure time by counting them. Counting is fine for
        something that is due on every Nth tick.

        Args:
            now: seconds on the clock of :func:`hammerflow.services.lease_clock.now`, read just
                before the call.

        Returns:
            Seconds until the next call.

        Raises:
            StoreUnavailable: the database cannot be used; the runner waits and calls again.
        """
