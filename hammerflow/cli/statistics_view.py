"""What is shown of the statistics: one row for each task or queue."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hammerflow.admin.statistics import STATES, Summary, summary_json
from hammerflow.cli.output import TableView

__all__ = ["NO_JOBS", "summary_view"]

#: Instead of an empty list.
NO_JOBS = "no job of that time is counted; a worker counts each minute when it is over"


def summary_view(noun: str) -> TableView[Summary]:
    """How summaries are listed; ``noun`` heads the names: task or queue."""
    heads = (noun, *STATES, "wait p50", "p95", "run p50", "p95")
    return TableView(heads, _row, lambda summary: summary_json(noun, summary))


def _row(summary: Summary) -> Sequence[Any]:
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
