"""What is shown of the statistics: one row for each task or queue."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from hammerflow.cli.output import TableView
from hammerflow.jobs.histogram import Histogram
from hammerflow.stores.statistics import Counts, Window
from hammerflow.stores.store import Store

__all__ = ["NO_JOBS", "Summary", "summaries", "summary_view"]

#: Instead of an empty list.
NO_JOBS = "no job of that time is counted; a worker counts each minute when it is over"
_STATES = ("enqueued", "completed", "failed", "cancelled", "skipped")
_PERCENTS = (50, 95, 99)


@dataclass(slots=True)
class Summary:
    """How many jobs of one task or queue reached each state, and how long they waited and ran."""

    name: str
    jobs: dict[str, int] = field(default_factory=lambda: dict.fromkeys(_STATES, 0))
    waits: Histogram = field(default_factory=Histogram)
    runs: Histogram = field(default_factory=Histogram)


def summaries(
    store: Store, hours: float, name_of: Callable[[Counts], str], **only: str | None
) -> list[Summary]:
    """The figures of the last ``hours``, by name; ``only`` of a task or a queue."""
    window = Window.last(hours * 3600, store.clock())
    return _merged(store.statistics.read(window, **only), name_of)


def _merged(found: Iterable[Counts], name_of: Callable[[Counts], str]) -> list[Summary]:
    merged: dict[str, Summary] = {}
    for counts in found:
        summary = merged.setdefault(name_of(counts), Summary(name_of(counts)))
        summary.jobs[counts.state] += counts.jobs
        summary.waits.merge(counts.waits)
        summary.runs.merge(counts.runs)
    return sorted(merged.values(), key=lambda summary: summary.name)


def summary_view(noun: str) -> TableView[Summary]:
    """How summaries are listed; ``noun`` heads the names: task or queue."""
    heads = (noun, *_STATES, "wait p50", "p95", "run p50", "p95")
    return TableView(heads, _row, lambda summary: _json(noun, summary))


def _row(summary: Summary) -> Sequence[Any]:
    counts = [f"{summary.jobs[state]:,}" for state in _STATES]
    times = [_time(one.percentile(p)) for one in (summary.waits, summary.runs) for p in (50, 95)]
    return summary.name, *counts, *times


def _json(noun: str, summary: Summary) -> dict[str, Any]:
    times = {
        f"{what}_p{percent}": _rounded(one.percentile(percent))
        for what, one in (("wait", summary.waits), ("run", summary.runs))
        for percent in _PERCENTS
    }
    means = {"wait_mean": _rounded(summary.waits.mean), "run_mean": _rounded(summary.runs.mean)}
    return {noun: summary.name, **summary.jobs, **times, **means}


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 6)


def _time(seconds: float | None) -> str:
    """``0.3ms``, ``12ms``, ``1.5s``, ``120s``; nothing where no job had one."""
    if seconds is None:
        return ""
    if seconds < 1:
        return f"{seconds * 1000:.2g}ms" if seconds < 0.01 else f"{seconds * 1000:.0f}ms"
    return f"{seconds:.1f}s" if seconds < 10 else f"{seconds:,.0f}s"
