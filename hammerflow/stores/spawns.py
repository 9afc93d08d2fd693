"""Spawns: recorded runs of spawners, their totals, and the families of jobs they made."""

from __future__ import annotations

import json
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from hammerflow.errors import JobNotFound
from hammerflow.ids import name_id
from hammerflow.stores.database import Database
from hammerflow.stores.rows import Row

__all__ = [
    "COUNTED",
    "LIVE",
    "Generation",
    "Lineage",
    "PendingSpawn",
    "SpawnRun",
    "SpawnStats",
    "Spawns",
]

#: Far enough back for every run, near enough for the calendar of every database.
_EVER = timedelta(days=36_500)
#: Most runs that are counted one by one; most live jobs of each state that are read for parents.
COUNTED, LIVE = 50_000, 10_000
_MINUTE, _HOUR, _DAY = 60, 3_600, 86_400  # seconds
#: Most spawners of one generation whose children are read.
_PARENTS = 1_000


@dataclass(frozen=True, slots=True)
class SpawnRun:
    """One run of a spawner: a row of the table ``spawns``."""

    parent_id: bytes  # the spawner's job
    lease: int  # the number of this run among the runs of the job
    requested: int  # children that the run asked for
    spawned: int  # children that were inserted; 0 where the run failed
    started_at: datetime | None
    ended_at: datetime | None
    handler: str  # name of the spawner or spawn handler
    operation_id: str | None  # the one that the body set, if any
    metadata: Mapping[str, Any]  # what the body recorded
    error: str | None  # why it failed; None where it did not
    task: str | None  # of the spawner's job; None where that was deleted
    queue: str | None  # the same


@dataclass(frozen=True, slots=True)
class SpawnStats:
    """Totals over the runs of one handler in one queue."""

    handler: str
    queue: str | None
    operations: int  # runs
    failures: int  # runs that failed
    requested: int  # children that were asked for
    children: int  # children that were inserted
    most_children: int  # the most that one run inserted
    mean_seconds: float  # of a run
    longest_seconds: float


@dataclass(frozen=True, slots=True)
class PendingSpawn:
    """A spawner that has ended and has children that have not."""

    parent_id: bytes
    states: Mapping[str, int]  # state to number of children that have not ended
    run: SpawnRun | None  # the run that spawned them; None where its row was deleted


@dataclass(frozen=True, slots=True)
class Generation:
    """The descendants of a job at one distance."""

    depth: int  # that distance; 1 for its children
    ids: Sequence[bytes]  # the first of them
    tasks: Mapping[str, Mapping[str, int]]  # task to state to number of jobs, over all of them

    @property
    def count(self) -> int:
        """The number of these descendants."""
        return sum(n for states in self.tasks.values() for n in states.values())


@dataclass(frozen=True, slots=True)
class Lineage:
    """The ancestors and descendants of a job."""

    ancestors: Sequence[bytes]  # ids from its parent upward
    generations: Sequence[Generation]  # its descendants, from its children downward
    is_cut: bool  # there are more than were asked for, or than are read


class Spawns:
    """Reads the table ``spawns`` and the families of jobs."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def operations(
        self, *, since: timedelta | None = None, queue: str | None = None, limit: int = 100
    ) -> Sequence[SpawnRun]:
        """Runs of spawners, newest first, failed ones included.

        Args:
            since: only those that ended within this time before now.
        """
        rows = self._database.rows("spawn_operations", **_filter(since, queue), n=limit)
        return [self._run(row) for row in rows]

    def stats(
        self, *, since: timedelta | None = None, queue: str | None = None
    ) -> tuple[Sequence[SpawnStats], bool]:
        """Totals by handler and queue; and whether runs were left out.

        Minutes that are counted for good are read from the statistics, in whole minutes, or hours
        where ``since`` is more than a day; of later runs the newest 50 000 are counted.
        """
        queue_id = None if queue is None else name_id(queue)
        [(now,)] = self._database.rows("clock")
        ago = _EVER if since is None else min(_EVER, since)
        begin = max(0.0, float(now) - ago.total_seconds())
        totals: dict[tuple[str, str | None], SpawnStats] = {}
        state = self._database.first("statistics_state")
        counted_to = 0 if state is None else int(state[1])
        for span, low, high in _spans(int(begin), counted_to, int(now)):
            values = {"span": span, "low": low, "high": high, "queue": queue_id}
            _add(totals, self._database.rows("spawn_statistics_rows", **values))
        low = self._database.dialect.time(datetime.fromtimestamp(max(begin, counted_to), UTC))
        rows = self._database.rows("spawn_stats", low=low, queue=queue_id, n=COUNTED)
        _add(totals, rows)
        is_cut = sum(int(row[2]) for row in rows) >= COUNTED
        return [
            totals[key] for key in sorted(totals, key=lambda key: (key[0], key[1] or ""))
        ], is_cut

    def pending(self, *, limit: int = 100) -> Sequence[PendingSpawn]:
        """Spawners with children that have not ended, newest spawner first.

        It reads up to 10 000 live jobs of each state.
        """
        rows = self._database.rows("spawn_pending", n=LIVE, parents=5 * limit)
        families: dict[bytes, Counter[str]] = {}
        for parent_id, state, count in rows:
            families.setdefault(parent_id, Counter())[state] = int(count)
        chosen = [*families][:limit]
        runs = self.runs(chosen)
        return [PendingSpawn(key, dict(families[key]), runs.get(key)) for key in chosen]

    def reads_all_live(self) -> bool:
        """Whether :meth:`pending` reads all live jobs, as there are few enough."""
        return int(self._database.column("live_most", n=LIVE)[0]) < LIVE

    def runs(self, parent_ids: Sequence[bytes]) -> Mapping[bytes, SpawnRun]:
        """The last successful run of each of these spawners, by its job's id."""
        if not parent_ids:
            return {}
        rows = self._database.rows("spawn_rows", ids=list(parent_ids))
        return {run.parent_id: run for run in map(self._run, rows) if run.error is None}

    def lineage(
        self, job_id: bytes, *, ancestors: bool = True, descendants: bool = True, depth: int = 10,
        limit: int = 100,
    ) -> Lineage:  # fmt: skip
        """A job's ancestors and descendants.

        Args:
            depth: most generations above, and below.
            limit: ids to list of each generation; all its jobs are counted.

        Raises:
            JobNotFound: no job has this id.
        """
        row = self._database.first("parent_of", id=job_id)
        if row is None:
            raise JobNotFound(f"no job has the id {uuid.UUID(bytes=job_id)} in this database")
        above: list[bytes] = []
        while ancestors and row and row[0] is not None and len(above) < depth:
            above.append(row[0])
            row = self._database.first("parent_of", id=row[0])
        is_cut = ancestors and bool(row and row[0] is not None)
        below, is_more = self._below(job_id, depth, limit) if descendants else ([], False)
        return Lineage(above, below, is_cut or is_more)

    def _below(self, job_id: bytes, depth: int, limit: int) -> tuple[list[Generation], bool]:
        generations: list[Generation] = []
        parents, is_cut = [job_id], False
        while parents:
            ids = self._ids("generation_ids", parents, limit if len(generations) < depth else 1)
            if not ids:
                return generations, is_cut
            if len(generations) == depth:
                return generations, True
            generations.append(Generation(len(generations) + 1, ids, self._tasks(parents)))
            # Only those with children are followed: the next generation is their children.
            parents = self._ids("generation_parents", parents, _PARENTS + 1)
            is_cut = is_cut or len(parents) > _PARENTS
            parents = parents[:_PARENTS]
        return generations, is_cut

    def _ids(self, name: str, parents: list[bytes], limit: int) -> list[bytes]:
        return self._database.column(name, ids=parents, n=limit)

    def _tasks(self, parents: list[bytes]) -> Mapping[str, Mapping[str, int]]:
        tasks: dict[str, dict[str, int]] = {}
        rows = self._database.rows("generation_states", ids=parents)
        for task, state, count in sorted(rows):
            tasks.setdefault(task, {})[state] = int(count)
        return tasks

    def _run(self, row: tuple[Any, ...]) -> SpawnRun:
        values = [*row]  # the columns in the order of the fields
        values[4:6] = map(self._database.dialect.instant, row[4:6])
        values[8] = json.loads(row[8] or "{}")
        return SpawnRun(*values)


def _filter(since: timedelta | None, queue: str | None) -> dict[str, Any]:
    seconds = min(_EVER if since is None else since, _EVER).total_seconds()
    return {"since": -seconds, "queue": None if queue is None else name_id(queue)}


def _spans(begin: int, end: int, now: int) -> Iterator[tuple[int, int, int]]:
    """(span, low, high) of the statistics that have the time up to ``end``."""
    if now - begin > _DAY:  # those of hours are there up to the last whole one
        middle = end // _HOUR * _HOUR
        yield _HOUR, begin // _HOUR * _HOUR, middle
        begin = max(begin, middle)
    if begin < end:
        yield _MINUTE, begin // _MINUTE * _MINUTE, end


def _add(totals: dict[tuple[str, str | None], SpawnStats], rows: Iterable[Row]) -> None:
    """Add rows of handler, queue, runs, failures, requested, children, most, seconds, longest."""
    for handler, queue, *counts, most, seconds, longest in rows:
        runs, failures, asked, children = map(int, counts)
        old = totals.get((handler, queue), SpawnStats(handler, queue, 0, 0, 0, 0, 0, 0.0, 0.0))
        both = old.operations + runs
        spent = old.mean_seconds * old.operations + max(0.0, float(seconds))
        totals[handler, queue] = SpawnStats(
            handler, queue, both, old.failures + failures, old.requested + asked,
            old.children + children, max(old.most_children, int(most)), spent / both,
            max(old.longest_seconds, float(longest)),
        )  # fmt: skip
