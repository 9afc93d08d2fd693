"""The worker: a supervisor, a fork server that has imported the app, and children."""

from __future__ import annotations

import importlib
import os

from hammerflow.errors import ConfigError
from hammerflow.worker.options import WorkerOptions, read_queues

__all__ = ["WorkerOptions", "preload", "read_queues", "run"]


def run(options: WorkerOptions) -> int:
    """Run a worker in this process until it is told to stop.

    Returns:
        The exit code: 0 after a drain, 1 if some outcomes could not be written.

    Raises:
        ConfigError: the app cannot be imported, or the database is not migrated.
        StoreUnavailable: the database cannot be reached at the start.
    """
    from hammerflow.worker.supervisor.supervisor import Supervisor

    preload()
    return Supervisor(options).run()


def preload() -> None:
    """Import the modules that ``HAMMERFLOW_PRELOAD`` names, separated by commas.

    Each process of a worker does so before it opens a store or imports the app: the place for
    instrumentation, and for :mod:`hammerflow.testing.failpoints`.

    Raises:
        ConfigError: one of the modules cannot be imported.
    """
    for name in filter(None, os.environ.get("HAMMERFLOW_PRELOAD", "").split(",")):
        try:
            importlib.import_module(name.strip())
        except ImportError as error:
            raise ConfigError(
                f"HAMMERFLOW_PRELOAD: cannot import {name.strip()}: {error}"
            ) from error
