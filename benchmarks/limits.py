"""Figures of limits: claims and drains of jobs with a limit beside those of jobs without one."""

from __future__ import annotations

import contextlib
import functools
import resource
import statistics
import time
from collections.abc import Iterator

from benchmarks.measure import Figures, done, query, workers
from benchmarks.scale import clear
from benchmarks.tasks import app
from hammerflow.ids import name_id, new_id
from hammerflow.jobs.job import NewJob
from hammerflow.jobs.limit import MAX_RUNNING, RATE, Limit, key_id
from hammerflow.jobs.outcome import Completed
from hammerflow.stores import open_store

_BATCH = 100
#: Seconds of CPU that a body takes in the drains of jobs that do something.
_WORK = 0.0001
_PLAIN, _LIMITED = "benchmarks.tasks.plain", "benchmarks.tasks.limited"
_FREE = Limit(None, MAX_RUNNING(1_000_000, "max"))
_ONE = Limit(None, MAX_RUNNING(1, "max"))
_PACED = Limit(RATE("9999999/s burst 9999999", "rate"), None)
#: What is measured: its name, the limit of the task, and how many keys its jobs have; without a
#: limit these are fairness keys.
_CASES = (
    ("max_concurrency", _FREE, 0),
    ("rate_limit", _PACED, 0),
    ("max_concurrency, 20 keys", _FREE, 20),
    ("max_concurrency, 1,000 keys", _FREE, 1_000),
    ("rate_limit, 20 keys", _PACED, 20),
    ("fair_by, 20 keys", Limit(), 20),
    ("fair_by, 1,000 keys", Limit(), 1_000),
)


def limits(url: str, n: int) -> Iterator[Figures]:
    """Claims of 100 with and without a limit in turns, and of others behind 10 000 full keys."""
    rounds = max(1, min(n // _BATCH, 100))
    for name, limit, keys in _CASES:
        reset(limit)
        pairs = _pairs(rounds, keys, is_fair=limit == Limit())
        yield {"figure": f"claims of {_BATCH}: {name}", **pairs, "bar": "drain ratio >= 0.8"}
    yield from _behind_full_keys(n)
    for work in (0.0, _WORK):
        yield from _drains(n, 0, work=work)
        yield from _drains(n, max(1, n // 4), work=work)
        yield from _drains(n, max(1, n // 4), _ONE, work=work)
    clear()
    _forget()


def reset(limit: Limit) -> None:
    """No jobs and no limits but that of one task."""
    clear()
    _forget()
    app.store.limits.give("task", _LIMITED, limit, by="benchmarks")


def _forget() -> None:
    for table in ("limits", "limit_keys"):
        query(f"DELETE FROM {{{table}}}")


def _job(task: str, queue: str, key: str | None = None, work: float = 0.0) -> NewJob:
    limit_id = None if key is None else key_id(name_id(task), key)
    args = _args(work)
    return NewJob(new_id(), task, queue, 2, args, limit_id=limit_id, limit_key=key)


@functools.cache
def _args(work: float) -> bytes:
    return app.codec.encode_call((work,) if work else (), {})


def fair_job(tenant: str) -> NewJob:
    """A job of that task with a fairness key."""
    return _job(_LIMITED, "limited", "")._replace(fair_key=tenant)


def _pairs(rounds: int, keys: int, *, is_fair: bool) -> Figures:
    """Claim and settle one hundred of each kind in turns, as two workers would."""
    size = rounds * _BATCH
    app.store.jobs.insert([_job(_PLAIN, "plain") for _ in range(size)])
    names = [str(i % keys) if keys else "" for i in range(size)]
    app.store.jobs.insert(
        [fair_job(name) if is_fair else _job(_LIMITED, "limited", name) for name in names]
    )
    stores = {"plain": open_store(app.settings), "limited": open_store(app.settings)}
    places = {"plain": _PLAIN, "limited": _LIMITED}
    claims: dict[str, list[float]] = {"plain": [], "limited": []}
    wholes: dict[str, list[float]] = {"plain": [], "limited": []}
    if app.store.dialect == "postgres":
        query("ANALYZE")
    for _ in range(rounds):
        for queue, store in stores.items():
            began = time.perf_counter()
            found = store.jobs.claim(
                1, queue=queue, task_ids=[name_id(places[queue])], limit=_BATCH
            )
            claimed = time.perf_counter()
            store.jobs.settle(1, [(job, Completed(None)) for job in found])
            each = max(len(found), 1)
            claims[queue].append((claimed - began) / each)
            wholes[queue].append((time.perf_counter() - began) / each)
    for store in stores.values():
        store.close()
    plain, limited = (statistics.median(claims[queue]) for queue in stores)
    return {
        "claim_us_a_job": round(limited * 1e6, 1),
        "plain": round(plain * 1e6, 1),
        "ratio": round(limited / plain, 2),
        "claim_and_settle_ratio": round(
            statistics.median(wholes["limited"]) / statistics.median(wholes["plain"]), 2
        ),
    }


def _behind_full_keys(n: int) -> Iterator[Figures]:
    """Claims of jobs without a limit, in a queue with 10 000 keys that have no place free."""
    keys, deep = max(10, min(10_000, n // 5)), 10
    times: dict[str, list[float]] = {}
    for name in ("alone", "behind full keys"):
        reset(Limit(None, 0))
        if name != "alone":
            for _ in range(deep):
                app.store.jobs.insert([_job(_LIMITED, "q", str(key)) for key in range(keys)])
        rounds = max(1, min(n // _BATCH, 100))
        app.store.jobs.insert([_job(_PLAIN, "q") for _ in range(rounds * _BATCH)])
        if app.store.dialect == "postgres":
            query("ANALYZE")
        with contextlib.closing(open_store(app.settings)) as store:
            times[name] = []
            for _ in range(rounds):
                began = time.perf_counter()
                found = store.jobs.claim(
                    1, queue="q", task_ids=[name_id(_PLAIN), name_id(_LIMITED)], limit=_BATCH
                )
                times[name].append((time.perf_counter() - began) / max(len(found), 1))
                store.jobs.settle(1, [(job, Completed(None)) for job in found])
    alone, behind = (statistics.median(found) for found in times.values())
    mean, mean_alone = (statistics.fmean(found) for found in reversed(times.values()))
    yield {"figure": f"claims behind {keys:,} full keys of {deep} jobs",
           "claim_us_a_job": round(behind * 1e6, 1), "mean": round(mean * 1e6, 1),
           "alone": round(alone * 1e6, 1),
           "ratio": round(mean / mean_alone, 2), "bar": "ratio <= 1.1"}  # fmt: skip


def _drains(n: int, keys: int, limit: Limit = _FREE, *, work: float) -> Iterator[Figures]:
    """Drain by a real worker, without and with a limit in turns; its CPU time says more than the
    rates where the machine is busy.

    Args:
        work: seconds of CPU that each body takes.
    """
    rates: dict[str, list[float]] = {_PLAIN: [], _LIMITED: []}
    costs: dict[str, list[float]] = {_PLAIN: [], _LIMITED: []}
    for _ in range(3):
        for task in rates:
            reset(limit)
            names = [str(i % keys) if keys else "" for i in range(n)]
            app.store.jobs.insert(
                [_job(task, "default", name if task == _LIMITED else None, work) for name in names]
            )
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            with workers(1):
                while done() < n:
                    time.sleep(0.02)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
            costs[task].append(cpu / n)
            first, last = map(
                app.store.database.dialect.instant,
                query("SELECT min(finished_at), max(finished_at) FROM {done}")[0],
            )
            assert first and last
            rates[task].append(n / max((last - first).total_seconds(), 1e-3))
    pairs = [b / a for a, b in zip(*rates.values(), strict=True)]
    plain, limited = (statistics.median(found) for found in costs.values())
    name = f"drain of {n:,} jobs of {work * 1e3:g} ms with {limit}, {max(keys, 1):,} keys"
    yield {"figure": name,
           "jobs_s": round(statistics.median(rates[_LIMITED])),
           "plain": round(statistics.median(rates[_PLAIN])),
           "cpu_us": round(limited * 1e6), "cpu_plain_us": round(plain * 1e6),
           "cpu_ratio": round(limited / plain, 2),
           "ratio": round(statistics.median(pairs), 2), "bar": "ratio >= 0.8"}  # fmt: skip


ALL = {"limits": limits}
