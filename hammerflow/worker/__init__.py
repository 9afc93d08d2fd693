"""The worker: a supervisor, a fork server that has imported the app, and children."""

from __future__ import annotations

from hammerflow.process.streams import guard_streams, open_missing_streams
from hammerflow.worker.loading import preload
from hammerflow.worker.options import WorkerOptions, read_queues

__all__ = ["WorkerOptions", "read_queues", "run"]


def run(options: WorkerOptions) -> int:
    """Run a worker in this process until it is told to stop.

    Returns:
        The exit code: 0 after a drain, 1 if some outcomes could not be written.

    Raises:
        ConfigError: the app or a module of ``HAMMERFLOW_PRELOAD`` cannot be imported, or the
            database is not migrated.
        StoreUnavailable: the database cannot be reached at the start, for longer than
            ``wait_for_database``.
    """
    from hammerflow.worker.supervisor.supervisor import Supervisor

    open_missing_streams()
    guard_streams()
    preload()
    return Supervisor(options).run()
