"""Routes of statistics: figures over time, totals, and failures in groups."""

from __future__ import annotations

import uuid
from bisect import bisect_right
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated

import msgspec
from msgspec import Meta

from hammerflow.admin.failures import FailureGroup, failure_groups
from hammerflow.admin.series import series_of
from hammerflow.admin.shown_texts import ShownTexts
from hammerflow.admin.statistics import (
    summary_json,
    workflow_point_json,
    workflow_summary_json,
)
from hammerflow.results.statistics import (
    queue_totals,
    to_workflows_over_time,
    window_of,
    workflow_totals,
)
from hammerflow.web.routes.types import Hours, Name, When, converted, instant_of
from hammerflow.web.routing import ApiCall, Route

__all__ = ["ROUTES", "FailureGroupShown", "StatsPoint", "group_shown", "shown_group"]

#: Queues of one answer: a histogram for each queue, task, state and hour is decoded.
_MOST_QUEUES = 50
_NEWEST = 3_000  # errors, and parked jobs, that are grouped


class SeriesQuery(msgspec.Struct, forbid_unknown_fields=True):
    """Of which time, and of which task or queue."""

    hours: Hours = 1.0
    task: Name | None = None
    queue: Name | None = None


class StatsFields(msgspec.Struct, kw_only=True):
    """How many jobs were enqueued and ended, and how long they waited and ran.

    Times are in seconds; percentiles are right to within 9.1 %.
    """

    enqueued: int
    completed: int
    failed: int
    cancelled: int
    skipped: int
    wait_p50: float | None
    wait_p95: float | None
    wait_p99: float | None
    run_p50: float | None
    run_p95: float | None
    run_p99: float | None
    wait_mean: float | None
    run_mean: float | None


class StatsPoint(StatsFields, kw_only=True):
    """The figures from at on."""

    at: datetime


class StatsSeries(msgspec.Struct):
    """Points in the order of time; span: seconds of each."""

    span: int
    points: list[StatsPoint]


class QueueStatsQuery(msgspec.Struct, forbid_unknown_fields=True):
    """Of which time, of which task, and of which queues."""

    hours: Hours = 24.0
    task: Name | None = None
    queue: Annotated[Name, Meta(description="This one alone.")] | None = None
    after: Annotated[Name, Meta(description="Begin after this queue.")] | None = None
    limit: Annotated[int, Meta(ge=1, le=_MOST_QUEUES, description="The most queues.")] = 25


class QueueStatsRow(StatsFields, kw_only=True):
    """The figures of a queue."""

    queue: str


class QueueStatsList(msgspec.Struct):
    """The statistics of queues in the order of their names; of those without any jobs none.

    Attributes:
        next: give it as after to read on; null after the last queue.
    """

    items: list[QueueStatsRow]
    next: str | None


class WorkflowStatsQuery(msgspec.Struct, forbid_unknown_fields=True):
    """Of which time, and of which name."""

    hours: Hours = 24.0
    name: Name | None = None


class RunFields(msgspec.Struct, kw_only=True):
    """How many runs of workflows ended, and how long they took, in seconds.

    Attributes:
        success_ratio: of completed runs among those that completed or failed.
        took_p50: from the start of a run to its end; percentiles are right to within 9.1 %.
    """

    completed: int
    failed: int
    cancelled: int
    success_ratio: float | None
    took_p50: float | None
    took_p95: float | None
    took_mean: float | None


class WorkflowStatsRow(RunFields, kw_only=True):
    """The figures of a kind and name of workflows.

    Attributes:
        name: empty where rare names are counted together.
        slowest_node: that ran longest on average in the last 20 runs; told of the 20 names with
            most runs.
    """

    name: str
    kind: str
    slowest_node: str | None
    slowest_node_seconds: float | None


class WorkflowStatsPoint(RunFields, kw_only=True):
    """The figures from at on."""

    at: datetime


class WorkflowStatsList(msgspec.Struct):
    """The statistics of each name, and of all names or the one that was asked for over time.

    Attributes:
        span: seconds of a point.
        points: in the order of time, also where nothing ended.
    """

    items: list[WorkflowStatsRow]
    span: int
    points: list[WorkflowStatsPoint]


def list_workflow_stats(call: ApiCall[WorkflowStatsQuery, None]) -> WorkflowStatsList:
    """Show how many runs of workflows ended, how many completed, and how long they took.

    Over time by minute below a day, by hour up to 24 days, then by day.
    """
    store, query = call.backend.store, call.query
    window = window_of(store, query.hours * 3600)
    runs = store.statistics.of_workflows(window, name=query.name)
    names = workflow_totals(store, window, runs)
    points = to_workflows_over_time(window, runs, query.name or "")
    return WorkflowStatsList(
        [converted(workflow_summary_json(one), WorkflowStatsRow) for one in names],
        window.span,
        [converted(workflow_point_json(one), WorkflowStatsPoint) for one in points],
    )


def show_series(call: ApiCall[SeriesQuery, None]) -> StatsSeries:
    """Show figures over time: by minute below a day, by hour up to 24 days, then by day.

    Those of a queue are by hour from 3 hours on.
    """
    store, query = call.backend.store, call.query
    window = window_of(store, query.hours * 3600, queue=query.queue)
    found = store.statistics.summed(window, task=query.task, queue=query.queue)
    series = series_of(window, found)
    return StatsSeries(series.span, [converted(point, StatsPoint) for point in series.points])


def list_queue_stats(call: ApiCall[QueueStatsQuery, None]) -> QueueStatsList:
    """Show how many jobs of each queue were enqueued and ended, and their times."""
    store, query = call.backend.store, call.query
    if query.queue is not None:
        names: Sequence[str] = [query.queue]
        following = None
    else:
        known = store.queues.registered()
        rest = known[bisect_right(known, query.after or "") :]
        names = rest[: query.limit]
        following = names[-1] if len(rest) > query.limit else None
    found = queue_totals(store, query.hours * 3600, task=query.task, queues=names)
    rows = [converted(summary_json("queue", one), QueueStatsRow) for one in found]
    return QueueStatsList(rows, following)


class FailuresQuery(msgspec.Struct, forbid_unknown_fields=True):
    """Which failures."""

    task: Name | None = None
    error: Annotated[Name, Meta(description="A type, or its last part.")] | None = None
    since: When | None = None


class FailureGroupShown(msgspec.Struct):
    """Failed or parked jobs of a task with the same type of error and alike messages.

    Attributes:
        key: give it as group to an operation, to run all of them again.
        pattern: the message, with * for what differs.
        message: of the newest.
        hours: how many in each of the last 24 hours, the oldest first.
        samples: the newest jobs.
    """

    key: str
    task: str
    error: str
    pattern: str
    message: str
    jobs: int
    first_at: datetime | None
    last_at: datetime | None
    hours: list[int]
    samples: list[uuid.UUID]


class FailureList(msgspec.Struct):
    """Groups, the largest first; is_cut: only the newest 3 000 errors were read."""

    items: list[FailureGroupShown]
    is_cut: bool


def list_failures(call: ApiCall[FailuresQuery, None]) -> FailureList:
    """List failed and parked jobs in groups: by task, type of error and message."""
    query, since = call.query, instant_of(call.query.since, "since")
    dead = call.backend.store.dead_letters
    letters = dead.newest(_NEWEST)
    kept = [
        each for each in letters
        if query.task in (None, each.task)
        and query.error in (None, each.error, each.error.rpartition(".")[2])
        and (since is None or (each.at is not None and each.at >= since))
    ]  # fmt: skip
    groups = [shown_group(group_shown(group), call.texts) for group in failure_groups(kept)]
    return FailureList(groups, len(letters) >= _NEWEST or dead.has_older(_NEWEST))


def group_shown(group: FailureGroup) -> FailureGroupShown:
    """A group for clients."""
    ids = [uuid.UUID(bytes=id_) for id_ in group.samples]
    fields = {name: getattr(group, name) for name in FailureGroupShown.__struct_fields__}
    return FailureGroupShown(**{**fields, "samples": ids})


def shown_group(group: FailureGroupShown, texts: ShownTexts) -> FailureGroupShown:
    """A group as somebody may see it."""
    pattern, message = texts.message(group.pattern), texts.message(group.message)
    return msgspec.structs.replace(group, pattern=pattern, message=message)


ROUTES: Sequence[Route] = (
    Route("GET", "/api/statistics", show_series, StatsSeries, query=SeriesQuery),
    Route("GET", "/api/queue-stats", list_queue_stats, QueueStatsList, query=QueueStatsQuery),
    Route(
        "GET",
        "/api/workflow-stats",
        list_workflow_stats,
        WorkflowStatsList,
        query=WorkflowStatsQuery,
    ),
    Route("GET", "/api/failures", list_failures, FailureList, query=FailuresQuery),
)
