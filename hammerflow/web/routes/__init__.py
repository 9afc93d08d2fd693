"""The table of routes: each noun has a module, and the table is all of theirs."""

from __future__ import annotations

from collections.abc import Sequence

from hammerflow.web.routes import (
    access,
    alerts,
    archive,
    batches,
    events,
    job_actions,
    job_logs,
    jobs,
    limits,
    operations,
    overview,
    pauses,
    queues,
    schedules,
    sinks,
    spawns,
    statistics,
    tasks,
    webhooks,
    workers,
    workflows,
)
from hammerflow.web.routing import Route

__all__ = ["ROUTES"]

ROUTES: Sequence[Route] = (
    *overview.ROUTES, *jobs.ROUTES, *job_actions.ROUTES, *job_logs.ROUTES, *operations.ROUTES,
    *statistics.ROUTES, *queues.ROUTES, *tasks.ROUTES, *pauses.ROUTES, *limits.ROUTES,
    *workers.ROUTES, *workflows.ROUTES, *batches.ROUTES, *spawns.ROUTES, *schedules.ROUTES,
    *events.ROUTES, *sinks.ROUTES, *webhooks.ROUTES, *alerts.ROUTES, *archive.ROUTES,
    *access.ROUTES,
)  # fmt: skip
