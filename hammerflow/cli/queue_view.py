"""What is shown of queues: rows for people."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from hammerflow.admin.queues import Figures, bounded, figures_json
from hammerflow.cli.output import TableView
from hammerflow.cli.pause_view import paused_text
from hammerflow.stores.statistics.queue_stats import QueueDepth

__all__ = ["QUEUES", "STATS", "count_text", "rate_text"]

_COUNTS = ("ready", "running", "scheduled", "waiting", "parked")


def count_text(count: int, bound: int) -> str:
    """A number that was counted up to a bound: ``10,000+``."""
    return f"{count:,}+" if count >= bound else f"{count:,}"


def rate_text(rate: float) -> str:
    """Jobs a second: ``0``, ``0.3/s``, ``250/s``."""
    return "0" if not rate else f"{rate:.2g}/s" if rate < 10 else f"{rate:,.0f}/s"


def _queue_row(depth: QueueDepth) -> Sequence[Any]:
    return (depth.name, *(bounded(depth, state) for state in _COUNTS), paused_text(depth))


def _stats_row(figures: Figures) -> Sequence[Any]:
    depth = figures.depth
    oldest = "" if depth.oldest is None else f"{depth.oldest:,.0f}s"
    rates = rate_text(figures.enqueued), rate_text(figures.ended)
    note = "paused" if depth.paused_at is not None else ""
    return (depth.name, *(bounded(depth, state) for state in _COUNTS), oldest, *rates, note)


QUEUES = TableView(("queue", *_COUNTS, "paused"), _queue_row, asdict)
STATS = TableView(("queue", *_COUNTS, "oldest", "in", "out", "note"), _stats_row, figures_json)
