"""What is shown of workers and their children: rows and facts for people, and JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hammerflow.admin.workers import Worker, children_of, size_of, worker_json
from hammerflow.cli.output import TableView
from hammerflow.durations import age
from hammerflow.text import counted

__all__ = ["CHILDREN", "WORKERS", "worker_facts"]


#: Seconds without a heartbeat that a list remarks; a worker sends one every 5 s at least.
_QUIET = 15.0


def worker_facts(worker: Worker) -> dict[str, Any]:
    """A worker, the most asked for first."""
    info, state = worker["info"], worker["state"]
    waiting = state.get("waiting")
    return {
        "id": worker["id"],
        "host": worker["host"],
        "pid": worker["pid"],
        "state": "draining" if state.get("draining") else "",
        "app": info.get("app"),
        "version": info.get("version"),
        "started": worker["started_at"],
        "heartbeat": f"{worker['silent_for']:.1f} s ago",
        "queues": _queues_text(info),
        "size": _size_text(info),
        "waiting": f"{counted(waiting, 'claimed job')} for a child" if waiting else "",
    }


def _size_text(info: Mapping[str, Any]) -> str:
    size, least, most = size_of(info).values()
    return "" if size is None else str(size) if least == most else f"{size} of {least}:{most}"


def _queues_text(info: Mapping[str, Any]) -> str:
    return "all" if info.get("is_open", True) else ", ".join(info.get("queues") or ())


def _worker_row(worker: Worker) -> Sequence[Any]:
    children, info = children_of(worker), worker["info"]
    busy = sum(bool(child["running"]) for child in children)
    memory = sum(child["memory"] or 0 for child in children)
    jobs = sum(child["running"] for child in children)
    silent = worker["silent_for"]
    notes = ["draining"] if worker["state"].get("draining") else []
    notes += [f"no heartbeat for {silent:.0f} s"] if silent > _QUIET else []
    return (
        worker["id"], worker["host"], worker["pid"], age(worker["started_at"]),
        f"{worker['silent_for']:.0f}s", _size_text(info), f"{busy} of {len(children)}", jobs,
        f"{memory:,} MiB", info.get("tasks"), _queues_text(info), ", ".join(notes),
    )  # fmt: skip


def _child_row(child: Mapping[str, Any]) -> Sequence[Any]:
    jobs = child["jobs"]
    more = child["running"] - len(jobs)
    texts = [f"{job['id']} {job['task']} {job['seconds']:.1f} s" for job in jobs]
    memory = "" if child["memory"] is None else f"{child['memory']:,} MiB"
    note = ", ".join([*texts, *([f"{more} more"] if more > 0 else [])])
    return child["pid"], child["kind"], memory, child["running"], note


WORKERS: TableView[dict[str, Any]] = TableView(
    (
        "id", "host", "pid", "age", "beat", "size", "busy", "jobs", "memory", "tasks", "queues",
        "note",
    ),
    _worker_row, worker_json,
)  # fmt: skip
CHILDREN: TableView[Mapping[str, Any]] = TableView(
    ("child", "kind", "memory", "jobs", "runs"), _child_row, dict
)
