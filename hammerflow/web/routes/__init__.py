"""The table of routes: each noun has a module, and the table is all of theirs."""

from __future__ import annotations

from collections.abc import Sequence

from hammerflow.web.routes import access, jobs, queues, spawns, tasks, workers, workflows
from hammerflow.web.routing import Route

__all__ = ["ROUTES"]

ROUTES: Sequence[Route] = (
    *jobs.ROUTES, *queues.ROUTES, *tasks.ROUTES, *workers.ROUTES, *workflows.ROUTES,
    *spawns.ROUTES, *access.ROUTES,
)  # fmt: skip
