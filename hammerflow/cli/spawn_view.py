"""What is shown of spawn operations, their sums and lineages: rows and facts, and as JSON."""

from __future__ import annotations

import json
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from hammerflow.cli.job_view import job_json
from hammerflow.cli.output import age, when
from hammerflow.jobs.job import Job
from hammerflow.stores.spawns import (
    COUNTED,
    Generation,
    Lineage,
    PendingSpawn,
    SpawnRun,
    SpawnStats,
)

__all__ = [
    "OPERATION_HEADS", "PENDING_HEADS", "lineage_json", "lineage_rows", "operation_facts",
    "operation_row", "pending_json", "pending_row", "run_json", "states_words", "stats_facts",
    "stats_json", "stats_table",
]  # fmt: skip

OPERATION_HEADS = ("ended", "id", "handler", "queue", "children", "state", "note")
PENDING_HEADS = ("id", "task", "ended", "children", "not ended")
_DETAILED = (
    "handler", "queue", "operations", "failures", "asked for", "children", "most", "mean s",
    "longest s",
)  # fmt: skip
_LONGEST = 80


# -- operations


def operation_row(run: SpawnRun) -> Sequence[Any]:
    """One line of the list."""
    note = run.error or run.operation_id or ""
    state = "failed" if run.error is not None else "completed"
    return (
        age(run.ended_at), uuid.UUID(bytes=run.parent_id), run.handler, run.queue, run.spawned,
        state, one_line(note),
    )  # fmt: skip


def operation_facts(run: SpawnRun) -> dict[str, Any]:
    """All of one run."""
    return {
        "id": uuid.UUID(bytes=run.parent_id),
        "state": "failed" if run.error is not None else "completed",
        "task": run.task,
        "handler": run.handler if run.handler != run.task else None,
        "queue": run.queue,
        "run": run.lease,
        "children": run.spawned,
        "asked for": run.requested,
        "started": when(run.started_at),
        "ended": when(run.ended_at),
        "took": f"{seconds_of(run):.3f} s",
        "operation": run.operation_id,
        "metadata": json.dumps(dict(run.metadata)) if run.metadata else None,
        "error": run.error,
    }


def run_json(run: SpawnRun) -> dict[str, Any]:
    """One run as JSON."""
    fields = asdict(run)
    fields["parent_id"] = uuid.UUID(bytes=run.parent_id)
    fields["seconds"] = round(seconds_of(run), 6)
    return fields


def seconds_of(run: SpawnRun) -> float:
    """From its start to its end."""
    if run.started_at is None or run.ended_at is None:
        return 0.0
    return max(0.0, (run.ended_at - run.started_at).total_seconds())


# -- stats


def stats_facts(found: Sequence[SpawnStats], hours: float) -> dict[str, Any]:
    """The sums of a time."""
    totals = _totals(found, hours)
    return {
        "hours": f"{hours:g}",
        "operations": totals["operations"],
        "children": totals["children"],
        "failures": totals["failures"],
        "succeeded": f"{totals['success_rate']:.1%}",
        "rate": f"{totals['operations_per_hour']:.1f} operations, "
        f"{totals['children_per_hour']:.1f} children an hour",
        "counted": f"only the newest {COUNTED} runs" if totals["is_cut"] else None,
    }


def stats_table(
    found: Sequence[SpawnStats], *, detailed: bool
) -> tuple[Sequence[str], list[Sequence[Any]]]:
    """Headings and rows, by handler; where detailed, by queue, too."""
    if detailed:
        return _DETAILED, [
            (
                one.handler, one.queue, one.operations, one.failures, one.requested, one.children,
                one.most_children, f"{one.mean_seconds:.3f}", f"{one.longest_seconds:.3f}",
            )
            for one in found
        ]  # fmt: skip
    sums: dict[str, Counter[str]] = {}
    for one in found:
        sums.setdefault(one.handler, Counter()).update(
            operations=one.operations, children=one.children, failures=one.failures
        )
    heads = ("handler", "operations", "children", "failures")
    return heads, [
        (handler, *(count[head] for head in heads[1:])) for handler, count in sums.items()
    ]


def stats_json(found: Sequence[SpawnStats], hours: float) -> dict[str, Any]:
    """The sums and their parts."""
    return {"hours": hours, **_totals(found, hours), "handlers": [asdict(one) for one in found]}


def _totals(found: Sequence[SpawnStats], hours: float) -> dict[str, Any]:
    operations = sum(one.operations for one in found)
    children = sum(one.children for one in found)
    failures = sum(one.failures for one in found)
    return {
        "operations": operations,
        "children": children,
        "failures": failures,
        "success_rate": (operations - failures) / operations if operations else 1.0,
        "operations_per_hour": operations / hours if hours else 0.0,
        "children_per_hour": children / hours if hours else 0.0,
        "is_cut": operations >= COUNTED,
    }


# -- lineage


def lineage_rows(key: bytes, found: Lineage, jobs: Mapping[bytes, Job]) -> list[Sequence[Any]]:
    """Ancestors from the root down (with negative numbers), the job itself, its descendants."""
    rows: list[Sequence[Any]] = []
    for depth in range(len(found.ancestors), 0, -1):
        ancestor = found.ancestors[depth - 1]
        rows.append(_lineage_row(-depth, ancestor, jobs.get(ancestor)))
    rows.append(_lineage_row(0, key, jobs.get(key)))
    for generation in found.generations:
        rows += [_lineage_row(generation.depth, id_, jobs.get(id_)) for id_ in generation.ids]
        if generation.count > len(generation.ids):
            rows += [
                (
                    generation.depth,
                    f"... {sum(states.values())} more",
                    task,
                    "",
                    states_words(states),
                )
                for task, states in _rest(generation, jobs)
            ]
    return rows


def lineage_json(key: bytes, found: Lineage, jobs: Mapping[bytes, Job]) -> dict[str, Any]:
    """The named jobs and the counts of all."""
    return {
        "job": _known(key, jobs),
        "ancestors": [_known(id_, jobs) for id_ in found.ancestors],
        "generations": [
            {
                "depth": generation.depth,
                "count": generation.count,
                "tasks": generation.tasks,
                "jobs": [_known(id_, jobs) for id_ in generation.ids],
            }
            for generation in found.generations
        ],
        "is_cut": found.is_cut,
    }


def _lineage_row(depth: int, job_id: bytes, job: Job | None) -> Sequence[Any]:
    if job is None:
        return (depth, uuid.UUID(bytes=job_id), "", "gone", "")
    return (depth, job.id, job.task, job.state, one_line(job.reason or ""))


def _rest(
    generation: Generation, jobs: Mapping[bytes, Job]
) -> Iterator[tuple[str, Mapping[str, int]]]:
    """What was counted and not named, by task."""
    named: dict[str, Counter[str]] = {}
    for id_ in generation.ids:
        if id_ in jobs:
            named.setdefault(jobs[id_].task, Counter())[jobs[id_].state] += 1
    for task, states in generation.tasks.items():
        rest = Counter(states) - named.get(task, Counter())
        if rest:
            yield task, dict(rest)


def _known(job_id: bytes, jobs: Mapping[bytes, Job]) -> dict[str, Any]:
    job = jobs.get(job_id)
    return {"id": uuid.UUID(bytes=job_id)} if job is None else job_json(job)


# -- pending


def pending_row(pending: PendingSpawn, parent: Job | None) -> Sequence[Any]:
    """One spawner and what is left of its children."""
    ended = parent.finished_at if parent is not None else None
    spawned = pending.run.spawned if pending.run is not None else None
    task = parent.task if parent is not None else None
    return (
        uuid.UUID(bytes=pending.parent_id), task, age(ended), spawned, states_words(pending.states)
    )  # fmt: skip


def pending_json(pending: PendingSpawn, parent: Job | None) -> dict[str, Any]:
    """The same as JSON."""
    return {
        "parent_id": uuid.UUID(bytes=pending.parent_id),
        "task": None if parent is None else parent.task,
        "states": pending.states,
        "not_ended": sum(pending.states.values()),
        "operation": None if pending.run is None else run_json(pending.run),
    }


# -- words


def states_words(states: Mapping[str, int]) -> str:
    """``5 completed, 1 failed``."""
    return ", ".join(f"{count} {state}" for state, count in sorted(states.items()))


def one_line(text: str) -> str:
    """As much of a text as fits into a table."""
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST - 3]}..."
