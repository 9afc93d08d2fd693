"""What is known of queues: depths, rates, and whether their jobs are run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, NamedTuple

from hammerflow.durations import age
from hammerflow.ids import name_id
from hammerflow.stores.diagnosis.explain import explain, serves
from hammerflow.stores.statistics.queue_stats import QueueDepth
from hammerflow.stores.store import Store

__all__ = [
    "EXPLAINED", "Figures", "QueueHealth", "bounded", "figures_json", "figures_of", "healths_of",
]  # fmt: skip

#: Kinds of explanations that waiting does not change.
_BLOCKS = {
    "app_paused", "task_paused", "task_unknown", "no_worker_for_both", "no_child", "limit_zero",
    "workers_draining",
}  # fmt: skip
#: Queues whose first ready job is explained at a time: those whose ready jobs wait for longest.
EXPLAINED = 20
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
        for depth in store.queue_stats.depths(only=name)
    ]


def healths_of(store: Store, figures: Sequence[Figures], *, lease: float) -> list[QueueHealth]:
    """Whether the jobs of queues are run, in the order of the figures.

    What keeps the first ready job of a queue from starting takes some queries: it is found out for
    the :data:`EXPLAINED` queues whose ready jobs wait for longest.

    Args:
        lease: seconds without a heartbeat after which a worker counts as lost.
    """
    workers = store.workers.list()
    found = [_health(each, workers, lease) for each in figures]
    ready = [
        place for place, each in enumerate(figures)
        if each.depth.ready and found[place].status != "fail"
    ]  # fmt: skip
    ready.sort(key=lambda place: figures[place].depth.oldest or 0.0, reverse=True)
    for place in ready[:EXPLAINED]:
        found[place] = _blocked(store, figures[place].depth, lease) or found[place]
    return found


def _health(figures: Figures, workers: Workers, lease: float) -> QueueHealth:
    """What keeps the ready jobs of a queue from running, judged by its figures."""
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
        jobs = "1 job is" if depth.parked == 1 else f"{bounded(depth, 'parked')} jobs are"
        advice = f"hammerflow job list --state parked --queue {name}"
        return QueueHealth(name, "warn", f"{jobs} parked", advice)
    return QueueHealth(name, "ok", "its jobs are run")


def _blocked(store: Store, depth: QueueDepth, lease: float) -> QueueHealth | None:
    """What keeps the first ready job of a queue from starting until somebody acts, if anything."""
    page = store.queue_stats.ready_page(name_id(depth.name), after=(-1, bytes(16)), limit=1)
    job = store.jobs.get(page[0][1]) if page else None
    why = None if job is None else explain(store, job, lease=lease)
    if why is None or why.kind not in _BLOCKS:
        return None
    return QueueHealth(depth.name, "fail", f"blocked: {why.says}", why.advice)


def bounded(depth: QueueDepth, state: str) -> str:
    """The number of jobs in a state: ``12``, or ``10,000+`` where no more were counted."""
    text = f"{getattr(depth, state):,}"
    return f"{text}+" if state in depth.at_least else text


def figures_json(figures: Figures) -> dict[str, Any]:
    """Depth and rates for programs."""
    rates = {"enqueued_per_second": figures.enqueued, "ended_per_second": figures.ended}
    return {**asdict(figures.depth), **rates}
