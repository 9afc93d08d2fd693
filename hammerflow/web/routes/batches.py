"""Routes of batches: list, show, create, retry, cancel, and their calls."""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Sequence
from http import HTTPStatus
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from hammerflow.admin.ids import find_workflow
from hammerflow.admin.jobs import job_lines, line_json
from hammerflow.admin.workflows import progress_of, stats_json
from hammerflow.enqueue.call_lines import CallLines
from hammerflow.errors import HammerflowError, JobNotFound
from hammerflow.jobs.limit import RATE
from hammerflow.jobs.status import WorkflowStatus
from hammerflow.results.workflow import BatchResult
from hammerflow.stores.pages.workflow_pages import WorkflowFilter
from hammerflow.web.access import Role
from hammerflow.web.routes.jobs import JobRow, row_shown
from hammerflow.web.routes.types import (
    Cursor,
    Done,
    Limit,
    NewName,
    Reason,
    State,
    app_for,
    checked_value,
    converted,
)
from hammerflow.web.routes.workflows import WorkflowRowOut, workflow_shown
from hammerflow.web.routing import ApiCall, ListPage, Nothing, Route

__all__ = ["ROUTES"]

_ERRORS = 20  # that show has
_CALLS = 10_000


class BatchesQuery(msgspec.Struct, forbid_unknown_fields=True):
    """Which batches."""

    status: Literal["running", "paused", "completed", "failed", "cancelled"] | None = None
    before: Cursor | None = None
    limit: Limit = 50


class BatchError(msgspec.Struct):
    """What went wrong with a call."""

    id: uuid.UUID
    error: str


class BatchShown(WorkflowRowOut, kw_only=True):
    """A batch: the counts of its calls, its rate and its first errors.

    Attributes:
        per_second: calls that ended, on average; null unless all are counted.
        is_whole: all calls are counted, and not only the oldest ones; else no errors are read.
    """

    jobs: dict[str, float]
    is_whole: bool
    per_second: float | None
    rate: str | None
    errors: list[BatchError]
    more_errors: int


def list_batches(call: ApiCall[BatchesQuery, None]) -> ListPage[WorkflowRowOut]:
    """List batches, newest first."""
    query = call.query
    status = None if query.status is None else WorkflowStatus(query.status)
    before = None if query.before is None else query.before.bytes
    wanted = WorkflowFilter(status, "batch")
    rows, after = call.backend.store.workflows.page(wanted, limit=query.limit, before=before)
    items = [converted(workflow_shown(row, call.texts), WorkflowRowOut) for row in rows]
    return ListPage(items, None if after is None else str(uuid.UUID(bytes=after)))


def show_batch(call: ApiCall[Nothing, None]) -> BatchShown:
    """Show a batch: its progress, its rate, how many calls are in which state, first errors."""
    result = _found(call)
    row, progress = result.row(), progress_of(call.backend.store, result)
    stats, errors = progress.stats, progress.errors
    limit = call.backend.store.limits.of_batch(row.id)
    age = result.seconds() if progress.is_whole else None
    first = [
        BatchError(id_, call.texts.note(error))
        for id_, error in itertools.islice(errors.items(), _ERRORS)
    ]
    fields = {
        **workflow_shown(row, call.texts), "jobs": stats_json(stats), "is_whole": progress.is_whole,
        "errors": first,
        "per_second": stats.ended / age if age else None,
        "rate": limit and limit.rate and limit.rate.text, "more_errors": len(errors) - len(first),
    }  # fmt: skip
    return converted(fields, BatchShown)


class CallsQuery(msgspec.Struct, forbid_unknown_fields=True):
    """Which calls; a state filters each page, so pages may be short."""

    state: State | None = None
    page: Annotated[int, Meta(ge=0, le=10**6, description="The number of the page, from 0.")] = 0


class BatchCalls(msgspec.Struct):
    """Calls of a batch in their order; next is the number of the following page."""

    items: list[JobRow]
    next: int | None


def list_batch_calls(call: ApiCall[CallsQuery, None]) -> BatchCalls:
    """List the calls of a batch in their order, a page of up to 1 000 at a time."""
    result, query, store = _found(call), call.query, call.backend.store
    pages = itertools.islice(
        store.workflows.node_pages(result.id.bytes), query.page, query.page + 2
    )
    ids = next(pages, [])
    jobs = [job for job in store.jobs.get_many(ids) if query.state in (None, job.state)]
    lines = job_lines(store, jobs, lambda task: None)
    following = query.page + 1 if next(pages, None) else None
    return BatchCalls([row_shown(line_json(line), call.texts) for line in lines], following)


class BatchCall(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """One call; its arguments may hold the codec's tags."""

    task: Annotated[str, Meta(min_length=1, max_length=255)]
    args: list[Any] = []
    kwargs: dict[str, Any] = {}
    queue: NewName | None = None
    priority: Annotated[int, Meta(ge=0, le=4)] | None = None
    delay: Annotated[float, Meta(ge=0, le=10**9)] | None = None
    timeout: Annotated[float, Meta(gt=0, le=10**9)] | None = None
    max_attempts: Annotated[int, Meta(ge=1, le=1000)] | None = None
    headers: dict[str, str] | None = None


class NewBatch(msgspec.Struct, forbid_unknown_fields=True):
    """Calls that are enqueued as one batch.

    Attributes:
        on_failure: what a failed call means: the rest runs, the rest is cancelled, or it does not
            count.
        rate: how often the calls may start, such as 100/m.
    """

    calls: Annotated[list[BatchCall], Meta(min_length=1, max_length=_CALLS)]
    name: NewName = "batch"
    on_failure: Literal["continue", "fail_fast", "collect"] = "continue"
    rate: Annotated[str, Meta(min_length=1, max_length=64)] | None = None


class MadeBatch(msgspec.Struct):
    """A batch that was enqueued."""

    id: uuid.UUID
    calls: int


def create_batch(call: ApiCall[Nothing, NewBatch]) -> MadeBatch:
    """Enqueue up to 10 000 calls as a batch; all are checked first, then written as one."""
    body, app = call.body, app_for(call.backend, "enqueue calls")
    rate = checked_value(RATE, body.rate, "rate")
    lines = CallLines(app, (msgspec.json.encode(one).decode() for one in body.calls), "calls")
    result = lines.send(
        lambda given: app.batch(
            given, name=body.name, on_failure=body.on_failure, rate_limit=rate and rate.text
        ).enqueue()
    )
    return MadeBatch(result.id, len(body.calls))


def retry_batch(call: ApiCall[Nothing, None]) -> Done:
    """Run the failed and cancelled calls of a batch again, with all their attempts."""
    result = _found(call)
    stats = result.stats()
    result.retry(by=call.who.name)
    return Done(f"{stats.failed + stats.cancelled} calls run again")


class CancelBatch(msgspec.Struct, forbid_unknown_fields=True):
    """Why."""

    reason: Reason = "cancelled"


def cancel_batch(call: ApiCall[Nothing, CancelBatch]) -> Done:
    """Cancel the calls of a batch that have not ended, running ones included."""
    result = _found(call)
    if (now := result.row().state.status).is_final:
        raise HammerflowError(f"batch {result.id} is {now} already, so there is nothing to cancel")
    stats = result.stats()
    result.cancel(call.body.reason or "cancelled")
    return Done(f"{stats.pending + stats.running} calls cancelled")


def _found(call: ApiCall[Any, Any]) -> BatchResult:
    result = BatchResult(find_workflow(call.backend.store, call.path["batch_id"]), call.backend)
    if (kind := result.row().kind) != "batch":
        raise JobNotFound(f"{result.id} is a {kind}: see GET /api/workflows/{result.id}")
    return result


_ONE = "/api/batches/{batch_id}"
ROUTES: Sequence[Route] = (
    Route("GET", "/api/batches", list_batches, ListPage[WorkflowRowOut], query=BatchesQuery),
    Route("POST", "/api/batches", create_batch, MadeBatch, Role.OPERATE, body=NewBatch,
          status=HTTPStatus.CREATED),
    Route("GET", _ONE, show_batch, BatchShown),
    Route("GET", f"{_ONE}/calls", list_batch_calls, BatchCalls, query=CallsQuery),
    Route("POST", f"{_ONE}/retry", retry_batch, Done, Role.OPERATE),
    Route("POST", f"{_ONE}/cancel", cancel_batch, Done, Role.OPERATE, body=CancelBatch),
)  # fmt: skip
