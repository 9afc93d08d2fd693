"""CancellationPoller: finds the running jobs of this worker that were asked to stop."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import KW_ONLY, dataclass

from hammerflow.stores.cancel_files import ids_in_files
from hammerflow.stores.store import Store

__all__ = ["CancellationPoller"]

#: Seconds between two polls: while jobs run, and else.
_BUSY = 1.0
_IDLE = 2.0


@dataclass(eq=False)
class CancellationPoller:
    """Polls the database while jobs run."""

    store: Store
    _: KW_ONLY
    worker_ids: Callable[[], Iterable[int]]  # the registrations under which jobs run
    cancel: Callable[[bytes], None]  # called at each tick until the job has ended

    def tick(self, now: float) -> float:
        """Report every cancelled job that runs here."""
        worker_ids = list(self.worker_ids())
        for worker_id in worker_ids:
            for job_id, _ in self.store.workers.cancels(worker_id):
                self.cancel(job_id)
        for job_id in ids_in_files(self.store.database) if worker_ids else ():
            self.cancel(job_id)
        return _BUSY if worker_ids else _IDLE
