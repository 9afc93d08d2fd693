"""The worker: a supervisor, a fork server that has imported the app, and children."""

from __future__ import annotations

import os

from hammerflow.worker.options import WorkerOptions, read_queues

__all__ = ["WorkerOptions", "put_faults", "read_queues", "run"]


def run(options: WorkerOptions) -> int:
    """Run a worker in this process until it is told to stop.

    Returns:
        The exit code: 0 after a drain, 1 if some outcomes could not be written.

    Raises:
        ConfigError: the app cannot be imported, or the database is not migrated.
        StoreUnavailable: the database cannot be reached at the start.
    """
    from hammerflow.worker.supervisor.supervisor import Supervisor

    put_faults()
    return Supervisor(options).run()


def put_faults() -> None:
    """Put the fault points into this process, where ``HAMMERFLOW_FAULTS`` asks for them."""
    if folder := os.environ.get("HAMMERFLOW_FAULTS"):
        from hammerflow.testing.failpoints import install

        install(folder)
