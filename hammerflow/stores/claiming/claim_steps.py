"""Steps of a claim: the statements that move ready jobs to leases, inside one transaction."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import groupby, islice
from types import MappingProxyType
from typing import Any

from hammerflow.jobs.job import Claimed
from hammerflow.stores.database import Tx

__all__ = [
    "claim_in_steps",
    "claim_named",
    "read_claimed",
    "take",
    "take_from_lanes",
    "take_lanes_in_steps",
    "take_span",
]


#: Lanes that SQLite claims from one by one: each is a range, and there is no way to a server.
_FEW_LANES = 24
#: Jobs of each lane from which on MySQL reads lane after lane: the recursion for all lanes at once
#: keeps what it has found in a table, which costs more with each step.
_DEEP = 8


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


def take_lanes_in_steps(
    tx: Tx, wanted: dict[str, Any], lanes: Sequence[tuple[int, bytes, int]], n: int,
    heads: Mapping[int, Sequence[bytes]] = MappingProxyType({}),
) -> list[tuple[int, Claimed]]:  # fmt: skip
    """Claim up to ``n`` jobs of lanes, each up to its own number.

    Args:
        lanes: (lane, its first job, number) of each; no first job where it may hold several tasks.
        heads: the first jobs of lanes in order, where they are known.

    Returns:
        (lane, job) of each.
    """
    of_one_task = {lane: (first, count) for lane, first, count in lanes if first}
    claimed: list[tuple[int, Claimed]] = []
    if len(of_one_task) > 1 and tx.has("lanes_between"):
        claimed, rest = _take_ranges(tx, wanted, of_one_task, n)
        if len(rest) > _FEW_LANES and len(claimed) < n:
            claimed += _take_heads(tx, wanted, rest, n - len(claimed), heads)
            rest = {}
        lanes = [lane for lane in lanes if not lane[1] or lane[0] in rest]
    elif len(of_one_task) > 1:
        claimed = _take_heads(tx, wanted, of_one_task, n, heads)
        lanes = [lane for lane in lanes if not lane[1]]
    place = {"queue_id": wanted["queue_id"], "task_ids": wanted["task_ids"]}
    for lane, _, count in lanes:
        left = min(count, n - len(claimed))
        if left < 1:
            break
        jobs, version = read_claimed(tx, tx.rows("claim_lane", lane=lane, n=left, **place))
        if jobs:
            named = {"queue_id": wanted["queue_id"], "priority_order": lane, "version": version}
            ids = [job.id for job in jobs]
            if not _take_first(tx, wanted["worker_id"], wanted["task_ids"], ids, named):
                break  # the first lane: once a lane is taken, pauses wait for this transaction
        claimed += [(lane, job) for job in jobs]
    return claimed


def _take_ranges(
    tx: Tx, wanted: dict[str, Any], lanes: dict[int, tuple[bytes, int]], n: int
) -> tuple[list[tuple[int, Claimed]], dict[int, tuple[bytes, int]]]:
    """Claim whole lanes that follow each other in the key of ``ready``: a range, as a claim without
    limits reads. Jobs of several keys are otherwise found one by one, each in another page.

    Returns:
        (lane, job) of each, and the lanes that are left to claim from: a range ends at the first
        lane that holds more jobs than may start, or that is not among these.
    """
    order = [*lanes]
    claimed: list[tuple[int, Claimed]] = []
    at = 0
    while at < len(order) and len(claimed) < n:
        end = at + 1
        while end < len(order) and order[end] > order[end - 1]:
            end += 1
        left = n - len(claimed)
        rows = tx.rows(
            "lanes_between", queue_id=wanted["queue_id"], task_ids=wanted["task_ids"],
            first_lane=order[at], last_lane=order[end - 1], n=left,
        )  # fmt: skip
        given: Counter[int] = Counter()
        for lane, _ in rows:
            if lane not in lanes or given[lane] == lanes[lane][1]:
                break
            given[lane] += 1
        count = given.total()
        if count:
            jobs = take_span(tx, wanted, order[at], rows[count - 1])
            if not jobs:
                return claimed, {}  # the queue is paused
            claimed += zip([lane for lane, _ in rows], jobs, strict=False)
        if count < len(rows):
            at = next((k for k in range(at, end) if order[k] > rows[count][0]), end)
            if count < left // 2:  # the lanes are deep: each range would be short
                return claimed, {lane: lanes[lane] for lane in order[at:]}
        else:
            at = end
    return claimed, {}


def take_span(
    tx: Tx, wanted: dict[str, Any], first_lane: int, last: tuple[int, bytes]
) -> list[Claimed]:
    """Claim all jobs of these tasks from the start of a lane to a (lane, job), on SQLite."""
    span = {
        "first_lane": first_lane, "last_lane": last[0], "last": last[1],
        "queue_id": wanted["queue_id"], "task_ids": wanted["task_ids"],
    }  # fmt: skip
    jobs = [*map(Claimed._make, tx.rows("claim_lanes_through", **span))]
    if jobs:
        tx.run("leases_take_lanes_through", worker_id=wanted["worker_id"], **span)
        tx.run("ready_delete_lanes_through", **span)
    return jobs


def take_from_lanes(
    tx: Tx, wanted: dict[str, Any], lane_of: Mapping[bytes, int]
) -> list[tuple[int, Claimed]]:
    """Claim those of these jobs that are still there and free: (lane, job) of each."""
    if not lane_of:
        return []
    place = {"queue_id": wanted["queue_id"]}
    ids, tasks = sorted(lane_of), wanted["task_ids"]
    claimed, version = read_claimed(tx, tx.rows("claim_heads", ids=ids, task_ids=tasks, **place))
    if not claimed:
        return []
    taken = [job.id for job in claimed]
    values = {"worker_id": wanted["worker_id"], "version": version}
    if not tx.run("leases_take_lanes", ids=taken, **values, **place):
        return []
    tx.run("ready_delete_lanes", ids=taken, **place)
    return [(lane_of[job.id], job) for job in claimed]


def _take_heads(
    tx: Tx, wanted: dict[str, Any], lanes: dict[int, tuple[bytes, int]], n: int,
    heads: Mapping[int, Sequence[bytes]],
) -> list[tuple[int, Claimed]]:  # fmt: skip
    """Claim from several lanes at once, from each as many as from the others."""
    place = {"queue_id": wanted["queue_id"]}
    found = _known_heads(lanes, n, heads) or _read_heads(tx, place, lanes, n)
    return take_from_lanes(tx, wanted, found)


def _known_heads(
    lanes: dict[int, tuple[bytes, int]], n: int, heads: Mapping[int, Sequence[bytes]]
) -> dict[bytes, int]:
    """The jobs to claim and their lanes; none where the jobs of a lane are not known."""
    if not all(lane in heads for lane in lanes):
        return {}
    turns = sorted(
        (turn, job_id, lane)
        for lane, (_, count) in lanes.items()
        for turn, job_id in enumerate(heads[lane][:count])
    )
    return {job_id: lane for _, job_id, lane in turns[:n]}


def _read_heads(
    tx: Tx, place: dict[str, Any], lanes: dict[int, tuple[bytes, int]], n: int
) -> dict[bytes, int]:
    """The same from the lanes as they are now."""
    depth = min(max(count for _, count in lanes.values()), -(-n // len(lanes)))
    if depth == 1 and tx.has("lanes_between"):
        # SQLite: what was its first job is that still, unless another process was in between
        return {first: lane for lane, (first, _) in islice(lanes.items(), n)}
    if depth >= _DEEP and tx.has("lane_jobs"):
        each = {lane: min(count, depth) for lane, (_, count) in lanes.items()}
        jobs = {lane: tx.rows("lane_jobs", lane=lane, n=each[lane], **place) for lane in lanes}
        return _known_heads(lanes, n, {lane: [row[0] for row in jobs[lane]] for lane in lanes})
    firsts = sorted(first for first, _ in lanes.values())
    found: dict[bytes, int] = {}
    counts: Counter[int] = Counter()
    for lane, job_id in tx.rows("lane_heads", firsts=firsts, depth=depth, **place):
        counts[lane] += 1
        if counts[lane] <= lanes[lane][1] and len(found) < n:
            found[job_id] = lane
    return found
