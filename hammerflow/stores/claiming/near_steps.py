"""Steps of a claim from lanes that hold few jobs each, where no single statement can do it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any

from hammerflow.jobs.job import Claimed
from hammerflow.jobs.limit import is_fair, key_of, lock_of
from hammerflow.stores.claiming.claim_steps import take_from_lanes, take_span
from hammerflow.stores.claiming.lane_keys import LaneKeys
from hammerflow.stores.claiming.lane_locks import note_starts, take_locks
from hammerflow.stores.database import Tx

__all__ = ["claim_near_in_steps"]

#: Jobs that a span of whole lanes must hold on average, so that it is cheaper than its jobs by id.
_LONG = 8
_Row = tuple[int, bytes, int]  # lane, job, task
_lane = itemgetter(0)


def claim_near_in_steps(
    tx: Tx, keys: LaneKeys, wanted: dict[str, Any], values: Mapping[str, int], *,
    only_firsts: bool, is_alone: bool,
) -> list[tuple[int, Claimed]]:  # fmt: skip
    """Claim jobs of the next lanes: (lane, job) of each.

    Nothing is claimed if a lane of better priority holds jobs, or one of these has a fairness key.

    Args:
        values: ``after`` and ``until`` are the lanes between which it claims, ``above`` and ``top``
            those between which a better one lies; ``n`` jobs of at most ``most`` lanes, of which it
            reads ``rows`` jobs.
        only_firsts: claim the first job of each lane only.
        is_alone: one transaction writes at a time (SQLite).
    """
    read = "lane_firsts" if only_firsts else "lane_rows"
    rows = tx.rows(read, queue_id=wanted["queue_id"], **values)
    if not rows or rows[0][0] < values["top"]:
        return []
    lanes = {lane: [*jobs] for lane, jobs in groupby(rows, key=_lane)}
    while len(lanes) > values["most"]:
        lanes.popitem()
    if any(map(is_fair, lanes)):
        return []
    firsts = {key_of(lane): jobs[0] for lane, jobs in lanes.items()}
    held = take_locks(tx, firsts, is_alone=is_alone)
    mine = {id_: (job, task) for id_, (_, job, task) in firsts.items() if lock_of(id_) in held}
    free, rated = keys.places(tx, mine) if mine else ({}, {})
    chosen = _chosen(free, {*wanted["task_ids"]}, lanes, values["n"])
    lane_of = {job_id: lane for lane, job_id, _ in chosen}
    if only_firsts or not tx.has("claim_lanes_through"):
        claimed = take_from_lanes(tx, wanted, lane_of)
    else:
        claimed = _take_spans(tx, wanted, rows, lane_of)
    if rated:
        note_starts(tx, [key_of(lane) for lane, _ in claimed], rated, 0)
    return claimed


def _chosen(
    free: Mapping[int, int], tasks: Collection[int], lanes: Mapping[int, Sequence[_Row]], n: int
) -> list[_Row]:
    """The jobs that may start, from the first lanes."""
    chosen: list[_Row] = []
    for lane, jobs in lanes.items():
        if (count := free.get(key_of(lane), 0)) > 0:
            chosen += [job for job in jobs if job[2] in tasks][:count]
            if len(chosen) >= n:
                break
    return chosen[:n]


def _take_spans(
    tx: Tx, wanted: dict[str, Any], rows: Sequence[_Row], lane_of: Mapping[bytes, int]
) -> list[tuple[int, Claimed]]:
    """Claim these jobs of those that were read: whole spans at once, where that is cheap.

    The jobs of a lane are chosen from its start on, so a span begins with a lane.
    """
    tasks = {*wanted["task_ids"]}
    of_these = (row for row in rows if row[2] in tasks)
    spans = [[*span] for is_in, span in groupby(of_these, lambda row: row[1] in lane_of) if is_in]
    if len(spans) > 1 and len(lane_of) < _LONG * len(spans):
        return take_from_lanes(tx, wanted, lane_of)
    claimed: list[tuple[int, Claimed]] = []
    for span in spans:
        jobs = take_span(tx, wanted, span[0][0], span[-1][:2])
        claimed += [(lane_of[job.id], job) for job in jobs]
    return claimed
