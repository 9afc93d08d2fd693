"""Figures of much work, long ways, many hosts: backlog, snapshot, distance, scale-out, memory."""

from __future__ import annotations

import contextlib
import statistics
import time
from collections.abc import Callable, Iterator

from benchmarks.far import proxied
from benchmarks.measure import Figures, done, memory, percentiles, query, workers
from benchmarks.tasks import app, noop
from hammerflow.ids import name_id
from hammerflow.jobs.outcome import Completed

ROUND_TRIP = 0.002
_BATCH = 100
#: Ways to hold a transaction open that keeps old rows from being cleaned up.
_HOLD = {
    "postgres": "BEGIN ISOLATION LEVEL REPEATABLE READ",
    "mysql": "START TRANSACTION WITH CONSISTENT SNAPSHOT",
    "sqlite": "BEGIN",
}


def backlog(url: str, n: int) -> Iterator[Figures]:
    """Drain with 20 n jobs waiting against n / 5; claims beside a transaction held open."""
    small, large = max(100, n // 5), 20 * n
    few = statistics.median(_rate(small, until=small * 9 // 10) for _ in range(3))
    many = _rate(large, until=small * 3)
    yield {"figure": f"drain at a backlog of {large:,}", "jobs_s": round(many),
           f"at_{small}": round(few), "ratio": round(many / few, 2),
           "bar": "ratio >= 0.9"}  # fmt: skip
    clear()  # not beside the held transaction, which TRUNCATE would wait for
    free = _claims(small)
    with _held_transaction():
        for _ in range(3):  # each round leaves its dead rows to the next
            held = _claims(small)
    yield {"figure": "claims of 100 under a transaction held open", **held,
           "free_p99_ms": free["p99_ms"], "bar": "p99 flat"}  # fmt: skip
    clear()


def snapshot(url: str, n: int) -> Iterator[Figures]:
    """Steady work for n / 1000 seconds, without and with a transaction held open all the time."""
    seconds = max(0.5, n / 1000)
    runs = {}
    for name, hold in (("free", contextlib.nullcontext), ("held", _held_transaction)):
        clear()
        app.enqueue_many(noop.s(i) for i in range(_BATCH))
        with hold():
            runs[name] = _steady(seconds)
    for name, rounds in runs.items():
        last = percentiles([took for at, took in rounds if at > seconds * 0.8])
        yield {"figure": f"claims of {_BATCH}, {seconds:g} s, {name}",
               **percentiles([took for _, took in rounds]),
               "last_p50_ms": last["p50_ms"], "last_p99_ms": last["p99_ms"],
               "max_ms": round(max(took for _, took in rounds) * 1e3, 1),
               "jobs_s": round(len(rounds) * _BATCH / rounds[-1][0]),
               "ratio": round(len(rounds) / len(runs["free"]), 2), "bar": "p99 flat"}  # fmt: skip
    clear()


def distance(url: str, n: int) -> Iterator[Figures]:
    """Drain over a way of 2 ms there and back, against no way at all."""
    figure = f"drain of {n:,} at {ROUND_TRIP * 1e3:.0f} ms"
    if app.store.dialect == "sqlite":
        yield {"figure": figure, "skipped": "SQLite has no network"}
        return
    near = _rate(n)
    with proxied(url, ROUND_TRIP) as far_url:
        far = _rate(n, url=far_url)
    yield {"figure": figure, "jobs_s": round(far), "near": round(near),
           "ratio": round(far / near, 2), "bar": "ratio >= 0.8"}  # fmt: skip
    clear()


def scale_out(url: str, n: int) -> Iterator[Figures]:
    """Total drain of two and of four supervisors of two children, against one; on one host."""
    jobs = 2 * n
    one = _rate(jobs)
    for number in (2, 4):
        rate = _rate(jobs, supervisors=number)
        yield {"figure": f"drain of {jobs:,} by {number} supervisors", "jobs_s": round(rate),
               "by_one": round(one), "ratio": round(rate / one, 2),
               "bar": "ratio >= 1" if number == 2 else "-"}  # fmt: skip
    clear()


def memory_over(url: str, n: int) -> Iterator[Figures]:
    """PSS of a worker's processes after a tenth of 20 n jobs, at its peak and at the end."""
    jobs = 20 * n
    seen: list[tuple[int, float]] = []
    _rate(jobs, each=lambda ended, pid: seen.append((ended, memory(pid))), pause=0.5)
    early = next(pss for ended, pss in seen if ended >= jobs // 10)
    yield {"figure": f"worker over {jobs:,} jobs", "pss_mb": round(early, 1),
           "peak_pss_mb": round(max(pss for _, pss in seen), 1),
           "end_pss_mb": round(seen[-1][1], 1), "bar": "flat"}  # fmt: skip
    clear()


def _rate(
    n: int, *, until: int = 0, supervisors: int = 1, url: str | None = None,
    each: Callable[[int, int], None] | None = None, pause: float = 0.01,
) -> float:  # fmt: skip
    """Jobs a second with n waiting at first, in the second half of ``until`` (or of all)."""
    clear()
    last = min(until or n, n)
    app.enqueue_many(noop.s(i) for i in range(n))
    with workers(supervisors, url=url) as processes:
        while (ended := done()) < last:
            if each is not None:
                each(ended, processes[0].pid)
            time.sleep(pause)
        if each is not None:
            each(ended, processes[0].pid)
    sql = f"SELECT finished_at FROM {{done}} ORDER BY finished_at LIMIT {last}"
    instant = app.store.database.dialect.instant
    middle, end = (instant(query(sql)[i][0]) for i in (last // 2, -1))
    assert middle and end
    return (last - last // 2) / max((end - middle).total_seconds(), 1e-3)


def clear() -> None:
    """Throw away all jobs, done and not."""
    verb = "DELETE FROM" if app.store.dialect == "sqlite" else "TRUNCATE"
    for table in ("ready", "leases", "done", "jobs"):
        query(f"{verb} {{{table}}}")


def _claims(jobs: int) -> Figures:
    """How long claims of 100 take, each settled before the next."""
    app.enqueue_many(noop.s(i) for i in range(jobs))
    store, place = app.store.jobs, {"queue": "default", "task_ids": [name_id(noop.name)]}
    times = []
    began = time.perf_counter()
    while claimed := store.claim(1, limit=100, **place):  # type: ignore[arg-type]
        times.append(time.perf_counter() - began)
        store.settle(1, [(job, Completed(None)) for job in claimed])
        began = time.perf_counter()
    return percentiles(times)


def _steady(seconds: float) -> list[tuple[float, float]]:
    """Claim, settle and enqueue a batch for so long: of each claim when it ended, and its time.

    There is room for more than is found, as in a worker that keeps up: it looks everywhere."""
    store, place = app.store.jobs, {"queue": "default", "task_ids": [name_id(noop.name)]}
    rounds = []
    start = now = time.perf_counter()
    while now < start + seconds:
        begun = time.perf_counter()
        claimed = store.claim(1, limit=2 * _BATCH, **place)  # type: ignore[arg-type]
        now = time.perf_counter()
        rounds.append((now - start, now - begun))
        store.settle(1, [(job, Completed(None)) for job in claimed])
        app.enqueue_many(noop.s(i) for i in range(len(claimed)))
    return rounds


@contextlib.contextmanager
def _held_transaction() -> Iterator[None]:
    dialect = app.store.database.dialect
    tx = dialect.connect()
    cursor = tx.connection.cursor()  # type: ignore[attr-defined]
    cursor.execute(_HOLD[dialect.name])
    cursor.execute(f"SELECT count(*) FROM {dialect.macros['ready']}")
    cursor.fetchall()
    try:
        yield
    finally:
        cursor.execute("ROLLBACK")
        dialect.close(tx)


ALL = {
    "backlog": backlog,
    "snapshot": snapshot,
    "distance": distance,
    "scale-out": scale_out,
    "memory": memory_over,
}
