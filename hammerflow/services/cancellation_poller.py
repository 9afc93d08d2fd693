"""CancellationPoller: finds the running jobs of this worker that were asked to stop."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from hammerflow.stores.store import Store

__all__ = ["CancellationPoller"]

#: Seconds between two polls: while jobs run, and else.
_BUSY = 1.0
_IDLE = 2.0


class CancellationPoller:
    """Polls the database while jobs run.

    Args:
        worker_ids: gives the registrations under which jobs run; empty while none does.
        cancel: called with the id of a job to stop, at each tick until the job has ended.
    """

    def __init__(
        self,
        store: Store,
        *,
        worker_ids: Callable[[], Iterable[int]],
        cancel: Callable[[bytes], None],
    ) -> None:
        self._store = store
        self._worker_ids = worker_ids
        self._cancel = cancel

    def tick(self, now: float) -> float:
        """Report every cancelled job that runs here."""
        worker_ids = list(self._worker_ids())
        for worker_id in worker_ids:
            for job_id, _ in self._store.workers.cancels(worker_id):
                self._cancel(job_id)
        return _BUSY if worker_ids else _IDLE
