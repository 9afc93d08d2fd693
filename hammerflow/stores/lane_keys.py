"""Keys of limits: which one holds for the jobs of a lane, and what it allows now."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from hammerflow.jobs.limit import is_fair, key_id, key_of, order_of_lane, queue_limit
from hammerflow.stores.database import Database, Tx
from hammerflow.stores.lane_reads import LaneRow

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
    heads: tuple[bytes, ...] = ()  # its first jobs, where they were read

    @property
    def order(self) -> int:
        return order_of_lane(self.number)


class Key(NamedTuple):
    """A key of a limit, as ``limit_keys`` and ``limits`` have it."""

    id: int
    limit_id: int
    ahead: float  # seconds from now to the time from which the next start is on time
    spacing: float | None
    burst: int | None
    max_running: int | None
    running: int

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
        missing = [row for row in rows if row.limit_id is None]
        added = self._add_keys(queue_id, missing) if missing else {}
        keys = {}
        for lane, _, known, ahead, running, *_ in rows:
            id_ = key_of(lane)
            limit_id = added.get(id_, 0) if known is None else known
            limit = self.known.get(limit_id, _NOTHING)
            keys[lane] = Key(id_, limit_id, ahead or 0.0, *limit, running=running or 0)
        return keys

    def _fair_keys(self, rows: Sequence[LaneRow]) -> dict[int, Key]:
        """The same for lanes with a fairness key, which do not tell the keys of their limits."""
        names = self.names
        for row in rows:
            if row.task_id is not None:
                names[key_of(row.lane)] = row.task_id, row.name or ""
        of_lane = {row.lane: names[key_of(row.lane)] for row in rows if key_of(row.lane) in names}
        limited = {
            key_id(*name): name
            for name in of_lane.values()
            if self.known.get(name[0], _NOTHING) != _NOTHING
        }
        found = self.read(sorted(limited), fair=1) if limited else {}
        if missing := sorted((id_, *limited[id_]) for id_ in limited.keys() - found.keys()):
            self._insert(missing)
            found |= self.read([row[0] for row in missing], fair=1)
        if len(names) > MANY:
            names.clear()
        keys = {}
        for lane, name in of_lane.items():
            key = found.get(key_id(*name))
            keys[lane] = Key(0, name[0], 0.0, *_NOTHING, running=0) if key is None else key
        return keys

    def read(self, ids: list[int], *, fair: int, tx: Tx | None = None) -> dict[int, Key]:
        """Keys by their numbers.

        Args:
            fair: 1 if jobs with a fairness key may count, too.
        """
        rows = self._database.rows if tx is None else tx.rows
        return {row[0]: Key(*row) for row in rows("limit_keys_read", ids=ids, fair=fair)}

    def _add_keys(self, queue_id: int, rows: Sequence[LaneRow]) -> dict[int, int]:
        """Write the rows of keys that no claim has met before: their limits."""
        of_queue = queue_limit(queue_id)
        shared = key_id(of_queue, "")
        added: dict[int, tuple[int, str]] = {}
        for row in rows:
            number = key_of(row.lane)
            if number == shared:
                added[number] = of_queue, ""
            elif row.task_id is not None:
                added[number] = row.task_id, row.name or ""
        if added:
            self._insert(sorted((number, *of) for number, of in added.items()))
        return {number: limit_id for number, (limit_id, _) in added.items()}

    def _insert(self, rows: list[tuple[int, int, str]]) -> None:
        """Write keys: in a transaction of its own, so that no claim waits for another's."""
        is_single = not self._database.dialect.one_writer  # SQLite's is a statement for each row
        self._database.unit(lambda tx: tx.many("limit_keys_insert", rows), single=is_single)
