"""What is known of workflows and their members, as JSON."""

from __future__ import annotations

import math
import time
import uuid
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, NamedTuple

from hammerflow.admin.page import Page
from hammerflow.durations import seconds_between
from hammerflow.results.workflow import WorkflowResult, WorkflowStats, stats_of
from hammerflow.stores.pages.workflow_pages import WorkflowFilter
from hammerflow.stores.store import Store
from hammerflow.stores.workflows import WorkflowMember, WorkflowRow

__all__ = [
    "MEMBERS_READ",
    "WorkflowMembers",
    "WorkflowProgress",
    "first_members",
    "progress_of",
    "shares_of",
    "stats_json",
    "timeline_of",
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


class WorkflowProgress(NamedTuple):
    """How far a workflow is.

    Attributes:
        stats: of all of its jobs; or of the oldest ones, where ``is_whole`` is false.
        errors: by job id; not read where ``is_whole`` is false.
    """

    stats: WorkflowStats
    errors: Mapping[uuid.UUID, str]
    is_whole: bool = True

    def as_json(self) -> dict[str, Any]:
        """The counts as JSON."""
        return stats_json(self.stats) | {"is_whole": self.is_whole}

    @property
    def note(self) -> str:
        """What to say where it is not whole."""
        return f"only its oldest {self.stats.total:,} jobs are counted, and no errors are shown"


#: Seconds for which the jobs of one workflow are counted.
COUNT_SECONDS = 0.3


def progress_of(
    store: Store, result: WorkflowResult, *, is_exact: bool = False, with_errors: bool = True
) -> WorkflowProgress:
    """How far a workflow is: the jobs that can be counted in 0.3 s, or all of them."""
    seconds = math.inf if is_exact else COUNT_SECONDS
    counts, is_whole = store.workflows.counts_within(result.id.bytes, seconds)
    reads_errors = with_errors and is_whole
    return WorkflowProgress(stats_of(counts), result.errors() if reads_errors else {}, is_whole)


#: Seconds for which the jobs of several workflows are counted; the answer takes some, too.
_SHARES_SECONDS = 0.08


def shares_of(store: Store, keys: Sequence[bytes]) -> dict[bytes, WorkflowProgress]:
    """How far several workflows are: the first one, and those after it that can be counted within
    0.1 s."""
    found: dict[bytes, WorkflowProgress] = {}
    ends_at, took = time.monotonic() + _SHARES_SECONDS, 0.0
    for key in keys:
        began = time.monotonic()
        if found and began + took > ends_at:
            break
        counts, is_whole = store.workflows.counts_within(key, ends_at - began)
        found[key] = WorkflowProgress(stats_of(counts), {}, is_whole)
        took = time.monotonic() - began
    return found


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


@dataclass(frozen=True, slots=True)
class Stretch:
    """When a member of a workflow was there and ran; task is None for a workflow inside.

    Attributes:
        started_at: of its last attempt; None before the first one.
    """

    id: uuid.UUID
    name: str | None
    task: str | None
    state: str | None
    attempt: int
    created_at: datetime | None
    started_at: datetime | None
    finished_at: datetime | None


class Timeline(NamedTuple):
    """Members of a workflow in the order in which they started; left_out have no place."""

    items: Sequence[Stretch]
    left_out: int
    is_cut: bool


def timeline_of(store: Store, workflow_id: bytes, limit: int) -> Timeline:
    """The members that went wrong or run, and those that ran for longest; of a large workflow only
    the first 2 000 are looked at."""
    members = [*store.workflows.members(workflow_id, MEMBERS_READ + 1)]
    jobs = {job.id.bytes: job for job in store.jobs.get_many([m.id for m in members if m.task])}
    inside = {row.id: row for row in store.workflows.rows([m.id for m in members if not m.task])}
    found = []
    for member in members:
        job, flow = jobs.get(member.id), inside.get(member.id)
        times = (
            (job.attempt, job.created_at, job.started_at, job.finished_at) if job is not None
            else (0, flow.created_at, flow.created_at, flow.ended_at) if flow is not None
            else (0, None, None, None)
        )  # fmt: skip
        id_ = uuid.UUID(bytes=member.id)
        found.append(Stretch(id_, member.name, member.task, member.state, *times))
    chosen = sorted(found, key=_weight, reverse=True)[:limit]
    chosen.sort(key=lambda one: (one.started_at is None, one.started_at or one.created_at, one.id))
    return Timeline(chosen, len(found) - len(chosen), len(members) > MEMBERS_READ)


def _weight(one: Stretch) -> tuple[bool, bool, float]:
    """What is shown rather than others."""
    seconds = seconds_between(one.started_at, one.finished_at) or 0.0
    return one.state in _WRONG, one.state == "running", seconds
