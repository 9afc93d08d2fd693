"""What is shown of workflows: rows and facts for people, and JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from hammerflow.admin.workflows import WorkflowMembers, workflow_json
from hammerflow.cli.output import TableView
from hammerflow.durations import age
from hammerflow.results.workflow import WorkflowStats
from hammerflow.stores.workflows import WorkflowRow
from hammerflow.text import counts_text, one_line

__all__ = ["MEMBER_HEADS", "WORKFLOWS", "member_rows", "progress_text", "workflow_facts"]

MEMBER_HEADS = ("name", "id", "task", "state", "note")
_NOTES: Mapping[str | None, str] = {"missing": "its rows were deleted by hand"}


def _workflow_row(row: WorkflowRow) -> Sequence[Any]:
    note = one_line(
        f"{row.failures} failed" if row.failures else "",
        "inside another" if row.parent_id is not None else "",
        row.reason,
    )
    return (row.id, row.state.status, row.kind, row.name, age(row.created_at), note)


def workflow_facts(row: WorkflowRow, stats: WorkflowStats) -> dict[str, Any]:
    """Everything about one workflow but its jobs."""
    options = row.options
    return {
        "id": row.id,
        "status": row.state.status,
        "reason": row.reason,
        "kind": row.kind,
        "name": row.name,
        "description": options.get("description"),
        "jobs": progress_text(stats),
        "on failure": row.policy,
        "created": row.created_at,
        "ended": row.ended_at,
        "deadline": row.deadline_at,
        "inside": row.parent_id,
        "trace": options.get("trace_id"),
        "correlation": options.get("correlation_id"),
        "metadata": options.get("metadata"),
        "checked every": None if row.check_every is None else f"{row.check_every:g} s",
        "last check": row.health,
    }


WORKFLOWS = TableView(("id", "status", "kind", "name", "age", "note"), _workflow_row, workflow_json)


def progress_text(stats: WorkflowStats) -> str:
    """``5 of 7 ended (71%): 4 completed, 1 failed, 2 pending``."""
    ended = stats.total - stats.pending - stats.running
    counts = {name: n for name, n in asdict(stats).items() if n and name != "total"}
    text = f": {counts_text(counts)}" if counts else ""
    return f"{ended} of {stats.total} ended ({stats.completion_percentage:.0f}%){text}"


def member_rows(members: WorkflowMembers, errors: Mapping[bytes, str]) -> list[Sequence[Any]]:
    """(name, id, task, state, note) of each, and a line for the others.

    Args:
        errors: the notes of failed jobs.
    """
    rows: list[Sequence[Any]] = [
        (
            m.name,
            m.id,
            m.task or ("(deleted)" if m.state == "missing" else "(a workflow)"),
            m.state,
            one_line(m.reason or errors.get(m.id) or _NOTES.get(m.state)),
        )
        for m in members.named
    ]
    if more := sum(members.rest.values()):
        rows.append(
            (
                "",
                f"... {more}{'+' if members.is_cut else ''} more",
                "",
                "",
                counts_text(members.rest),
            )
        )
    return rows
