"""Routes of workflows: list, show, draw, cancel, retry, resume, skip."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime
from http import HTTPStatus
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from hammerflow.admin.ids import find_workflow
from hammerflow.admin.shown_texts import ShownTexts
from hammerflow.admin.workflows import (
    first_members,
    progress_of,
    shares_of,
    stats_json,
    timeline_of,
    workflow_json,
    workflow_page,
)
from hammerflow.enqueue.files import workflow_from_text
from hammerflow.errors import JobNotFound
from hammerflow.jobs.status import WorkflowStatus
from hammerflow.results.workflow import WorkflowResult
from hammerflow.stores.pages.workflow_pages import WorkflowFilter
from hammerflow.stores.workflows import WorkflowRow
from hammerflow.web.access import Role
from hammerflow.web.problems import RequestRefused
from hammerflow.web.routes.types import (
    Cursor,
    Done,
    JsonObject,
    Limit,
    Name,
    Reason,
    When,
    app_for,
    converted,
    instant_of,
)
from hammerflow.web.routing import ApiCall, ListPage, Nothing, Route, Text

__all__ = ["ROUTES", "workflow_shown"]

_MEMBERS = 200


class WorkflowBody(msgspec.Struct, forbid_unknown_fields=True):
    """A workflow.

    Attributes:
        definition: what a workflow file of JSON holds.
    """

    definition: JsonObject


class WorkflowCreated(msgspec.Struct):
    """The new workflow, and how many nodes it has."""

    id: uuid.UUID
    name: str
    nodes: int


def create_workflow(call: ApiCall[Nothing, WorkflowBody]) -> WorkflowCreated:
    """Enqueue a workflow of tasks of the app, in the form of a workflow file; it is checked first.

    An error names the line of the definition.
    """
    app = app_for(call.backend, "make workflows")
    text = bytes(call.body.definition).decode()
    workflow = workflow_from_text(app, text, format="json", source="the definition")
    result = app.enqueue(workflow)
    return WorkflowCreated(result.id, workflow.name, len(workflow))


class WorkflowsQuery(msgspec.Struct, forbid_unknown_fields=True):
    """Which workflows."""

    status: Literal["running", "paused", "completed", "failed", "cancelled"] | None = None
    kind: Literal["workflow", "batch", "chain", "group", "chord"] | None = None
    since: When | None = None
    until: When | None = None
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
        more: the states of all others, among the first 2 000 members.
        is_cut: there are more members than these.
        is_whole: all jobs are counted, and not only the oldest ones.
    """

    jobs: dict[str, float]
    is_whole: bool
    nodes: list[NodeShown]
    more: dict[str, int]
    is_cut: bool


def list_workflows(call: ApiCall[WorkflowsQuery, None]) -> ListPage[WorkflowRowOut]:
    """List workflows, batches and canvases, newest first.

    Times are those of the end, or of the creation if a workflow has not ended. A page reads 200 000
    workflows at most and says so by is_tired; give next as before to read on.
    """
    query = call.query
    wanted = WorkflowFilter(
        None if query.status is None else WorkflowStatus(query.status), query.kind,
        instant_of(query.since, "since"), instant_of(query.until, "until"),
    )  # fmt: skip
    mark = wanted.newest if query.before is None else min(query.before.bytes, wanted.newest)
    page = workflow_page(call.backend.store, wanted, query.limit, mark)
    items = [converted(workflow_shown(row, call.texts), WorkflowRowOut) for row in page.rows]
    after = None if page.next is None else str(uuid.UUID(bytes=page.next))
    return ListPage(items, after, page.is_tired)


def workflow_shown(row: WorkflowRow, texts: ShownTexts) -> dict[str, Any]:
    """A workflow's fields with what is shown of its metadata and remarks."""
    fields = workflow_json(row)
    if isinstance(fields["metadata"], Mapping):
        fields["metadata"] = texts.fields(fields["metadata"])
    told = {name: fields[name] for name in ("reason", "description")}
    return {**fields, **{name: texts.remark(text) for name, text in told.items() if text}}


def show_workflow(call: ApiCall[Nothing, None]) -> WorkflowShown:
    """Show one workflow, how far it is, and its members."""
    store = call.backend.store
    key = find_workflow(store, call.path["workflow_id"])
    row = store.workflows.get(key)
    if row is None:
        raise JobNotFound(f"workflow {uuid.UUID(bytes=key)} was deleted just now")
    progress = progress_of(store, WorkflowResult(key, call.backend), with_errors=False)
    members = first_members(store, key, _MEMBERS).as_json()
    counts = {"jobs": stats_json(progress.stats), "is_whole": progress.is_whole}
    return converted({**workflow_shown(row, call.texts), **counts, **members}, WorkflowShown)


_MOST_SHARES = 100


class SharesQuery(msgspec.Struct, forbid_unknown_fields=True):
    """Which workflows."""

    ids: Annotated[
        str, Meta(max_length=_MOST_SHARES * 37, description="Their ids, with commas between them.")
    ] = ""  # fmt: skip


class WorkflowShare(msgspec.Struct):
    """How far a workflow is; is_whole: all of its jobs are counted, and not only the oldest."""

    id: uuid.UUID
    jobs: dict[str, float]
    is_whole: bool


class WorkflowShareList(msgspec.Struct):
    """Those that could be counted in one request: ask again for the others."""

    items: list[WorkflowShare]


def list_workflow_shares(call: ApiCall[SharesQuery, None]) -> WorkflowShareList:
    """Count the jobs of several workflows by state: as many as can be counted within 0.1 s."""
    given = [one.strip() for one in call.query.ids.split(",") if one.strip()]
    try:
        keys = [uuid.UUID(one).bytes for one in given]
    except ValueError:
        detail = "ids must be the ids of workflows, with commas between them"
        raise RequestRefused(HTTPStatus.UNPROCESSABLE_ENTITY, detail) from None
    found = shares_of(call.backend.store, keys)
    items = [
        WorkflowShare(uuid.UUID(bytes=key), stats_json(one.stats), one.is_whole)
        for key, one in found.items()
    ]
    return WorkflowShareList(items)


class CancelWorkflow(msgspec.Struct, forbid_unknown_fields=True):
    """Why."""

    reason: Reason = "cancelled"


def cancel_workflow(call: ApiCall[Nothing, CancelWorkflow]) -> Done:
    """Cancel a workflow and all of its jobs that have not ended."""
    key = find_workflow(call.backend.store, call.path["workflow_id"])
    WorkflowResult(key, call.backend).cancel(call.body.reason or "cancelled")
    return Done(f"workflow {uuid.UUID(bytes=key)} is cancelled")


class RetryWorkflow(msgspec.Struct, forbid_unknown_fields=True):
    """What runs again: all that has failed, or one node.

    Attributes:
        downstream: everything that depends on it, completed or not.
    """

    node: Name | None = None
    downstream: bool = False


class NodeBody(msgspec.Struct, forbid_unknown_fields=True):
    """A node by its name."""

    node: Name


class WorkflowNow(msgspec.Struct):
    """The status after an action; is_ending: running jobs were told to stop."""

    id: uuid.UUID
    status: str
    is_ending: bool


def retry_workflow(call: ApiCall[Nothing, RetryWorkflow]) -> WorkflowNow:
    """Run a workflow's failed and cancelled jobs again, and those that were skipped by them."""
    result, body = _result(call), call.body
    result.retry(body.node, downstream=body.downstream, by=call.who.name)
    return _now(result)


def resume_workflow(call: ApiCall[Nothing, None]) -> WorkflowNow:
    """Continue a paused workflow; the jobs that depend on the failed ones are skipped."""
    result = _result(call)
    result.resume(by=call.who.name)
    return _now(result)


def skip_workflow_node(call: ApiCall[Nothing, NodeBody]) -> WorkflowNow:
    """Treat a failed node as completed: the jobs that depend on it run."""
    result = _result(call)
    result.skip(call.body.node, by=call.who.name)
    return _now(result)


class GraphQuery(msgspec.Struct, forbid_unknown_fields=True):
    """How the graph is written, and from how many jobs on it is folded."""

    format: Annotated[
        Literal["boxes", "json", "text", "mermaid", "dot"],
        Meta(description="boxes is folded for drawing; json has every job."),
    ] = "boxes"
    max_nodes: Annotated[
        int, Meta(ge=1, le=100_000, description="Above it, jobs of one kind are drawn as one.")
    ] = 500
    max_depth: Annotated[int, Meta(ge=0, le=1000)] | None = None


def show_workflow_graph(call: ApiCall[GraphQuery, None]) -> Text:
    """Draw the graph of a workflow's jobs and their states."""
    query = call.query
    drawn = _result(call).graph(query.format, max_nodes=query.max_nodes, max_depth=query.max_depth)
    is_json = query.format in ("json", "boxes")
    return Text(drawn, "application/json") if is_json else Text(drawn)


class TimelineQuery(msgspec.Struct, forbid_unknown_fields=True):
    """How many members."""

    limit: Limit = 200


class StretchShown(msgspec.Struct):
    """When a member was there and last ran; task is null for a workflow inside."""

    id: uuid.UUID
    name: str | None
    task: str | None
    state: str | None
    attempt: int
    created_at: datetime | None
    started_at: datetime | None
    finished_at: datetime | None


class TimelineShown(msgspec.Struct):
    """Members in the order in which they started.

    Attributes:
        left_out: members that would have been too many: they completed, and ran for less long.
        is_cut: only the first 2 000 members were looked at.
    """

    items: list[StretchShown]
    left_out: int
    is_cut: bool


def show_workflow_timeline(call: ApiCall[TimelineQuery, None]) -> TimelineShown:
    """Show when the members of a workflow ran: those that went wrong, run, or ran for longest."""
    key = find_workflow(call.backend.store, call.path["workflow_id"])
    return converted(timeline_of(call.backend.store, key, call.query.limit), TimelineShown)


def _result(call: ApiCall[Any, Any]) -> WorkflowResult:
    key = find_workflow(call.backend.store, call.path["workflow_id"])
    return WorkflowResult(key, call.backend)


def _now(result: WorkflowResult) -> WorkflowNow:
    state = result.row().state
    return WorkflowNow(result.id, str(state.status), state.is_halted and not state.status.is_final)


_ONE = "/api/workflows/{workflow_id}"
ROUTES: Sequence[Route] = (
    Route("GET", "/api/workflows", list_workflows, ListPage[WorkflowRowOut], query=WorkflowsQuery),
    Route("POST", "/api/workflows", create_workflow, WorkflowCreated, Role.OPERATE,
          body=WorkflowBody, status=HTTPStatus.CREATED),
    Route("GET", "/api/workflow-shares", list_workflow_shares, WorkflowShareList,
          query=SharesQuery),
    Route("GET", _ONE, show_workflow, WorkflowShown),
    Route("GET", f"{_ONE}/graph", show_workflow_graph, dict[str, Any], query=GraphQuery,
          text="text/plain"),
    Route("GET", f"{_ONE}/timeline", show_workflow_timeline, TimelineShown, query=TimelineQuery),
    Route("POST", f"{_ONE}/cancel", cancel_workflow, Done, Role.OPERATE, body=CancelWorkflow),
    Route("POST", f"{_ONE}/retry", retry_workflow, WorkflowNow, Role.OPERATE, body=RetryWorkflow),
    Route("POST", f"{_ONE}/resume", resume_workflow, WorkflowNow, Role.OPERATE),
    Route("POST", f"{_ONE}/skip", skip_workflow_node, WorkflowNow, Role.OPERATE, body=NodeBody),
)  # fmt: skip
