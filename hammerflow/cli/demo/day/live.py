"""Live jobs: what runs, is ready, comes later or is parked at the end; and the workers."""

from __future__ import annotations

import json
import random
import uuid
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from hammerflow.cli.demo.day.figures import DayFigures
from hammerflow.cli.demo.day.plain import JOB, Source
from hammerflow.cli.demo.day.staging import RunningJob
from hammerflow.cli.demo.day.writing import DayWriter, Ids
from hammerflow.ids import name_id

__all__ = ["WORKERS", "DayWorker", "LiveJobs", "queue_names"]

_PLACE = ("job_id", "queue_id", "priority_order", "task_id", "lease", "attempt")
_LEASE = (*_PLACE, "worker_id", "started_at")
_SCHEDULED = (*_PLACE, "run_at", "why")
_PARKED = (*_PLACE, "at", "why", "detail")
_ERROR = (
    "job_id", "lease", "kind", "attempt", "at", "type", "message", "trace", "started_at",
    "worker_id",
)  # fmt: skip
_PROGRESS = ("job_id", "at", "fraction", "note")
_WORKER = ("id", "host", "pid", "started_at", "beat_at", "beats", "info", "state")
#: Seconds that the oldest ready job of the busiest queue has waited, and that of the others.
_BACKLOG, _USUAL = 420.0, 6.0
#: One job in this number is ready at the end of the day, and one comes later; the most of each.
_READY, _LATER, _MOST = 60, 250, 200_000
_LONG = {"reports.daily_sales", "feeds.export", "stock.sync_warehouse"}


class DayWorker(NamedTuple):
    """A worker that lives at the end of the day."""

    id: int
    host: str
    pid: int
    children: int
    hours: float  # since it was started
    queues: tuple[str, ...] = ()  # none: all of them
    silent: float = 1.5  # seconds since its last heartbeat


#: All but one are well.
WORKERS = (
    DayWorker(name_id("worker 1"), "app-1", 4_117, 8, 31.0),
    DayWorker(name_id("worker 2"), "app-2", 2_981, 8, 30.9),
    DayWorker(name_id("worker 3"), "app-3", 3_302, 8, 6.2),
    DayWorker(name_id("worker 4"), "images-1", 811, 4, 52.0, ("images", "search")),
    DayWorker(name_id("worker 5"), "images-2", 799, 4, 52.0, ("images", "search"), 47.0),
)


class LiveJobs:
    """Writes them.

    Args:
        now: the end of the day, in seconds since 1970.
    """

    def __init__(
        self, writer: DayWriter, figures: DayFigures, found: Sequence[Source],
        rng: random.Random, *, now: float,
    ) -> None:  # fmt: skip
        self._writer, self._figures, self._sources = writer, figures, found
        self._rng, self._ids, self._now = rng, Ids(rng), now
        self._by_task = {each.traffic.task: each for each in found}
        self._workers: list[tuple[DayWorker, list[RunningJob]]] = []

    def write(self, jobs: int, staged: Sequence[RunningJob], *, ready: int | None = None) -> None:
        """Write the live jobs of a day that has this number of jobs.

        Args:
            staged: jobs that run and are written already.
            ready: how many are ready; by default one for 60 jobs of the day.
        """
        self._ready(min(_MOST, max(20, jobs // _READY)) if ready is None else ready)
        self._later(min(_MOST, max(12, jobs // _LATER)))
        self._parked(max(3, min(40, jobs // 2_000)))
        self._running(staged)

    def _job(self, source: Source, created: float) -> bytes:
        """Write a row of ``jobs``; its id."""
        id_, traffic = self._ids.at(created), source.traffic
        args = source.args[self._rng.randrange(len(source.args))]
        row = [id_, source.queue_id, traffic.priority, source.task_id, args, 0, created]
        self._writer.add("jobs", JOB, [row])
        self._figures.add_enqueued(source.task_id, source.queue_id, created)
        return id_

    def _place(self, source: Source, id_: bytes, tries: int = 0) -> list[Any]:
        return [
            id_, source.queue_id, 4 - source.traffic.priority, source.task_id, tries, tries,
        ]  # fmt: skip

    def _ready(self, count: int) -> None:
        """A mailing that makes the others wait, and a little of everything."""
        weights = [each.weight for each in self._sources]
        busiest = self._by_task["mail.newsletter"]
        chosen = [busiest] * (count * 3 // 4)
        chosen += self._rng.choices(self._sources, weights, k=count - len(chosen))
        ages = [self._rng.uniform(0, _BACKLOG if each is busiest else _USUAL) for each in chosen]
        pairs = sorted(zip(ages, range(count), strict=True), reverse=True)
        for age, at in pairs:
            source = chosen[at]
            row = self._place(source, self._job(source, self._now - age))
            self._writer.add("ready", _PLACE, [row])

    def _later(self, count: int) -> None:
        """Jobs with a delay, and such that have failed once."""
        for _ in range(count):
            source = self._rng.choices(self._sources, [s.weight for s in self._sources])[0]
            created = self._now - self._rng.uniform(1, 3_600)
            id_, is_retry = self._job(source, created), self._rng.random() < 0.3
            if is_retry:
                type_, message = source.traffic.error
                trace = source.traffic.trace(type_, message)
                end, begin, worker = created + 0.5, created + 0.1, WORKERS[0].id
                row = [id_, 1, "failed", 1, end, type_, message, trace, begin, worker]
                self._writer.add("errors", _ERROR, [row])
            run_at = self._now + self._rng.expovariate(1 / (40 if is_retry else 7_200)) + 1
            place = self._place(source, id_, int(is_retry))
            self._writer.add(
                "scheduled", _SCHEDULED, [[*place, run_at, "retry" if is_retry else "delay"]]
            )

    def _parked(self, count: int) -> None:
        """Jobs that a person must look at: two thirds of a task that no worker has any more."""
        gone = self._by_task["reports.daily_sales"]
        gone = gone._replace(task_id=name_id("reports.legacy_export"))
        heavy = self._by_task["images.resize"]
        for n in range(count):
            created = self._now - self._rng.uniform(600, 20_000)
            is_gone = n % 3 < 2
            source = gone if is_gone else heavy
            id_, tries = self._job(source, created), 0 if is_gone else 3
            why = "unknown_task" if is_gone else "poison"
            detail = (
                "no live worker has the task reports.legacy_export" if is_gone
                else "the process that ran it died 3 times (signal 9: out of memory?)"
            )  # fmt: skip
            place = self._place(source, id_, tries)
            self._writer.add("parked", _PARKED, [[*place, created + 30, why, detail]])
            kinds = ["parked"] if is_gone else ["lost", "lost", "lost", "parked"]
            rows: list[list[Any]] = []
            for lease, kind in enumerate(kinds, start=0 if is_gone else 1):
                at = created + 10 * lease
                run = (at - 8, WORKERS[0].id) if kind == "lost" else (None, None)
                rows.append([id_, lease, kind, lease, at, "", detail, "", *run])
            self._writer.add("errors", _ERROR, rows)

    def _running(self, staged: Sequence[RunningJob]) -> None:
        """A job for most of the children of the workers."""
        waiting = list(staged)
        for worker in WORKERS:
            busy = worker.children - 1 - self._rng.randrange(2)
            mine = [waiting.pop() for _ in range(min(len(waiting), busy // 2))]
            mine += [self._start(worker) for _ in range(busy - len(mine))]
            self._workers.append((worker, mine))

    def write_workers(self, now: float) -> None:
        """Write the workers, who have just been heard of."""
        for worker, running in self._workers:
            self._write_worker(worker, running, now - worker.silent)

    def _start(self, worker: DayWorker) -> RunningJob:
        known = [s for s in self._sources if not worker.queues or s.traffic.queue in worker.queues]
        weights = [s.weight * s.traffic.median for s in known]
        source = self._rng.choices(known, weights)[0]
        task = source.traffic.task
        ran = worker.silent + self._rng.uniform(0.1, 2.5 * source.traffic.median)
        started = self._now - ran
        id_ = self._job(source, started - 0.05)
        lease = [*self._place(source, id_, 1), worker.id, started]
        self._writer.add("leases", _LEASE, [lease])
        if task in _LONG:
            part = min(0.97, ran / (3 * source.traffic.median))
            row = [id_, self._now - 1, part, f"{part * 1200:,.0f} of 1,200 rows"]
            self._writer.add("progress", _PROGRESS, [row])
        return RunningJob(id_, task, started)

    def _write_worker(
        self, worker: DayWorker, running: Iterable[RunningJob], beat_at: float
    ) -> None:
        children: list[dict[str, Any]] = [
            {
                "pid": worker.pid + 11 + n, "kind": "serial", "running": 1,
                "memory": 58 + self._rng.randrange(60),
                "jobs": [{
                    "id": str(uuid.UUID(bytes=job.id)), "task": job.task,
                    "seconds": round(max(0.0, beat_at - job.started), 1),
                }],
            } for n, job in enumerate(running)
        ]  # fmt: skip
        for n in range(len(children), worker.children):
            idle = {"pid": worker.pid + 11 + n, "kind": "serial", "running": 0, "jobs": []}
            children.append({**idle, "memory": 52 + self._rng.randrange(30)})
        names = worker.queues or queue_names(self._sources)[:11]
        ended = {name: 4 + self._rng.randrange(60) for name in names}
        state = {
            "draining": False, "waiting": 0, "children": children, "ended": ended, "seconds": 5.0,
        }  # fmt: skip
        info = {
            "version": "2.4.1", "app": "shop:app", "children": worker.children,
            "child_range": str(worker.children), "queues": list(names),
            "is_open": not worker.queues, "tasks": 23,
        }  # fmt: skip
        times = self._now - worker.hours * 3_600, beat_at
        row = [worker.id, worker.host, worker.pid, *times, int(worker.hours * 720)]
        self._writer.add("workers", _WORKER, [[*row, json.dumps(info), json.dumps(state)]])


def queue_names(found: Sequence[Source]) -> list[str]:
    """The queues of sources, each once."""
    return [*dict.fromkeys(each.traffic.queue for each in found if each.traffic.queue)]
