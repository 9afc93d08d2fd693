"""What is known of workflows and their members, as JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, NamedTuple

from hammerflow.admin.page import Page
from hammerflow.results.workflow import WorkflowStats
from hammerflow.stores.store import Store
from hammerflow.stores.workflow_pages import WorkflowFilter
from hammerflow.stores.workflows import WorkflowMember, WorkflowRow

__all__ = ["WorkflowMembers", "first_members", "stats_json", "workflow_json", "workflow_page"]

_MEMBER_FIELDS = ("id", "name", "task", "state", "reason", "position")
#: States whose members are named first.
_WRONG = ("failed", "cancelled", "parked", "missing")
_OPTIONS = ("description", "trace_id", "correlation_id", "metadata")


#: Workflows that a page without enough matching ones looks through.
_PAGES = 4


def workflow_page(
    store: Store, wanted: WorkflowFilter, limit: int, before: bytes | None
) -> Page[WorkflowRow]:
    """Matching workflows among the next 200 000."""
    found: list[WorkflowRow] = []
    for _ in range(_PAGES):
        page, before = store.workflows.page(wanted, limit=limit - len(found), before=before)
        found += page
        if before is None or len(found) >= limit:
            return Page(found, before)
    return Page(found, before, is_tired=True)


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


def stats_json(stats: WorkflowStats) -> dict[str, Any]:
    """Counts and percentage."""
    return asdict(stats) | {"completion_percentage": round(stats.completion_percentage, 2)}


class WorkflowMembers(NamedTuple):
    """Some members of a workflow, in the order of their ids, and the states of all others."""

    named: Sequence[WorkflowMember]
    rest: Mapping[str, int]

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
