"""Claims from lanes that hold few jobs each: one statement reads these in one range."""

from __future__ import annotations

from collections import Counter
from typing import Any

from hammerflow.jobs.job import Claimed
from hammerflow.jobs.limit import span_of
from hammerflow.stores.claiming.lane_keys import SOON, LaneKeys
from hammerflow.stores.claiming.lane_round import LaneRound
from hammerflow.stores.claiming.near_steps import claim_near_in_steps
from hammerflow.stores.database import Database, Tx
from hammerflow.stores.outbox import Outbox

__all__ = ["NearLanes"]

#: Lanes that one claim reads at most, and jobs for each of them.
_MOST, _JOBS_PER_LANE = 1_000, 4
#: Claims that step from lane to lane once these have given less than half of what was asked for:
#: one, then two, at most this many. Others may have locked the keys, or lanes are deep.
_STEPS = 16
#: How much a claim changes what is known of the jobs that a lane gives.
_WEIGHT = 0.5
#: Lanes for each job from which on only their first jobs are read; all the same once in _STEPS.
_SINGLE = 0.9


class NearLanes:
    """Claims of one process from the lanes of a priority that has many.

    The claim of :class:`Lanes` looks each key up before it locks it and again under the lock, and
    steps down an index for each lane. Here the jobs of the next lanes are read in one range, in the
    transaction that claims them (on PostgreSQL in the same statement), and each key is looked up
    once. That matters where nearly each job has a key of its own.
    """

    def __init__(self, database: Database, outbox: Outbox, keys: LaneKeys) -> None:
        self._database = database
        self._outbox = outbox
        self._keys = keys
        self._in_one = "claim_near_lanes" in database.dialect.statements
        self._steps: Counter[int] = Counter()  # by queue: claims that are to step
        self._pauses: Counter[int] = Counter()  # by queue: how many the last time
        self._claims: Counter[int] = Counter()  # by queue
        self._lanes_per_job: dict[int, float] = {}  # by queue

    def claim(
        self, round_: LaneRound, wanted: dict[str, Any], limit: int, span: tuple[int, int]
    ) -> list[Claimed]:
        """Claim up to ``limit`` jobs from the next lanes of an order that is known to have many.

        Args:
            span: the lanes of the orders that are asked for.
        """
        order, queue_id = round_.best_wide(*span), wanted["queue_id"]
        if order is None:
            return []
        if self._steps[queue_id]:
            self._steps[queue_id] -= 1
            return []
        start, stop = span_of(order)
        cursor, better = round_.cursors.get(order, start), (span[0], start)
        found = self._read(wanted, limit, (cursor, stop), better)
        if len(found) < limit and cursor > start:
            found += self._read(wanted, limit - len(found), (start, cursor + 1), better)
        if 2 * len(found) < min(limit, _MOST):
            self._pauses[queue_id] = min(max(2 * self._pauses[queue_id], 1), _STEPS)
            self._steps[queue_id] = self._pauses[queue_id]
        else:
            self._pauses.pop(queue_id, None)
        if found:
            round_.cursors[order] = found[-1][0]
            round_.waits.append(SOON)
        return [job for _, job in found]

    def _read(
        self, wanted: dict[str, Any], limit: int, between: tuple[int, int], better: tuple[int, int]
    ) -> list[tuple[int, Claimed]]:
        """Claim from the first lanes between two numbers, in their order: (lane, job) of each.

        Args:
            better: nothing is claimed if a lane between these numbers holds jobs.
        """
        queue_id = wanted["queue_id"]
        known = self._lanes_per_job.get(queue_id, 1.0)
        most = min(int(limit * known * 1.25) + 8, limit, _MOST)
        values = {
            "after": between[0], "until": between[1], "above": better[0], "top": better[1],
            "n": limit, "most": most, "rows": _JOBS_PER_LANE * most,
        }  # fmt: skip
        self._claims[queue_id] += 1
        is_single = self._lanes_per_job.get(queue_id, 0.0) > _SINGLE
        only_firsts = is_single and self._claims[queue_id] % _STEPS != 0
        is_alone = self._database.dialect.one_writer

        def work(tx: Tx) -> list[tuple[int, Claimed]]:
            if self._in_one:
                rows = tx.rows("claim_near_lanes", **values, **wanted)
                found = [(row[0], Claimed._make(row[1:])) for row in rows]
            else:
                found = claim_near_in_steps(
                    tx, self._keys, wanted, values, only_firsts=only_firsts, is_alone=is_alone
                )
            self._outbox.note_started(tx, [job for _, job in found])
            return sorted(found, key=lambda each: each[0])

        in_one = self._in_one and not self._outbox.wants_started()
        found = self._database.unit(work, single=in_one)
        if found and not only_firsts:
            share = len({lane for lane, _ in found}) / len(found)
            self._lanes_per_job[queue_id] = known + _WEIGHT * (share - known)
        return found
