"""Limits: what tasks declare, what operators set, and what of it is in use."""

from __future__ import annotations

import json
import uuid
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from hammerflow.errors import HammerflowError
from hammerflow.ids import name_id
from hammerflow.jobs.limit import (
    Limit,
    batch_limit,
    is_fair,
    key_id,
    key_of,
    lane_of,
    queue_limit,
)
from hammerflow.stores.claiming.lane_locks import take_all_locks
from hammerflow.stores.database import Database, Tx
from hammerflow.stores.names import NameTable
from hammerflow.stores.transitions.batch_rates import drop_rates
from hammerflow.text import storable

__all__ = ["MOST_WAITING", "FullLimit", "LimitStatus", "Limits"]

#: Ready jobs that a list counts.
MOST_WAITING = 100_000
#: Keys that one worker forgets as it starts.
_IDLE = 10_000


@dataclass(frozen=True, slots=True)
class LimitStatus:
    """One key of a limit that is in use, or a limit of which none is.

    Attributes:
        target: ``task:NAME``, ``queue:NAME`` or ``batch:ID``.
        key: of the jobs; empty where the limit has no keys.
        limit: what holds for each key.
        next_start: seconds until the rate allows the next start.
        set_by: who has set it by hand, ``user@host``; None: it is declared in the code.
    """

    target: str
    key: str
    limit: Limit
    running: int
    waiting: int
    next_start: float
    set_by: str | None
    set_at: datetime | None


class FullLimit(NamedTuple):
    """A limit that allows a job no start now.

    Attributes:
        target: ``task:NAME``, ``queue:NAME`` or ``batch:ID``.
        key: of the job; empty where the limit has no keys.
        most: how many may run at a time; None where only the rate is limited.
        next_at: when the rate allows the next start, in seconds since 1970.
        holders: ids of some that run.
    """

    target: str
    key: str
    most: int | None
    running: int
    next_at: float
    holders: Sequence[bytes]


class Limits:
    """The tables ``limits`` and ``limit_keys``."""

    def __init__(self, database: Database, names: NameTable) -> None:
        self._database = database
        self._names = names

    def declare(self, limits: Mapping[str, Limit], tasks: Iterable[str] = ()) -> None:
        """Write the limits that tasks declare, by their names; what was set by hand holds on.

        Keys that are no longer used are forgotten here, by each worker that starts.

        Args:
            tasks: all of this code; those without a limit lose one that older code has declared.
        """
        known = {f"task:{task}": task for task in tasks if task not in limits}
        targets = self._database.column("limits_declared") if known else ()
        dropped = dict.fromkeys(known[target] for target in targets if target in known)
        wanted: Mapping[str, Limit | None] = {**dropped, **limits}

        def work(tx: Tx) -> None:
            for task, limit in sorted(wanted.items()):
                id_ = name_id(task)
                text = None if limit is None else json.dumps(limit.to_plain())
                declared, given = _row(tx, id_, f"task:{task}")
                if declared == text:
                    continue
                holds = _held(text, given)
                tx.run("limit_declare", id=id_, declared=text, **holds.columns())
                self._cap(tx, id_, holds)

        if wanted:
            self._database.unit(work)
            if idle := self._database.column("limit_keys_idle", n=_IDLE):
                self._database.unit(lambda tx: self._drop(tx, sorted(idle)))

    def _drop(self, tx: Tx, ids: list[int]) -> None:
        """Forget keys, but those of which a claim has just started jobs."""
        take_all_locks(tx, is_alone=self._database.dialect.one_writer)
        tx.run("limit_keys_drop", ids=ids)

    def _cap(self, tx: Tx, id_: int, limit: Limit) -> None:
        """Let nobody wait for longer than the new rate asks for."""
        rate = limit.rate
        ahead = 0.0 if rate is None else rate.burst * rate.spacing
        take_all_locks(tx, is_alone=self._database.dialect.one_writer)
        tx.run("limit_keys_cap", id=id_, ahead=ahead)

    def tasks(self) -> set[str]:
        """Names of all tasks that the database knows."""
        return {name for _, name in self._database.rows("task_names")}

    def give(self, kind: str, name: str, limit: Limit, *, by: str) -> Limit:
        """Set the limit of a task (for each of its keys), a queue or a batch that has one; the one
        that holds now.

        What the new one leaves open stays as it was.
        """
        id_ = _id_of(kind, name)

        def work(tx: Tx) -> Limit:
            declared, given = _row(tx, id_, f"{kind}:{name}")
            before = _held(declared, given)
            holds = Limit(
                before.rate if limit.rate is None else limit.rate,
                before.max_running if limit.max_running is None else limit.max_running,
            )
            text = json.dumps(holds.to_plain())
            if text != given:
                values = {"given": text, "set_by": storable(by), **holds.columns()}
                tx.run("limit_give", id=id_, **values)
                self._cap(tx, id_, holds)
            return holds

        if kind == "batch" and self.of_batch(uuid.UUID(name).bytes) is None:
            raise HammerflowError(
                f"batch {name} has no rate limit, or has ended: a batch is given one when it is "
                "created"
            )
        if kind == "queue":
            self._names.register(queues=[name])
        return self._database.unit(work)

    def remove(self, kind: str, name: str) -> Limit:
        """Drop what was set by hand: what the code declares holds again, or nothing. Of a batch,
        drop the limit that it was created with, too.

        The row stays: jobs that wait in its lanes are claimed as those of a limit.

        Raises:
            HammerflowError: nothing was set, or the batch has no limit.
        """
        id_ = _id_of(kind, name)

        def work(tx: Tx) -> Limit:
            found = tx.rows("limit_row", id=id_)
            if kind == "batch" and found:  # nothing else would hold again
                tx.run("limit_declare", id=id_, declared=None, **Limit().columns())
                found = [(None, found[0][0] or found[0][1])]
            if not found or found[0][1] is None:
                raise HammerflowError(f"no limit was set for {kind}:{name}")
            holds = _held(found[0][0], None)
            tx.run("limit_give", id=id_, given=None, set_by=None, **holds.columns())
            self._cap(tx, id_, holds)
            return holds

        return self._database.unit(work)

    def keys(self, job_id: bytes) -> tuple[str | None, str | None]:
        """The key of a job's limit, and the one by which it takes turns, as it was enqueued."""
        found = self._database.first("job_keys", id=job_id)
        return (None, None) if found is None else (found[2] or None, found[3])

    def of_batch(self, batch_id: bytes) -> Limit | None:
        """The limit of a batch that has not ended; None if it was created without one."""
        found = self._database.rows("limit_row", id=batch_limit(batch_id))
        return _held(*found[0]) if found else None

    def drop_ended(self) -> int:
        """Drop the limits of batches that have ended; how many."""
        targets = self._database.column("limits_of_batches")
        return self._database.unit(lambda tx: drop_rates(tx, targets)) if targets else 0

    def closed(self, task: str, queue: str) -> Sequence[str]:
        """The limits of a task and a queue that allow no job to run: their targets."""
        ids = [name_id(task), queue_limit(name_id(queue))]
        return self._database.column("limits_closed", ids=sorted(ids))

    def full(self, job_id: bytes, queue: str, *, holders: int) -> Sequence[FullLimit]:
        """The limits of a ready job that allow no start now.

        Args:
            holders: how many of the jobs that hold its places are named.
        """
        queue_id, rows = name_id(queue), self._database.rows
        of_queue = key_id(queue_limit(queue_id), "")
        keys = {of_queue: (queue_limit(queue_id), "")}
        for lane, task_id, limit_key, fair_key in rows("job_keys", id=job_id):
            if lane is not None:
                name = limit_key or ""
                own = key_of(lane) if fair_key is None else key_id(task_id, name)
                keys.setdefault(own, (task_id, name))
        tats = {}
        for id_, limit_id, tat in rows("limit_keys_named", ids=sorted(keys)):
            keys[id_], tats[id_] = (limit_id, keys[id_][1]), float(tat)
        ids = sorted({limit_id for limit_id, _ in keys.values()})
        limits = {row[0]: row[1:] for row in rows("limits_named", ids=ids)}
        running = _by_key(rows("limit_running"), rows("limit_fair_running", fair=1))
        found = []
        for id_, (limit_id, key) in keys.items():
            if limit_id not in limits:
                continue
            target, spacing, burst, most, now = limits[limit_id]
            if id_ == of_queue:
                count = int(rows("limit_running_in", queue_id=queue_id)[0][0])
                held = rows("limit_holders_in", queue_id=queue_id, n=holders)
            else:
                count = running[id_]
                lanes = [lane_of(id_, priority) for priority in range(5)]
                held = rows("limit_holders", lanes=lanes, n=holders)
                fair = {"task_id": limit_id, "limit_key": key, "n": holders}
                held = [*held, *rows("limit_fair_holders", **fair)][:holders]
            next_at = tats.get(id_, 0.0) - (burst - 1) * spacing if spacing else 0.0
            if next_at > float(now) or (most is not None and count >= most):
                names = [holder for (holder,) in held]
                found.append(FullLimit(target, key, most, count, next_at, names))
        return found

    def _waiting(self) -> tuple[Sequence[tuple[Any, ...]], Sequence[tuple[int, str, int]]]:
        """(lane, ready jobs in it, their task, name of its key), and (task, key of its limit, ready
        jobs) of those with a fairness key."""
        found: list[tuple[Any, ...]] = []
        fair: list[tuple[int, str, int]] = []
        left = MOST_WAITING
        for queue_id in self._database.column("queues_with_lanes"):
            rows = self._database.rows("limit_waiting", queue_id=queue_id, n=left)
            found += rows
            if any(is_fair(lane) for lane, *_ in rows):
                fair += self._database.rows("limit_fair_waiting", queue_id=queue_id, n=left)
            left -= sum(row[1] for row in rows)
            if left <= 0:
                break
        return found, fair

    def list(self) -> Sequence[LimitStatus]:
        """All limits with their keys that are in use; of ready jobs it counts MOST_WAITING."""
        rows = self._database.rows
        waiting = self._waiting()
        running = rows("limit_running"), rows("limit_fair_running", fair=1)
        waits, runs = _by_key(*waiting), _by_key(*running)
        keys: dict[int, dict[int, tuple[str, float]]] = defaultdict(dict)
        for lane, _, task_id, name in (*waiting[0], *running[0]):
            if key_of(lane) == key_id(task_id, name or ""):  # not of a queue or a batch
                keys[task_id][key_of(lane)] = name or "", 0.0
        for task_id, name, _ in (*waiting[1], *running[1]):
            keys[task_id][key_id(task_id, name or "")] = name or "", 0.0
        for id_, limit_id, name, ahead in rows("limit_keys_all"):
            keys[limit_id][id_] = name, float(ahead)
        found: list[LimitStatus] = []
        for row in rows("limits_all"):
            id_, target, spacing, burst, _, declared, given, by, at = row
            limit = _held(declared, given)
            if limit == Limit():
                continue
            place = (by, self._database.dialect.instant(at))
            own = keys[id_] or {key_id(id_, ""): ("", 0.0)}
            for key, (name, ahead) in sorted(own.items(), key=lambda each: each[1]):
                count = runs[key]
                if target.startswith("queue:"):
                    count = int(rows("limit_running_in", queue_id=name_id(target[6:]))[0][0])
                next_start = max(ahead - (burst - 1) * spacing, 0.0) if spacing else 0.0
                status = LimitStatus(target, name, limit, count, waits[key], next_start, *place)
                found.append(status)
        return found


def _id_of(kind: str, name: str) -> int:
    if kind == "batch":
        return batch_limit(uuid.UUID(name).bytes)
    return name_id(name) if kind == "task" else queue_limit(name_id(name))


def _row(tx: Tx, id_: int, target: str) -> tuple[str | None, str | None]:
    """(declared, given) of a limit, which is inserted where it is new."""
    tx.many("limit_insert", [(id_, target)])
    return tx.rows("limit_row", id=id_)[0]


def _held(declared: str | None, given: str | None) -> Limit:
    text = declared if given is None else given
    return Limit() if text is None else Limit.from_plain(json.loads(text))


def _by_key(lanes: Sequence[tuple[Any, ...]], fair: Sequence[tuple[Any, ...]]) -> Counter[int]:
    """Counts by the numbers of keys.

    Args:
        lanes: (lane, count, and more) of each.
        fair: (task, key of its limit, count) of jobs with a fairness key, whose lanes do not tell.
    """
    found: Counter[int] = Counter()
    for lane, count, *_ in lanes:
        found[key_of(lane)] += count
    for task_id, key, count in fair:
        found[key_id(task_id, key or "")] += count
    return found
