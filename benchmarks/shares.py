"""Figures of shares: by how much starts differ from the weights while several claim at once."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import TypeVar

from benchmarks.limits import fair_job, reset
from benchmarks.measure import Figures, query, workers
from benchmarks.scale import clear
from benchmarks.tasks import app, limited, noop, sleep
from hammerflow.ids import name_id, new_id
from hammerflow.jobs.job import Claimed, NewJob
from hammerflow.jobs.limit import Limit
from hammerflow.jobs.outcome import Completed
from hammerflow.jobs.priority_rule import STRICT, WEIGHTS, PriorityRule
from hammerflow.stores import open_store

T = TypeVar("T", int, str)

_ARGS = app.codec.encode_call((0,), {})
_WEIGHTED = PriorityRule(is_weighted=True)
_TENANTS = {str(number): 1 for number in range(5)}
_QUEUES = {"high": 5, "middle": 2, "low": 1}
_FEW = 5_000  # jobs
_BODY = 0.005  # seconds
_BAR = "none off by more than 10 %"


def shares(n: int) -> Iterator[Figures]:
    """Claims of 1, 4 and 10 by four and by eight at once; then four workers with three queues. Few
    jobs tell nothing of shares, so then it is one of each, by fewer."""
    total = max(50, min(n // 10, 4_000))
    runs = [(4, 4)] if n < _FEW else [(count, room) for count in (4, 8) for room in (1, 4, 10)]
    priorities = {4 - order: weight for order, weight in WEIGHTS.items()}
    for claimers, room in runs:
        clear()
        _put(priorities, total, lambda priority: _plain("default", priority))
        found = _at_once(claimers, room, total, noop.name, "default", _WEIGHTED)
        given = Counter(job.priority for job in found)
        yield _row(f"{claimers} claimers of {room}, weighted priorities", given, priorities)
        reset(Limit())
        tenants = _put(_TENANTS, total, fair_job)
        found = _at_once(claimers, room, total, limited.name, "limited", STRICT)
        members = Counter(tenants[job.id] for job in found)
        yield _row(f"{claimers} claimers of {room}, fairness keys", members, _TENANTS)
    reset(Limit())
    clear()
    yield _queues(total, 1 if n < _FEW else 4)
    clear()


def _put(weights: dict[T, int], total: int, make: Callable[[T], NewJob]) -> dict[bytes, T]:
    """Enough jobs of each, in turns, as they come from many clients."""
    counts = {each: total * w // sum(weights.values()) * 3 // 2 + 50 for each, w in weights.items()}
    turns = range(max(counts.values()))
    jobs = [(each, make(each)) for turn in turns for each in weights if turn < counts[each]]
    app.store.jobs.insert([job for _, job in jobs])
    if app.store.dialect == "postgres":
        query("ANALYZE")
    return {job.id: each for each, job in jobs}


def _plain(queue: str, priority: int) -> NewJob:
    return NewJob(new_id(), noop.name, queue, priority, _ARGS)


def _at_once(
    claimers: int, room: int, total: int, task: str, queue: str, rule: PriorityRule
) -> list[Claimed]:
    """What several stores have claimed until these are so many jobs, each settled at once."""
    found: list[Claimed] = []
    start = threading.Barrier(claimers)

    def run(number: int) -> None:
        with contextlib.closing(open_store(app.settings)) as store:
            start.wait()
            while len(found) < total:
                jobs = store.jobs.claim(
                    number, queue=queue, task_ids=[name_id(task)], limit=room, rule=rule
                )
                found.extend(jobs)
                store.jobs.settle(number, [(job, Completed(None)) for job in jobs])

    threads = [threading.Thread(target=run, args=(n,)) for n in range(1, claimers + 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({job.id for job in found}) == len(found), "a job was claimed twice"
    return found


def _queues(total: int, number: int) -> Figures:
    """The first starts of some workers, while all of these queues have jobs."""
    args = app.codec.encode_call((_BODY,), {})  # the shorter, the more are claimed at once
    jobs = _put(_QUEUES, total, lambda queue: NewJob(new_id(), sleep.name, queue, 2, args))
    named = ",".join(f"{queue}:{weight}" for queue, weight in _QUEUES.items())
    with workers(number, "-Q", named, children=1):
        while any(queue.ready for queue in app.store.queues.list()):
            time.sleep(0.1)
    instant = app.store.database.dialect.instant
    rows = query("SELECT job_id, started_at FROM {done} ORDER BY started_at")
    starts = [jobs[bytes(getattr(id_, "bytes", id_))] for id_, at in rows if instant(at)]
    return _row(f"{number} workers, weighted queues", Counter(starts[:total]), _QUEUES)


def _row(figure: str, given: Counter[T], weights: dict[T, int]) -> Figures:
    total = given.total()
    off = {each: given[each] * sum(weights.values()) / total / w - 1 for each, w in weights.items()}
    worst = max(off.values(), key=abs)
    return {"figure": figure, "starts": total, "worst_percent": round(100 * worst, 1),
            "given": {str(each): given[each] for each in weights}, "bar": _BAR}  # fmt: skip
