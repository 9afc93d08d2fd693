"""What is shown of workflows: rows and facts for people, and as JSON."""

from __future__ import annotations

import json
import uuid
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, NamedTuple

from hammerflow.cli.output import age, when
from hammerflow.cli.spawn_view import one_line, states_words
from hammerflow.results.workflow import WorkflowStats
from hammerflow.stores.workflows import WorkflowMember, WorkflowRow

__all__ = [
    "HEADS", "Nodes", "member_rows", "members_json", "nodes_of", "progress_words", "stats_json",
    "workflow_facts", "workflow_json", "workflow_row",
]  # fmt: skip

HEADS = ("id", "state", "kind", "name", "age", "note")


class Nodes(NamedTuple):
    """Members of a workflow: the first ones, those that went wrong before all others, and the
    states of the rest."""

    named: Sequence[WorkflowMember]
    rest: Mapping[str, int]


def nodes_of(members: Iterable[WorkflowMember], limit: int) -> Nodes:
    """So many members to name; the iterable is read once, page by page."""
    bad: list[WorkflowMember] = []
    plain: list[WorkflowMember] = []
    states: Counter[str] = Counter()
    for member in members:
        states[member.state or "workflow"] += 1
        chosen = bad if member.state in ("failed", "cancelled", "parked") else plain
        if len(chosen) < limit:
            chosen.append(member)
    named = [*bad, *plain][:limit]
    named.sort(key=lambda member: member.id)
    for member in named:
        states[member.state or "workflow"] -= 1
    return Nodes(named, {state: count for state, count in states.items() if count})


def workflow_row(row: WorkflowRow) -> Sequence[Any]:
    """One line of the list."""
    notes = [
        f"{row.failures} failed" if row.failures else "",
        "inside another" if row.parent_id is not None else "",
        row.reason or "",
    ]
    return (
        uuid.UUID(bytes=row.id), row.state.status, row.kind, row.name, age(row.created_at),
        one_line(", ".join(filter(None, notes))),
    )  # fmt: skip


def workflow_facts(row: WorkflowRow, stats: WorkflowStats) -> dict[str, Any]:
    """One fact a line."""
    options = row.options
    return {
        "id": uuid.UUID(bytes=row.id),
        "state": row.state.status,
        "reason": row.reason,
        "kind": row.kind,
        "name": row.name,
        "description": options.get("description"),
        "jobs": progress_words(stats),
        "on failure": row.policy,
        "created": when(row.created_at),
        "ended": when(row.ended_at),
        "deadline": when(row.deadline_at),
        "inside": None if row.parent_id is None else uuid.UUID(bytes=row.parent_id),
        "trace": options.get("trace_id"),
        "correlation": options.get("correlation_id"),
        "metadata": json.dumps(options["metadata"]) if options.get("metadata") else None,
        "checked every": None if row.check_every is None else f"{row.check_every:g} s",
        "last check": json.dumps(dict(row.health)) if row.health else None,
    }


def progress_words(stats: WorkflowStats) -> str:
    """``5 of 7 ended (71%): 4 completed, 1 failed, 2 pending``."""
    ended = stats.total - stats.pending - stats.running
    counts = {name: n for name, n in asdict(stats).items() if n and name != "total"}
    words = f": {states_words(counts)}" if counts else ""
    return f"{ended} of {stats.total} ended ({stats.completion_percentage:.0f}%){words}"


def member_rows(nodes: Nodes) -> list[Sequence[Any]]:
    """(name, id, task, state, note) of each, and a line for the rest."""
    rows: list[Sequence[Any]] = [
        (
            member.name, uuid.UUID(bytes=member.id), member.task or "(a workflow)", member.state,
            one_line(member.reason or ""),
        )
        for member in nodes.named
    ]  # fmt: skip
    if nodes.rest:
        count = sum(nodes.rest.values())
        rows.append(("", f"... {count} more", "", "", states_words(nodes.rest)))
    return rows


def workflow_json(row: WorkflowRow) -> dict[str, Any]:
    """A workflow's fields."""
    fields: dict[str, Any] = {
        "id": uuid.UUID(bytes=row.id),
        "status": row.state.status,
        "kind": row.kind,
        "name": row.name,
        "failure_policy": row.policy,
        "failures": row.failures,
        "reason": row.reason,
        "parent_id": None if row.parent_id is None else uuid.UUID(bytes=row.parent_id),
        "created_at": row.created_at,
        "ended_at": row.ended_at,
        "deadline_at": row.deadline_at,
        "health_check_interval": row.check_every,
        "health": row.health,
    }
    names = ("description", "trace_id", "correlation_id", "metadata")
    return fields | {name: row.options.get(name) for name in names}


def stats_json(stats: WorkflowStats) -> dict[str, Any]:
    """Counts and percentage."""
    return asdict(stats) | {"completion_percentage": round(stats.completion_percentage, 2)}


def members_json(nodes: Nodes) -> dict[str, Any]:
    """The named members, and the states of the rest."""
    return {
        "nodes": [
            {
                "id": uuid.UUID(bytes=member.id),
                "name": member.name,
                "task": member.task,
                "state": member.state,
                "reason": member.reason,
                "position": member.position,
            }
            for member in nodes.named
        ],
        "more": nodes.rest,
    }
