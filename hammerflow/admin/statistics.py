"""What is known of the past, for programs: JSON of what workers have counted."""

from __future__ import annotations

from typing import Any

from hammerflow.results.statistics import JobStatistics, WorkflowStatistics

__all__ = ["summary_json", "workflow_point_json", "workflow_summary_json"]

_PERCENTS = (50, 95, 99)


def summary_json(noun: str, summary: JobStatistics) -> dict[str, Any]:
    """The figures of one name; ``noun`` says of what: task or queue."""
    times = {
        f"{what}_p{percent}": _rounded(one.percentile(percent))
        for what, one in (("wait", summary.waits), ("run", summary.runs))
        for percent in _PERCENTS
    }
    means = {"wait_mean": _rounded(summary.waits.mean), "run_mean": _rounded(summary.runs.mean)}
    return {noun: summary.name, **summary.jobs, **times, **means}


def workflow_summary_json(summary: WorkflowStatistics) -> dict[str, Any]:
    """The figures of one kind and name."""
    slowest = summary.slowest
    return {
        "name": summary.name, "kind": summary.kind, **_runs(summary),
        "slowest_node": slowest and slowest.name,
        "slowest_node_seconds": _rounded(slowest and slowest.seconds),
    }  # fmt: skip


def workflow_point_json(point: WorkflowStatistics) -> dict[str, Any]:
    """The figures of one minute, hour or day."""
    return {"at": point.at, **_runs(point)}


def _runs(summary: WorkflowStatistics) -> dict[str, Any]:
    return {
        **summary.runs, "success_ratio": _rounded(summary.success_ratio),
        "took_p50": _rounded(summary.times.percentile(50)),
        "took_p95": _rounded(summary.times.percentile(95)),
        "took_mean": _rounded(summary.times.mean),
    }  # fmt: skip


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 6)
