"""Which lanes hold ready jobs, and what a claim must know of each."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping
from typing import NamedTuple

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
        limit_id: the limit of its key; None if that is not written yet.
        ahead: seconds from now to the time from which the next start of the key is on time.
        running: how many jobs of the key run.
        task_id: of the first job, with the name of its key, where ``limit_id`` is None.
        heads: its first jobs in order, where they were read.
        is_whole: these are all of its jobs.
    """

    lane: int
    first: bytes
    limit_id: int | None = None
    ahead: float | None = None
    running: int | None = None
    task_id: int | None = None
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
        self._reads_jobs = "lane_rows" in database.dialect.statements
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
            return self._walk(most, above, place)
        n = _JOBS_PER_LANE * most
        jobs = self._database.rows("lane_rows", above=above[0], top=above[1], n=n, **place)
        if jobs and jobs[0][0] < above[1]:
            return [LaneRow(*jobs[0])]
        heads: dict[int, list[bytes]] = defaultdict(list)
        for lane, job_id in jobs:
            heads[lane].append(job_id)
        cut = jobs[-1][0] if len(jobs) == n else None
        found = self._with_facts({lane: heads[lane] for lane in [*heads][:most]}, cut, known)
        if cut is not None and len(found) < most:
            self._walks[queue_id] = 0 if 2 * len(found) > most else _WALKS
            found += self._walk(most - len(found), (0, 0), {**place, "after": cut})
        return found

    def _walk(self, most: int, above: tuple[int, int], place: Mapping[str, int]) -> list[LaneRow]:
        rows = self._database.rows("lanes", most=most, above=above[0], top=above[1], **place)
        return [*map(LaneRow._make, sorted((*row, (), False) for row in rows))]

    def _with_facts(
        self, heads: Mapping[int, list[bytes]], cut: int | None, known: Collection[int]
    ) -> list[LaneRow]:
        """The lanes of these jobs; all are whole but ``cut``."""
        ids = sorted({key_of(lane) for lane in heads if not is_fair(lane)})
        rows = self._database.rows("limit_keys_read", ids=ids, fair=0) if ids else []
        facts = {row[0]: (row[1], row[2], row[6]) for row in rows}
        lost = [lane for lane in heads if key_of(lane) not in facts and key_of(lane) not in known]
        firsts = sorted(heads[lane][0] for lane in lost)
        names = self._database.rows("lane_keys", ids=firsts) if firsts else []
        name_of = {row[0]: (row[1], row[2]) for row in names}
        found = []
        for lane, jobs in heads.items():
            limit_id, ahead, running = facts.get(key_of(lane), (None, None, None))
            task_id, name = name_of.get(jobs[0], (None, None))
            row = LaneRow(lane, jobs[0], limit_id, ahead, running, task_id, name)
            found.append(row._replace(heads=tuple(jobs), is_whole=lane != cut))
        return found
