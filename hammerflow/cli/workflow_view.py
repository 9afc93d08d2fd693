"""What is shown of workflows: rows and facts for people, and JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, NamedTuple

from hammerflow.cli.output import TableView
from hammerflow.durations import age
from hammerflow.results.workflow import WorkflowStats
from hammerflow.stores.workflows import WorkflowMember, WorkflowRow
from hammerflow.text import counts_text, one_line

__all__ = [
    "MEMBER_HEADS", "WORKFLOWS", "WorkflowMembers", "first_members", "progress_text",
    "stats_json", "workflow_facts", "workflow_json",
]  # fmt: skip

MEMBER_HEADS = ("name", "id", "task", "state", "note")
_MEMBER_FIELDS = ("id", "name", "task", "state", "reason", "position")
#: States whose members are named first.
_WRONG = ("failed", "cancelled", "parked", "missing")
_NOTES: Mapping[str | None, str] = {"missing": "its rows were deleted by hand"}
_OPTIONS = ("description", "trace_id", "correlation_id", "metadata")


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


def workflow_json(row: WorkflowRow) -> dict[str, Any]:
    """A workflow's fields."""
    fields = asdict(row)
    options = fields.pop("options")
    return {
        **fields,
        "status": fields.pop("state").status,
        "failure_policy": fields.pop("policy"),
        "health_check_interval": fields.pop("check_every"),
        **{name: options.get(name) for name in _OPTIONS},
    }


WORKFLOWS = TableView(("id", "status", "kind", "name", "age", "note"), _workflow_row, workflow_json)


def progress_text(stats: WorkflowStats) -> str:
    """``5 of 7 ended (71%): 4 completed, 1 failed, 2 pending``."""
    ended = stats.total - stats.pending - stats.running
    counts = {name: n for name, n in asdict(stats).items() if n and name != "total"}
    text = f": {counts_text(counts)}" if counts else ""
    return f"{ended} of {stats.total} ended ({stats.completion_percentage:.0f}%){text}"


def stats_json(stats: WorkflowStats) -> dict[str, Any]:
    """Counts and percentage."""
    return asdict(stats) | {"completion_percentage": round(stats.completion_percentage, 2)}


class WorkflowMembers(NamedTuple):
    """Some members of a workflow, in the order of their ids, and the states of all others."""

    named: Sequence[WorkflowMember]
    rest: Mapping[str, int]

    def rows(self, errors: Mapping[bytes, str]) -> list[Sequence[Any]]:
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
            for m in self.named
        ]
        if more := sum(self.rest.values()):
            rows.append(("", f"... {more} more", "", "", counts_text(self.rest)))
        return rows

    def as_json(self) -> dict[str, Any]:
        """The same as JSON."""
        nodes = [{name: getattr(m, name) for name in _MEMBER_FIELDS} for m in self.named]
        return {"nodes": nodes, "more": self.rest}


def first_members(members: Iterable[WorkflowMember], limit: int) -> WorkflowMembers:
    """Name ``limit`` members, those that went wrong before all others, and count the rest.

    ``members`` is read once, page by page, so that a workflow of a million jobs fits.
    """
    wrong: list[WorkflowMember] = []
    others: list[WorkflowMember] = []
    states: Counter[str] = Counter()
    for member in members:
        states[member.state or "workflow"] += 1
        chosen = wrong if member.state in _WRONG else others
        if len(chosen) < limit:
            chosen.append(member)
    named = [*wrong, *others][:limit]
    states.subtract(member.state or "workflow" for member in named)
    return WorkflowMembers(sorted(named, key=lambda member: member.id), dict(+states))
