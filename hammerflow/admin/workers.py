"""What is known of workers and their children, as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

__all__ = ["Worker", "children_of", "size_of", "worker_json"]

#: A worker as :meth:`Workers.list` gives it.
Worker = Mapping[str, Any]


def worker_json(worker: Worker) -> dict[str, Any]:
    """A worker for programs; its children as of its last heartbeat, with when each job began."""
    info, state = worker["info"], worker["state"]
    return {
        "id": worker["id"], "host": worker["host"], "pid": worker["pid"],
        "started_at": worker["started_at"], "beat_at": worker["beat_at"],
        "silent_for": worker["silent_for"], "app": info.get("app"), "version": info.get("version"),
        "queues": None if info.get("is_open", True) else info.get("queues"),
        "task_count": info.get("tasks"), "draining": state.get("draining"),
        "waiting": state.get("waiting"), **size_of(info),
        "children": [*map(_child_json(worker), children_of(worker))],
    }  # fmt: skip


def _child_json(worker: Worker) -> Any:
    def as_json(child: Mapping[str, Any]) -> dict[str, Any]:
        beat_at = worker["beat_at"]
        jobs = [
            {**job, "started_at": beat_at and beat_at - timedelta(seconds=job["seconds"])}
            for job in child["jobs"]
        ]
        return {**child, "jobs": jobs}

    return as_json


def children_of(worker: Worker) -> Sequence[Mapping[str, Any]]:
    """Its children as of its last heartbeat."""
    return worker["state"].get("children") or ()


def size_of(info: Mapping[str, Any]) -> dict[str, Any]:
    """How many children of a kind a worker should have, and its range."""
    least, _, most = str(info.get("child_range") or "").partition(":")
    limits = (int(least), int(most or least)) if least else (None, None)
    return {"size": info.get("children"), "least": limits[0], "most": limits[1]}
