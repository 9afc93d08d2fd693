"""Figures of fairness: a tenant with very many jobs, and one with ten that come later."""

from __future__ import annotations

import contextlib
import statistics
import time
from collections.abc import Iterator

from benchmarks.limits import fair_job, reset
from benchmarks.measure import Figures, query
from benchmarks.tasks import app, limited
from hammerflow.ids import name_id
from hammerflow.jobs.job import Claimed
from hammerflow.jobs.limit import Limit
from hammerflow.jobs.outcome import Completed
from hammerflow.stores import open_store

_FEW, _BATCH, _ROUNDS, _INSERT = 10, 10, 60, 10_000


def fairness(url: str, n: int) -> Iterator[Figures]:
    """Claims of 10 where one tenant has 1 000 jobs, and where it has 10 n."""
    shallow, deep = min(1_000, 10 * n), 10 * n
    costs, starts = {}, {}
    for depth in (shallow, deep):
        reset(Limit())
        for first in range(0, depth, _INSERT):
            count = min(_INSERT, depth - first)
            app.store.jobs.insert([fair_job("large") for _ in range(count)])
        small = set(app.store.jobs.insert([fair_job("small") for _ in range(_FEW)]).ids)
        if app.store.dialect == "postgres":
            query("ANALYZE")
        costs[depth], starts[depth] = _claims(small)
    reset(Limit())
    yield {"figure": f"claims of {_BATCH}: a tenant with {deep:,} jobs, then one with {_FEW}",
           "small_done_after_starts": starts[deep], "claim_us_a_job": round(costs[deep] * 1e6, 1),
           "with_1_000": round(costs[shallow] * 1e6, 1),
           "ratio": round(costs[deep] / costs[shallow], 2),
           "bar": "small done after < 300 starts, ratio <= 1.2"}  # fmt: skip


def _claims(small: set[bytes]) -> tuple[float, int]:
    """Seconds of a claim for each job, and how many jobs were started until these were done."""
    # SQLite works in this thread; what else the machine does tells nothing.
    clock = time.thread_time if app.store.dialect == "sqlite" else time.perf_counter
    times, claimed, last = list[float](), list[Claimed](), 0
    with contextlib.closing(open_store(app.settings)) as store:
        for _ in range(_ROUNDS):
            began = clock()
            found = store.jobs.claim(
                1, queue="limited", task_ids=[name_id(limited.name)], limit=_BATCH
            )
            times.append((clock() - began) / max(len(found), 1))
            store.jobs.settle(1, [(job, Completed(None)) for job in found])
            claimed += found
    for number, job in enumerate(claimed, 1):
        last = number if job.id in small else last
    assert small <= {job.id for job in claimed}, "the small tenant waits"
    return statistics.quantiles(times)[0], last  # the lower quarter: what else runs adds to others


ALL = {"fairness": fairness}
