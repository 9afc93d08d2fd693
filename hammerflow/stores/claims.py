"""Claims: ready jobs become leases of one worker, in one transaction."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

from hammerflow.ids import first_id_at, name_id
from hammerflow.jobs.job import Claimed
from hammerflow.jobs.limit import queue_limit
from hammerflow.stores.database import Database, Tx
from hammerflow.stores.lanes import Lanes
from hammerflow.stores.strays import Strays

__all__ = ["Claims", "ScanThresholds"]

_PRIORITY_ORDERS = [0, 1, 2, 3, 4]  # 0 is Priority.CRITICAL
_ORDERS = range(len(_PRIORITY_ORDERS))
_START = [bytes(16)] * len(_PRIORITY_ORDERS)
#: Claims that may leave out the jobs outside of lanes where lanes hold jobs of better priority.
_PATIENCE = 8
#: Seconds that a scan may take for each claimed job without counting as slow.
_EACH = 50e-6


@dataclass(frozen=True, slots=True)
class ScanThresholds:
    """When a claim reads a queue from its start, and when from where the last one ended.

    Attributes:
        bookmark: seconds after which a bookmark is dropped: a late commit may add a job below it.
        slow: a full scan counts as slow when it takes this many seconds longer than 1.5 times a
            scan from the bookmarks: it reads what old snapshots keep in the index, or jobs of
            other tasks.
        share: after two slow full scans the next one waits ``share`` times as long as the last one
            took; 20, so that they take 5 % of the time.
        longest: seconds that it waits at most.
        late: a job may commit up to this many seconds after its id was generated, differing clocks
            included.
        stray: seconds between two searches for jobs that are older than their ids say.
    """

    bookmark: float = 1.0
    slow: float = 0.005
    share: float = 20
    longest: float = 10.0
    late: float = 2.0
    stray: float = 0.25


_USUAL = ScanThresholds()


@dataclass(slots=True)
class _Scan:
    """How far a queue has been read: a bookmark for each priority, valid for a while."""

    bookmarks: list[bytes] = field(default_factory=lambda: list(_START))
    until: float = 0.0  # by the monotonic clock
    slow_scans: int = 0  # in a row
    usual: float = 0.0  # seconds that a scan from the bookmarks takes, a moving average

    @property
    def is_slow(self) -> bool:
        return self.slow_scans > 1

    def note_full_scan(
        self,
        claimed: list[Claimed],
        limit: int,
        took: float,
        clock: float,
        thresholds: ScanThresholds,
    ) -> None:
        """Set the bookmarks after a full scan, which began at that time of the database's clock."""
        self.slow_scans = self.slow_scans + 1 if took > thresholds.slow + 1.5 * self.usual else 0
        is_full = len(claimed) == limit
        if not is_full and not self.is_slow:
            self.until = 0.0
            return
        orders_read = 4 - claimed[-1].priority if is_full else len(_PRIORITY_ORDERS)
        floor = first_id_at(clock - thresholds.late) if self.is_slow else bytes(16)
        self.bookmarks = [floor] * orders_read + _START[orders_read:]
        pause = (
            min(thresholds.share * took, thresholds.longest)
            if self.is_slow
            else thresholds.bookmark
        )
        self.until = time.monotonic() + pause
        self.advance(claimed, first_id_at(clock + thresholds.late))

    def advance(self, claimed: list[Claimed], ceiling: bytes) -> None:
        """Move the bookmarks behind these jobs, but those with ids that lie in the future."""
        for job in claimed:
            if job.id <= ceiling:
                order = 4 - job.priority
                self.bookmarks[order] = max(self.bookmarks[order], job.id)


@dataclass(slots=True)
class _Turn:
    """Who comes first where jobs inside and outside of lanes have the same priority."""

    worst: int = 0  # the order of the last job of a claim outside that took all it could
    is_lanes: bool = False
    left_out: int = 0  # claims in a row that found no room for jobs outside

    def note(self, plain: list[Claimed], room: int) -> None:
        """Note what a claim outside of lanes has brought, which had so much room."""
        if room:
            self.worst = 4 - plain[-1].priority if len(plain) == room else len(_ORDERS)
            self.left_out = 0
            return
        self.left_out += 1
        if self.worst == len(_ORDERS) or self.left_out >= _PATIENCE:
            self.worst = self.left_out = 0  # see what has come meanwhile


class _DatabaseClock:
    """The database's clock, asked for once a minute: ours may be hours away from it."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._offset = self._until = 0.0

    def now(self) -> float:
        """Seconds since 1970."""
        now = time.monotonic()
        if now >= self._until:
            clock = float(self._database.column("clock")[0])
            self._offset = clock - (now + time.monotonic()) / 2  # halfway between call and reply
            self._until = now + 60.0
        return now + self._offset


class Claims:
    """Claims of one process; remembers how far it has read each queue."""

    def __init__(self, database: Database, thresholds: ScanThresholds = _USUAL) -> None:
        self._database = database
        self._thresholds = thresholds
        self._in_one = "claim" in database.dialect.statements
        self._scans: dict[tuple[int, int], _Scan] = {}
        self._clock = _DatabaseClock(database)
        self._strays = Strays(database, thresholds.stray)
        self._lanes = Lanes(database, _take_lanes if self._in_one else _take_lanes_in_steps)
        self._turns: dict[tuple[int, int], _Turn] = {}

    def claim(
        self, worker_id: int, *, queue: str, task_ids: Sequence[int], limit: int,
        thorough: bool = False,
    ) -> list[Claimed]:  # fmt: skip
        """Claim up to ``limit`` ready jobs of these tasks, best priority first, oldest first.

        The order of age is that of ids, except where it differs by seconds from that of insertion.

        Args:
            thorough: scan from the start, even if that is slow at the moment.
        """
        if limit < 1 or not task_ids:
            return []
        place = {"worker_id": worker_id, "queue_id": name_id(queue)}
        wanted: dict[str, Any] = {**place, "task_ids": list(task_ids)}
        key = wanted["queue_id"], hash(tuple(task_ids))
        if self._lanes.known(afresh=thorough):
            return self._claim_all(key, wanted, limit, thorough=thorough)
        return self._claim_plain(key, wanted, limit, thorough=thorough)

    def wait(self, queue: str, task_ids: Sequence[int]) -> float | None:
        """Seconds after which jobs that the last claim of this queue has left because of limits are
        to be claimed; None if it has left none."""
        return self._lanes.wait((name_id(queue), hash(tuple(task_ids))))

    def _claim_all(
        self, key: tuple[int, int], wanted: dict[str, Any], limit: int, *, thorough: bool
    ) -> list[Claimed]:
        """Claim from lanes and outside of them, in turns where both hold jobs of one priority."""
        lanes, limits = self._lanes, self._lanes.known()
        is_open = lanes.begin(key, thorough=thorough)
        is_free = queue_limit(wanted["queue_id"]) not in limits
        outside = [task for task in wanted["task_ids"] if is_free and task not in limits]
        if not is_open:
            place = {**wanted, "task_ids": outside}
            return self._claim_plain(key, place, limit, thorough=False) if outside else []
        lanes.collect(key, wanted, thorough=thorough)
        turn = self._turns.setdefault(key, _Turn())
        turn.is_lanes = not turn.is_lanes
        split = turn.worst + turn.is_lanes
        found = lanes.claim(key, wanted, limit, _ORDERS[:split])
        rest, plain, began = limit - len(found), [], time.monotonic()
        if outside and rest:
            plain = self._claim_plain(key, {**wanted, "task_ids": outside}, rest, thorough=thorough)
        took = time.monotonic() - began
        turn.note(plain, rest)
        if rest := rest - len(plain):
            found += lanes.claim(key, wanted, rest, _ORDERS[split:])
        if not found and (split > turn.worst or len(plain) < limit):  # all lanes had their turn
            lanes.end(key, others=took)
        return sorted(found + plain, key=_order)

    def _claim_plain(
        self, key: tuple[int, int], wanted: dict[str, Any], limit: int, *, thorough: bool
    ) -> list[Claimed]:
        """Claim jobs that are not in lanes."""
        strays = self._claim_strays(key, wanted, limit)
        rest = limit - len(strays)
        if not rest:
            return strays
        if self._in_one:
            found = self._claim_in_one(key, wanted, rest, thorough=thorough)
        else:
            found = self._database.unit(lambda tx: _claim_in_steps(tx, **wanted, limit=rest))
        self._strays.note(key, found, is_full=len(found) == rest)
        return strays + found

    def has_passed(self, queue: str, task_ids: Sequence[int]) -> bool:
        """After a claim that brought fewer jobs than it asked for: whether there are more, which it
        has passed over. InnoDB locks the place behind the rows that a neighbour claims, too."""
        if self._in_one or self._database.dialect.one_writer or not task_ids:
            return False
        values = {"queue_id": name_id(queue), "task_ids": list(task_ids)}
        return bool(self._database.rows("claim_passed", **values))

    def _claim_strays(
        self, key: tuple[int, int], wanted: dict[str, Any], limit: int
    ) -> list[Claimed]:
        order, ids = self._strays.find(key, wanted, limit)
        if not ids:
            return []
        named = {**wanted, "priority_order": order, "ids": ids}
        if self._in_one:
            rows = self._database.unit(lambda tx: tx.rows("claim_named", **named), single=True)
            return sorted(map(Claimed._make, rows), key=_order)
        return self._database.unit(lambda tx: _claim_named(tx, **named))

    def _claim_in_one(
        self, key: tuple[int, int], wanted: dict[str, Any], limit: int, *, thorough: bool
    ) -> list[Claimed]:
        """From the bookmarks first; the rest by a full scan, unless that is slow."""
        scan = self._scans.setdefault(key, _Scan())
        clock = self._clock.now()
        ceiling = first_id_at(clock + self._thresholds.late)
        claimed: list[Claimed] = []
        if time.monotonic() < scan.until and not thorough:
            claimed, took = self._scan(scan.bookmarks, wanted, limit)
            scan.usual += (took - scan.usual) * (0.2 if scan.usual else 1.0)
            if len(claimed) == limit or scan.is_slow:
                scan.advance(claimed, ceiling)
                return claimed
        rest = limit - len(claimed)
        found, took = self._scan(_START, wanted, rest)
        scan.note_full_scan(found, rest, took, clock, self._thresholds)
        scan.advance(claimed, ceiling)
        return sorted(claimed + found, key=_order)

    def _scan(
        self, bookmarks: list[bytes], wanted: dict[str, Any], limit: int
    ) -> tuple[list[Claimed], float]:
        """The jobs in order, and the seconds that the scan took beyond _EACH for each job."""
        began = time.monotonic()
        values = {"priority_orders": _PRIORITY_ORDERS, "bookmarks": bookmarks, "n": limit}
        rows = self._database.unit(lambda tx: tx.rows("claim", **values, **wanted), single=True)
        took = time.monotonic() - began - _EACH * len(rows)
        return sorted(map(Claimed._make, rows), key=_order), took


def _order(job: Claimed) -> tuple[int, bytes]:
    return -job.priority, job.id


def _claim_in_steps(
    tx: Tx, worker_id: int, queue_id: int, task_ids: list[int], limit: int
) -> list[Claimed]:
    """Read the first free rows with what was asked, copy them to leases, delete them."""
    wanted = {"queue_id": queue_id, "task_ids": task_ids, "n": limit}
    rows = tx.rows("claim_read", **wanted)
    if rows and tx.has("claim_read_unpaused") and rows[0][-1] >= 0:
        rows = tx.rows("claim_read_unpaused", **wanted)
    claimed, version = _read(tx, rows)
    for priority, jobs in groupby(claimed, key=lambda job: job.priority):
        place = {"queue_id": queue_id, "priority_order": 4 - priority}
        taken = [job.id for job in jobs]
        if not _take_first(tx, worker_id, task_ids, taken, {**place, "version": version}):
            return _claim_in_steps(tx, worker_id, queue_id, task_ids, limit)
    return claimed


def _take_first(
    tx: Tx, worker_id: int, task_ids: list[int], ids: list[bytes], place: dict[str, Any]
) -> bool:
    """Take the first jobs of these tasks at a place, in the order of its key; as :func:`_take`."""
    if not tx.has("leases_take_through"):
        return _take(tx, worker_id, ids, place)
    # SQLite, the one writer: the rows read in the order of the key are a whole range
    span = {"last": ids[-1], "task_ids": task_ids, **place}
    tx.run("leases_take_through", worker_id=worker_id, **span)
    tx.run("ready_delete_through", **span)
    return True


def _read(tx: Tx, rows: Sequence[tuple[Any, ...]]) -> tuple[list[Claimed], int | None]:
    """The jobs of a claim, and the version of the pauses that it has seen: MySQL's last column."""
    if not rows or not tx.has("pause_turn"):
        return [*map(Claimed._make, rows)], None
    return [Claimed._make(row[:-1]) for row in rows], rows[0][-1]


def _claim_named(
    tx: Tx, worker_id: int, queue_id: int, task_ids: list[int], priority_order: int,
    ids: list[bytes],
) -> list[Claimed]:  # fmt: skip
    """Claim those of the jobs of a lane that are still there and free."""
    place = {"queue_id": queue_id, "priority_order": priority_order}
    rows = tx.rows("claim_named", task_ids=task_ids, ids=ids, **place)
    claimed, version = _read(tx, rows)
    if claimed and not _take(
        tx, worker_id, [job.id for job in claimed], {**place, "version": version}
    ):
        return _claim_named(tx, worker_id, queue_id, task_ids, priority_order, ids)
    return claimed


def _take(tx: Tx, worker_id: int, ids: list[bytes], place: dict[str, Any]) -> bool:
    """Move jobs to leases; False if something was paused since they were read."""
    if not tx.run("leases_take", worker_id=worker_id, ids=ids, **place):
        return False
    tx.run("ready_delete", ids=ids, **place)
    return True


def _take_lanes(tx: Tx, wanted: dict[str, Any], counts: dict[int, int], n: int) -> list[Claimed]:
    """Claim up to ``n`` jobs of lanes, from each lane up to its own number, by one statement."""
    lanes, numbers = list(counts), list(counts.values())
    rows = tx.rows("claim_lanes", lanes=lanes, counts=numbers, n=n, **wanted)
    return [*map(Claimed._make, rows)]


def _take_lanes_in_steps(
    tx: Tx, wanted: dict[str, Any], counts: dict[int, int], n: int
) -> list[Claimed]:
    """The same, lane by lane."""
    claimed: list[Claimed] = []
    place = {"queue_id": wanted["queue_id"], "task_ids": wanted["task_ids"]}
    for lane, count in counts.items():
        left = min(count, n - len(claimed))
        if left < 1:
            break
        jobs, version = _read(tx, tx.rows("claim_lane", lane=lane, n=left, **place))
        if jobs:
            named = {"queue_id": wanted["queue_id"], "priority_order": lane, "version": version}
            ids = [job.id for job in jobs]
            if not _take_first(tx, wanted["worker_id"], wanted["task_ids"], ids, named):
                break  # the first lane: once a lane is taken, pauses wait for this transaction
        claimed += jobs
    return claimed
