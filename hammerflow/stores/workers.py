"""Workers: who is alive, whose leases are taken over, and jobs whose task no worker serves."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, NamedTuple

from hammerflow.events.kinds import EventKind
from hammerflow.ids import name_id, worker_number
from hammerflow.stores.database import Database, Tx
from hammerflow.stores.names import NameTable
from hammerflow.stores.rows import ReadyRow, Row, parked_row
from hammerflow.stores.transitions.rescue import Rescued, rescue_leases
from hammerflow.stores.transitions.unit import Unit, Verbs
from hammerflow.text import NAME, TRACE, storable

__all__ = ["Request", "Swept", "Workers"]

#: Leases, parked or ready jobs that one transaction moves.
_CHUNK = 1_000


@dataclass(slots=True)
class Swept:
    """What a sweep took over from dead workers."""

    workers: int = 0
    rescued: int = 0
    parked: int = 0
    queues: set[str] = field(default_factory=set)


class Request(NamedTuple):
    """What a person has asked of a worker."""

    id: int
    kind: str  # stop, stack or pool
    job_id: bytes | None
    detail: str | None
    asked_by: str


class Workers(Verbs):
    """The tables of workers, their tasks and what was asked of them; the leases of the dead.

    Attributes:
        watches: whether the last sweep has left a silent worker that was not watched for long.
    """

    def __init__(self, database: Database, names: NameTable) -> None:
        super().__init__(database, names)
        self._seen: dict[int, tuple[int, float]] = {}  # id: beats, and since when they are seen
        self.watches = False
        self._ownerless: dict[int, float] = {}  # worker without a row: leases seen first at

    def register(
        self, worker_id: int, *, host: str, pid: int, info: Mapping[str, Any],
        tasks: Sequence[str], queues: Iterable[str],
        shapes: Mapping[str, str] = MappingProxyType({}),
    ) -> set[str]:  # fmt: skip
        """Register a supervisor, and revive jobs parked for want of its tasks; their queues.

        Args:
            shapes: what is known of the tasks, as text, by their names.
        """
        self._names.register(queues=queues, tasks=tasks)
        task_ids = [name_id(name) for name in tasks]
        served = [(name_id(name), worker_id, shapes.get(name)) for name in tasks]

        def work(tx: Tx) -> None:
            if tx.repeated:
                self._delete(tx, worker_id)
            row = {"id": worker_id, "host": host, "pid": pid, "info": json.dumps(dict(info))}
            tx.run("worker_insert", **row)
            if task_ids:
                tx.many("worker_tasks_insert", served)
            self._names.outbox.note(tx, EventKind.WORKER_STARTED, worker_id, host=host, pid=pid)

        self._database.unit(work)
        return self.revive(task_ids)

    def beat(self, worker_id: int, state: Mapping[str, Any] | None = None) -> bool:
        """Say that the worker lives; False when its row is gone and its leases with it.

        Args:
            state: what its children run at the moment, for people.
        """
        values = {"id": worker_id, "state": None if state is None else json.dumps(dict(state))}
        beat = self._database.unit(lambda tx: tx.run("worker_beat", **values), single=True)
        return beat > 0

    def tell(self, worker_id: int, info: Mapping[str, Any]) -> None:
        """Write what has changed in what a worker tells about itself."""
        values = {"id": worker_id, "info": json.dumps(dict(info))}
        self._database.unit(lambda tx: tx.run("worker_tell", **values), single=True)

    def cancels(self, worker_id: int) -> Sequence[tuple[bytes, str]]:
        """(job id, reason) of this worker's running jobs that were asked to stop."""
        return self._database.rows("lease_cancels", worker_id=worker_id)

    def leave(self, worker_id: int) -> None:
        """The worker is gone; leases that it may still hold are rescued by the next sweep."""

        def work(tx: Tx) -> None:
            if self._delete(tx, worker_id):
                self._names.outbox.note(tx, EventKind.WORKER_STOPPED, worker_id)

        self._database.unit(work)

    def list(self) -> Sequence[dict[str, Any]]:
        """All workers with a row: id, host, pid, started_at, beat_at, info, seconds since the beat,
        and the state that the beat has told."""
        instant = self._database.dialect.instant
        return [
            {
                "id": id_, "host": host, "pid": pid, "started_at": instant(started),
                "beat_at": instant(beat), "info": json.loads(info), "silent_for": float(silent),
                "state": json.loads(state or "{}"),
            }
            for id_, host, pid, started, beat, info, silent, state in self._database.rows(
                "workers_all"
            )
        ]  # fmt: skip

    def shared_tasks(self) -> Mapping[str, Sequence[str]]:
        """The apps (by their namespaces) of each task that workers of several have registered."""
        apps = {
            worker["id"]: worker["info"]["doorbell"]["namespace"]
            for worker in self.list()
            if "doorbell" in worker["info"]
        }
        found: dict[str, set[str]] = {}
        for name, worker_id in self._database.rows("tasks_shared"):
            if worker_id in apps:
                found.setdefault(name, set()).add(apps[worker_id])
        return {
            name: sorted(namespaces) for name, namespaces in found.items() if len(namespaces) > 1
        }

    def knowing(self, task: str) -> set[int]:
        """Numbers of the workers that have registered a task."""
        return set(self._database.column("task_workers", task_id=name_id(task)))

    def shape(self, task: str, *, lease: float) -> tuple[bool, str | None]:
        """Whether a live worker serves a task, and the shape that the last one has registered.

        Args:
            lease: seconds without a heartbeat after which a worker is dead.
        """
        rows = self._database.rows("task_shapes", task_id=name_id(task))
        alive = [shape for shape, silent in rows if float(silent) <= lease]
        return bool(alive), next((shape for shape in alive if shape), None)

    def tasks(self, worker_id: int) -> Sequence[str]:
        """Names of the tasks that a worker has registered."""
        return self._database.column("tasks_of_worker", worker_id=worker_id)

    def ask(
        self, worker_id: int, kind: str, *, by: str, job_id: bytes | None = None,
        detail: str | None = None,
    ) -> int:  # fmt: skip
        """Ask a worker for something, which it notices within seconds, or at a ring of control.

        Args:
            kind: "stop", "stack" with a job that it runs, or "pool" with the detail of how to
                change the number of its children.

        Returns:
            The number of the request.
        """
        request = worker_number()
        values = {"kind": kind, "job_id": job_id, "detail": detail, "asked_by": storable(by, NAME)}
        self._database.run("request_insert", worker_id=worker_id, id=request, **values)
        return request

    def requests(self, worker_id: int) -> Sequence[Request]:
        """What was asked of a worker and has no answer yet."""
        return [*map(Request._make, self._database.rows("requests_open", worker_id=worker_id))]

    def answer(self, worker_id: int, request: int, text: str) -> None:
        """Answer a request."""
        values = {"worker_id": worker_id, "id": request, "answer": storable(text, TRACE)}
        self._database.run("request_answer", **values)

    def take_answer(self, worker_id: int, request: int) -> str | None:
        """The answer to a request, which is deleted then; None while there is none."""
        found = self._database.first("request_read", worker_id=worker_id, id=request)
        if found is None or found[0] is None:
            return None
        self.withdraw(worker_id, request)
        return str(found[0])

    def withdraw(self, worker_id: int, request: int) -> None:
        """Delete a request."""
        self._database.run("request_delete", worker_id=worker_id, id=request)

    def running(self, worker_id: int, queue: str | None = None) -> int:
        """How many jobs a worker holds, in all or of one queue."""
        if queue is None:
            return int(self._database.column("leases_of_worker", worker_id=worker_id)[0])
        place = {"worker_id": worker_id, "queue_id": name_id(queue)}
        return int(self._database.column("leases_of_worker_in", **place)[0])

    def sweep(self, *, lease: float, poison_limit: int, watch: float = 0.0) -> Swept:
        """Take over the leases of workers that have not beaten for ``lease`` seconds.

        A heartbeat that lies in the future shows that the database's clock was set back. Such a
        worker is judged by the beats that this process has seen, on its own clock. One that lies
        too far in the past may show that the clock was set ahead.

        Any number of supervisors may sweep at once: rows that another one has locked are skipped.

        Args:
            lease: seconds.
            poison_limit: lost leases after which a job is parked.
            watch: seconds on the clock of this process in which a worker must not have beaten
                either; several times the interval of beats. Where the row of a worker is gone, it
                finds that out at its next beat, and stops its bodies.
        """
        swept = Swept()
        for worker_id, beats in self._dead(lease, watch):
            self._rescue_all(worker_id, swept, poison_limit, beats=beats)
        now, before = time.monotonic(), self._ownerless
        ids = self._database.column("leases_ownerless")
        self._ownerless = {worker_id: before.get(worker_id, now) for worker_id in ids}
        for worker_id, since in self._ownerless.items():
            if now - since >= watch:
                self._rescue_all(worker_id, swept, poison_limit, beats=None)
        return swept

    def _dead(self, lease: float, watch: float) -> Sequence[tuple[int, int]]:
        """(id, number of beats) of the workers that have been silent for a lease.

        How long one was watched that has not beaten for a lease is written in its row; a process
        that starts goes on from there. Else one that dies soon after each start would never have
        watched for long enough, and the jobs of its predecessors would wait until it lives on.
        """
        rows = self._database.rows("workers_beats")
        now, before = time.monotonic(), self._seen
        self._seen = {
            id_: before[id_]
            if id_ in before and before[id_][0] == beats
            else (beats, now - (watched if age > lease else 0.0))
            for id_, beats, age, watched in rows
        }
        dead, self.watches = [], False
        for id_, beats, age, watched in rows:
            silent = now - self._seen[id_][1]
            if (age > lease and silent >= watch) or (age < 0 and silent > lease):
                dead.append((id_, beats))
            elif age > lease:
                self.watches = True
                if silent > watched:
                    self._database.run("worker_watched", id=id_, beats=beats, seconds=silent)
        return dead

    def park_unserved(self, queues: Iterable[str]) -> int:
        """Park the jobs at the head of these queues whose task no live worker has registered."""
        parked = 0
        for queue in queues:
            queue_id = name_id(queue)
            head = self._database.rows("unserved_head", queue_id=queue_id, n=_CHUNK)
            if head:
                rows = self._run(lambda unit: _park(unit, queue_id, head))  # noqa: B023  called at once
                parked += len(rows)
                self._revive_served(sorted({row.task_id for row in rows}))
        return parked

    def revive(self, task_ids: Sequence[int]) -> set[str]:
        """Put jobs that were parked as unknown back to ready, where the task is now served."""
        queues: set[str] = set()

        def work(unit: Unit) -> int:
            rows = unit.tx.rows("parked_of_tasks", task_ids=task_ids, n=_CHUNK)
            if rows:
                unit.tx.run("parked_delete", ids=[row[0] for row in rows])
            unit.make_ready(rows)
            queues.update(unit.settlement.queues)
            return len(rows)

        while task_ids and self._run(work) == _CHUNK:
            pass
        return queues

    def _delete(self, tx: Tx, worker_id: int) -> bool:
        """Delete the rows of a worker; whether it had one."""
        tx.run("worker_tasks_delete", worker_id=worker_id)
        tx.run("requests_delete", worker_id=worker_id)
        return tx.run("worker_delete", id=worker_id) > 0

    def _rescue_all(
        self, worker_id: int, swept: Swept, poison_limit: int, *, beats: int | None
    ) -> None:
        """Take over a dead worker's leases, chunk by chunk.

        Args:
            beats: how often it had beaten when it was found dead; None: it has no row any more.
        """
        is_rest = False
        while self._rescue(worker_id, swept, poison_limit, beats=beats, is_rest=is_rest):
            is_rest = True

    def _rescue(
        self, worker_id: int, swept: Swept, poison_limit: int, *, beats: int | None, is_rest: bool
    ) -> bool:
        """Take over one chunk of a dead worker's leases; whether there may be more."""

        def work(unit: Unit) -> tuple[Rescued, bool, set[str]]:
            is_gone = False
            tx = unit.tx
            if beats is not None and not tx.rows("worker_still_dead", id=worker_id, beats=beats):
                return Rescued(0, 0), False, set()  # it beats again, or another one rescues
            rescued = rescue_leases(unit, worker_id, _CHUNK, poison_limit, is_rest=is_rest)
            if not rescued.leases and beats is not None:
                is_gone = tx.rows("leases_of_worker", worker_id=worker_id)[0][0] == 0
                if is_gone:
                    tx.run("worker_losses_forget", id=worker_id)
                    tx.run("worker_loss_insert", id=worker_id)
                    self._delete(tx, worker_id)
                    self._names.outbox.note(tx, EventKind.WORKER_LOST, worker_id)
            return rescued, is_gone, unit.settlement.queues

        rescued, is_gone, queues = self._run(work)
        swept.workers += is_gone
        swept.rescued += rescued.leases - rescued.parked
        swept.parked += rescued.parked
        swept.queues |= queues
        return rescued.leases > 0

    def _revive_served(self, task_ids: Sequence[int]) -> None:
        """Revive what a worker serves that registered while we parked: it was too early for it."""
        if task_ids:
            self.revive(self._database.column("served_tasks", task_ids=task_ids))


def _park(unit: Unit, queue_id: int, head: Sequence[tuple[int, bytes]]) -> list[ReadyRow]:
    """Park those of the ready jobs, (priority order, id), that are still there."""
    taken: list[ReadyRow] = []
    for priority_order in sorted({row[0] for row in head}):
        ids = [job_id for order, job_id in head if order == priority_order]
        taken += map(ReadyRow._make, _take_ready(unit.tx, queue_id, priority_order, ids))
    unit.insert("parked_insert", [_parked(unit, row) for row in taken])
    return taken


def _take_ready(tx: Tx, queue_id: int, priority_order: int, ids: list[bytes]) -> list[Row]:
    """Delete ready rows that no claim has locked, and return them."""
    place = {"queue_id": queue_id, "priority_order": priority_order}
    if not tx.has("ready_lock"):
        return tx.rows("ready_delete", ids=ids, **place)
    taken = tx.rows("ready_lock", ids=ids, **place)
    if taken:
        tx.run("ready_delete", ids=[row[0] for row in taken], **place)
    return taken


def _parked(unit: Unit, row: ReadyRow) -> Row:
    task = unit.names.task(row.task_id)
    return parked_row(row, "unknown_task", f"no live worker has registered the task {task}")
