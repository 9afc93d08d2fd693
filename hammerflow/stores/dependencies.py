"""Dependencies: which jobs one job waits for, and which wait for it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from hammerflow.stores.database import Database

__all__ = ["Dependencies", "Neighbours", "Place", "Unfinished"]

#: Counted as the state of a neighbour that is not a job.
WORKFLOW = "workflow"


class Neighbours(NamedTuple):
    """Jobs and workflows on one side of a job: its dependencies, or its dependents."""

    ids: Sequence[bytes]  # the first of them
    states: Mapping[str, int]  # state to number, over all; ``workflow`` to number of workflows


class Place(NamedTuple):
    """A job's place in its workflow and between its neighbours."""

    workflow_id: bytes | None
    node: str | None  # its name in its workflow
    pending: int | None  # dependencies that have not ended; None where the job does not wait
    total: int | None  # all its dependencies; None where the job does not wait
    before: Neighbours  # its dependencies
    after: Neighbours  # its dependents


class Unfinished(NamedTuple):
    """What a waiting job waits for."""

    pending: int  # dependencies that have not ended
    total: int
    ids: Sequence[bytes]  # some of them, jobs and workflows


class Dependencies:
    """Reads the edges, and the counters of jobs that wait for a whole group."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def of(self, job_id: bytes, *, limit: int = 100) -> Place | None:
        """The neighbours of a job, ``limit`` ids of each side; None for an unknown id."""
        row = self._database.first("dependency_place", id=job_id)
        if row is None:
            return None
        parent_id, workflow_id, dependent_id, pending, total, node = row
        around = {"id": job_id, "workflow_id": workflow_id, "parent": parent_id}
        before = self._neighbours("dependencies", limit, around)
        after = self._neighbours("dependents", limit, {"id": job_id})
        if dependent_id is not None and dependent_id not in (workflow_id, *after.ids):
            after = self._with_dependent(after, dependent_id, limit)
        return Place(workflow_id, node, pending, total, before, after)

    def unfinished(self, job_id: bytes, *, limit: int, read: int) -> Unfinished | None:
        """What a job waits for; None if it does not wait.

        Args:
            limit: the most ids.
            read: dependencies of each kind that are searched for them: there may be a million.
        """
        row = self._database.first("dependency_place", id=job_id)
        if row is None or row[3] is None:
            return None
        parent_id, workflow_id, _, pending, total, _ = row
        around = {"id": job_id, "workflow_id": workflow_id, "parent": parent_id}
        ids = self._database.column("dependencies_unfinished", **around, n=read, most=limit)
        return Unfinished(pending, total, list(dict.fromkeys(ids)))

    def traces(
        self, job_id: bytes, *, workflow_id: bytes | None, parent_id: bytes | None, limit: int
    ) -> Sequence[str]:
        """What the rows of the first ``limit`` jobs that it depends on carry of their traces."""
        around = {"id": job_id, "workflow_id": workflow_id, "parent": parent_id}
        ids = self._database.column("dependencies_page", **around, n=limit)
        return [*self.traces_of(ids).values()]

    def traces_of(self, job_ids: Sequence[bytes]) -> dict[bytes, str]:
        """What the rows of jobs carry of their traces; without those that carry nothing."""
        return dict(self._database.rows("job_traces", ids=list(job_ids))) if job_ids else {}

    def _neighbours(self, side: str, limit: int, values: Mapping[str, Any]) -> Neighbours:
        ids = self._database.column(f"{side}_page", **values, n=limit)
        states: Counter[str] = Counter()
        if ids:
            for state, count in self._database.rows(f"{side}_states", **values):
                states[state or WORKFLOW] += int(count)
        return Neighbours(ids, dict(states))

    def _with_dependent(self, after: Neighbours, dependent_id: bytes, limit: int) -> Neighbours:
        """Add the dependent that the job's own row names instead of an edge."""
        row = self._database.first("job_rows", ids=[dependent_id])
        states = Counter(after.states)
        states[row[3] if row else WORKFLOW] += 1
        return Neighbours([*after.ids, dependent_id][:limit], dict(states))
