"""What is shown of queues: rows for people, JSON, and whether their jobs are run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, NamedTuple

from hammerflow.cli.output import TableView, age
from hammerflow.cli.pause_view import paused_text
from hammerflow.ids import name_id
from hammerflow.stores.explain import explain, serves
from hammerflow.stores.queue_stats import QueueDepth
from hammerflow.stores.store import Store

__all__ = [
    "QUEUES", "STATS", "Figures", "QueueHealth", "blocked", "count_text", "figures_of", "health_of",
    "rate_text",
]  # fmt: skip

_COUNTS = ("ready", "running", "scheduled", "waiting", "parked")
#: Kinds of explanations that waiting does not change.
_BLOCKS = {"app_paused", "task_paused", "task_unknown", "no_worker_for_both", "limit_zero"}
_SLOW = 60.0  # seconds that the oldest ready job may have waited before health warns
Workers = Sequence[Mapping[str, Any]]


class Figures(NamedTuple):
    """A queue's depth and rates, in jobs a second."""

    depth: QueueDepth
    enqueued: float
    ended: float


class QueueHealth(NamedTuple):
    """Whether a queue's jobs are run."""

    queue: str
    status: str  # ok, warn or fail
    says: str
    advice: str = ""


def figures_of(store: Store, *, lease: float, name: str | None = None) -> list[Figures]:
    """Read the figures of all queues, or of one."""
    rates = store.queue_stats.rates(store.workers.list(), lease=lease)
    return [
        Figures(depth, rates.enqueued.get(depth.name, 0.0), rates.ended.get(depth.name, 0.0))
        for depth in store.queue_stats.depths()
        if name is None or depth.name == name
    ]


def health_of(figures: Figures, workers: Workers, lease: float) -> QueueHealth:
    """What keeps the ready jobs of a queue from running, if anything does."""
    depth = figures.depth
    name, alive = depth.name, [one for one in workers if abs(one["silent_for"]) <= lease]
    if depth.paused_at is not None:
        by = f" by {depth.paused_by}" if depth.paused_by else ""
        says = f"paused {age(depth.paused_at)} ago{by}"
        status = "fail" if depth.ready else "warn"
        return QueueHealth(name, status, says, f"run: hammerflow queue resume {name}")
    if not any(serves(worker, name) for worker in alive):
        status = "fail" if depth.ready else "warn"
        advice = f"start one, or add the queue to a worker: -Q ...,{name}"
        return QueueHealth(name, status, "no live worker serves it", advice)
    if depth.oldest is not None and depth.oldest > _SLOW:
        says = f"the oldest ready job has waited for {depth.oldest:.0f} s"
        more = figures.enqueued > figures.ended
        says += ", and more jobs come than end" if more else ""
        advice = "run hammerflow explain ID for one of them; more children or workers may help"
        return QueueHealth(name, "warn", says, advice)
    if depth.parked:
        advice = f"hammerflow job list --state parked --queue {name}"
        return QueueHealth(name, "warn", f"{_count(depth, 'parked')} jobs are parked", advice)
    return QueueHealth(name, "ok", "its jobs are run")


def blocked(store: Store, depth: QueueDepth, lease: float) -> QueueHealth | None:
    """What keeps the first ready job of a queue from starting until somebody acts, if anything."""
    page = store.queue_stats.ready_page(name_id(depth.name), after=(-1, bytes(16)), limit=1)
    job = store.jobs.get(page[0][1]) if page else None
    why = None if job is None else explain(store, job, lease=lease)
    if why is None or why.kind not in _BLOCKS:
        return None
    return QueueHealth(
        depth.name, "fail", f"its first ready job cannot start: {why.says}", why.advice
    )


def count_text(count: int, bound: int) -> str:
    """A number that was counted up to a bound: ``10,000+``."""
    return f"{count:,}+" if count >= bound else f"{count:,}"


def rate_text(rate: float) -> str:
    """Jobs a second: ``0``, ``0.3/s``, ``250/s``."""
    return "0" if not rate else f"{rate:.2g}/s" if rate < 10 else f"{rate:,.0f}/s"


def _count(depth: QueueDepth, state: str) -> str:
    text = f"{getattr(depth, state):,}"
    return f"{text}+" if state in depth.at_least else text


def _queue_row(depth: QueueDepth) -> Sequence[Any]:
    return (depth.name, *(_count(depth, state) for state in _COUNTS), paused_text(depth))


def _stats_row(figures: Figures) -> Sequence[Any]:
    depth = figures.depth
    oldest = "" if depth.oldest is None else f"{depth.oldest:,.0f}s"
    rates = rate_text(figures.enqueued), rate_text(figures.ended)
    note = "paused" if depth.paused_at is not None else ""
    return (depth.name, *(_count(depth, state) for state in _COUNTS), oldest, *rates, note)


def _stats_json(figures: Figures) -> dict[str, Any]:
    rates = {"enqueued_per_second": figures.enqueued, "ended_per_second": figures.ended}
    return {**asdict(figures.depth), **rates}


QUEUES = TableView(("queue", *_COUNTS, "paused"), _queue_row, asdict)
STATS = TableView(("queue", *_COUNTS, "oldest", "in", "out", "note"), _stats_row, _stats_json)
