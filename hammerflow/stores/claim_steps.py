"""Steps of a claim: the statements that move ready jobs to leases, inside one transaction."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Any

from hammerflow.jobs.job import Claimed
from hammerflow.stores.database import Tx

__all__ = [
    "claim_in_steps",
    "claim_named",
    "read_claimed",
    "take",
    "take_lanes",
    "take_lanes_in_steps",
]


def claim_in_steps(
    tx: Tx, worker_id: int, queue_id: int, task_ids: list[int], limit: int
) -> list[Claimed]:
    """Read the first free rows with what was asked, copy them to leases, delete them."""
    wanted = {"queue_id": queue_id, "task_ids": task_ids, "n": limit}
    rows = tx.rows("claim_read", **wanted)
    if rows and tx.has("claim_read_unpaused") and rows[0][-1] >= 0:
        rows = tx.rows("claim_read_unpaused", **wanted)
    claimed, version = read_claimed(tx, rows)
    for priority, jobs in groupby(claimed, key=lambda job: job.priority):
        place = {"queue_id": queue_id, "priority_order": 4 - priority}
        taken = [job.id for job in jobs]
        if not _take_first(tx, worker_id, task_ids, taken, {**place, "version": version}):
            return claim_in_steps(tx, worker_id, queue_id, task_ids, limit)
    return claimed


def _take_first(
    tx: Tx, worker_id: int, task_ids: list[int], ids: list[bytes], place: dict[str, Any]
) -> bool:
    """Take the first jobs of these tasks at a place, in the order of its key; as :func:`take`."""
    if not tx.has("leases_take_through"):
        return take(tx, worker_id, ids, place)
    # SQLite, the one writer: the rows read in the order of the key are a whole range
    span = {"last": ids[-1], "task_ids": task_ids, **place}
    tx.run("leases_take_through", worker_id=worker_id, **span)
    tx.run("ready_delete_through", **span)
    return True


def read_claimed(tx: Tx, rows: Sequence[tuple[Any, ...]]) -> tuple[list[Claimed], int | None]:
    """The jobs of a claim, and the version of the pauses that it has seen: MySQL's last column."""
    if not rows or not tx.has("pause_turn"):
        return [*map(Claimed._make, rows)], None
    return [Claimed._make(row[:-1]) for row in rows], rows[0][-1]


def claim_named(
    tx: Tx, worker_id: int, queue_id: int, task_ids: list[int], priority_order: int,
    ids: list[bytes],
) -> list[Claimed]:  # fmt: skip
    """Claim those of the jobs of a lane that are still there and free."""
    place = {"queue_id": queue_id, "priority_order": priority_order}
    rows = tx.rows("claim_named", task_ids=task_ids, ids=ids, **place)
    claimed, version = read_claimed(tx, rows)
    if claimed and not take(
        tx, worker_id, [job.id for job in claimed], {**place, "version": version}
    ):
        return claim_named(tx, worker_id, queue_id, task_ids, priority_order, ids)
    return claimed


def take(tx: Tx, worker_id: int, ids: list[bytes], place: dict[str, Any]) -> bool:
    """Move jobs to leases; False if something was paused since they were read."""
    if not tx.run("leases_take", worker_id=worker_id, ids=ids, **place):
        return False
    tx.run("ready_delete", ids=ids, **place)
    return True


def take_lanes(tx: Tx, wanted: dict[str, Any], counts: dict[int, int], n: int) -> list[Claimed]:
    """Claim up to ``n`` jobs of lanes, from each lane up to its own number, by one statement."""
    lanes, numbers = list(counts), list(counts.values())
    rows = tx.rows("claim_lanes", lanes=lanes, counts=numbers, n=n, **wanted)
    return [*map(Claimed._make, rows)]


def take_lanes_in_steps(
    tx: Tx, wanted: dict[str, Any], counts: dict[int, int], n: int
) -> list[Claimed]:
    """The same, lane by lane."""
    claimed: list[Claimed] = []
    place = {"queue_id": wanted["queue_id"], "task_ids": wanted["task_ids"]}
    for lane, count in counts.items():
        left = min(count, n - len(claimed))
        if left < 1:
            break
        jobs, version = read_claimed(tx, tx.rows("claim_lane", lane=lane, n=left, **place))
        if jobs:
            named = {"queue_id": wanted["queue_id"], "priority_order": lane, "version": version}
            ids = [job.id for job in jobs]
            if not _take_first(tx, wanted["worker_id"], wanted["task_ids"], ids, named):
                break  # the first lane: once a lane is taken, pauses wait for this transaction
        claimed += jobs
    return claimed
