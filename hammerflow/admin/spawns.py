"""What is known of spawn operations, their totals and lineages, as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from hammerflow.admin.jobs import job_json
from hammerflow.durations import seconds_between
from hammerflow.jobs.job import Job
from hammerflow.stores import spawns

__all__ = ["lineage_json", "operation_json", "pending_json", "seconds_of", "stats_json"]

_COUNTS = ("operations", "children", "failures")


def seconds_of(run: spawns.SpawnRun) -> float:
    """Seconds that one run of a spawner took."""
    return seconds_between(run.started_at, run.ended_at) or 0.0


def operation_json(run: spawns.SpawnRun) -> dict[str, Any]:
    """One operation for programs."""
    return asdict(run) | {"seconds": round(seconds_of(run), 6)}


def stats_json(found: Sequence[spawns.SpawnStats], hours: float, *, is_cut: bool) -> dict[str, Any]:
    """The totals of the last ``hours``, and the counts of each handler in each queue."""
    sums = {name: sum(getattr(one, name) for one in found) for name in _COUNTS}
    operations, children, failures = sums.values()
    return {
        "hours": hours,
        **sums,
        "success_rate": (operations - failures) / operations if operations else 1.0,
        "operations_per_hour": operations / hours if hours else 0.0,
        "children_per_hour": children / hours if hours else 0.0,
        "is_cut": is_cut,
        "handlers": [asdict(one) for one in found],
    }


def lineage_json(key: bytes, found: spawns.Lineage, jobs: Mapping[bytes, Job]) -> dict[str, Any]:
    """The named jobs and the counts of all."""

    def known(id_: bytes) -> dict[str, Any]:
        return job_json(jobs[id_]) if id_ in jobs else {"id": id_}

    return {
        "job": known(key),
        "ancestors": [known(id_) for id_ in found.ancestors],
        "generations": [
            {
                "depth": each.depth,
                "count": each.count,
                "tasks": each.tasks,
                "jobs": [known(id_) for id_ in each.ids],
            }
            for each in found.generations
        ],
        "is_cut": found.is_cut,
    }


def pending_json(found: tuple[spawns.PendingSpawn, Job | None]) -> dict[str, Any]:
    """A spawner with unfinished children for programs."""
    pending, parent = found
    return {
        "parent_id": pending.parent_id,
        "task": None if parent is None else parent.task,
        "states": pending.states,
        "not_ended": sum(pending.states.values()),
        "operation": None if pending.run is None else operation_json(pending.run),
    }
