"""Claims from lanes that hold few jobs each: one statement reads these in one range."""

from __future__ import annotations

from collections import Counter
from typing import Any

from hammerflow.jobs.job import Claimed
from hammerflow.jobs.limit import span_of
from hammerflow.stores.database import Database, Tx
from hammerflow.stores.lane_keys import SOON
from hammerflow.stores.lane_round import LaneRound
from hammerflow.stores.outbox import Outbox

__all__ = ["NearLanes"]

#: Lanes that one claim reads at most, and jobs for each of them.
_MOST, _JOBS_PER_LANE = 1_000, 4
#: Claims that step from lane to lane once these have given less than half of what was asked for:
#: one, then two, at most this many. Others may have locked the keys, or lanes are deep.
_STEPS = 16
#: How much a claim changes what is known of the jobs that a lane gives.
_WEIGHT = 0.5


class NearLanes:
    """Claims of one process, where the database has such a statement (PostgreSQL).

    It looks each key up once before it locks it, where the claim of :class:`Lanes` does so in a
    statement of its own and again under the lock, and steps down an index for each lane. That
    matters where nearly each job has a key of its own.
    """

    def __init__(self, database: Database, outbox: Outbox) -> None:
        self._database = database
        self._outbox = outbox
        self._is_there = "claim_near_lanes" in database.dialect.statements
        self._steps: Counter[int] = Counter()  # by queue: claims that are to step
        self._pauses: Counter[int] = Counter()  # by queue: how many the last time
        self._lanes_per_job: dict[int, float] = {}  # by queue

    def claim(
        self, round_: LaneRound, wanted: dict[str, Any], limit: int, span: tuple[int, int]
    ) -> list[Claimed]:
        """Claim up to ``limit`` jobs from the next lanes of an order that is known to have many.

        Args:
            span: the lanes of the orders that are asked for.
        """
        order, queue_id = round_.best_wide(*span), wanted["queue_id"]
        if order is None or not self._is_there:
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

        def work(tx: Tx) -> list[tuple[int, Claimed]]:
            rows = tx.rows("claim_near_lanes", **values, **wanted)
            found = [(row[0], Claimed._make(row[1:])) for row in rows]
            self._outbox.note_started(tx, [job for _, job in found])
            return sorted(found, key=lambda each: each[0])

        found = self._database.unit(work, single=not self._outbox.wants_started())
        if found:
            share = len({lane for lane, _ in found}) / len(found)
            self._lanes_per_job[queue_id] = known + _WEIGHT * (share - known)
        return found
