"""Route of the overview: the first page of a dashboard."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

import msgspec

from hammerflow.admin.overview import LastHour, Overview, last_hour_of, overview_of
from hammerflow.stores.statistics.queue_stats import BOUND
from hammerflow.stores.store import Store
from hammerflow.web.recent import Recent
from hammerflow.web.routes.alerts import AlertShown
from hammerflow.web.routes.statistics import (
    FailureGroupShown,
    StatsPoint,
    StatsSeries,
    group_shown,
    shown_group,
)
from hammerflow.web.routes.types import converted
from hammerflow.web.routing import ApiCall, Nothing, Route

__all__ = ["ROUTES", "warm"]

#: Seconds for which all clients of a process share one overview, and what costs most of it: the
#: last hour.
_AGE, _LONG_AGE = 1.0, 5.0
#: Seconds up to which the first client after a pause gets these as they were, while they are read
#: again; and after which a server reads them, so that nobody has to wait for them.
_STALE, _KEPT_WARM = 60.0, 40.0


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


class CountsShown(msgspec.Struct):
    """What there is on the pages of a dashboard, for its navigation.

    Attributes:
        live: the jobs in each live state.
        failures: groups of the last hour.
        workers: those that live.
        alerts: those that fire.
    """

    live: LiveCounts
    failures: int
    queues: int
    workers: int
    silent_workers: int
    schedules: int
    limits: int
    sinks: int
    disabled_webhooks: int
    alerts: int


def show_counts(call: ApiCall[Nothing, None]) -> CountsShown:
    """Count what is on the pages of a dashboard; it is some seconds old at most."""
    recent, store, lease = call.recent, call.backend.store, call.backend.lease
    found = recent.get("look", _AGE, store.queue_stats.look)
    groups = _last_hour(store, recent, _LONG_AGE).failures
    workers = recent.get("workers", _AGE, store.workers.list)
    silent = sum(abs(one["silent_for"]) > lease for one in workers)
    names, alerts = found["names"], found["alerts"]
    return CountsShown(
        _live(found["jobs"]), len(groups), names["queues"], len(workers) - silent,
        silent, names["schedules"], names["limits"], names["sinks"], alerts["endpoints_off"],
        alerts["firing"],
    )  # fmt: skip


def show_overview(call: ApiCall[Nothing, None]) -> OverviewShown:
    """Show what is wrong now first; it is some seconds old at most."""
    found = call.recent.get("overview", _AGE, lambda: _shown(_read(call)))
    groups = [shown_group(group, call.texts) for group in found.failures]
    return msgspec.structs.replace(found, failures=groups)


def _read(call: ApiCall[Nothing, None]) -> Overview:
    store, recent = call.backend.store, call.recent
    return overview_of(
        store, lease=call.backend.lease, last_hour=lambda: _last_hour(store, recent, _LONG_AGE)
    )


def warm(store: Store, recent: Recent) -> None:
    """Read what costs most of an overview, unless somebody has asked for it of late."""
    _last_hour(store, recent, _KEPT_WARM)


def _last_hour(store: Store, recent: Recent, seconds: float) -> LastHour:
    return recent.get("last hour", seconds, lambda: last_hour_of(store), stale=_STALE)


def _live(jobs: Mapping[str, int]) -> LiveCounts:
    return LiveCounts(**jobs, at_least=[state for state, count in jobs.items() if count >= BOUND])


def _shown(found: Overview) -> OverviewShown:
    points = [converted(point, StatsPoint) for point in found.series.points]
    return OverviewShown(
        found.at, [converted(one, ProblemShown) for one in found.problems],
        _live(found.counts.jobs), found.counts.paused, found.counts.is_app_paused,
        converted(found.workers, WorkerTotals), StatsSeries(found.series.span, points),
        [*map(group_shown, found.failures)], [converted(one, AlertShown) for one in found.alerts],
    )  # fmt: skip


ROUTES: Sequence[Route] = (
    Route("GET", "/api/overview", show_overview, OverviewShown),
    Route("GET", "/api/counts", show_counts, CountsShown),
)
