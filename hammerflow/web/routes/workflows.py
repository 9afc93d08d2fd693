"""Routes of workflows: list, show, cancel."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal

import msgspec

from hammerflow.admin.ids import find_workflow
from hammerflow.admin.workflows import first_members, stats_json, workflow_json
from hammerflow.errors import JobNotFound
from hammerflow.jobs.status import WorkflowStatus
from hammerflow.results.workflow import WorkflowResult
from hammerflow.stores.workflow_pages import WorkflowFilter
from hammerflow.web.access import Role
from hammerflow.web.routes.types import Cursor, Done, Limit, Reason, converted
from hammerflow.web.routing import ApiCall, ListPage, Nothing, Route

__all__ = ["ROUTES"]

_MEMBERS = 200


class WorkflowsQuery(msgspec.Struct, forbid_unknown_fields=True):
    """Which workflows."""

    status: Literal["running", "paused", "completed", "failed", "cancelled"] | None = None
    kind: Literal["workflow", "batch", "chain", "group", "chord"] | None = None
    before: Cursor | None = None
    limit: Limit = 50


class WorkflowRowOut(msgspec.Struct, kw_only=True):
    """A workflow."""

    id: uuid.UUID
    kind: str
    name: str
    status: str
    failure_policy: str
    failures: int
    parent_id: uuid.UUID | None
    created_at: datetime | None
    ended_at: datetime | None
    deadline_at: datetime | None
    health_check_interval: float | None
    description: str | None
    trace_id: str | None
    correlation_id: str | None
    metadata: Any
    reason: str | None
    health: Any


class NodeShown(msgspec.Struct):
    """A node of a workflow; task is null for a workflow inside."""

    id: uuid.UUID
    name: str | None
    task: str | None
    state: str | None
    reason: str | None
    position: int | None


class WorkflowShown(WorkflowRowOut, kw_only=True):
    """A workflow, the counts of its jobs, and its first members.

    Attributes:
        nodes: those that went wrong first.
        more: the states of all others.
    """

    jobs: dict[str, float]
    nodes: list[NodeShown]
    more: dict[str, int]


def list_workflows(call: ApiCall[WorkflowsQuery, None]) -> ListPage[WorkflowRowOut]:
    """List workflows, batches and canvases, newest first."""
    query = call.query
    status = None if query.status is None else WorkflowStatus(query.status)
    before = None if query.before is None else query.before.bytes
    wanted = WorkflowFilter(status, query.kind)
    rows, after = call.backend.store.workflows.page(wanted, limit=query.limit, before=before)
    items = [converted(workflow_json(row), WorkflowRowOut) for row in rows]
    return ListPage(items, None if after is None else str(uuid.UUID(bytes=after)))


def show_workflow(call: ApiCall[Nothing, None]) -> WorkflowShown:
    """Show one workflow, how far it is, and its members."""
    store = call.backend.store
    key = find_workflow(store, call.path["workflow_id"])
    row = store.workflows.get(key)
    if row is None:
        raise JobNotFound(f"workflow {uuid.UUID(bytes=key)} was deleted just now")
    stats = WorkflowResult(key, call.backend).stats()
    members = first_members(store.workflows.members(key), _MEMBERS).as_json()
    return converted({**workflow_json(row), "jobs": stats_json(stats), **members}, WorkflowShown)


class CancelWorkflow(msgspec.Struct, forbid_unknown_fields=True):
    """Why."""

    reason: Reason = "cancelled"


def cancel_workflow(call: ApiCall[Nothing, CancelWorkflow]) -> Done:
    """Cancel a workflow and all of its jobs that have not ended."""
    key = find_workflow(call.backend.store, call.path["workflow_id"])
    WorkflowResult(key, call.backend).cancel(call.body.reason or "cancelled")
    return Done(f"workflow {uuid.UUID(bytes=key)} is cancelled")


_ONE = "/api/workflows/{workflow_id}"
ROUTES: Sequence[Route] = (
    Route("GET", "/api/workflows", list_workflows, ListPage[WorkflowRowOut], query=WorkflowsQuery),
    Route("GET", _ONE, show_workflow, WorkflowShown),
    Route("POST", f"{_ONE}/cancel", cancel_workflow, Done, Role.OPERATE, body=CancelWorkflow),
)
