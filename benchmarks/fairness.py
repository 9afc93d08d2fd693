"""Figures of fairness: a tenant with very many jobs, and one with ten that come later; shares."""

from __future__ import annotations

import contextlib
import statistics
import time
from collections.abc import Iterator

from benchmarks.limits import fair_job, reset
from benchmarks.measure import Figures, query
from benchmarks.shares import shares
from benchmarks.tasks import app, limited
from hammerflow.ids import name_id
from hammerflow.jobs.job import Claimed
from hammerflow.jobs.limit import Limit
from hammerflow.jobs.outcome import Completed
from hammerflow.stores import open_store

_FEW, _BATCH, _ROUNDS, _INSERT = 10, 10, 60, 10_000


def fairness(url: str, n: int) -> Iterator[Figures]:
    """Claims from two queues in turns: in one a tenant has 1 000 jobs, in the other one 10 n."""
    depths = {"shallow": min(1_000, 10 * n), "deep": 10 * n}
    small: dict[str, set[bytes]] = {}
    reset(Limit())
    for queue, depth in depths.items():
        for first in range(0, depth, _INSERT):
            _put("large", queue, min(_INSERT, depth - first))
        small[queue] = set(_put("small", queue, _FEW))
    if app.store.dialect == "postgres":
        query("ANALYZE")
    claimed: dict[str, list[Claimed]] = {queue: [] for queue in depths}
    costs: dict[str, list[float]] = {queue: [] for queue in depths}
    # SQLite works in this thread; what else the machine does tells nothing.
    clock = time.thread_time if app.store.dialect == "sqlite" else time.perf_counter
    with contextlib.closing(open_store(app.settings)) as store:
        for _ in range(_ROUNDS):
            for queue in depths:
                began = clock()
                found = store.jobs.claim(
                    1, queue=queue, task_ids=[name_id(limited.name)], limit=_BATCH
                )
                costs[queue].append((clock() - began) / max(len(found), 1))
                store.jobs.settle(1, [(job, Completed(None)) for job in found])
                claimed[queue] += found
    shallow, deep = (statistics.median(found) for found in costs.values())
    starts = [number for number, job in enumerate(claimed["deep"], 1) if job.id in small["deep"]]
    assert len(starts) == _FEW, "the small tenant waits"
    reset(Limit())
    yield {"figure": f"claims of {_BATCH}: a tenant with {10 * n:,} jobs, then one with {_FEW}",
           "small_done_after_starts": starts[-1], "claim_us_a_job": round(deep * 1e6, 1),
           "with_1_000": round(shallow * 1e6, 1), "ratio": round(deep / shallow, 2),
           "bar": "small done after < 300 starts, ratio <= 1.2"}  # fmt: skip
    yield from shares(n)


def _put(tenant: str, queue: str, count: int) -> list[bytes]:
    jobs = [fair_job(tenant)._replace(queue=queue) for _ in range(count)]
    return app.store.jobs.insert(jobs).ids


ALL = {"fairness": fairness}
