"""Figures of retention: a drain at full speed while a worker removes ended jobs, and without."""

from __future__ import annotations

import os
import statistics
import time
import uuid
from collections.abc import Iterator

from benchmarks.measure import Figures, query, workers
from benchmarks.scale import clear
from benchmarks.tasks import app, noop
from hammerflow.ids import new_id
from hammerflow.stores.retention import Walk

_DAYS = 10
_SETTING = "HAMMERFLOW_RETENTION_COMPLETED"
_PAST = {
    "sqlite": f"(julianday('now') - 2440587.5 - {_DAYS}) * 86400.0",
    "postgres": f"now() - interval '{_DAYS} days'",
    "mysql": f"UTC_TIMESTAMP(6) - INTERVAL {_DAYS} DAY",
}


def retention(url: str, n: int) -> Iterator[Figures]:
    """Drain n jobs beside 6 n old ones, which are kept or removed; three pairs in turns."""
    rates: dict[str, list[float]] = {"never": [], "86400": []}
    removed = 0
    for _ in range(3):
        for lifetime, found in rates.items():
            os.environ[_SETTING] = lifetime
            clear()
            _write_old(6 * n)
            rate, kept = _drain(n)
            found.append(rate)
            removed += 0 if lifetime == "never" else 6 * n - kept
    os.environ.pop(_SETTING)
    without, with_ = (statistics.median(found) for found in rates.values())
    pairs = [b / a for a, b in zip(*rates.values(), strict=True)]
    yield {"figure": f"drain of {n:,} while {6 * n:,} old jobs are removed", "jobs_s": round(with_),
           "without": round(without), "removed": removed,
           "ratio": round(statistics.median(pairs), 2), "bar": "ratio >= 0.9"}  # fmt: skip
    clear()
    _write_old(6 * n)
    store, began = app.store.retention, time.perf_counter()
    walk, slowest = Walk(), 0.0
    while not walk.is_over:
        start = time.perf_counter()
        store.step(walk, store.policy({"completed": 86_400.0}))
        slowest = max(slowest, time.perf_counter() - start)
    yield {"figure": f"removal of {6 * n:,} old jobs at full speed",
           "jobs_s": round(walk.removed / (time.perf_counter() - began)),
           "slowest_page_s": round(slowest, 2), "bar": "a page < 1 s"}  # fmt: skip


def _write_old(count: int) -> None:
    """Jobs that were enqueued and have completed ten days ago."""
    past = int((time.time() - _DAYS * 86_400) * 1000).to_bytes(6)
    app.enqueue_many(
        noop.options(job_id=uuid.UUID(bytes=past + new_id()[6:])).s(i) for i in range(count)
    )
    query(
        "INSERT INTO {done} (job_id, finished_at, state, attempt, lease) "
        f"SELECT job_id, {_PAST[app.store.dialect]}, 4, 1, 1 FROM {{ready}}"
    )
    query("DELETE FROM {ready}")


def _drain(n: int) -> tuple[float, int]:
    """(jobs a second, old jobs left) when n new jobs have ended."""
    app.enqueue_many(noop.s(i) for i in range(n))
    with workers(1):
        while query("SELECT 1 FROM {ready} LIMIT 1") or query("SELECT 1 FROM {leases} LIMIT 1"):
            time.sleep(0.05)
        kept = query("SELECT count(*) FROM {done} WHERE worker_id IS NULL")[0][0]
    ends = "SELECT min(finished_at), max(finished_at) FROM {done} WHERE worker_id IS NOT NULL"
    instant = app.store.database.dialect.instant
    first, last = map(instant, query(ends)[0])
    assert first and last
    return n / max((last - first).total_seconds(), 1e-3), int(kept)


ALL = {"retention": retention}
