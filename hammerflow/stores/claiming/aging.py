"""Aging: a job that has been ready for long is claimed as if its priority were better.

Nothing is written for that. Where a queue holds jobs that are old enough, a claim reads each
priority in parts by age: the part that has aged by two steps belongs to the priority two above.
A job is ready since the time in its id, or since ``ready_at`` where it became ready later.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from hammerflow.ids import first_id_at, time_of
from hammerflow.jobs.job import Claimed
from hammerflow.stores.claiming.claim_steps import read_claimed, take
from hammerflow.stores.database import Database, Tx

__all__ = ["AgedParts", "Part", "effective_order", "take_parts", "take_parts_in_steps"]

#: Seconds between two searches for jobs that have aged; less for short steps.
_EVERY = 1.0
_ORDERS = range(5)
_FOREVER = 1e12


class Part(NamedTuple):
    """The jobs of one order that became ready in a span of time, in seconds since 1970."""

    order: int
    effective: int  # the order that they have by their age
    since: float = 0.0
    until: float = _FOREVER
    most: int = 1_000_000  # that are claimed

    @property
    def ids(self) -> tuple[bytes, bytes]:
        """The first id of the span, and the first one behind it."""
        first = first_id_at(self.since) if self.since else bytes(16)
        return first, first_id_at(self.until) if self.until < _FOREVER else b"\xff" * 16


class AgedParts:
    """Knows which queues hold jobs that have aged; for one process."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._found: dict[tuple[int, int], tuple[float, list[int]]] = {}

    def of(
        self, key: tuple[int, int], wanted: dict[str, Any], step: float, now: float
    ) -> list[Part]:
        """The parts of a queue in the order in which they are claimed; empty where no job has aged.

        Args:
            step: seconds that raise a job by one priority.
            now: the database's clock.
        """
        until, steps = self._found.get(key, (0.0, []))
        if time.monotonic() >= until:
            steps = self._steps(wanted, step, now)
            self._found[key] = time.monotonic() + min(_EVERY, step / 10), steps
        return _parts(steps, step, now) if any(steps) else []

    def share(
        self, parts: list[Part], wanted: dict[str, Any], bookmarks: Sequence[bytes], n: int
    ) -> list[Part]:
        """The parts with numbers for those that have the best priority now: their ages overlap, and
        the oldest jobs of all of them come first.

        Args:
            n: how many jobs are claimed.
        """
        ends = {part.order: part for part in parts if not part.effective}
        if len(ends) < 2:
            return parts
        values: dict[str, Any] = {"queue_id": wanted["queue_id"], "task_ids": wanted["task_ids"]}
        for order in _ORDERS:
            until = ends[order].until if order in ends else 0.0
            end = ends[order].ids[1] if order in ends else bytes(16)
            values |= {f"bookmark{order}": bookmarks[order], f"end{order}": end}
            values[f"until{order}"] = until
        counts = Counter(self._database.column("ready_oldest_of_parts", n=n, **values))
        return [p if p.effective else p._replace(most=counts[p.order]) for p in parts]

    def _steps(self, wanted: dict[str, Any], step: float, now: float) -> list[int]:
        """By how many steps the oldest job of each order has aged, at most; 0 for none."""
        bound = now - step
        values = {"queue_id": wanted["queue_id"], "task_ids": wanted["task_ids"]}
        (heads,) = self._database.rows("ready_aged", end=first_id_at(bound), until=bound, **values)
        ages = [0.0 if head is None else now - time_of(head) for head in (None, *heads)]
        return [min(order, int(age / step)) for order, age in enumerate(ages)]


def _parts(steps: Sequence[int], step: float, now: float) -> list[Part]:
    """Best first: of one effective order, those that come from further down are older."""
    found = []
    for effective in _ORDERS:
        for order in reversed(_ORDERS[effective:]):
            aged = order - effective
            if aged > steps[order]:
                continue
            since = 0.0 if aged == steps[order] else now - (aged + 1) * step
            until = now - aged * step if aged else _FOREVER
            found.append(Part(order, effective, since, until))
    return found


def take_parts(
    tx: Tx, wanted: dict[str, Any], parts: Sequence[Part], bookmarks: Sequence[bytes], n: int
) -> list[Claimed]:
    """Claim up to ``n`` jobs of these parts, the first parts first, by one statement."""
    spans = [part.ids for part in parts]
    rows = tx.rows(
        "claim_parts", priority_orders=[part.order for part in parts],
        bookmarks=[bookmarks[part.order] for part in parts],
        sinces=[part.since for part in parts], untils=[part.until for part in parts],
        firsts=[first for first, _ in spans], ends=[end for _, end in spans],
        counts=[min(part.most, n) for part in parts], n=n, **wanted,
    )  # fmt: skip
    return [*map(Claimed._make, rows)]


def take_parts_in_steps(
    tx: Tx, wanted: dict[str, Any], parts: Sequence[Part], n: int
) -> list[Claimed]:
    """The same, part by part."""
    claimed: list[Claimed] = []
    place = {"queue_id": wanted["queue_id"]}
    for part in parts:
        if len(claimed) == n:
            break
        first, end = part.ids
        values = {"since": part.since, "until": part.until, "first": first, "end": end}
        rows = tx.rows(
            "claim_part", priority_order=part.order, task_ids=wanted["task_ids"],
            n=min(part.most, n - len(claimed)), **place, **values,
        )  # fmt: skip
        jobs, version = read_claimed(tx, rows)
        named = {**place, "priority_order": part.order, "version": version}
        if jobs and not take(tx, wanted["worker_id"], [job.id for job in jobs], named):
            break  # something was paused; the first part, as later pauses wait for this transaction
        claimed += jobs
    return claimed


def effective_order(step: float, now: float) -> Callable[[Claimed], tuple[int, bytes]]:
    """Sorts claimed jobs by the order that they have by the age of their ids."""

    def key(job: Claimed) -> tuple[int, bytes]:
        aged = max(0, int((now - time_of(job.id)) / step))
        return max(0, 4 - job.priority - aged), job.id

    return key
