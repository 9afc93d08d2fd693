"""Which lanes hold ready jobs, and what a claim must know of each."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

from hammerflow.jobs.limit import is_fair, key_of
from hammerflow.stores.database import Database

__all__ = ["LaneReads", "LaneRow"]

#: Jobs that are read for each lane where whole lanes are read.
_JOBS_PER_LANE = 4
#: Reads that walk from lane to lane once lanes have been found to hold many jobs each.
_WALKS = 16


class LaneRow(NamedTuple):
    """A lane that holds ready jobs.

    Attributes:
        limit_id: the limit of its key; None if the key has no row.
        ahead: seconds from now to the time from which the next start of the key is on time; None if
            it has no row.
        running: how many jobs of the key run.
        task_id: of the first job.
        name: of the key of its limit, where the lane has a fairness key.
        heads: its first jobs in order, where they were read.
        is_whole: these are all of its jobs.
    """

    lane: int
    first: bytes
    limit_id: int | None = None
    ahead: float | None = None
    running: int | None = None
    task_id: int = 0
    name: str | None = None
    heads: tuple[bytes, ...] = ()
    is_whole: bool = False


class LaneReads:
    """Reads the lanes of queues; for one process.

    Where the first jobs of lanes are cheaper to read than the lanes themselves (MySQL), those are
    read, unless the lanes are deep.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        dialect = database.dialect
        self._reads_jobs = "lane_rows" in dialect.statements and not dialect.one_writer
        self._walks: Counter[int] = Counter()  # by queue: reads that are to walk

    def read(
        self, queue_id: int, after: int, until: int, most: int,
        above: tuple[int, int], known: Collection[int],
    ) -> list[LaneRow]:  # fmt: skip
        """Lanes between two numbers, in order; before them the first lane between those of
        ``above``, if there is one.

        Args:
            most: how many lanes to read at most.
            known: lanes with a fairness key whose names are not needed.
        """
        place = {"queue_id": queue_id, "after": after, "until": until}
        if not self._reads_jobs or self._walks[queue_id] > 0:
            self._walks[queue_id] -= 1
            return self._walk(most, above, place, known)
        n = _JOBS_PER_LANE * most
        jobs = self._database.rows("lane_rows", above=above[0], top=above[1], rows=n, **place)
        if jobs and jobs[0][0] < above[1]:
            return [LaneRow(*jobs[0][:2])]
        heads: dict[int, list[bytes]] = defaultdict(list)
        tasks: dict[int, int] = {}
        for lane, job_id, task_id in jobs:
            heads[lane].append(job_id)
            tasks.setdefault(lane, task_id)
        cut = jobs[-1][0] if len(jobs) == n else None
        rows = [
            LaneRow(lane, heads[lane][0], task_id=task, heads=(*heads[lane],), is_whole=lane != cut)
            for lane, task in [*tasks.items()][:most]
        ]
        found = self._with_facts(rows, known)
        if cut is not None and len(found) < most:
            self._walks[queue_id] = 0 if 2 * len(found) > most else _WALKS
            found += self._walk(most - len(found), (0, 0), {**place, "after": cut}, known)
        return found

    def _walk(
        self, most: int, above: tuple[int, int], place: Mapping[str, int], known: Collection[int]
    ) -> list[LaneRow]:
        read = "lane_firsts" if self._reads_jobs else "lanes"
        rows = self._database.rows(read, most=most, above=above[0], top=above[1], **place)
        if not self._reads_jobs:
            return [LaneRow(*row) for row in sorted(rows, key=lambda row: row[0])]
        if rows and rows[0][0] < above[1]:
            return [LaneRow(*rows[0][:2])]
        firsts = [LaneRow(lane, job_id, task_id=task) for lane, job_id, task in rows]
        return self._with_facts(firsts, known)

    def _with_facts(self, rows: Sequence[LaneRow], known: Collection[int]) -> list[LaneRow]:
        """The same lanes with what is known of their keys."""
        ids = sorted({key_of(row.lane) for row in rows if not is_fair(row.lane)})
        facts = {row[0]: row[1:3] for row in self._rows("limit_keys_read", ids)}
        running = dict(self._rows("limit_running_of", ids))
        fair = [row for row in rows if is_fair(row.lane) and key_of(row.lane) not in known]
        names = {row[0]: row[2] for row in self._rows("lane_keys", sorted(r.first for r in fair))}
        found = []
        for row in rows:
            limit_id, ahead = facts.get(key_of(row.lane), (None, None))
            runs, name = running.get(key_of(row.lane), 0), names.get(row.first)
            found.append(row._replace(limit_id=limit_id, ahead=ahead, running=runs, name=name))
        return found

    def _rows(self, statement: str, ids: Sequence[Any]) -> Sequence[tuple[Any, ...]]:
        return self._database.rows(statement, ids=ids) if ids else ()
