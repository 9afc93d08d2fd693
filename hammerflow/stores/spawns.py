"""Spawns: recorded spawn operations, what they add up to, and the families they have made."""

from __future__ import annotations

import json
import uuid
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from hammerflow.errors import JobNotFound
from hammerflow.ids import name_id
from hammerflow.stores.database import Database

__all__ = ["COUNTED", "Generation", "Lineage", "PendingSpawn", "SpawnRun", "SpawnStats", "Spawns"]

#: Far enough back for everything, near enough for every database's calendar.
_EVER = timedelta(days=36_500)
#: Runs that are counted, and live jobs of each state that are looked through.
COUNTED = 100_000
#: Spawners of one generation whose children are looked at.
_PARENTS = 1_000


@dataclass(frozen=True, slots=True)
class SpawnRun:
    """One run of a spawner: a row of the table ``spawns``.

    Attributes:
        lease: counts the runs of the job.
        requested: children that it has asked for.
        spawned: children that were inserted; 0 where the run has failed.
        error: why it failed; None where it did not.
        task, queue: of the spawner's job; None where that is gone.
    """

    parent_id: bytes
    lease: int
    requested: int
    spawned: int
    started_at: datetime | None
    ended_at: datetime | None
    handler: str
    operation_id: str | None
    metadata: Mapping[str, Any]
    error: str | None
    task: str | None
    queue: str | None


@dataclass(frozen=True, slots=True)
class SpawnStats:
    """Runs of one handler in one queue, added up; lengths of runs in seconds."""

    handler: str
    queue: str | None
    operations: int
    failures: int
    requested: int
    children: int
    most_children: int
    mean_seconds: float
    longest_seconds: float


@dataclass(frozen=True, slots=True)
class PendingSpawn:
    """A spawner that has ended, and those of its children that have not, by state.

    Attributes:
        run: the run that has spawned them; None where the row is gone.
    """

    parent_id: bytes
    states: Mapping[str, int]
    run: SpawnRun | None


@dataclass(frozen=True, slots=True)
class Generation:
    """The descendants of a job at one distance.

    Attributes:
        ids: the first of them.
        tasks: task to state to count, over all of them.
    """

    depth: int
    ids: Sequence[bytes]
    tasks: Mapping[str, Mapping[str, int]]

    @property
    def count(self) -> int:
        """How many they are."""
        return sum(n for states in self.tasks.values() for n in states.values())


@dataclass(frozen=True, slots=True)
class Lineage:
    """Where a job comes from and what has come of it.

    Attributes:
        ancestors: ids from its parent upward.
        generations: its descendants, from its children on.
        is_cut: there is more above or below than was asked for, or than is looked at.
    """

    ancestors: Sequence[bytes]
    generations: Sequence[Generation] = field(default_factory=list)
    is_cut: bool = False


class Spawns:
    """What is asked of the table ``spawns`` and of the jobs it tells of."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def operations(
        self, *, since: timedelta | None = None, queue: str | None = None, limit: int = 100
    ) -> Sequence[SpawnRun]:
        """Runs of spawners, newest first, failed ones included.

        Args:
            since: only those that ended no longer ago than this.
            queue: of the spawner's job.
        """
        rows = self._database.rows("spawn_operations", **_filter(since, queue), n=limit)
        return [self._run(row) for row in rows]

    def stats(
        self, *, since: timedelta | None = None, queue: str | None = None
    ) -> Sequence[SpawnStats]:
        """The newest 100 000 runs of a time, by handler and queue."""
        rows = self._database.rows("spawn_stats", **_filter(since, queue), n=COUNTED)
        return [
            SpawnStats(
                handler, place, int(count), int(count) - int(good), int(asked), int(spawned),
                int(most), max(0.0, float(mean)), max(0.0, float(longest)),
            )
            for handler, place, count, good, asked, spawned, most, mean, longest in rows
        ]  # fmt: skip

    def pending(self, *, limit: int = 100) -> Sequence[PendingSpawn]:
        """Spawners with children that have not ended, newest spawner first.

        Looks through the first 100 000 live jobs of each state.
        """
        rows = self._database.rows("spawn_pending", n=COUNTED, parents=5 * limit)
        families: dict[bytes, Counter[str]] = {}
        for parent_id, state, count in rows:
            families.setdefault(parent_id, Counter())[state] = int(count)
        chosen = [*families][:limit]
        runs = self.runs(chosen)
        return [PendingSpawn(key, dict(families[key]), runs.get(key)) for key in chosen]

    def runs(self, parent_ids: Sequence[bytes]) -> Mapping[bytes, SpawnRun]:
        """The last successful run of each of these spawners."""
        if not parent_ids:
            return {}
        rows = self._database.rows("spawn_rows", ids=list(parent_ids))
        return {row[0]: self._run(row) for row in rows if row[9] is None}

    def lineage(
        self,
        job_id: bytes,
        *,
        ancestors: bool = True,
        descendants: bool = True,
        depth: int = 10,
        limit: int = 100,
    ) -> Lineage:
        """A job's ancestors and descendants.

        Args:
            depth: generations above and below.
            limit: descendants that are named in each generation; all are counted.

        Raises:
            JobNotFound: there is no such job.
        """
        parent_id = self._parent(job_id)
        above: list[bytes] = []
        while ancestors and parent_id is not None and len(above) < depth:
            above.append(parent_id)
            parent_id = self._parent(parent_id, must=False)
        is_cut = ancestors and parent_id is not None
        if not descendants:
            return Lineage(above, [], is_cut)
        below, is_more = self._below(job_id, depth, limit)
        return Lineage(above, below, is_cut or is_more)

    # -- inside -----------------------------------------------------------------------------------

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
            parents = self._ids("generation_parents", parents, _PARENTS + 1)
            is_cut = is_cut or len(parents) > _PARENTS
            parents = parents[:_PARENTS]
        return generations, is_cut

    def _ids(self, name: str, parents: list[bytes], limit: int) -> list[bytes]:
        rows = self._database.rows(name, ids=parents, n=limit)
        return [row[0] for row in rows]

    def _tasks(self, parents: list[bytes]) -> Mapping[str, Mapping[str, int]]:
        tasks: dict[str, dict[str, int]] = {}
        rows = self._database.rows("generation_states", ids=parents)
        for task, state, count in sorted(rows):
            tasks.setdefault(task, {})[state] = int(count)
        return tasks

    def _parent(self, job_id: bytes, *, must: bool = True) -> bytes | None:
        rows = self._database.rows("parent_of", id=job_id)
        if rows:
            found: bytes | None = rows[0][0]
            return found
        if must:
            raise JobNotFound(f"no job has the id {uuid.UUID(bytes=job_id)} in this database")
        return None

    def _run(self, row: tuple[Any, ...]) -> SpawnRun:
        (
            parent_id, lease, requested, spawned, began, ended, handler, operation_id, metadata,
            error, task, queue,
        ) = row  # fmt: skip
        instant = self._database.dialect.instant
        return SpawnRun(
            parent_id, lease, requested, spawned, instant(began), instant(ended), handler,
            operation_id, json.loads(metadata) if metadata else {}, error, task, queue,
        )  # fmt: skip


def _filter(since: timedelta | None, queue: str | None) -> dict[str, Any]:
    seconds = min(_EVER if since is None else since, _EVER).total_seconds()
    return {"since": -seconds, "queue": None if queue is None else name_id(queue)}
