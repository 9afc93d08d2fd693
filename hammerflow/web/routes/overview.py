"""Route of the overview: the first page of a dashboard."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import msgspec

from hammerflow.admin.overview import Overview, overview_of
from hammerflow.stores.queue_stats import BOUND
from hammerflow.web.routes.alerts import AlertShown
from hammerflow.web.routes.statistics import (
    FailureGroupShown,
    StatsPoint,
    StatsSeries,
    group_shown,
)
from hammerflow.web.routes.types import converted
from hammerflow.web.routing import ApiCall, Nothing, Route

__all__ = ["ROUTES"]

_AGE = 1.0  # seconds for which all clients of a process share one overview


class ProblemShown(msgspec.Struct):
    """Something that is wrong.

    Attributes:
        severity: critical or warning.
        subject: the queue, task ... that it is about; empty for all.
    """

    severity: str
    code: str
    subject: str
    says: str
    advice: str


class LiveCounts(msgspec.Struct):
    """Jobs in each live state; at_least: the states whose numbers are lower bounds."""

    ready: int
    running: int
    scheduled: int
    waiting: int
    parked: int
    at_least: list[str]


class WorkerTotals(msgspec.Struct):
    """Workers by their last heartbeats, and the children of those that live."""

    alive: int
    silent: int
    draining: int
    children: int
    busy: int


class OverviewShown(msgspec.Struct):
    """What is wrong, how much there is to do, and the last hour by minute.

    Attributes:
        problems: the worst first.
        paused: queues and tasks.
        failures: of the last hour, in groups, the largest first.
    """

    at: datetime
    problems: list[ProblemShown]
    counts: LiveCounts
    paused: int
    is_app_paused: bool
    workers: WorkerTotals
    series: StatsSeries
    failures: list[FailureGroupShown]
    alerts: list[AlertShown]


def show_overview(call: ApiCall[Nothing, None]) -> OverviewShown:
    """Show what is wrong now first; it is at most a second old."""
    backend = call.backend
    return call.recent.get(
        "overview", _AGE, lambda: _shown(overview_of(backend.store, lease=backend.lease))
    )


def _shown(found: Overview) -> OverviewShown:
    jobs = found.counts.jobs
    at_least = [state for state, count in jobs.items() if count >= BOUND]
    points = [converted(point, StatsPoint) for point in found.series.points]
    return OverviewShown(
        found.at, [converted(one, ProblemShown) for one in found.problems],
        LiveCounts(**jobs, at_least=at_least), found.counts.paused, found.counts.is_app_paused,
        converted(found.workers, WorkerTotals), StatsSeries(found.series.span, points),
        [*map(group_shown, found.failures)], [converted(one, AlertShown) for one in found.alerts],
    )  # fmt: skip


ROUTES: Sequence[Route] = (Route("GET", "/api/overview", show_overview, OverviewShown),)
