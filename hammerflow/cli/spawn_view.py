"""What is shown of spawn operations, their totals and lineages: rows, facts and JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from hammerflow.cli.job_view import job_json
from hammerflow.cli.output import TableView, age, counts_text, one_line
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
    "LINEAGE_HEADS", "OPERATIONS", "PENDING", "lineage_json", "lineage_rows",
    "operation_facts", "operation_json", "operation_row", "pending_json", "pending_row",
    "stats_facts", "stats_json", "stats_table",
]  # fmt: skip

LINEAGE_HEADS = ("generation", "id", "task", "state", "note")
_DETAILED_HEADS = (
    "handler", "queue", "operations", "failures", "requested", "children", "most", "mean s",
    "longest s",
)  # fmt: skip


# -- operations


def operation_row(run: SpawnRun) -> Sequence[Any]:
    """One line of the list."""
    note = one_line(run.error or run.operation_id)
    return (
        run.parent_id, _state(run), run.handler, run.queue, run.spawned, age(run.ended_at), note,
    )  # fmt: skip


def operation_facts(run: SpawnRun) -> dict[str, Any]:
    """Everything about one operation."""
    return {
        "id": run.parent_id,
        "state": _state(run),
        "task": run.task,
        "handler": run.handler if run.handler != run.task else None,
        "queue": run.queue,
        "run": run.lease,
        "children": run.spawned,
        "requested": run.requested,
        "started": run.started_at,
        "ended": run.ended_at,
        "took": f"{_seconds(run):.3f} s",
        "operation": run.operation_id,
        "metadata": run.metadata,
        "error": run.error,
    }


def operation_json(run: SpawnRun) -> dict[str, Any]:
    """One operation as JSON."""
    return asdict(run) | {"seconds": round(_seconds(run), 6)}


OPERATIONS = TableView(
    ("id", "state", "handler", "queue", "children", "age", "note"), operation_row, operation_json
)


def _state(run: SpawnRun) -> str:
    return "completed" if run.error is None else "failed"


def _seconds(run: SpawnRun) -> float:
    if run.started_at is None or run.ended_at is None:
        return 0.0
    return max(0.0, (run.ended_at - run.started_at).total_seconds())


# -- stats


def stats_facts(found: Sequence[SpawnStats], hours: float) -> dict[str, Any]:
    """The totals of the last ``hours``."""
    totals = _totals(found, hours)
    return {
        "hours": f"{hours:g}",
        "operations": totals["operations"],
        "children": totals["children"],
        "failures": totals["failures"],
        "succeeded": f"{totals['success_rate']:.1%}",
        "rate": f"{totals['operations_per_hour']:.1f} operations and "
        f"{totals['children_per_hour']:.1f} children per hour",
        "counted": f"only the newest {COUNTED:,} operations" if totals["is_cut"] else None,
    }


def stats_table(
    found: Sequence[SpawnStats], *, detailed: bool
) -> tuple[Sequence[str], list[Sequence[Any]]]:
    """Headings and rows, by handler; if detailed, by handler and queue."""
    if detailed:
        return _DETAILED_HEADS, [
            (*list(asdict(one).values())[:-2], f"{one.mean_seconds:.3f}",
             f"{one.longest_seconds:.3f}") for one in found
        ]  # fmt: skip
    heads = ("operations", "children", "failures")
    sums: dict[str, Counter[str]] = {}
    for one in found:
        sums.setdefault(one.handler, Counter()).update({head: getattr(one, head) for head in heads})
    return ("handler", *heads), [
        (handler, *(counts[head] for head in heads)) for handler, counts in sums.items()
    ]


def stats_json(found: Sequence[SpawnStats], hours: float) -> dict[str, Any]:
    """The totals, and the counts of each handler in each queue."""
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
    """Ancestors from the root down (as negative generations), the job itself, its descendants."""

    def row(depth: int, id_: bytes) -> Sequence[Any]:
        if (job := jobs.get(id_)) is None:
            return (depth, id_, "", "gone", "")
        return (depth, id_, job.task, job.state, one_line(job.reason))

    rows = [row(-depth, id_) for depth, id_ in enumerate(found.ancestors, start=1)][::-1]
    rows.append(row(0, key))
    for generation in found.generations:
        rows += [row(generation.depth, id_) for id_ in generation.ids]
        for task, states in _rest(generation, jobs):
            more = f"... {sum(states.values())} more"
            rows.append((generation.depth, more, task, "", counts_text(states)))
    return rows


def lineage_json(key: bytes, found: Lineage, jobs: Mapping[bytes, Job]) -> dict[str, Any]:
    """The named jobs and the counts of all."""

    def known(id_: bytes) -> dict[str, Any]:
        return job_json(jobs[id_]) if id_ in jobs else {"id": id_}

    return {
        "job": known(key),
        "ancestors": [known(id_) for id_ in found.ancestors],
        "generations": [
            {
                "depth": generation.depth,
                "count": generation.count,
                "tasks": generation.tasks,
                "jobs": [known(id_) for id_ in generation.ids],
            }
            for generation in found.generations
        ],
        "is_cut": found.is_cut,
    }


def _rest(
    generation: Generation, jobs: Mapping[bytes, Job]
) -> Iterator[tuple[str, Mapping[str, int]]]:
    """The states of the jobs that were counted and not named, by task."""
    if generation.count <= len(generation.ids):
        return
    named: dict[str, Counter[str]] = {}
    for id_ in generation.ids:
        if id_ in jobs:
            named.setdefault(jobs[id_].task, Counter())[jobs[id_].state] += 1
    for task, states in generation.tasks.items():
        rest = Counter(states) - named.get(task, Counter())
        if rest:
            yield task, rest


# -- pending


def pending_row(found: tuple[PendingSpawn, Job | None]) -> Sequence[Any]:
    """One line of the list: a spawner and its unfinished children."""
    pending, parent = found
    task, ended = (parent.task, parent.finished_at) if parent is not None else (None, None)
    spawned = pending.run.spawned if pending.run is not None else None
    return (pending.parent_id, task, age(ended), spawned, counts_text(pending.states))


def pending_json(found: tuple[PendingSpawn, Job | None]) -> dict[str, Any]:
    """The same as JSON."""
    pending, parent = found
    return {
        "parent_id": pending.parent_id,
        "task": None if parent is None else parent.task,
        "states": pending.states,
        "not_ended": sum(pending.states.values()),
        "operation": None if pending.run is None else operation_json(pending.run),
    }


PENDING = TableView(("id", "task", "age", "children", "not ended"), pending_row, pending_json)
