"""What is shown of spawn operations, their totals and lineages: rows, facts and JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from hammerflow.admin.spawns import operation_json, pending_json, seconds_of
from hammerflow.cli.output import TableView
from hammerflow.durations import age
from hammerflow.jobs.job import Job
from hammerflow.stores import spawns
from hammerflow.text import counts_text, one_line

__all__ = [
    "LINEAGE_HEADS", "OPERATIONS", "PENDING", "lineage_rows", "operation_facts",
    "stats_facts", "stats_table",
]  # fmt: skip

_COUNTS = ("operations", "children", "failures")
LINEAGE_HEADS = ("generation", "id", "task", "state", "note")
_DETAILED_HEADS = (
    "handler", "queue", "operations", "failures", "requested", "children", "most", "mean s",
    "longest s",
)  # fmt: skip


def _operation_row(run: spawns.SpawnRun) -> Sequence[Any]:
    ended, note = age(run.ended_at), one_line(run.error or run.operation_id)
    return (run.parent_id, _state(run), run.handler, run.queue, run.spawned, ended, note)


def operation_facts(run: spawns.SpawnRun) -> dict[str, Any]:
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
        "took": f"{seconds_of(run):.3f} s",
        "operation": run.operation_id,
        "metadata": run.metadata,
        "error": run.error,
    }


OPERATIONS = TableView(
    ("id", "state", "handler", "queue", "children", "age", "note"), _operation_row, operation_json
)


def _state(run: spawns.SpawnRun) -> str:
    return "completed" if run.error is None else "failed"


def stats_facts(totals: Mapping[str, Any]) -> dict[str, Any]:
    """The totals of :func:`stats_json`."""
    return {
        "hours": f"{totals['hours']:g}",
        **{name: totals[name] for name in _COUNTS},
        "succeeded": f"{totals['success_rate']:.1%}",
        "rate": f"{totals['operations_per_hour']:.1f} operations and "
        f"{totals['children_per_hour']:.1f} children per hour",
        "counted": f"only the newest {spawns.COUNTED:,} operations" if totals["is_cut"] else None,
    }


def stats_table(
    found: Sequence[spawns.SpawnStats], *, detailed: bool
) -> tuple[Sequence[str], list[Sequence[Any]]]:
    """Headings and rows, by handler; if detailed, by handler and queue."""
    if detailed:
        return _DETAILED_HEADS, [
            (*list(asdict(one).values())[:-2], f"{one.mean_seconds:.3f}",
             f"{one.longest_seconds:.3f}") for one in found
        ]  # fmt: skip
    sums: dict[str, Counter[str]] = {}
    for one in found:
        counts = {name: getattr(one, name) for name in _COUNTS}
        sums.setdefault(one.handler, Counter()).update(counts)
    return ("handler", *_COUNTS), [
        (handler, *(counts[name] for name in _COUNTS)) for handler, counts in sums.items()
    ]


def lineage_rows(
    key: bytes, found: spawns.Lineage, jobs: Mapping[bytes, Job], errors: Mapping[bytes, str]
) -> list[Sequence[Any]]:
    """Ancestors from the root down (as negative generations), the job itself, its descendants."""

    def row(depth: int, id_: bytes) -> Sequence[Any]:
        if (job := jobs.get(id_)) is None:
            return (depth, id_, "", "gone", "")
        return (depth, id_, job.task, job.state, one_line(job.reason or errors.get(id_)))

    rows = [row(-depth, id_) for depth, id_ in enumerate(found.ancestors, start=1)][::-1]
    rows.append(row(0, key))
    for generation in found.generations:
        rows += [row(generation.depth, id_) for id_ in generation.ids]
        for task, states in _rest(generation, jobs):
            more = f"... {sum(states.values())} more"
            rows.append((generation.depth, more, task, "", counts_text(states)))
    return rows


def _rest(
    generation: spawns.Generation, jobs: Mapping[bytes, Job]
) -> Iterator[tuple[str, Mapping[str, int]]]:
    """The states of the jobs that were counted and not named, by task."""
    if generation.count <= len(generation.ids):
        return
    named = Counter((jobs[id_].task, str(jobs[id_].state)) for id_ in generation.ids if id_ in jobs)
    for task, states in generation.tasks.items():
        if rest := Counter(states) - Counter({state: named[task, state] for state in states}):
            yield task, rest


def _pending_row(found: tuple[spawns.PendingSpawn, Job | None]) -> Sequence[Any]:
    pending, parent = found
    task, ended = (parent.task, parent.finished_at) if parent is not None else (None, None)
    spawned = pending.run.spawned if pending.run is not None else None
    return (pending.parent_id, task, age(ended), spawned, counts_text(pending.states))


PENDING = TableView(("id", "task", "age", "children", "not ended"), _pending_row, pending_json)
