"""Figures of retention: a drain at full speed while a worker removes ended jobs, and without."""

from __future__ import annotations

import bisect
import os
import resource
import statistics
import time
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from benchmarks.measure import Figures, cpu_below, query, workers
from benchmarks.scale import clear
from benchmarks.tasks import app, noop
from hammerflow.ids import name_id, new_id
from hammerflow.jobs.job import NewJob
from hammerflow.services.pruner import Pruner
from hammerflow.stores.retention.retention import Walk

_DAYS = 10
_BULK = 20_000  # rows of one INSERT
_MANY = 10_000  # jobs from which a figure is more than a trial
_HOUR = 3_600.0
_LOW = 60_000  # jobs of a drain before more are enqueued
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


def at_scale(url: str, n: int) -> Iterator[Figures]:
    """Drain n / 20 jobs beside n old ones, which are kept, deleted or archived; three rounds.

    On a busy machine the rates say little, and the worker's CPU time for each job more.
    """
    clear()
    for table in ("archived", "archive_packs", "restored"):
        query(f"DELETE FROM {{{table}}}")
    began = time.perf_counter()
    _fill(n)
    yield {"figure": f"fill with {n:,} ended jobs", "s": round(time.perf_counter() - began)}
    count = max(n // 20, min(n, 2_000))
    costs: dict[str, list[float]] = {"never": [], "86400": [], "archive after 1d": []}
    rates: dict[str, list[float]] = {"never": [], "86400": [], "archive after 1d": []}
    gone: Counter[str] = Counter()
    for turn in range(3 if n >= _MANY else 1):  # each kind is the first once
        for lifetime in [*rates, *rates][turn : turn + 3]:
            os.environ[_SETTING] = lifetime
            before = _gone()
            rate, cpu = _drain_after(new_id(), count)
            rates[lifetime].append(rate)
            costs[lifetime].append(cpu)
            gone[lifetime] += _gone() - before
    os.environ.pop(_SETTING)
    kept, cost = rates.pop("never"), min(costs["never"])
    for lifetime, found in rates.items():
        ratio = statistics.median(b / a for a, b in zip(kept, found, strict=True))
        verb = "archived" if lifetime.startswith("archive") else "deleted"
        yield {"figure": f"drain of {count:,} beside {n:,} that are {verb}",
               "jobs_s": round(statistics.median(found)), "kept": round(statistics.median(kept)),
               "cpu_us": round(min(costs[lifetime]) * 1e6), "cpu_kept_us": round(cost * 1e6),
               verb: gone[lifetime], "ratio": round(ratio, 2), "bar": "ratio >= 0.9"}  # fmt: skip
        yield _full_speed(lifetime, verb, n // 4)


def _full_speed(lifetime: str, verb: str, most: int) -> Figures:
    """Pages one after another, for 20 s at most."""
    store, walk, slowest = app.store.retention, Walk(), 0.0
    policy, began = store.policy({"completed": _lifetime(lifetime)}), time.perf_counter()
    until = began + 20
    while not walk.is_over and walk.removed + walk.archived < most and time.perf_counter() < until:
        start = time.perf_counter()
        store.step(walk, policy)
        slowest = max(slowest, time.perf_counter() - start)
    moved = walk.removed + walk.archived
    return {"figure": f"old jobs {verb} at full speed", verb: moved,
            "jobs_s": round(moved / (time.perf_counter() - began)),
            "slowest_page_s": round(slowest, 2), "bar": "a page < 1 s"}  # fmt: skip


def _lifetime(given: str) -> Any:
    return given if given.startswith("archive") else float(given)


def _gone() -> int:
    """Old jobs that workers have deleted or archived."""
    progress = app.store.retention.progress()
    return 0 if progress is None else progress.removed + progress.archived


def _fill(count: int) -> None:
    """Completed jobs of ten days ago, by the statements that restore archived ones."""
    database, args = app.store.database, app.codec.encode_call((1,), {}, "msgpack")
    began = time.time() - _DAYS * 86_400
    at = database.dialect.time(datetime.fromtimestamp(began, UTC))
    app.store.names.register(queues=["default"], tasks=[noop.name])
    known = {
        "queue_id": name_id("default"), "task_id": name_id(noop.name), "priority": 2, "depth": 0,
        "flags": 0, "args": args, "created_at": at, "started_at": at, "finished_at": at,
        "lease": 1, "attempt": 1, "state": 4, "result": app.codec.encode(None),
    }  # fmt: skip
    for start in range(0, count, _BULK):
        numbers = range(start, min(start + _BULK, count))
        ids = [int((began - 60) * 1000 + i / 1000).to_bytes(6) + new_id()[6:] for i in numbers]
        database.unit(lambda tx: _write(tx, "jobs", "id", ids, known))  # noqa: B023
        database.unit(lambda tx: _write(tx, "done", "job_id", ids, known))  # noqa: B023


def _write(tx: Any, table: str, key: str, ids: Sequence[bytes], known: Mapping[str, Any]) -> None:
    name = f"archive_write_{table}"
    columns = [param.name for param in app.store.database.dialect.statements[name].row_params]
    row = [known.get(column) for column in columns]
    place = columns.index(key)
    tx.many(name, [(*row[:place], id_, *row[place + 1 :]) for id_ in sorted(ids)])


def _drain_after(first: bytes, count: int) -> tuple[float, float]:
    """(jobs a second, the worker's CPU seconds for each) of new jobs, whose ids are younger."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    app.enqueue_many(noop.s(i) for i in range(count))
    with workers(1):
        while query("SELECT 1 FROM {ready} LIMIT 1") or query("SELECT 1 FROM {leases} LIMIT 1"):
            time.sleep(0.05)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    literal = {"sqlite": f"x'{first.hex()}'", "postgres": f"'{first.hex()}'::uuid"}
    bound = literal.get(app.store.dialect, f"0x{first.hex()}")
    ends = query(f"SELECT min(finished_at), max(finished_at) FROM {{done}} WHERE job_id > {bound}")
    instant = app.store.database.dialect.instant
    began, ended = map(instant, ends[0])
    assert began and ended
    return count / max((ended - began).total_seconds(), 1e-3), cpu / count


def in_turns(url: str, n: int) -> Iterator[Figures]:
    """Drain beside n ended jobs, of which one more process removes some in every other segment.

    Pairs of short segments of one drain, whose order changes, so that a machine whose speed drifts
    does the same harm to both kinds. The process that removes is this one: the worker gets no turn.
    """
    missing = n - int(query("SELECT count(*) FROM {done} WHERE worker_id IS NULL")[0][0])
    if missing > 0:
        _fill(missing)
    pairs, seconds = (48, 2.0) if n >= _MANY else (2, 0.5)
    ids = _enqueue(200_000 if n >= _MANY else 4_000)
    os.environ[_SETTING] = "never"
    pruner = Pruner(app.store, default={"completed": 86_400.0})
    found: dict[bool, list[_Segment]] = {False: [], True: []}
    with workers(1) as (process,):
        app.store.retention.keep_tasks({noop.name: {"completed": 86_400.0}})
        time.sleep(min(seconds, 1.0))
        for pair in range(pairs):
            for prunes in (True, False) if pair % 2 else (False, True):
                if len(ids) - _started(ids) < _LOW:
                    ids = _enqueue(200_000)
                found[prunes].append(
                    _segment(process.pid, ids, seconds, pruner if prunes else None)
                )
    os.environ.pop(_SETTING)
    yield _compared(found[False], found[True], n)


class _Segment(NamedTuple):
    """Some seconds of a drain.

    Attributes:
        jobs: how many were claimed.
        cpu: seconds of the worker with its children, and of what removes.
        pruning: of these, of what removes.
    """

    jobs: int
    seconds: float
    cpu: float
    pruning: float
    removed: int


def _segment(pid: int, ids: Sequence[bytes], seconds: float, pruner: Pruner | None) -> _Segment:
    app.store.retention.end_turn(Walk(), 0, 0.0 if pruner is not None else _HOUR)
    jobs, cpu, own = _started(ids), cpu_below(pid), time.thread_time()
    removed, began = _gone(), time.perf_counter()
    while (left := began + seconds - time.perf_counter()) > 0:
        pause = pruner.tick(time.time()) if pruner is not None else seconds
        time.sleep(max(0.0, min(pause, left)))
    took, pruning = time.perf_counter() - began, time.thread_time() - own
    pruning = pruning if pruner is not None else 0.0
    cpu = cpu_below(pid) - cpu + pruning
    return _Segment(_started(ids) - jobs, took, cpu, pruning, _gone() - removed)


def _compared(without: Sequence[_Segment], with_: Sequence[_Segment], n: int) -> Figures:
    """The median of the pairs, and the quartiles, of rates and of CPU for each job."""

    def spread(found: Iterator[float]) -> tuple[float, str]:
        low, middle, high = statistics.quantiles(found, n=4)
        return round(middle, 3), f"{low:.3f} to {high:.3f}"

    pairs = [pair for pair in zip(without, with_, strict=True) if all(each.jobs for each in pair)]
    rates = spread((b.jobs / b.seconds) / (a.jobs / a.seconds) for a, b in pairs)
    costs = spread((b.cpu / b.jobs) / (a.cpu / a.jobs) for a, b in pairs)
    return {"figure": f"drain beside {n:,} of which some are removed, {len(with_)} pairs in turns",
            "jobs_s": round(statistics.median(b.jobs / b.seconds for b in with_)),
            "removed_s": round(sum(b.removed for b in with_) / sum(b.seconds for b in with_)),
            "removes_cpu": round(sum(b.pruning for b in with_) / sum(b.cpu for b in with_), 3),
            "cpu_ratio": costs[0], "cpu_quartiles": costs[1], "ratio": rates[0],
            "quartiles": rates[1], "bar": "ratio >= 0.9"}  # fmt: skip


def _enqueue(count: int) -> list[bytes]:
    """The ids of new jobs, in order."""
    ids: list[bytes] = []
    args = app.codec.encode_call((1,), {})
    for _ in range(0, count, _BULK):
        jobs = [NewJob(new_id(), noop.name, "default", 2, args) for _ in range(min(count, _BULK))]
        app.store.jobs.insert(jobs)
        ids += [job.id for job in jobs]
    return ids


def _started(ids: Sequence[bytes]) -> int:
    """How many of these jobs were claimed: they are claimed in their order."""
    heads = query("SELECT job_id FROM {ready} ORDER BY queue_id, priority_order, job_id LIMIT 1")
    return bisect.bisect_left(ids, _id_bytes(heads[0][0])) if heads else len(ids)


def _id_bytes(id_: Any) -> bytes:
    return id_.bytes if isinstance(id_, uuid.UUID) else bytes(id_)


ALL = {"retention": retention, "retention-at-scale": at_scale, "retention-in-turns": in_turns}
