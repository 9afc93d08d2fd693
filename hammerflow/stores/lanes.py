"""Lanes: the claim of jobs that have a rate or concurrency limit.

Such jobs are ready in lanes (:mod:`hammerflow.jobs.limit`), one for each key and priority, so none
of them is in the way of another key's jobs or of jobs without a limit. Which lanes hold jobs is
read from ``ready`` itself, one step down its key for each lane: there is no list of waiting keys
that could miss one, and no wake-up that could be lost.

What is in use is counted in ``leases``, so it ends with the lease, however that ends. The row of a
key in ``limit_keys`` is locked while its jobs are claimed, and holds when the next one may start.
"""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias

from hammerflow.events.kinds import EventKind
from hammerflow.events.record import Record
from hammerflow.jobs.job import Claimed
from hammerflow.jobs.limit import key_id, key_of, lane_of, queue_limit, span_of
from hammerflow.stores.database import Database, Tx
from hammerflow.stores.outbox import Outbox

__all__ = ["Lanes", "Take", "note_started"]

#: Seconds for which a process believes what limits there are.
_KNOWN = 0.5
#: Lanes that one claim looks at, for each priority.
_WINDOW = 250
#: Rows of ``ready`` that a search for jobs of limited tasks outside of lanes reads.
_SEARCH = 1_000
#: Seconds between two searches, and until a claim tries lanes again whose places are all in use.
_EVERY, _AGAIN = 0.25, 0.2
#: Seconds until lanes are looked at that the last claim has not reached.
_SOON = 0.02
#: Lanes without a job to claim rest this many times as long as it took to see that, or _AGAIN.
_REST = 10
#: Seconds by which a start may come before its time: what a clock of floats cannot tell apart.
_EPSILON = 1e-6
_ORDERS = range(5)

#: Claims up to ``n`` jobs of lanes, each up to its own number: (tx, wanted, {lane: number}, n).
Take: TypeAlias = Callable[[Tx, dict[str, Any], dict[int, int], int], list[Claimed]]


class _Key(NamedTuple):
    """A key of a limit, as ``limit_keys`` and ``limits`` have it."""

    id: int
    limit_id: int
    ahead: float  # seconds from now to the time from which the next start is on time
    spacing: float | None
    burst: int | None
    max_running: int | None

    def free(self, running: int) -> int:
        """How many jobs may start now."""
        most = 1_000_000 if self.max_running is None else self.max_running - running
        if self.spacing is not None and self.burst is not None:
            left = self.burst * self.spacing - max(self.ahead, 0.0)
            most = min(most, int((left + _EPSILON) / self.spacing))
        return max(most, 0)

    def wait(self, running: int) -> float | None:
        """Seconds after which a job may be free to start; None if that takes a new limit."""
        if self.max_running == 0:
            return None
        if self.max_running is not None and running >= self.max_running:
            return _AGAIN
        if self.spacing is None or self.burst is None:
            return _SOON
        return max(self.ahead - (self.burst - 1) * self.spacing, 0.001)


@dataclass(slots=True)
class _Round:
    """How far the lanes of a queue have been looked at, and when to look again."""

    cursors: dict[int, int] = field(default_factory=dict)  # by order: the last lane
    waits: list[float] = field(default_factory=list)  # of the lanes that the last claim met
    began: float = 0.0
    rest_until: float = 0.0  # lanes that hold nothing to claim take their share of the time only
    search_at: float = 0.0
    searched: dict[int, bytes] = field(default_factory=dict)  # by order: the next id to search from


class Lanes:
    """Claims jobs that have limits; for one process.

    Args:
        take: claims from lanes inside a transaction.
    """

    def __init__(self, database: Database, outbox: Outbox, take: Take) -> None:
        self._database = database
        self._outbox = outbox
        self._take = take
        self._known: set[int] = set()
        self._until = 0.0
        self._rounds: dict[tuple[int, int], _Round] = {}

    def known(self, *, afresh: bool = False) -> set[int]:
        """The numbers of all limits; mostly none, and then nothing here costs anything."""
        now = time.monotonic()
        if now >= self._until or afresh:
            known = self._database.column("limits_known")
            self._known = {number for number in known if number >= 0}
            self._outbox.believe(sum(-number for number in known if number < 0))
            self._until = now + _KNOWN
        return self._known

    def begin(self, key: tuple[int, int], *, thorough: bool) -> bool:
        """Forget what the last claim of this queue has met; False while its lanes rest."""
        round_ = self._rounds.setdefault(key, _Round())
        round_.began = time.monotonic()
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
        round_.rest_until = now + min(_REST * (now - round_.began - others), _AGAIN)

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
        after, end = span_of(orders[0])[0], span_of(orders[-1])[1]
        while len(claimed) < limit:
            first = self._lanes(wanted, after, end, 1)
            if not first:
                break
            order = first[0][0] >> 56
            claimed += self._claim_order(self._rounds[key], wanted, order, limit - len(claimed))
            after = span_of(order)[1] - 1
        return claimed

    def orders(self, wanted: dict[str, Any]) -> set[int]:
        """The orders that hold jobs in lanes."""
        spans = {order: span_of(order) for order in _ORDERS}
        return {
            order for order, (after, end) in spans.items() if self._lanes(wanted, after, end, 1)
        }

    def _lanes(
        self, wanted: dict[str, Any], after: int, until: int, most: int
    ) -> list[tuple[int, bytes]]:
        """(lane, its first job) of up to ``most`` lanes that hold jobs."""
        place = {"queue_id": wanted["queue_id"], "after": after, "until": until}
        return self._database.rows("lanes", most=most, **place)

    def _claim_order(
        self, round_: _Round, wanted: dict[str, Any], order: int, limit: int
    ) -> list[Claimed]:
        """Claim from the next lanes of one order, behind those that had their turn."""
        start, end = span_of(order)
        cursor = round_.cursors.get(order, start)
        found = self._lanes(wanted, cursor, end, _WINDOW)
        if len(found) < _WINDOW and cursor > start:
            found += self._lanes(wanted, start, cursor + 1, _WINDOW - len(found))
        lanes = dict(found)
        if not lanes:
            return []
        shared = self._shared(wanted)
        keys = self._keys([*map(key_of, lanes), *shared])
        missing = {lane: job for lane, job in lanes.items() if key_of(lane) not in keys}
        if missing:
            self._add_keys(wanted["queue_id"], missing)
            keys |= self._keys(list(map(key_of, missing)))
        open_, waits = self._open(wanted, lanes, keys)
        chosen = open_[:limit]
        claimed = self._claim_lanes(wanted, chosen, limit) if chosen else []
        is_whole = len(found) < _WINDOW
        if chosen and (claimed or len(chosen) < len(open_)):
            round_.cursors[order] = chosen[-1]
        elif not is_whole:
            round_.cursors[order] = found[-1][0]
        if not is_whole or open_:
            waits.append(_SOON)
        round_.waits += waits
        return claimed

    def _keys(self, ids: Sequence[int], tx: Tx | None = None) -> dict[int, _Key]:
        rows = self._database.rows if tx is None else tx.rows
        return {row[0]: _Key(*row) for row in rows("limit_keys_read", ids=sorted(ids))}

    def _add_keys(self, queue_id: int, missing: dict[int, bytes]) -> None:
        """Write the rows of keys that no claim has met before."""
        jobs = self._database.rows("lane_keys", ids=sorted(missing.values()))
        names = {job_id: (task_id, key or "") for job_id, task_id, key in jobs}
        of_queue = queue_limit(queue_id)
        rows = []
        for lane, job_id in missing.items():
            number = key_of(lane)
            if number == key_id(of_queue, ""):
                rows.append((number, of_queue, ""))
            elif job_id in names:
                rows.append((number, *names[job_id]))
        if rows:
            self._database.unit(lambda tx: tx.many("limit_keys_insert", sorted(rows)))

    def _open(
        self, wanted: dict[str, Any], lanes: dict[int, bytes], keys: dict[int, _Key]
    ) -> tuple[list[int], list[float]]:
        """The lanes from which jobs may start, and seconds until others may follow."""
        served = {*wanted["task_ids"], queue_limit(wanted["queue_id"])}
        running = _running(self._database.rows)
        open_: list[int] = []
        waits: list[float] = []
        for shared in self._shared(wanted) & keys.keys():
            count = self._database.column("limit_running_in", queue_id=wanted["queue_id"])[0]
            if not keys[shared].free(count):
                wait = keys[shared].wait(count)
                return [], [] if wait is None else [wait]
        for lane in lanes:
            key = keys.get(key_of(lane))
            if key is None or key.limit_id not in served:
                continue
            if key.free(running[key.id]):
                open_.append(lane)
            elif (wait := key.wait(running[key.id])) is not None:
                waits.append(wait)
        return open_, waits

    def _claim_lanes(
        self, wanted: dict[str, Any], lanes: Sequence[int], limit: int
    ) -> list[Claimed]:
        """Claim from these lanes what all limits of each job allow, or leave it as it is.

        The keys are locked first, in the order of their numbers; those that another claim has
        locked are passed over, so nobody waits.
        """
        shared, queue_id = self._shared(wanted), wanted["queue_id"]

        def work(tx: Tx) -> list[Claimed]:
            if shared:
                rows = [(id_, queue_limit(queue_id), "") for id_ in shared]
                tx.many("limit_keys_insert", rows)
            ids = shared | set(map(key_of, lanes))
            locked = [row[0] for row in tx.rows("limit_keys_lock", ids=sorted(ids))]
            if not locked or not shared <= set(locked):
                return []
            keys, running, most = self._keys(locked, tx), _running(tx.rows), limit
            for id_ in shared:
                running[id_] = int(tx.rows("limit_running_in", queue_id=queue_id)[0][0])
                most = min(most, keys[id_].free(running[id_]))
            free = {id_: min(key.free(running[id_]), most) for id_, key in keys.items()}
            counts = {lane: n for lane in lanes if (n := free.get(key_of(lane), 0))}
            claimed = self._take(tx, wanted, counts, most) if counts else []
            if claimed and any(key.spacing is not None for key in keys.values()):
                _start(tx, claimed, keys, shared)
            note_started(self._outbox, tx, claimed)
            return claimed

        return self._database.unit(work)

    def _shared(self, wanted: dict[str, Any]) -> set[int]:
        """The key of the queue's own limit, if it has one, which holds for all of its lanes."""
        of_queue = queue_limit(wanted["queue_id"])
        return {key_id(of_queue, "")} if of_queue in self._known else set()

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
            if limit_id := next((i for i in (task_id, of_queue) if i in self._known), None):
                lanes[lane_of(key_id(limit_id, ""), 4 - order)].append(job_id)
        moved = sum(self._move(lane, ids, place) for lane, ids in lanes.items())
        return rows[-1][0] if len(rows) == _SEARCH else None, moved

    def _move(self, lane: int, ids: list[bytes], place: dict[str, int]) -> int:
        return self._database.unit(lambda tx: _move(tx, lane, ids, place))


def note_started(outbox: Outbox, tx: Tx, claimed: Sequence[Claimed]) -> None:
    """Write the events of jobs that are claimed, if a sink wants them."""
    if claimed and outbox.wanted >> EventKind.JOB_STARTED & 1:
        started = [Record(EventKind.JOB_STARTED, j.id, j.lease, j.attempt) for j in claimed]
        outbox.write(tx, started)


def _running(rows: Callable[..., list[tuple[Any, ...]]]) -> Counter[int]:
    """The jobs that run, by the numbers of their keys."""
    running: Counter[int] = Counter()
    for lane, count in rows("limit_running"):
        running[key_of(lane)] += count
    return running


def _start(tx: Tx, claimed: Sequence[Claimed], keys: dict[int, _Key], shared: set[int]) -> None:
    """Note in the keys when the next jobs may start."""
    started: Counter[int] = Counter()
    for lane, count in tx.rows("limit_started", ids=sorted(job.id for job in claimed)):
        started[key_of(lane)] += count
    started.update(dict.fromkeys(shared, len(claimed)))
    for id_, count in sorted(started.items()):
        if (key := keys.get(id_)) and key.spacing is not None:
            tx.run("limit_key_start", id=id_, seconds=count * key.spacing)


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
