"""Lanes: the claim of jobs that have a rate or concurrency limit.

Such jobs are ready in lanes (:mod:`hammerflow.jobs.limit`), one for each key and priority, so none
of them is in the way of another key's jobs or of jobs without a limit. Which lanes hold jobs is
read from ``ready`` itself, one step down its key for each lane: there is no list of waiting keys
that could miss one, and no wake-up that could be lost.

What is in use is counted in ``leases``, so it ends with the lease, however that ends. While jobs of
a key are claimed, its lock is held, which is a row of ``limit_locks``; under a rate, the key's own
row in ``limit_keys`` holds when the next one may start.
"""

from __future__ import annotations

import itertools
import random
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, TypeAlias

from hammerflow.jobs.fairness import in_turns, shares
from hammerflow.jobs.job import Claimed
from hammerflow.jobs.limit import (
    BATCH_LIMITS,
    is_fair,
    key_id,
    lane_of,
    lock_of,
    member_of,
    order_of_lane,
    queue_limit,
    span_of,
)
from hammerflow.stores.claiming.lane_keys import AGAIN, MANY, NO_LIMIT, SOON, Key, Lane, LaneKeys
from hammerflow.stores.claiming.lane_locks import note_starts, take_locks
from hammerflow.stores.claiming.lane_reads import LaneReads, LaneRow
from hammerflow.stores.claiming.lane_round import NARROW, WINDOW, LaneRound
from hammerflow.stores.claiming.near_lanes import NearLanes
from hammerflow.stores.database import Database, Tx
from hammerflow.stores.outbox import Outbox

__all__ = ["Lanes", "Take"]

#: Seconds for which a process believes what limits there are.
_KNOWN = 0.5
#: Windows of one priority that one claim reads, where each lane gives few jobs.
_WINDOWS = 4
#: Rows of ``ready`` that a search for jobs of limited tasks outside of lanes reads.
_SEARCH = 1_000
#: Seconds between two searches.
_EVERY = 0.25
#: Lanes without a job to claim rest this many times as long as it took to see that, or AGAIN.
_REST = 10
#: Lanes that are locked one by one where that of all at once has brought nothing.
_ONE_BY_ONE = 16
#: Times that a claim in turns asks for more where others have given less than their share.
_PASSES = 3
_ORDERS = range(5)


#: Claims up to ``n`` jobs of lanes in steps, each up to its own number:
#: (tx, wanted, [(lane, its first job, number)], n, the first jobs of lanes where they are known).
Take: TypeAlias = Callable[
    [
        Tx, dict[str, Any], Sequence[tuple[int, bytes, int]], int, Mapping[int, Sequence[bytes]],
    ],
    list[tuple[int, Claimed]],
]  # fmt: skip


class Lanes:
    """Claims jobs that have limits; for one process.

    Args:
        take: claims from lanes inside a transaction.
    """

    def __init__(self, database: Database, outbox: Outbox, take: Take) -> None:
        self._database = database
        self._outbox = outbox
        self._take = take
        self._in_one = "claim_lanes" in database.dialect.statements
        self._reads_first = not (self._in_one or database.dialect.one_writer)
        self._keys = LaneKeys(database)
        self._reads = LaneReads(database)
        self._near = NearLanes(database, outbox, self._keys)
        self._until = 0.0
        self._rounds: dict[tuple[int, int], LaneRound] = {}

    def known(self, *, afresh: bool = False) -> Collection[int]:
        """The numbers of all limits; mostly none, and then nothing here costs anything."""
        now = time.monotonic()
        if now >= self._until or afresh:
            rows = self._database.rows("limits_known")
            limits = [row for row in rows if row[2] != -1]  # that one is of events
            self._keys.known = {row[0]: (row[1], row[2], row[3]) for row in limits}
            self._outbox.believe(sum(row[0] for row in rows if row[2] == -1))
            self._until = now + _KNOWN
        return self._keys.known.keys()

    def begin(self, key: tuple[int, int], *, thorough: bool) -> bool:
        """Forget what the last claim of this queue has met; False while its lanes rest."""
        round_ = self._rounds.setdefault(key, LaneRound())
        round_.began, round_.is_fair = time.monotonic(), False
        rest = round_.rest_until - round_.began
        if rest > 0 and not thorough:
            round_.waits = [rest]
            return False
        round_.waits = []
        return True

    def end(self, key: tuple[int, int], *, others: float) -> None:
        """A claim found nothing in lanes: let them rest.

        Args:
            others: seconds that it took for jobs outside of lanes.
        """
        round_, now = self._rounds[key], time.monotonic()
        round_.rest_until = now + min(_REST * (now - round_.began - others), AGAIN)

    def is_fair(self, key: tuple[int, int]) -> bool:
        """Whether the last claim has met jobs with a fairness key, and gave jobs in their turns."""
        found = self._rounds.get(key)
        return found is not None and found.is_fair

    def wait(self, key: tuple[int, int]) -> float | None:
        """Seconds after which lanes that were passed over are to be looked at; None without any."""
        found = self._rounds.get(key)
        return min(found.waits, default=None) if found else None

    def claim(
        self, key: tuple[int, int], wanted: dict[str, Any], limit: int, orders: range
    ) -> list[Claimed]:
        """Claim up to ``limit`` jobs from the lanes of these orders, the best priority first."""
        claimed: list[Claimed] = []
        if not orders:
            return claimed
        round_, shared = self._rounds[key], self._shared(wanted)
        after, end = span_of(orders[0])[0], span_of(orders[-1])[1]
        if not shared:
            claimed = self._near.claim(round_, wanted, limit, (after, end))
        more = _WINDOWS
        while len(claimed) < limit and after < end:
            lanes, behind = self._lanes(round_, wanted, after, end)
            open_ = self._open(round_, wanted, lanes, shared) if lanes else []
            found = self._claim_open(round_, wanted, open_, limit - len(claimed), shared)
            claimed += found
            more -= 1
            if not (round_.is_wide and found and more):
                after = behind
        return claimed

    def orders(self, wanted: dict[str, Any]) -> set[int]:
        """The orders that hold jobs in lanes."""
        spans = {order: span_of(order) for order in _ORDERS}
        return {order for order, (after, end) in spans.items() if self._read(wanted, after, end, 1)}

    def _lanes(
        self, round_: LaneRound, wanted: dict[str, Any], after: int, end: int
    ) -> tuple[list[LaneRow], int]:
        """Lanes that hold jobs, in the order of their turns, and behind which to read on.

        Those of all priorities, where they are few; else those of the best one.
        """
        window = round_.window
        order = round_.best_wide(after, end)
        if order is None:
            rows = self._read(wanted, after, end, window)
            if len(rows) < window:
                round_.is_wide = False
                turns = [(order_of_lane(row.lane), row) for row in rows]
                cursors = round_.cursors
                # sort() keeps the order of the lanes among those that have had their turn, or not
                turns.sort(key=lambda turn: (turn[0], turn[1].lane <= cursors.get(turn[0], -1)))
                return [row for _, row in turns], end
            order = order_of_lane(rows[0].lane)
        while True:
            start, stop = span_of(order)
            cursor = round_.cursors.get(order, start)
            rows = self._read(wanted, cursor, stop, window, above=(after, start))
            if not rows or rows[0].lane > start:
                break
            order = order_of_lane(rows[0].lane)  # of a better priority: it came meanwhile
        if len(rows) < window and cursor > start:
            rows += self._read(wanted, start, cursor + 1, window - len(rows))
        round_.is_wide = len(rows) == window
        if round_.is_wide:
            round_.wide.add(order)
            round_.waits.append(SOON)
        else:
            round_.wide.discard(order)
        return rows, stop - 1

    def _read(
        self, wanted: dict[str, Any], after: int, until: int, most: int,
        above: tuple[int, int] = (0, 0),
    ) -> list[LaneRow]:  # fmt: skip
        known = self._keys.names
        return self._reads.read(wanted["queue_id"], after, until, most, above, known)

    def _open(
        self, round_: LaneRound, wanted: dict[str, Any], rows: Sequence[LaneRow], shared: int
    ) -> list[Lane]:
        """The lanes from which jobs may start; notes how many seconds others may take."""
        if shared and (key := self._shared_key(wanted, shared)) and not key.free:
            round_.waits += [] if key.wait is None else [key.wait]
            return []
        served = {*wanted["task_ids"], queue_limit(wanted["queue_id"])}
        keys = self._keys.of_lanes(wanted["queue_id"], rows)
        open_: list[Lane] = []
        tried: set[int] = set()
        for row in rows:
            key = keys.get(row.lane)
            is_batch = key is not None and key.limit_id <= BATCH_LIMITS  # holds jobs of any task
            if key is None or (key.limit_id not in served and not is_batch):
                continue
            if key.free:
                free = min(key.free, len(row.heads)) if row.is_whole else key.free
                first, heads = (b"", ()) if is_batch else (row.first, row.heads)
                limit = key.limit_id, key.name
                open_.append(Lane(row.lane, first, key.id, free, limit, heads))
            elif key.id not in tried and (wait := key.wait) is not None:
                round_.waits.append(wait)
            tried.add(key.id)
        if open_:
            round_.waits.append(SOON)
        elif round_.is_wide:  # the next window comes next
            round_.cursors[order_of_lane(rows[-1].lane)] = rows[-1].lane
        return open_

    def _claim_open(
        self, round_: LaneRound, wanted: dict[str, Any], lanes: list[Lane], limit: int, shared: int
    ) -> list[Claimed]:
        """Claim from lanes in their order: from a few first, from more where these do not do."""
        if any(is_fair(lane.number) for lane in lanes):
            round_.is_fair = True
            return self._claim_in_turns(round_, wanted, lanes, limit, shared)
        claimed: list[Claimed] = []
        used: set[int] = set()
        at, width = 0, round_.width
        while at < len(lanes) and len(claimed) < limit:
            left = limit - len(claimed)
            places = itertools.accumulate(lane.free for lane in lanes[at:])
            enough = next((n for n, free in enumerate(places, 1) if free >= left), len(lanes))
            is_sure = all(lane.heads for lane in lanes[at : at + enough])
            chosen = lanes[at : at + (enough if is_sure else max(width, enough))]
            found = self._claim_lanes(wanted, chosen, left, shared)
            claimed += [job for _, job in found]
            numbers = {lane for lane, _ in found}
            used |= numbers
            for lane in [lane for lane in chosen if lane.number in numbers] or chosen:
                round_.cursors[lane.order] = lane.number
            at += len(chosen)
            width *= 4
        is_enough = len(claimed) == limit
        if lanes:
            # Where a claim takes as much from each lane, fewer lanes may do next time.
            is_tight = len(used) == at and width == 4 * round_.width and self._reads_first
            wanted_lanes = at * 3 // 4 if is_tight else len(used) * 5 // 4 or at
            round_.width = max(2, min(wanted_lanes, WINDOW))
        round_.window = max(NARROW, min(at * 5 // 4, WINDOW)) if is_enough else WINDOW
        return claimed

    def _claim_in_turns(
        self, round_: LaneRound, wanted: dict[str, Any], lanes: list[Lane], limit: int, shared: int
    ) -> list[Claimed]:
        """Claim one job of each fairness key in turn: from all of them at once, and again from
        those that have more where others have given less than their share."""
        claimed: list[Claimed] = []
        for order, group in itertools.groupby(lanes, key=lambda lane: lane.order):
            of_member: dict[int, list[Lane]] = defaultdict(list)
            for lane in group:
                of_member[member_of(lane.number)].append(lane)
            members = [_after(round_.lane_of.get(name), own) for name, own in of_member.items()]
            taken: dict[int, list[Claimed]] = {name: [] for name in of_member}
            left = limit - len(claimed)
            for _ in range(_PASSES):
                if not left or not members:
                    break
                free = {
                    lane.key: lane.free if lane.key else left for own in members for lane in own
                }
                asked, last = shares(members, left, lambda lane: lane.key, free)
                if not asked:
                    break
                if round_.is_wide:  # others come before the first has its turn again
                    last = min(left, len(members)) - 1
                chosen = [lane._replace(free=n) for lane, n in asked.items()]
                found = self._claim_lanes(wanted, chosen, left, shared)
                if self._reads_first and len(found) < sum(lane.free for lane in chosen):
                    found += self._claim_missed(wanted, chosen, found, left - len(found), shared)
                for lane_number, job in found:
                    taken[member_of(lane_number)].append(job)
                    round_.lane_of[member_of(lane_number)] = lane_number
                given = Counter(lane_number for lane_number, _ in found)
                round_.cursors[order] = member_of(members[last][0].number)
                left -= len(found)
                if self._reads_first:  # what is missing may be in a lane that is locked
                    break
                empty = {lane for lane, n in asked.items() if given[lane.number] < n}
                more = [[lane for lane in own if lane not in empty] for own in members]
                members = [own for own in (*more[last + 1 :], *more[: last + 1]) if own]
            claimed += in_turns(taken.values())
        round_.window = max(NARROW, min(limit, WINDOW))
        if len(round_.lane_of) > MANY:
            round_.lane_of.clear()
        return claimed

    def _claim_missed(
        self, wanted: dict[str, Any], lanes: Sequence[Lane], found: Sequence[tuple[int, Claimed]],
        limit: int, shared: int,
    ) -> list[tuple[int, Claimed]]:  # fmt: skip
        """Claim what lanes have not given because another claim had read the same jobs: the next
        jobs of each, so that each lane gives its share to either claim."""
        given = Counter(lane for lane, _ in found)
        short = [
            lane._replace(first=b"", free=lane.free - given[lane.number])
            for lane in lanes
            if given[lane.number] < lane.free
        ]
        random.shuffle(short)  # not all claims at the same lane first
        return self._claim_lanes(wanted, short[:_ONE_BY_ONE], limit, shared)

    def _shared_key(self, wanted: dict[str, Any], shared: int) -> Key | None:
        limit = queue_limit(wanted["queue_id"]), ""
        found = self._keys.read({shared: limit}, fair=0)
        if not found:
            self._keys.insert({(shared, *limit)})
            found = self._keys.read({shared: limit}, fair=0)
        count = self._database.column("limit_running_in", queue_id=wanted["queue_id"])[0]
        return found[shared]._replace(running=int(count)) if found else None

    def _claim_lanes(
        self, wanted: dict[str, Any], lanes: Sequence[Lane], limit: int, shared: int
    ) -> list[tuple[int, Claimed]]:
        """Claim from these lanes what all limits of each job allow, or leave it as it is.

        The locks of their keys are taken first, in the order of their numbers; keys whose lock
        another claim has are passed over, so nobody waits.
        """
        limits = {lane.key: lane.limit for lane in lanes if lane.key}
        if shared:
            limits[shared] = queue_limit(wanted["queue_id"]), ""
        fair = int(any(lane.key and is_fair(lane.number) for lane in lanes))
        if self._in_one:
            return self._claim_in_one(wanted, lanes, limits, limit, shared, fair)

        def steps(tx: Tx) -> list[tuple[int, Claimed]]:
            held = take_locks(tx, limits, is_alone=self._database.dialect.one_writer)
            mine = {id_: limits[id_] for id_ in limits if lock_of(id_) in held}
            keys = self._keys.read(mine, fair=fair, tx=tx) if mine else {}
            most = limit
            if shared:
                if shared not in keys:
                    return []
                count = int(tx.rows("limit_running_in", queue_id=wanted["queue_id"])[0][0])
                keys[shared] = keys[shared]._replace(running=count)
                most = min(most, keys[shared].free)
            free = {0: NO_LIMIT, **{id_: key.free for id_, key in keys.items()}}
            chosen = []
            for lane in lanes:
                if count := min(free.get(lane.key, 0), lane.free, most):
                    free[lane.key] -= count
                    first = b"" if lane.key == shared != 0 else lane.first  # jobs of several tasks
                    chosen.append((lane.number, first, count))
            heads = {lane.number: lane.heads for lane in lanes if lane.heads}
            claimed = self._take(tx, wanted, chosen, most, heads) if chosen else []
            key_of_lane = {lane.number: lane.key for lane in lanes}
            note_starts(tx, [key_of_lane[lane] for lane, _ in claimed], keys, shared)
            self._outbox.note_started(tx, [job for _, job in claimed])
            return claimed

        return self._database.unit(steps)

    def _claim_in_one(
        self, wanted: dict[str, Any], lanes: Sequence[Lane], limits: Mapping[int, tuple[int, str]],
        limit: int, shared: int, fair: int,
    ) -> list[tuple[int, Claimed]]:  # fmt: skip
        values = {
            "lanes": [lane.number for lane in lanes], "keys": [lane.key for lane in lanes],
            "counts": [min(lane.free, limit) for lane in lanes], "ids": list(limits),
            "limits": [limit_id for limit_id, _ in limits.values()],
            "names": [name for _, name in limits.values()],
            "locks": sorted({*map(lock_of, limits)}), "shared": shared, "n": limit, "fair": fair,
        }  # fmt: skip

        def claim(tx: Tx) -> list[tuple[int, Claimed]]:
            rows = tx.rows("claim_lanes", **values, **wanted)
            claimed = [(row[0], Claimed._make(row[1:])) for row in rows]
            self._outbox.note_started(tx, [job for _, job in claimed])
            return claimed

        return self._database.unit(claim, single=not self._outbox.wants_started())

    def _shared(self, wanted: dict[str, Any]) -> int:
        """The key of the queue's own limit, which holds for all of its lanes; 0 without one."""
        of_queue = queue_limit(wanted["queue_id"])
        return key_id(of_queue, "") if of_queue in self._keys.known else 0

    # -- jobs that are not in a lane yet

    def collect(self, key: tuple[int, int], wanted: dict[str, Any], *, thorough: bool) -> None:
        """Move ready jobs of limited tasks into lanes: a limit is newer than the job, or the client
        that sent the job does not know the task.

        Args:
            thorough: search the whole queue, not only the next rows of it.
        """
        round_ = self._rounds[key]
        now = time.monotonic()
        if now < round_.search_at and not thorough:
            return
        round_.search_at = now + _EVERY
        for order in _ORDERS:
            bound = None if thorough else round_.searched.get(order)
            is_on = True
            while is_on:
                bound, moved = self._search(wanted["queue_id"], order, bound or bytes(16))
                is_on = bound is not None and (thorough or moved > 0)
            if bound is None:
                round_.searched.pop(order, None)
            else:
                round_.searched[order] = bound
        round_.began = time.monotonic()

    def _search(self, queue_id: int, order: int, bound: bytes) -> tuple[bytes | None, int]:
        """Move what the next rows hold: where to search on, and how many were moved."""
        place = {"queue_id": queue_id, "priority_order": order}
        rows = self._database.rows("unlaned", bound=bound, window=_SEARCH, **place)
        lanes: dict[int, list[bytes]] = defaultdict(list)
        of_queue = queue_limit(queue_id)
        for job_id, task_id in rows:
            if limit_id := next((i for i in (task_id, of_queue) if i in self._keys.known), None):
                lanes[lane_of(key_id(limit_id, ""), 4 - order)].append(job_id)
        moved = sum(self._move(lane, ids, place) for lane, ids in lanes.items())
        return rows[-1][0] if len(rows) == _SEARCH else None, moved

    def _move(self, lane: int, ids: list[bytes], place: dict[str, int]) -> int:
        return self._database.unit(lambda tx: _move(tx, lane, ids, place))


def _after(last: int | None, lanes: list[Lane]) -> list[Lane]:
    """The lanes of one fairness key, the one that has waited for longest first."""
    if last is None or len(lanes) == 1:
        return lanes
    return sorted(lanes, key=lambda lane: lane.number <= last)


def _move(tx: Tx, lane: int, ids: list[bytes], place: dict[str, int]) -> int:
    """Move those of these jobs into a lane that nobody has locked; how many."""
    free = [row[0] for row in tx.rows("jobs_lock", ids=sorted(ids))]
    if not free:
        return 0
    if tx.has("ready_lock"):
        taken = tx.rows("ready_lock", ids=free, **place)
        if taken:
            tx.run("ready_delete", ids=[row[0] for row in taken], **place)
    else:
        taken = tx.rows("ready_delete", ids=free, **place)
    if taken:
        tx.run("jobs_set_lane", lane=lane, ids=sorted(row[0] for row in taken))
        tx.many("ready_insert", [(row[0], row[1], lane, *row[3:]) for row in taken])
    return len(taken)
