"""Claims: ready jobs become leases of one worker, in one transaction."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import groupby
from typing import Any, TypeAlias

from hammerflow.ids import first_id_at, name_id
from hammerflow.jobs.job import Claimed
from hammerflow.jobs.limit import queue_limit
from hammerflow.jobs.priority_rule import STRICT, PriorityRule
from hammerflow.jobs.shares import Shares
from hammerflow.stores.claiming.aging import (
    AgedParts,
    Part,
    effective_order,
    take_parts,
    take_parts_in_steps,
)
from hammerflow.stores.claiming.claim_steps import (
    claim_in_steps,
    claim_named,
    take_lanes_in_steps,
)
from hammerflow.stores.claiming.lanes import Lanes
from hammerflow.stores.claiming.strays import Strays
from hammerflow.stores.claiming.weighted_claims import claim_by_weight
from hammerflow.stores.database import Database, Tx
from hammerflow.stores.outbox import Outbox

__all__ = ["Claims", "ScanThresholds"]

_PRIORITY_ORDERS = [0, 1, 2, 3, 4]  # 0 is Priority.CRITICAL
_ORDERS = range(len(_PRIORITY_ORDERS))
_START = [bytes(16)] * len(_PRIORITY_ORDERS)
#: Claims that may leave out the jobs outside of lanes where lanes hold jobs of better priority.
_PATIENCE = 8
#: Seconds that a scan may take for each claimed job without counting as slow.
_EACH = 50e-6

#: Reads a queue from these bookmarks on and claims up to a number of jobs: (bookmarks, wanted, n).
#: The jobs in order, and the orders of which none is left.
_Read: TypeAlias = Callable[
    [list[bytes], dict[str, Any], int], tuple[list[Claimed], Collection[int]]
]


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
        orders_read: Collection[int],
        took: float,
        clock: float,
        thresholds: ScanThresholds,
    ) -> None:
        """Set the bookmarks after a full scan, which began at that time of the database's clock.

        Args:
            orders_read: those that the scan has read to their end.
        """
        self.slow_scans = self.slow_scans + 1 if took > thresholds.slow + 1.5 * self.usual else 0
        if len(orders_read) == len(_ORDERS) and not self.is_slow:
            self.until = 0.0
            return
        floor = first_id_at(clock - thresholds.late) if self.is_slow else bytes(16)
        self.bookmarks = [floor if order in orders_read else bytes(16) for order in _ORDERS]
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

    def __init__(
        self, database: Database, outbox: Outbox, thresholds: ScanThresholds = _USUAL
    ) -> None:
        self._database = database
        self._outbox = outbox
        self._thresholds = thresholds
        self._in_one = "claim" in database.dialect.statements
        #: InnoDB locks the place behind the rows that a neighbour claims, too.
        self._passes = not (self._in_one or database.dialect.one_writer)
        self._scans: dict[tuple[int, int], _Scan] = {}
        self._clock = _DatabaseClock(database)
        self._strays = Strays(database, thresholds.stray)
        self._lanes = Lanes(database, outbox, take_lanes_in_steps)
        self._turns: dict[tuple[int, int], _Turn] = {}
        self._aged = AgedParts(database)
        self._shares: defaultdict[tuple[int, int], Shares[int]] = defaultdict(Shares)

    def claim(
        self, worker_id: int, *, queue: str, task_ids: Sequence[int], limit: int,
        thorough: bool = False, rule: PriorityRule = STRICT,
    ) -> list[Claimed]:  # fmt: skip
        """Claim up to ``limit`` ready jobs of these tasks, best priority first, oldest first.

        The order of age is that of ids, except where it differs by seconds from that of insertion.

        Args:
            thorough: scan from the start, even if that is slow at the moment.
            rule: of which priorities the jobs are.
        """
        if limit < 1 or not task_ids:
            return []
        place = {"worker_id": worker_id, "queue_id": name_id(queue)}
        wanted: dict[str, Any] = {**place, "task_ids": list(task_ids)}
        key = wanted["queue_id"], hash(tuple(task_ids))
        if self._lanes.known(afresh=thorough):
            return self._claim_all(key, wanted, limit, rule, thorough=thorough)
        return self._claim_plain(key, wanted, limit, rule, thorough=thorough)

    def wait(self, queue: str, task_ids: Sequence[int]) -> float | None:
        """Seconds after which jobs that the last claim of this queue has left because of limits are
        to be claimed; None if it has left none."""
        return self._lanes.wait((name_id(queue), hash(tuple(task_ids))))

    def _claim_all(
        self, key: tuple[int, int], wanted: dict[str, Any], limit: int, rule: PriorityRule, *,
        thorough: bool,
    ) -> list[Claimed]:  # fmt: skip
        """Claim from lanes and outside of them, in turns where both hold jobs of one priority."""
        lanes, limits = self._lanes, self._lanes.known()
        is_open = lanes.begin(key, thorough=thorough)
        is_free = queue_limit(wanted["queue_id"]) not in limits
        outside = [task for task in wanted["task_ids"] if is_free and task not in limits]
        if not is_open:
            place = {**wanted, "task_ids": outside}
            return self._claim_plain(key, place, limit, rule, thorough=False) if outside else []
        lanes.collect(key, wanted, thorough=thorough)
        if not outside and not rule.is_weighted:
            found = lanes.claim(key, wanted, limit, _ORDERS)
            if not found:
                lanes.end(key, others=0.0)
            return self._sorted(key, found)
        turn = self._turns.setdefault(key, _Turn())
        turn.is_lanes = not turn.is_lanes
        if rule.is_weighted:
            return self._claim_all_by_weight(key, wanted, outside, limit, thorough=thorough)
        split = turn.worst + turn.is_lanes
        found = lanes.claim(key, wanted, limit, _ORDERS[:split])
        rest, plain, began = limit - len(found), [], time.monotonic()
        if outside and rest:
            place = {**wanted, "task_ids": outside}
            plain = self._claim_plain(key, place, rest, rule, thorough=thorough)
        took = time.monotonic() - began
        turn.note(plain, rest)
        if rest := rest - len(plain):
            found += lanes.claim(key, wanted, rest, _ORDERS[split:])
        if not found and (split > turn.worst or len(plain) < limit):  # all lanes had their turn
            lanes.end(key, others=took)
        return self._sorted(key, plain + found)

    def _claim_all_by_weight(
        self, key: tuple[int, int], wanted: dict[str, Any], outside: list[int], limit: int, *,
        thorough: bool,
    ) -> list[Claimed]:  # fmt: skip
        """Claim by weight; of each priority, lanes and the jobs outside come first in turns."""
        lanes, place = self._lanes, {**wanted, "task_ids": outside}
        began, spent = time.monotonic(), 0.0
        strays = self._claim_strays(key, place, limit, is_strict=False) if outside else []
        orders = _live(self._database.rows, place, _START) if outside else set()
        in_lanes = lanes.orders(wanted)
        asked: set[int] = set()
        from_lanes: list[Claimed] = []

        def claim_lanes(counts: Mapping[int, int]) -> list[Claimed]:
            nonlocal spent
            started, found = time.monotonic(), []
            for order in sorted(counts.keys() & in_lanes):
                found += lanes.claim(key, wanted, counts[order], range(order, order + 1))
            asked.update(counts)
            from_lanes.extend(found)
            spent += time.monotonic() - started
            return found

        def claim_outside(counts: Mapping[int, int]) -> list[Claimed]:
            left = {order: n for order, n in counts.items() if order in orders}
            read = partial(self._read_counts, Counter(left))
            return self._claim_outside(key, place, sum(left.values()), read, thorough=thorough)

        sources = [claim_lanes, claim_outside]
        passes = self._passes and bool(outside)
        found = claim_by_weight(
            self._shares[key], orders | in_lanes, limit - len(strays),
            sources if self._turns[key].is_lanes else sources[::-1],
            partial(_live, self._database.rows, place, _START) if passes else tuple,
        )  # fmt: skip
        if not from_lanes and in_lanes <= asked:
            lanes.end(key, others=time.monotonic() - began - spent)
        return strays + self._sorted(key, found)

    def _sorted(self, key: tuple[int, int], jobs: list[Claimed]) -> list[Claimed]:
        """Best priority first; within it oldest first, or in turns by their fairness keys."""
        is_fair = self._lanes.is_fair(key)
        return sorted(jobs, key=(lambda job: -job.priority) if is_fair else _order)

    def _claim_plain(
        self, key: tuple[int, int], wanted: dict[str, Any], limit: int, rule: PriorityRule, *,
        thorough: bool,
    ) -> list[Claimed]:  # fmt: skip
        """Claim jobs that are not in lanes."""
        strays = self._claim_strays(key, wanted, limit, is_strict=not rule.is_weighted)
        rest = limit - len(strays)
        if not rest:
            return strays
        read = self._reader(key, wanted, rule)
        found = self._claim_outside(key, wanted, rest, read, thorough=thorough)
        if rule.is_weighted:
            for priority, jobs in groupby(found, key=lambda job: job.priority):
                self._strays.note(_order_key(key, 4 - priority), [*jobs], is_full=True)
        else:
            self._strays.note(key, found, is_full=len(found) == rest)
        return strays + found

    def _reader(self, key: tuple[int, int], wanted: dict[str, Any], rule: PriorityRule) -> _Read:
        if rule.is_weighted:
            return partial(self._read_by_weight, key)
        if rule.aging is not None:
            now = self._clock.now()
            if parts := self._aged.of(key, wanted, rule.aging, now):
                return partial(self._read_parts, parts, effective_order(rule.aging, now))
        return self._read

    def _claim_outside(
        self, key: tuple[int, int], wanted: dict[str, Any], limit: int, read: _Read, *,
        thorough: bool,
    ) -> list[Claimed]:  # fmt: skip
        if limit < 1:
            return []
        if self._in_one:
            return self._claim_in_one(key, wanted, limit, read, thorough=thorough)
        return read(_START, wanted, limit)[0]

    def has_passed(self, queue: str, task_ids: Sequence[int]) -> bool:
        """After a claim that brought fewer jobs than it asked for: whether there are more, which it
        has passed over."""
        if not self._passes or not task_ids:
            return False
        values = {"queue_id": name_id(queue), "task_ids": list(task_ids)}
        return bool(self._database.rows("claim_passed", **values))

    def _claim_strays(
        self, key: tuple[int, int], wanted: dict[str, Any], limit: int, *, is_strict: bool
    ) -> list[Claimed]:
        for place in [key] if is_strict else [_order_key(key, order) for order in _ORDERS]:
            order, ids = self._strays.find(place, wanted, limit, is_strict=is_strict)
            if ids:
                break
        else:
            return []
        named = {**wanted, "priority_order": order, "ids": ids}
        if self._in_one:
            return self._take(lambda tx: _made(tx.rows("claim_named", **named)))
        return self._take(lambda tx: claim_named(tx, **named))

    def _take(self, claim: Callable[[Tx], list[Claimed]]) -> list[Claimed]:
        """Run a claim, in one transaction with its events if a sink wants these."""
        if not self._outbox.wants_started():
            return self._database.unit(claim, single=self._in_one)

        def noted(tx: Tx) -> list[Claimed]:
            claimed = claim(tx)
            self._outbox.note_started(tx, claimed)
            return claimed

        return self._database.unit(noted)

    def _claim_in_one(
        self, key: tuple[int, int], wanted: dict[str, Any], limit: int, read: _Read, *,
        thorough: bool,
    ) -> list[Claimed]:  # fmt: skip
        """From the bookmarks first; the rest by a full scan, unless that is slow."""
        scan = self._scans.setdefault(key, _Scan())
        clock = self._clock.now()
        ceiling = first_id_at(clock + self._thresholds.late)
        claimed: list[Claimed] = []
        if time.monotonic() < scan.until and not thorough:
            claimed, _, took = _timed(read, scan.bookmarks, wanted, limit)
            scan.usual += (took - scan.usual) * (0.2 if scan.usual else 1.0)
            if len(claimed) == limit or scan.is_slow:
                scan.advance(claimed, ceiling)
                return claimed
        rest = limit - len(claimed)
        found, orders_read, took = _timed(read, _START, wanted, rest)
        scan.note_full_scan(found, orders_read, took, clock, self._thresholds)
        scan.advance(claimed, ceiling)
        return sorted(claimed + found, key=_order) if claimed else found

    def _read(
        self, bookmarks: list[bytes], wanted: dict[str, Any], limit: int
    ) -> tuple[list[Claimed], Collection[int]]:
        """Claim the best priorities first."""
        if not self._in_one:
            steps = partial(claim_in_steps, **wanted, limit=limit)
            return self._take(steps), ()
        values = {"priority_orders": _PRIORITY_ORDERS, "bookmarks": bookmarks, "n": limit}
        found = self._take(lambda tx: _made(tx.rows("claim", **values, **wanted)))
        return found, range(4 - found[-1].priority) if len(found) == limit else _ORDERS

    def _read_by_weight(
        self, key: tuple[int, int], bookmarks: list[bytes], wanted: dict[str, Any], limit: int
    ) -> tuple[list[Claimed], Collection[int]]:
        """Claim by weight from the priorities that hold jobs, in one transaction."""

        def work(tx: Tx) -> tuple[list[Claimed], set[int], Shares[int]]:
            shares, orders = self._shares[key].copy(), _live(tx.rows, wanted, bookmarks)
            if not self._in_one:  # else a bookmark may hide them
                for order in {*_ORDERS} - orders:
                    shares.forget(order)
            source = partial(self._take_counts, tx, wanted, bookmarks)
            passed = partial(_live, tx.rows, wanted, bookmarks) if self._passes else tuple
            found = claim_by_weight(shares, orders, limit, [source], passed)
            self._outbox.note_started(tx, found)
            return found, orders, shares

        found, orders, self._shares[key] = self._database.unit(work)
        return sorted(found, key=_order), _ORDERS if len(found) < limit else {*_ORDERS} - orders

    def _read_parts(
        self, parts: Sequence[Part], order: Callable[[Claimed], Any], bookmarks: list[bytes],
        wanted: dict[str, Any], limit: int,
    ) -> tuple[list[Claimed], Collection[int]]:  # fmt: skip
        """Claim the best priorities first, as the jobs have them by their age."""
        parts = self._aged.share(list(parts), wanted, bookmarks, limit)
        if self._in_one:
            work = partial(take_parts, wanted=wanted, parts=parts, bookmarks=bookmarks, n=limit)
            found = self._database.unit(work, single=True)
        else:
            steps = partial(take_parts_in_steps, wanted=wanted, parts=parts, n=limit)
            found = self._database.unit(steps)
        return sorted(found, key=order), () if len(found) == limit else _ORDERS

    def _read_counts(
        self, counts: Counter[int], bookmarks: list[bytes], wanted: dict[str, Any], limit: int
    ) -> tuple[list[Claimed], Collection[int]]:
        """Claim up to these numbers of jobs of each order, and take them off the numbers."""
        take = partial(self._take_counts, wanted=wanted, bookmarks=bookmarks, counts=+counts)

        def read(tx: Tx) -> list[Claimed]:
            found = take(tx)
            self._outbox.note_started(tx, found)
            return found

        found = self._database.unit(read)
        counts.subtract(4 - job.priority for job in found)
        return sorted(found, key=_order), {order for order, n in counts.items() if n > 0}

    def _take_counts(
        self, tx: Tx, wanted: dict[str, Any], bookmarks: list[bytes], counts: Mapping[int, int]
    ) -> list[Claimed]:
        orders, numbers = list(counts), list(counts.values())
        if not self._in_one:
            places = [(order, b"", number) for order, number in counts.items()]
            return [job for _, job in take_lanes_in_steps(tx, wanted, places, sum(numbers))]
        marks = [bookmarks[order] for order in orders]
        values = {"priority_orders": orders, "bookmarks": marks, "counts": numbers}
        return [*map(Claimed._make, tx.rows("claim_counts", **values, **wanted))]


def _timed(
    read: _Read, bookmarks: list[bytes], wanted: dict[str, Any], limit: int
) -> tuple[list[Claimed], Collection[int], float]:
    """What was read, and the seconds that it took beyond _EACH for each job."""
    began = time.monotonic()
    found, orders_read = read(bookmarks, wanted, limit)
    return found, orders_read, time.monotonic() - began - _EACH * len(found)


def _live(
    rows: Callable[..., Sequence[tuple[Any, ...]]], wanted: dict[str, Any], bookmarks: list[bytes]
) -> set[int]:
    """The orders that hold jobs outside of lanes."""
    values = {"queue_id": wanted["queue_id"], "task_ids": wanted["task_ids"]}
    marks = {f"bookmark{order}": bookmark for order, bookmark in enumerate(bookmarks)}
    (heads,) = rows("ready_heads", **values, **marks)
    return {order for order, head in enumerate(heads) if head is not None}


def _order_key(key: tuple[int, int], order: int) -> tuple[int, int]:
    """The key of one order of a queue."""
    return key[0], hash((key[1], order))


def _made(rows: Sequence[tuple[Any, ...]]) -> list[Claimed]:
    return sorted(map(Claimed._make, rows), key=_order)


def _order(job: Claimed) -> tuple[int, bytes]:
    return -job.priority, job.id
