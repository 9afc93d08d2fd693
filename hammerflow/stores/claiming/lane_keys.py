"""Keys of limits: which one holds for the jobs of a lane, and what it allows now."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from hammerflow.jobs.limit import is_fair, key_id, key_of, order_of_lane, queue_limit
from hammerflow.stores.claiming.lane_reads import LaneRow
from hammerflow.stores.database import Database, Tx

__all__ = ["AGAIN", "MANY", "NO_LIMIT", "SOON", "Key", "Lane", "LaneKeys"]

#: Seconds until a claim tries lanes again whose places are all in use.
AGAIN = 0.2
#: Seconds until lanes are looked at that the last claim has not reached.
SOON = 0.02
#: Jobs that may start where nothing limits them.
NO_LIMIT = 1_000_000
#: Fairness keys that a process remembers.
MANY = 100_000
#: Seconds by which a start may come before its time: what a clock of floats cannot tell apart.
_EPSILON = 1e-6
_NOTHING = None, None, None


class Lane(NamedTuple):
    """A lane that holds jobs, when it was read."""

    number: int
    first: bytes  # its first job; empty where jobs of several tasks are in one lane
    key: int  # 0: it has no limit
    free: int  # how many of its jobs may start
    limit: tuple[int, str] = (0, "")  # the number of its limit, and the name of its key
    heads: tuple[bytes, ...] = ()  # its first jobs, where they were read

    @property
    def order(self) -> int:
        return order_of_lane(self.number)


class Key(NamedTuple):
    """A key of a limit, as ``limit_keys`` and ``limits`` have it.

    Attributes:
        name: only where jobs with a fairness key may count.
    """

    id: int
    limit_id: int
    ahead: float  # seconds from now to the time from which the next start is on time
    spacing: float | None
    burst: int | None
    max_running: int | None
    running: int
    name: str = ""

    @property
    def free(self) -> int:
        """How many jobs may start now."""
        most = NO_LIMIT if self.max_running is None else self.max_running - self.running
        if self.spacing is not None and self.burst is not None:
            left = self.burst * self.spacing - max(self.ahead, 0.0)
            most = min(most, int((left + _EPSILON) / self.spacing))
        return max(most, 0)

    @property
    def wait(self) -> float | None:
        """Seconds after which a job may be free to start; None if that takes a new limit."""
        if self.max_running == 0:
            return None
        if self.max_running is not None and self.running >= self.max_running:
            return AGAIN
        if self.spacing is None or self.burst is None:
            return SOON
        return max(self.ahead - (self.burst - 1) * self.spacing, 0.001)


class LaneKeys:
    """The keys of lanes; for one process.

    A key has a row, which holds when its next job may start, only where its limit has a rate.

    Attributes:
        known: all limits by their numbers: (spacing, burst, max_running).
        names: of keys of lanes with a fairness key: (task, name of the limit's key).
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self.names: dict[int, tuple[int, str]] = {}
        self.known: Mapping[int, tuple[float | None, int | None, int | None]] = {}

    def of_lanes(self, queue_id: int, rows: Sequence[LaneRow]) -> dict[int, Key]:
        """The keys of lanes that have been read, by the numbers of the lanes."""
        keys = self._plain_keys(queue_id, [row for row in rows if not is_fair(row.lane)])
        fair = [row for row in rows if is_fair(row.lane)]
        return keys | self._fair_keys(fair) if fair else keys

    def _plain_keys(self, queue_id: int, rows: Sequence[LaneRow]) -> dict[int, Key]:
        of_queue = queue_limit(queue_id)
        shared = key_id(of_queue, "")
        keys: dict[int, Key] = {}
        new: dict[bytes, tuple[int, int]] = {}
        for row in rows:
            id_ = key_of(row.lane)
            limit_id = row.limit_id
            if limit_id is None:
                limit_id = of_queue if id_ == shared else row.task_id
            limit = self.known.get(limit_id, _NOTHING)
            keys[row.lane] = key = Key(
                id_, limit_id, row.ahead or 0.0, *limit, running=row.running or 0
            )
            if row.ahead is None and key.spacing is not None:
                new[row.first] = id_, limit_id
        if new:
            self.write(new)
        return keys

    def write(self, new: Mapping[bytes, tuple[int, int]], tx: Tx | None = None) -> None:
        """Write the rows of keys under a rate.

        Args:
            new: (key, limit) by the first jobs of their lanes, which have the names of the keys.
        """
        rows = (self._database.rows if tx is None else tx.rows)("lane_keys", ids=sorted(new))
        named = {(*new[job_id], name or "") for job_id, _, name in rows}
        if tx is None:
            self.insert(named)
        else:
            tx.many("limit_keys_insert", sorted(named))

    def _fair_keys(self, rows: Sequence[LaneRow]) -> dict[int, Key]:
        """The same for lanes with a fairness key, which do not tell the keys of their limits."""
        names = self.names
        for row in rows:
            if row.name is not None or key_of(row.lane) not in names:
                names[key_of(row.lane)] = row.task_id, row.name or ""
        of_lane = {row.lane: names[key_of(row.lane)] for row in rows}
        limited = {
            key_id(*name): name
            for name in of_lane.values()
            if self.known.get(name[0], _NOTHING) != _NOTHING
        }
        found = self.read(limited, fair=1) if limited else {}
        if missing := {(id_, *limited[id_]) for id_ in limited.keys() - found.keys()}:
            self.insert(missing)
            found |= self.read({id_: limited[id_] for id_, *_ in missing}, fair=1)
        if len(names) > MANY:
            names.clear()
        keys = {}
        for lane, name in of_lane.items():
            key = found.get(key_id(*name))
            keys[lane] = Key(0, name[0], 0.0, *_NOTHING, running=0) if key is None else key
        return keys

    def read(
        self, wanted: Mapping[int, tuple[int, str]], *, fair: int, tx: Tx | None = None
    ) -> dict[int, Key]:
        """Keys by their numbers; without those under a rate that have no row.

        Args:
            wanted: the number and the name of the limit of each: (limit, name).
            fair: 1 if jobs with a fairness key may count, too.
        """
        rows = self._database.rows if tx is None else tx.rows
        ids = sorted(wanted)
        running: Counter[int] = Counter(dict(rows("limit_running_of", ids=ids)))
        if fair:
            for task_id, name, count in rows("limit_fair_running", fair=1):
                running[key_id(task_id, name or "")] += count
        found = {}
        for id_, limit_id, ahead, *limit in rows("limit_keys_read", ids=ids):
            spacing, burst, most = limit
            name = wanted[id_][1]
            found[id_] = Key(id_, limit_id, ahead, spacing, burst, most, running[id_], name)
        for id_, (limit_id, name) in wanted.items():
            spacing, burst, most = self.known.get(limit_id, _NOTHING)
            if id_ not in found and spacing is None:
                found[id_] = Key(id_, limit_id, 0.0, spacing, burst, most, running[id_], name)
        return found

    def places(
        self, tx: Tx, firsts: Mapping[int, tuple[bytes, int]]
    ) -> tuple[dict[int, int], dict[int, Key]]:
        """How many jobs of each key may start now, and the keys under a rate; their locks are held.

        Args:
            firsts: the first job of each key, and its task.
        """
        ids = sorted(firsts)
        running = dict(tx.rows("limit_running_of", ids=ids))
        written = tx.rows("limit_keys_read", ids=ids)
        there = {row[0] for row in written}
        free, new = {}, {}
        for id_, (job_id, task_id) in firsts.items():
            if id_ not in there:
                spacing, _, most = self.known.get(task_id, _NOTHING)
                if spacing is not None:
                    new[job_id] = id_, task_id
                free[id_] = NO_LIMIT if most is None else most - running.get(id_, 0)
        if new:
            self.write(new, tx=tx)
            written += tx.rows("limit_keys_read", ids=sorted(id_ for id_, _ in new.values()))
        keys = {}
        for id_, limit_id, ahead, spacing, burst, most in written:
            keys[id_] = Key(id_, limit_id, ahead, spacing, burst, most, running.get(id_, 0))
        return free | {id_: key.free for id_, key in keys.items()}, keys

    def insert(self, rows: Collection[tuple[int, int, str]]) -> None:
        """Write keys under a rate: in a transaction of its own, so that no claim waits for
        another's.

        Args:
            rows: (key, limit, name) of each.
        """
        is_single = not self._database.dialect.one_writer  # SQLite's is a statement for each row
        self._database.unit(lambda tx: tx.many("limit_keys_insert", sorted(rows)), single=is_single)
