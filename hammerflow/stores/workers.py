"""Workers: who is alive, whose leases are taken over, and what no one serves."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hammerflow.ids import name_id
from hammerflow.jobs.job import FINAL_CODES, JobState
from hammerflow.jobs.outcome import Cancelled, Failure, Lost, Parked
from hammerflow.jobs.status import WorkflowState
from hammerflow.stores.database import Database, Tx
from hammerflow.stores.names import NameTable
from hammerflow.stores.transitions.children import flows_of
from hammerflow.stores.transitions.dependents import BAD, JobEnd
from hammerflow.stores.transitions.settle import decide_loss, end_jobs

__all__ = ["Swept", "Workers"]

_CHUNK = 1_000
_CANCELLED = FINAL_CODES[JobState.CANCELLED]


@dataclass(slots=True)
class Swept:
    """What a sweep took over from dead workers."""

    workers: int = 0
    rescued: int = 0
    parked: int = 0
    queues: set[str] = field(default_factory=set)


class Workers:
    """The tables ``workers`` and ``worker_tasks``, and the leases of the dead."""

    def __init__(self, database: Database, names: NameTable) -> None:
        self._database = database
        self._names = names

    def register(
        self,
        worker_id: int,
        *,
        host: str,
        pid: int,
        info: Mapping[str, Any],
        tasks: Sequence[str],
        queues: Iterable[str],
    ) -> set[str]:
        """A supervisor comes to life; jobs parked for want of its tasks are revived.

        Returns:
            The queues in which jobs were revived.
        """
        self._names.register(queues=queues, tasks=tasks)
        task_ids = [name_id(name) for name in tasks]

        def work(tx: Tx) -> None:
            if tx.repeated:
                self._delete(tx, worker_id)
            row = {"id": worker_id, "host": host, "pid": pid, "info": json.dumps(dict(info))}
            tx.run("worker_insert", **row)
            if task_ids:
                tx.many("worker_tasks_insert", [(task_id, worker_id) for task_id in task_ids])

        self._database.unit(work)
        return self.revive(task_ids)

    def beat(self, worker_id: int) -> bool:
        """Say that the worker lives; False when its row is gone and its leases with it."""
        return bool(
            self._database.unit(lambda tx: tx.run("worker_beat", id=worker_id), single=True)
        )

    def cancels(self, worker_id: int) -> Sequence[tuple[bytes, str]]:
        """(job id, reason) of this worker's running jobs that were asked to stop."""
        return self._database.rows("lease_cancels", worker_id=worker_id)

    def leave(self, worker_id: int) -> None:
        """The worker is gone; leases that it may still hold are rescued by the next sweep."""
        self._database.unit(lambda tx: self._delete(tx, worker_id))

    def list(self) -> Sequence[dict[str, Any]]:
        """All live workers: id, host, pid, started_at, beat_at, info, seconds since the beat."""
        instant = self._database.dialect.instant
        return [
            {
                "id": id_,
                "host": host,
                "pid": pid,
                "started_at": instant(started),
                "beat_at": instant(beat),
                "info": json.loads(info),
                "silent_for": float(silent),
            }
            for id_, host, pid, started, beat, info, silent in self._database.rows("workers_all")
        ]

    def sweep(self, *, lease: float, poison_limit: int) -> Swept:
        """Take over the leases of workers that have not beaten for ``lease`` seconds.

        Any number of supervisors may sweep at once: rows that another one has locked are skipped.
        """
        swept = Swept()
        dead = self._database.rows("workers_dead", lease=lease)
        for (worker_id,) in dead:
            while self._rescue(worker_id, swept, poison_limit, lease=lease):
                pass
        ownerless = self._database.rows("leases_ownerless")
        for (worker_id,) in ownerless:
            while self._rescue(worker_id, swept, poison_limit, lease=None):
                pass
        return swept

    def park_unserved(self, queues: Iterable[str]) -> int:
        """Park the jobs at the head of these queues whose task no live worker has registered."""
        parked = 0
        for queue in queues:
            queue_id = name_id(queue)
            head = self._database.read(
                lambda tx: tx.rows("unserved_head", queue_id=queue_id, n=_CHUNK)  # noqa: B023
            )
            if head:
                task_ids = self._database.unit(
                    lambda tx: self._park(tx, queue_id, head)  # noqa: B023
                )
                parked += len(task_ids)
                self._revive_served(sorted(set(task_ids)))
        return parked

    def revive(self, task_ids: Sequence[int]) -> set[str]:
        """Put jobs that were parked as unknown back to ready, where the task is now served."""
        queues: set[str] = set()

        def work(tx: Tx) -> int:
            rows = tx.rows("parked_of_tasks", task_ids=task_ids, n=_CHUNK)
            if rows:
                tx.run("parked_delete", ids=[row[0] for row in rows])
                tx.many(
                    "ready_insert",
                    [(q, priority_order, j, t, x, a) for j, q, priority_order, t, x, a in rows],
                )
                queues.update(self._names.queue(row[1]) for row in rows)
            return len(rows)

        while task_ids and self._database.unit(work) == _CHUNK:
            pass
        return queues

    # -- inside -----------------------------------------------------------------------------------

    def _delete(self, tx: Tx, worker_id: int) -> None:
        tx.run("worker_tasks_delete", worker_id=worker_id)
        tx.run("worker_delete", id=worker_id)

    def _rescue(
        self, worker_id: int, swept: Swept, poison_limit: int, *, lease: float | None
    ) -> bool:
        """One chunk of a dead worker's leases; whether there may be more."""
        chunk = Swept()

        def work(tx: Tx) -> bool:
            chunk.workers = chunk.rescued = chunk.parked = 0
            if lease is not None and not tx.rows("worker_still_dead", id=worker_id, lease=lease):
                return False  # it beats again, or another supervisor is at it
            rows = tx.rows("worker_leases", worker_id=worker_id, n=_CHUNK)
            if rows:
                self._move_lost(tx, worker_id, rows, chunk, poison_limit)
            elif lease is not None and tx.rows("leases_of_worker", worker_id=worker_id)[0][0] == 0:
                self._delete(tx, worker_id)
                chunk.workers = 1
            return len(rows) > 0

        more = self._database.unit(work)
        swept.workers += chunk.workers
        swept.rescued += chunk.rescued
        swept.parked += chunk.parked
        swept.queues |= chunk.queues
        return more

    def _move_lost(
        self,
        tx: Tx,
        worker_id: int,
        rows: Sequence[tuple[Any, ...]],
        chunk: Swept,
        poison_limit: int,
    ) -> None:
        failure = Failure("lost", "WorkerLost", "the worker that held the lease went silent", "")
        ids = [row[0] for row in rows]
        losses: dict[bytes, int] = dict(tx.rows("losses", ids=ids))
        tx.run("leases_delete", worker_id=worker_id, ids=ids)
        ready, parked, cancelled = [], [], []
        halted = _halted(tx, ids)
        for job_id, lease, attempt, queue_id, priority_order, task_id, cancel in rows:
            outcome = decide_loss(Lost(failure), losses.get(job_id, 0) + 1, poison_limit)
            if job_id in halted:
                outcome = Cancelled("its workflow was ended")
            if cancel is not None:
                outcome = Cancelled(cancel)
            match outcome:
                case Cancelled(reason):
                    cancelled.append(
                        (job_id, _CANCELLED, attempt, lease, worker_id, None, reason, None)
                    )
                case Parked(why, _):
                    parked.append(
                        (
                            job_id,
                            why,
                            failure.message,
                            queue_id,
                            priority_order,
                            task_id,
                            lease,
                            attempt,
                        )
                    )
                case _:
                    ready.append((queue_id, priority_order, job_id, task_id, lease, attempt))
        tx.many(
            "errors_insert",
            [(row[0], row[1], "lost", row[2], failure.type, failure.message, "") for row in rows],
        )
        for name, values in (
            ("done_insert", cancelled),
            ("parked_insert", parked),
            ("ready_insert", ready),
        ):
            if values:
                tx.many(name, values)
        chunk.rescued, chunk.parked = len(rows) - len(parked), len(parked)
        chunk.queues |= {self._names.queue(row[0]) for row in ready}
        if cancelled:
            chunk.queues |= self._end_cancelled(tx, [row[0] for row in cancelled])

    def _end_cancelled(self, tx: Tx, ids: Sequence[bytes]) -> set[str]:
        """What follows from the ends of these; the queues that it fed."""
        links = tx.rows("ended_links", ids=ids)
        ends = [
            JobEnd(id_, BAD, then, key, flow, flags, True) for id_, then, key, flow, flags in links
        ]
        return end_jobs(self._database, self._names, tx, ends).queues

    def _revive_served(self, task_ids: Sequence[int]) -> None:
        """A worker that registered while we parked has looked for its jobs too early."""
        if task_ids:
            served = self._database.rows("served_tasks", task_ids=task_ids)
            self.revive([row[0] for row in served])

    def _park(self, tx: Tx, queue_id: int, head: Sequence[tuple[int, bytes]]) -> Sequence[int]:
        """Park what still stands there; the task of each."""
        parked = []
        for priority_order in sorted({row[0] for row in head}):
            ids = [job_id for at, job_id in head if at == priority_order]
            values: dict[str, Any] = {
                "queue_id": queue_id,
                "priority_order": priority_order,
                "ids": ids,
            }
            if tx.has("ready_lock"):
                taken = tx.rows("ready_lock", **values)
                if taken:
                    tx.run("ready_delete", **{**values, "ids": [row[0] for row in taken]})
            else:
                taken = tx.rows("ready_delete", **values)
            parked += [
                (
                    job_id,
                    "unknown_task",
                    self._unknown(task_id),
                    queue_id,
                    priority_order,
                    task_id,
                    lease,
                    n,
                )
                for job_id, task_id, lease, n in taken
            ]
        if parked:
            tx.many("parked_insert", parked)
        return [row[5] for row in parked]

    def _unknown(self, task_id: int) -> str:
        return f"no live worker has registered the task {self._names.task(task_id)}"


def _halted(tx: Tx, job_ids: Sequence[bytes]) -> set[bytes]:
    """Those that are members of workflows in which nothing starts any more."""
    links = tx.rows("ended_links", ids=job_ids)
    flows = flows_of(link[3] for link in links)
    if not flows:
        return set()
    rows = tx.rows("workflows_share", ids=sorted(flows))
    halted = {workflow_id for workflow_id, state, _ in rows if WorkflowState(state).is_halted}
    return {link[0] for link in links if link[3] in halted}
