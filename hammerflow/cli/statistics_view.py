"""What is shown of the statistics: one row for each task or queue."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hammerflow.admin.statistics import (
    summary_json,
    workflow_point_json,
    workflow_summary_json,
)
from hammerflow.cli.output import TableView
from hammerflow.results.statistics import ENDS, STATES, JobStatistics, WorkflowStatistics
from hammerflow.text import timestamp

__all__ = ["NO_JOBS", "NO_WORKFLOWS", "WORKFLOW_POINTS", "WORKFLOW_STATS", "summary_view"]

#: Instead of an empty list.
NO_JOBS = "no job of that time is counted; a worker counts each minute when it is over"


def summary_view(noun: str) -> TableView[JobStatistics]:
    """How summaries are listed; ``noun`` heads the names: task or queue."""
    heads = (noun, *STATES, "wait p50", "p95", "run p50", "p95")
    return TableView(heads, _row, lambda summary: summary_json(noun, summary))


def _row(summary: JobStatistics) -> Sequence[Any]:
    counts = [f"{summary.jobs[state]:,}" for state in STATES]
    times = [_time(one.percentile(p)) for one in (summary.waits, summary.runs) for p in (50, 95)]
    return summary.name, *counts, *times


def _time(seconds: float | None) -> str:
    """``0.3ms``, ``12ms``, ``1.5s``, ``120s``; nothing where no job had one."""
    if seconds is None:
        return ""
    if seconds < 1:
        return f"{seconds * 1000:.2g}ms" if seconds < 0.01 else f"{seconds * 1000:.0f}ms"
    return f"{seconds:.1f}s" if seconds < 10 else f"{seconds:,.0f}s"


NO_WORKFLOWS = "no workflow that ended then is counted; a worker counts each minute when it is over"


def _runs(summary: WorkflowStatistics) -> Sequence[Any]:
    ratio = summary.success_ratio
    counts = [f"{summary.runs[status]:,}" for status in ENDS]
    success = "" if ratio is None else f"{ratio:.1%}"
    return *counts, success, *(_time(summary.times.percentile(p)) for p in (50, 95))


def _workflow_row(summary: WorkflowStatistics) -> Sequence[Any]:
    slowest = summary.slowest
    node = "" if slowest is None else f"{slowest.name} ({_time(slowest.seconds)})"
    return summary.name or "(others)", summary.kind, *_runs(summary), node


def _point_row(point: WorkflowStatistics) -> Sequence[Any]:
    return "" if point.at is None else timestamp(point.at.astimezone()), *_runs(point)


_HEADS = (*ENDS, "success", "took p50", "p95")
WORKFLOW_STATS: TableView[WorkflowStatistics] = TableView(
    ("name", "kind", *_HEADS, "slowest node"), _workflow_row, workflow_summary_json
)
WORKFLOW_POINTS: TableView[WorkflowStatistics] = TableView(
    ("from", *_HEADS), _point_row, workflow_point_json
)
