"""Service: the one protocol that every periodic duty implements."""

from __future__ import annotations

from typing import Protocol

__all__ = ["Service"]


class Service(Protocol):
    """A periodic duty; add one by writing its class and naming it in the supervisor's list."""

    def tick(self, now: float) -> float:
        """Do the duty once.

        It may run late, or sooner than asked, so it derives nothing from the number of its calls
        but how often to do something rare.

        Args:
            now: seconds on the clock of :func:`hammerflow.services.lease_clock.now`, read just
                before the call.

        Returns:
            Seconds until the next call.

        Raises:
            StoreUnavailable: the database cannot be used; the runner waits and calls again.
        """
