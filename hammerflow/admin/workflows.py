"""What is known of workflows and their members, as JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, NamedTuple

from hammerflow.admin.page import Page
from hammerflow.results.workflow import WorkflowStats
from hammerflow.stores.store import Store
from hammerflow.stores.workflow_pages import WorkflowFilter
from hammerflow.stores.workflows import WorkflowMember, WorkflowRow

__all__ = [
    "MEMBERS_READ",
    "WorkflowMembers",
    "first_members",
    "stats_json",
    "workflow_json",
    "workflow_page",
]

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


#: Members that are looked at to name some of them.
MEMBERS_READ = 2_000


class WorkflowMembers(NamedTuple):
    """Some members of a workflow, in the order of their ids, and the states of the others that were
    looked at; ``is_cut``: there are more than that."""

    named: Sequence[WorkflowMember]
    rest: Mapping[str, int]
    is_cut: bool

    def as_json(self) -> dict[str, Any]:
        """The same as JSON."""
        nodes = [{name: getattr(m, name) for name in _MEMBER_FIELDS} for m in self.named]
        return {"nodes": nodes, "more": self.rest, "is_cut": self.is_cut}


def first_members(store: Store, workflow_id: bytes, limit: int) -> WorkflowMembers:
    """Name ``limit`` members, those that went wrong before all others, and count the rest; of a
    large workflow only the first 2 000 are looked at."""
    wrong: list[WorkflowMember] = []
    others: list[WorkflowMember] = []
    states: Counter[str] = Counter()
    for member in store.workflows.members(workflow_id, MEMBERS_READ + 1):
        states[member.state or "workflow"] += 1
        chosen = wrong if member.state in _WRONG else others
        if len(chosen) < limit:
            chosen.append(member)
    named = [*wrong, *others][:limit]
    is_cut = states.total() > MEMBERS_READ
    states.subtract(member.state or "workflow" for member in named)
    return WorkflowMembers(sorted(named, key=lambda member: member.id), dict(+states), is_cut)
