"""What is known of the past: one summary for each task or queue."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from hammerflow.jobs.histogram import Histogram
from hammerflow.stores.statistics import Counts, Window
from hammerflow.stores.store import Store
from hammerflow.stores.workflow_statistics import NodeTime, WorkflowCounts

__all__ = [
    "STATES",
    "Summary",
    "WorkflowSummary",
    "merged",
    "queue_summaries",
    "summary_json",
    "task_summaries",
    "workflow_points",
    "workflow_summaries",
    "workflow_summary_json",
]

STATES = ("enqueued", "completed", "failed", "cancelled", "skipped")
_PERCENTS = (50, 95, 99)
_HOURLY_FROM = 6.0 * 3600  # seconds from which totals are read in whole hours


@dataclass(slots=True)
class Summary:
    """How many jobs of one task or queue reached each state, and how long they waited and ran."""

    name: str
    jobs: dict[str, int] = field(default_factory=lambda: dict.fromkeys(STATES, 0))
    waits: Histogram = field(default_factory=Histogram)
    runs: Histogram = field(default_factory=Histogram)


def queue_summaries(
    store: Store, hours: float, *, task: str | None = None, queue: str | None = None
) -> list[Summary]:
    """The figures of the last ``hours`` of each queue or of one, of one task or of all together."""
    found = store.statistics.queue_totals(_last(store, hours), task=task, queue=queue)
    return merged(found, lambda counts: counts.queue)


def task_summaries(
    store: Store, hours: float, *, task: str | None = None, queue: str | None = None
) -> list[Summary]:
    """The figures of the last ``hours`` of each task or of one, in one queue or in all together."""
    found = store.statistics.task_totals(_last(store, hours), task=task, queue=queue)
    return merged(found, lambda counts: counts.task)


def _last(store: Store, hours: float) -> Window:
    return Window.last(hours * 3600, store.clock(), hourly_from=_HOURLY_FROM)


def merged(found: Iterable[Counts], name_of: Callable[[Counts], str]) -> list[Summary]:
    """The figures of one name together, for each."""
    merged: dict[str, Summary] = {}
    for counts in found:
        summary = merged.setdefault(name_of(counts), Summary(name_of(counts)))
        summary.jobs[counts.state] += counts.jobs
        summary.waits.merge(counts.waits)
        summary.runs.merge(counts.runs)
    return sorted(merged.values(), key=lambda summary: summary.name)


def summary_json(noun: str, summary: Summary) -> dict[str, Any]:
    """A summary for programs; ``noun`` names what it is of: task or queue."""
    times = {
        f"{what}_p{percent}": _rounded(one.percentile(percent))
        for what, one in (("wait", summary.waits), ("run", summary.runs))
        for percent in _PERCENTS
    }
    means = {"wait_mean": _rounded(summary.waits.mean), "run_mean": _rounded(summary.runs.mean)}
    return {noun: summary.name, **summary.jobs, **times, **means}


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 6)


#: Statuses in which a run of a workflow ends.
_STATUSES = ("completed", "failed", "cancelled")
#: Names whose slowest node is read, those with most runs first.
_TOLD = 20


@dataclass(slots=True)
class WorkflowSummary:
    """How many runs of one kind and name ended with each status, and how long they took.

    Attributes:
        slowest: the node that ran longest on average, in the last 20 runs; None: not known, or not
            read.
    """

    name: str
    kind: str
    runs: dict[str, int] = field(default_factory=lambda: dict.fromkeys(_STATUSES, 0))
    times: Histogram = field(default_factory=Histogram)
    slowest: NodeTime | None = None

    @property
    def success_ratio(self) -> float | None:
        """The share of completed runs among those that completed or failed."""
        ended = self.runs["completed"] + self.runs["failed"]
        return None if not ended else self.runs["completed"] / ended


def workflow_summaries(
    store: Store, hours: float, *, name: str | None = None
) -> list[WorkflowSummary]:
    """The figures of the last ``hours`` of each kind and name of workflows, by name."""
    now = store.clock()
    window = Window.last(hours * 3600, now)
    found: dict[tuple[str, str], WorkflowSummary] = {}
    for counts in store.statistics.of_workflows(window, name=name):
        key = counts.name, counts.kind
        _add_runs(found.setdefault(key, WorkflowSummary(*key)), counts)
    often = sorted(found.values(), key=lambda one: -sum(one.runs.values()))
    for summary in [one for one in often if one.name][:_TOLD]:
        summary.slowest = store.statistics.slowest_node(summary.name, window.begin)
    return [found[key] for key in sorted(found)]


def workflow_points(
    store: Store, hours: float, name: str
) -> list[tuple[datetime, WorkflowSummary]]:
    """The figures of one name over time: by minute up to a day, then by hour and by day."""
    window = Window.last(hours * 3600, store.clock())
    found: dict[datetime, WorkflowSummary] = {}
    for counts in store.statistics.of_workflows(window, name=name):
        _add_runs(found.setdefault(counts.begin, WorkflowSummary(name, counts.kind)), counts)
    return sorted(found.items())


def _add_runs(summary: WorkflowSummary, counts: WorkflowCounts) -> None:
    summary.runs[counts.status] += counts.runs
    summary.times.merge(counts.times)


def workflow_summary_json(summary: WorkflowSummary) -> dict[str, Any]:
    """A summary for programs."""
    slowest = summary.slowest
    return {
        "name": summary.name, "kind": summary.kind, **summary.runs,
        "success_ratio": _rounded(summary.success_ratio),
        "took_p50": _rounded(summary.times.percentile(50)),
        "took_p95": _rounded(summary.times.percentile(95)),
        "took_mean": _rounded(summary.times.mean),
        "slowest_node": slowest and slowest.name,
        "slowest_node_seconds": _rounded(slowest and slowest.seconds),
    }  # fmt: skip
