"""What is known of the past: one summary for each task or queue."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from hammerflow.jobs.histogram import Histogram
from hammerflow.stores.statistics import Counts, Window
from hammerflow.stores.store import Store

__all__ = [
    "STATES",
    "Summary",
    "merged",
    "queue_summaries",
    "summaries",
    "summary_json",
    "task_summaries",
]

STATES = ("enqueued", "completed", "failed", "cancelled", "skipped")
_PERCENTS = (50, 95, 99)


@dataclass(slots=True)
class Summary:
    """How many jobs of one task or queue reached each state, and how long they waited and ran."""

    name: str
    jobs: dict[str, int] = field(default_factory=lambda: dict.fromkeys(STATES, 0))
    waits: Histogram = field(default_factory=Histogram)
    runs: Histogram = field(default_factory=Histogram)


def summaries(
    store: Store, hours: float, name_of: Callable[[Counts], str], **only: str | None
) -> list[Summary]:
    """The figures of the last ``hours``, by name; ``only`` of a task or a queue."""
    window = Window.last(hours * 3600, store.clock())
    return merged(store.statistics.read(window, **only), name_of)


def queue_summaries(store: Store, hours: float, *, task: str | None = None) -> list[Summary]:
    """The figures of the last ``hours`` of each queue, of one task or of all together."""
    window = Window.last(hours * 3600, store.clock())
    return merged(store.statistics.by_queue(window, task=task), lambda counts: counts.queue)


def task_summaries(store: Store, hours: float, *, queue: str | None = None) -> list[Summary]:
    """The figures of the last ``hours`` of each task, in one queue or in all together."""
    if queue is not None:
        return summaries(store, hours, lambda counts: counts.task, queue=queue)
    window = Window.last(hours * 3600, store.clock())
    return merged(store.statistics.task_totals(window), lambda counts: counts.task)


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
