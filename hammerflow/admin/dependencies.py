"""What is shown of a job's dependencies: rows and facts for people, and JSON."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from hammerflow.admin.jobs import jobs_by_id
from hammerflow.errors import JobNotFound
from hammerflow.stores.dependencies import Neighbours, Place
from hammerflow.stores.store import Store
from hammerflow.text import counts_text

__all__ = ["JobDependencies", "dependencies_of"]


class DependencySide(NamedTuple):
    """The jobs and workflows that a job waits for, or those that wait for it."""

    jobs: Sequence[tuple[bytes, str, str]]  # (id, name, state) of the first
    states: Mapping[str, int]  # state to count, over all

    def cells(self) -> list[tuple[str, str, str]]:
        """(id, name, state) of each, and a line for those that are not listed."""
        cells = [(str(uuid.UUID(bytes=id_)), name, state) for id_, name, state in self.jobs]
        if more := sum(self.states.values()) - len(cells):
            cells.append((f"... {more} more", f"all: {counts_text(self.states)}", ""))
        return cells

    def as_json(self) -> dict[str, Any]:
        """Count, states, and the jobs that are listed."""
        jobs = [dict(zip(("id", "name", "state"), job, strict=True)) for job in self.jobs]
        return {"count": sum(self.states.values()), "states": self.states, "jobs": jobs}


class JobDependencies(NamedTuple):
    """A job's place in its workflow, and its neighbours on both sides."""

    place: Place
    before: DependencySide
    after: DependencySide

    def rows(self) -> list[Sequence[Any]]:
        """(relation, id, name, state) of each neighbour."""
        sides = (("waits for", self.before), ("then", self.after))
        return [(relation, *cells) for relation, side in sides for cells in side.cells()]

    def facts(self) -> dict[str, Any]:
        """The same as facts about the job."""
        pending, total = self.place.pending, self.place.total
        lines = {"waits for": "", "then": ""}
        for relation, *cells in self.rows():
            lines[relation] += "  ".join(cells).rstrip() + "\n"
        return {
            "workflow": self.place.workflow_id,
            "node": self.place.node,
            "waiting": None if pending is None else f"{pending} of {total} to end",
            **lines,
        }

    def as_json(self) -> dict[str, Any]:
        """The same as JSON."""
        return {
            "workflow_id": self.place.workflow_id,
            "node": self.place.node,
            "pending": self.place.pending,
            "total": self.place.total,
            "depends_on": self.before.as_json(),
            "dependents": self.after.as_json(),
        }


def dependencies_of(store: Store, key: bytes, limit: int) -> JobDependencies:
    """Read what a job waits for and what waits for it; name ``limit`` on each side, count all."""
    place = store.dependencies.of(key, limit=limit)
    if place is None:
        raise JobNotFound(f"job {uuid.UUID(bytes=key)} was deleted just now")
    ids = [*place.before.ids, *place.after.ids]
    found = {id_: (job.task, str(job.state)) for id_, job in jobs_by_id(store, ids).items()}
    for row in store.workflows.rows([id_ for id_ in ids if id_ not in found]):
        found[row.id] = (f"{row.kind} {row.name}", row.state.status)

    def side(neighbours: Neighbours) -> DependencySide:
        jobs = [(id_, *found.get(id_, ("", "gone"))) for id_ in neighbours.ids]
        return DependencySide(jobs, neighbours.states)

    return JobDependencies(place, side(place.before), side(place.after))
