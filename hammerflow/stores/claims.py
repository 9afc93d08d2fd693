"""Claim: ready jobs become leases of one worker, in one transaction."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from hammerflow.ids import first_id_at, name_id
from hammerflow.jobs.job import Claimed
from hammerflow.stores.database import Database, Tx

__all__ = ["Claims"]

_LANES = [0, 1, 2, 3, 4]  # priority_order 0 is Priority.CRITICAL
_START = [bytes(16)] * len(_LANES)
#: Seconds after which a mark is dropped: a late commit can land below it.
_MARK_SECONDS = 1.0
#: A look from the start is slow if it takes so many seconds (not counting some for each job) more
#: than one and a half from marks: it walks over what old snapshots hold up, or other tasks' jobs.
_SLOW, _EACH = 0.005, 50e-6
#: After two slow looks the next one waits so many times as long as it took (5 % of the time), but
#: not longer than so many seconds.
_SHARE, _LONGEST = 20, 10.0
#: By so many seconds a job's id may be older than its commit, differing clocks included.
_LATE = 2.0


@dataclass(slots=True)
class _Read:
    """How far a queue has been read: up to ``marks`` for each priority; they hold for a while."""

    marks: list[bytes] = field(default_factory=lambda: list(_START))
    until: float = 0.0  # by the monotonic clock
    slow_looks: int = 0  # in a row
    usual: float = 0.0  # seconds that a look from marks takes, a moving average

    @property
    def is_slow(self) -> bool:
        return self.slow_looks > 1

    def has_looked(self, claimed: list[Claimed], limit: int, took: float, clock: float) -> None:
        """After a look from the start, which began at that time of the wall clock."""
        now = time.monotonic()
        self.slow_looks = self.slow_looks + 1 if took > _SLOW + 1.5 * self.usual else 0
        is_full = len(claimed) == limit
        if not is_full and not self.is_slow:
            self.until = 0.0
            return
        lanes_read = 4 - claimed[-1].priority if is_full else len(_LANES)
        floor = first_id_at(clock - _LATE) if self.is_slow else bytes(16)
        self.marks = [floor] * lanes_read + _START[lanes_read:]
        self.until = now + (min(_SHARE * took, _LONGEST) if self.is_slow else _MARK_SECONDS)
        self.advance(claimed)

    def advance(self, claimed: list[Claimed]) -> None:
        for job in claimed:
            priority_order = 4 - job.priority
            self.marks[priority_order] = max(self.marks[priority_order], job.id)


class Claims:
    """Claims of one process; remembers for each queue and priority_order how far it has read."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._compound = "claim" in database.dialect.statements
        self._reads: dict[tuple[int, int], _Read] = {}

    def claim(
        self,
        worker_id: int,
        *,
        queue: str,
        task_ids: Sequence[int],
        limit: int,
        thorough: bool = False,
    ) -> list[Claimed]:
        """Up to ``limit`` ready jobs of these tasks, best priority first, oldest first.

        Args:
            thorough: look from the start, also where that is slow at the moment.
        """
        if limit < 1 or not task_ids:
            return []
        if self._compound:
            return self._claim_compound(worker_id, name_id(queue), task_ids, limit, thorough)
        return self._database.unit(
            lambda tx: _claim_in_steps(tx, worker_id, name_id(queue), task_ids, limit)
        )

    def _claim_compound(
        self, worker_id: int, queue_id: int, task_ids: Sequence[int], limit: int, thorough: bool
    ) -> list[Claimed]:
        read = self._reads.setdefault((queue_id, hash(tuple(task_ids))), _Read())
        claimed: list[Claimed] = []
        if time.monotonic() < read.until and not thorough:
            claimed, took = self._claim_from(read.marks, worker_id, queue_id, task_ids, limit)
            read.usual += (took - read.usual) * (0.2 if read.usual else 1.0)
            if len(claimed) == limit or read.is_slow:
                read.advance(claimed)
                return claimed
        rest, clock = limit - len(claimed), time.time()
        found, took = self._claim_from(_START, worker_id, queue_id, task_ids, rest)
        read.has_looked(found, rest, took, clock)
        read.advance(claimed)
        return sorted(claimed + found, key=_order)

    def _claim_from(
        self,
        marks: list[bytes],
        worker_id: int,
        queue_id: int,
        task_ids: Sequence[int],
        limit: int,
    ) -> tuple[list[Claimed], float]:
        """The jobs in order, and the seconds that finding them took but for some for each."""
        began = time.monotonic()
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
        took = time.monotonic() - began - _EACH * len(rows)
        return sorted(map(Claimed._make, rows), key=_order), took


def _order(job: Claimed) -> tuple[int, bytes]:
    return -job.priority, job.id


def _claim_in_steps(
    tx: Tx, worker_id: int, queue_id: int, task_ids: Sequence[int], limit: int
) -> list[Claimed]:
    """Read the first free rows with what was asked, copy them to leases, delete them."""
    picked = tx.rows("claim_read", queue_id=queue_id, task_ids=task_ids, n=limit)
    for priority_order in sorted({row[0] for row in picked}):
        ids = [row[1] for row in picked if row[0] == priority_order]
        if tx.has("leases_take"):
            tx.run(
                "leases_take",
                worker_id=worker_id,
                queue_id=queue_id,
                priority_order=priority_order,
                ids=ids,
            )
            tx.run("ready_delete", queue_id=queue_id, priority_order=priority_order, ids=ids)
        else:  # the one writer: what was read in key order is a whole range
            place = {
                "queue_id": queue_id,
                "priority_order": priority_order,
                "last": ids[-1],
                "task_ids": task_ids,
            }
            tx.run("leases_take_through", worker_id=worker_id, **place)
            tx.run("ready_delete_through", **place)
    return [
        Claimed._make(
            (
                job_id,
                lease + 1,
                attempt + 1,
                task_id,
                queue_id,
                4 - priority_order,
                *asked,
                bool(expired),
            )
        )
        for priority_order, job_id, task_id, lease, attempt, *asked, expired in picked
    ]
