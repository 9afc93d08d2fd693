"""Claim: ready jobs become leases of one worker, in one transaction."""

from __future__ import annotations

import time
from collections.abc import Sequence

from hammerflow.job import Claimed
from hammerflow.stores.database import Database, Tx
from hammerflow.stores.names import name_id

__all__ = ["Claims"]

_LANES = [0, 1, 2, 3, 4]  # lane 0 is Priority.CRITICAL
_START = [bytes(16)] * len(_LANES)
#: Seconds after which a mark is dropped: a late commit can land below it.
_MARK_SECONDS = 1.0


class Claims:
    """Claims of one process; remembers for each queue and lane how far it has read."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._compound = "claim" in database.dialect.statements
        self._marks: dict[tuple[int, int], tuple[float, list[bytes]]] = {}

    def claim(
        self, worker_id: int, *, queue: str, task_ids: Sequence[int], limit: int
    ) -> list[Claimed]:
        """Up to ``limit`` ready jobs of these tasks, best priority first, oldest first."""
        if limit < 1 or not task_ids:
            return []
        if self._compound:
            return self._claim_compound(worker_id, name_id(queue), task_ids, limit)
        return self._database.unit(
            lambda tx: _claim_in_steps(tx, worker_id, name_id(queue), task_ids, limit)
        )

    def _claim_compound(
        self, worker_id: int, queue_id: int, task_ids: Sequence[int], limit: int
    ) -> list[Claimed]:
        key = (queue_id, hash(tuple(task_ids)))
        since, marks = self._marks.get(key, (time.monotonic(), _START))
        claimed = self._claim_from(marks, worker_id, queue_id, task_ids, limit)
        if len(claimed) < limit and marks is not _START:  # what came back below the marks
            rest = limit - len(claimed)
            claimed += self._claim_from(_START, worker_id, queue_id, task_ids, rest)
            claimed.sort(key=_order)
        if len(claimed) < limit or time.monotonic() - since > _MARK_SECONDS:
            self._marks.pop(key, None)
        else:
            marks = list(marks)
            for job in claimed:  # in id order within a lane: the last one stays
                marks[4 - job.priority] = job.id
            self._marks[key] = (since, marks)
        return claimed

    def _claim_from(
        self,
        marks: list[bytes],
        worker_id: int,
        queue_id: int,
        task_ids: Sequence[int],
        limit: int,
    ) -> list[Claimed]:
        rows = self._database.unit(
            lambda tx: tx.rows(
                "claim",
                lanes=_LANES,
                marks=marks,
                queue_id=queue_id,
                task_ids=list(task_ids),
                n=limit,
                worker_id=worker_id,
            ),
            single=True,
        )
        return sorted(map(Claimed._make, rows), key=_order)


def _order(job: Claimed) -> tuple[int, bytes]:
    return -job.priority, job.id


def _claim_in_steps(
    tx: Tx, worker_id: int, queue_id: int, task_ids: Sequence[int], limit: int
) -> list[Claimed]:
    """Read the first free rows with what was asked, copy them to leases, delete them."""
    picked = tx.rows("claim_read", queue_id=queue_id, task_ids=task_ids, n=limit)
    for lane in sorted({row[0] for row in picked}):
        ids = [row[1] for row in picked if row[0] == lane]
        if tx.has("leases_take"):
            tx.run("leases_take", worker_id=worker_id, queue_id=queue_id, lane=lane, ids=ids)
            tx.run("ready_delete", queue_id=queue_id, lane=lane, ids=ids)
        else:  # the one writer: what was read in key order is a whole range
            place = {"queue_id": queue_id, "lane": lane, "last": ids[-1], "task_ids": task_ids}
            tx.run("leases_take_through", worker_id=worker_id, **place)
            tx.run("ready_delete_through", **place)
    return [
        Claimed._make(
            (job_id, lease + 1, attempt + 1, task_id, queue_id, 4 - lane, *asked, bool(expired))
        )
        for lane, job_id, task_id, lease, attempt, *asked, expired in picked
    ]
