"""What is shown of a job's dependencies: for people, and as JSON."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hammerflow.cli.job_view import jobs_by_id
from hammerflow.cli.spawn_view import states_words
from hammerflow.errors import JobNotFound
from hammerflow.jobs.job import Job
from hammerflow.stores.dependencies import Neighbours, Place
from hammerflow.stores.store import Store
from hammerflow.stores.workflows import WorkflowRow

__all__ = ["Around", "around", "around_json", "around_rows", "around_words"]


@dataclass(frozen=True, slots=True)
class Around:
    """A job's place, and the jobs and workflows that are named in it."""

    place: Place
    jobs: Mapping[bytes, Job]
    workflows: Mapping[bytes, WorkflowRow]


def around(store: Store, key: bytes, limit: int) -> Around:
    """Read what a job waits for and what waits for it.

    Raises:
        JobNotFound: there is no such job.
    """
    place = store.dependencies.of(key, limit=limit)
    if place is None:
        raise JobNotFound(
            f"no job has the id {uuid.UUID(bytes=key)} in this database: see hammerflow job list"
        )
    ids = [*place.before.ids, *place.after.ids]
    jobs = jobs_by_id(store, ids)
    rest = [id_ for id_ in ids if id_ not in jobs]
    return Around(place, jobs, {row.id: row for row in store.workflows.rows(rest)})


def around_rows(found: Around) -> list[Sequence[Any]]:
    """(side, id, name, state) of each neighbour, and a line for those that are not named."""
    rows: list[Sequence[Any]] = []
    for side, neighbours in (("waits for", found.place.before), ("then", found.place.after)):
        rows += [(side, *_neighbour(found, id_)) for id_ in neighbours.ids]
        more = sum(neighbours.states.values()) - len(neighbours.ids)
        if more > 0:
            rows.append((side, f"... {more} more", f"all: {states_words(neighbours.states)}", ""))
    return rows


def around_words(found: Around) -> dict[str, Any]:
    """As facts about the job."""
    place = found.place
    return {
        "workflow": None if place.workflow_id is None else uuid.UUID(bytes=place.workflow_id),
        "node": place.node,
        "waiting": None if place.pending is None else f"{place.pending} of {place.total} to end",
        "waits for": _lines(found, place.before),
        "then": _lines(found, place.after),
    }


def around_json(found: Around) -> dict[str, Any]:
    """The same as JSON."""
    place = found.place
    return {
        "workflow_id": None if place.workflow_id is None else uuid.UUID(bytes=place.workflow_id),
        "node": place.node,
        "pending": place.pending,
        "total": place.total,
        "depends_on": _side_json(found, place.before),
        "dependents": _side_json(found, place.after),
    }


def _lines(found: Around, neighbours: Neighbours) -> str:
    lines = ["  ".join(str(part) for part in _neighbour(found, id_)) for id_ in neighbours.ids]
    more = sum(neighbours.states.values()) - len(neighbours.ids)
    if more > 0:
        lines.append(f"... {more} more; all: {states_words(neighbours.states)}")
    return "\n".join(lines)


def _side_json(found: Around, neighbours: Neighbours) -> dict[str, Any]:
    named = (_neighbour(found, id_) for id_ in neighbours.ids)
    return {
        "count": sum(neighbours.states.values()),
        "states": neighbours.states,
        "jobs": [{"id": id_, "name": name, "state": state} for id_, name, state in named],
    }


def _neighbour(found: Around, id_: bytes) -> tuple[uuid.UUID, str, str]:
    key = uuid.UUID(bytes=id_)
    if id_ in found.jobs:
        return key, found.jobs[id_].task, found.jobs[id_].state
    if id_ in found.workflows:
        row = found.workflows[id_]
        return key, f"{row.kind} {row.name}", row.state.status
    return key, "", "gone"
