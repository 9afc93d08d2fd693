"""Routes of operations: changes of all jobs of a filter, with a dry run, progress and undo."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from functools import partial
from http import HTTPStatus
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from hammerflow.admin.bulk import (
    CANCELLABLE,
    DELETABLE,
    RETRIABLE,
    Selection,
    begin_operation,
    cancels,
    deletions,
    purge_count,
    purge_filter,
    purge_walk,
    retries,
    run_operation,
    undo_operation,
)
from hammerflow.admin.ids import find_bulk_operation
from hammerflow.admin.job_filter import JobFilter
from hammerflow.errors import HammerflowError, JobNotFound
from hammerflow.stores.operations import BulkOperation
from hammerflow.web.access import Role
from hammerflow.web.backend import start_thread
from hammerflow.web.problems import RequestRefused
from hammerflow.web.routes.types import (
    Cursor,
    Limit,
    Name,
    Reason,
    State,
    Text1000,
    When,
    converted,
    instant_of,
)
from hammerflow.web.routing import ApiCall, ListPage, Nothing, Route, refuse_unseen

__all__ = ["ROUTES"]

_PATIENCE = 5.0  # seconds for which a dry run counts
_ENDED = ("completed", "failed", "cancelled", "skipped")


class NewOperation(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """An action, and the jobs to act on: those with these ids, or all that match.

    Attributes:
        group: the key of a group of failures.
        older_than: for purge, seconds since the end.
        whole: for a purge of ids, also all of their workflows and spawn trees: a part never goes
            alone.
        before: the mark of a dry run: jobs that came after it are left alone.
        dry_run: only count.
    """

    action: Literal["retry", "cancel", "purge"]
    ids: Annotated[list[uuid.UUID], Meta(max_length=10_000)] = []
    state: State | None = None
    queue: Name | None = None
    task: Name | None = None
    error: Text1000 | None = None
    argument: Text1000 | None = None
    group: Annotated[str, Meta(min_length=1, max_length=64)] | None = None
    since: When | None = None
    until: When | None = None
    older_than: Annotated[float, Meta(ge=0, le=10**11)] = 0.0
    whole: bool = False
    reason: Reason = "cancelled"
    before: Cursor | None = None
    dry_run: bool = False


class OperationShown(msgspec.Struct, kw_only=True):
    """A change of many jobs.

    Attributes:
        id: null of a dry run.
        state: counted, running, done, failed, stopped, undone, or lost: its process has died.
        total: jobs that matched when it began; a lower bound where is_whole is false.
        done: jobs that it has dealt with, of which it could not change failed.
        before: the mark above the newest of them.
    """

    id: uuid.UUID | None
    action: str
    by: str
    wanted: dict[str, Any]
    at: datetime | None
    state: str
    total: int
    done: int = 0
    failed: int = 0
    error: str | None = None
    is_whole: bool = True
    before: uuid.UUID | None = None


def start_operation(call: ApiCall[Nothing, NewOperation]) -> OperationShown:
    """Retry, cancel or remove all jobs that match a filter.

    A dry run counts them. Otherwise the operation goes on after the answer: see its progress at GET
    /api/operations/{operation_id}. A purge needs the role admin.
    """
    body, backend = call.body, call.backend
    _check(call)
    wanted = _told(body)
    if body.action == "purge" and not body.ids:
        purge = purge_filter(body.state, body.queue, body.task, body.older_than)
        total, is_whole = purge_count(backend.store, purge, _PATIENCE)
        found = OperationShown(
            id=None, action="purge", by=call.who.name, wanted=wanted, at=None, state="counted",
            total=total, is_whole=is_whole,
        )  # fmt: skip
        return found if body.dry_run else _begun(call, found, purge_walk(backend.store, purge))
    selection = _selection(call)
    counted = selection.count(_PATIENCE)
    before = counted.before if body.before is None else body.before.bytes
    found = OperationShown(
        id=None, action=body.action, by=call.who.name, wanted=wanted, at=None, state="counted",
        total=counted.jobs, is_whole=counted.is_whole, before=uuid.UUID(bytes=before),
    )  # fmt: skip
    if body.dry_run:
        return found
    if body.action == "purge":
        act = deletions(backend.store, selection.ids(before), is_whole=body.whole)
        return _begun(call, found, act)
    if body.action == "cancel":
        return _begun(call, found, cancels(backend, selection.ids(before), body.reason))
    return _begun(call, found, None, selection.ids(before))


def _check(call: ApiCall[Any, NewOperation]) -> None:
    body = call.body
    filters = (body.state, body.queue, body.task, body.error, body.argument, body.group,
               body.since, body.until)  # fmt: skip
    is_filtered = any(each is not None for each in filters)
    if body.action == "purge" and call.who.role < Role.ADMIN:
        detail = f"a purge needs the role admin; {call.who.name} has {call.who.role.label}"
        raise RequestRefused(HTTPStatus.FORBIDDEN, detail)
    if body.argument is not None:
        refuse_unseen(call, "not search them either")
    if bool(body.ids) == (is_filtered or body.older_than > 0):
        raise RequestRefused(_WRONG, "name jobs by their ids, or by filters")
    states = {"retry": RETRIABLE, "cancel": CANCELLABLE, "purge": _ENDED}[body.action]
    if body.state is not None and body.state not in states:
        detail = f"to {body.action} jobs, their state must be one of {', '.join(states)}"
        raise RequestRefused(_WRONG, detail)
    unfit = (body.error, body.argument, body.group, body.since, body.until)
    if body.action == "purge" and any(unfit):
        detail = "a purge takes ids, or state, queue, task and older_than only"
        raise RequestRefused(_WRONG, detail)
    if body.whole and not (body.action == "purge" and body.ids):
        raise RequestRefused(_WRONG, "whole is for a purge of ids: other purges take groups whole")


_WRONG = HTTPStatus.UNPROCESSABLE_ENTITY


def _told(body: NewOperation) -> dict[str, Any]:
    """What is kept of the filter: not the text of arguments, which may be a secret."""
    fields = msgspec.structs.asdict(body)
    left_out = ("action", "dry_run", "before", "argument", "ids")
    found = {name: value for name, value in fields.items() if value and name not in left_out}
    if body.action != "cancel":
        found.pop("reason", None)
    return found | ({"ids": len(body.ids)} if body.ids else {})


def _selection(call: ApiCall[Any, NewOperation]) -> Selection:
    body, backend = call.body, call.backend
    wanted = JobFilter(
        error=body.error, says=call.texts.message if body.error else None,
        argument=body.argument, since=instant_of(body.since, "since"),
        until=instant_of(body.until, "until"),
    )  # fmt: skip
    chosen = {"state": body.state, "queue": body.queue, "task": body.task}
    states = {"retry": RETRIABLE, "cancel": CANCELLABLE, "purge": DELETABLE}[body.action]
    ids = [id_.bytes for id_ in body.ids]
    return Selection(backend.store, backend.codec, chosen, states, wanted, body.group, ids)


def _begun(
    call: ApiCall[Any, Any], found: OperationShown, act: Iterator[tuple[int, int]] | None,
    ids: Iterable[bytes] = (),
) -> OperationShown:  # fmt: skip
    """Go on in a thread of its own."""
    backend, by = call.backend, call.who.name
    id_ = begin_operation(backend.store, found.action, found.wanted, by=by, total=found.total)
    act = retries(backend, ids, id_, by=by) if act is None else act
    start_thread(backend, partial(run_operation, backend, id_, act), "operation")
    operation = _shown(call, _get(call, id_))
    return msgspec.structs.replace(operation, is_whole=found.is_whole, before=found.before)


class OperationsPage(msgspec.Struct, forbid_unknown_fields=True):
    """Which operations."""

    before: Cursor | None = None
    limit: Limit = 50


def list_operations(call: ApiCall[OperationsPage, None]) -> ListPage[OperationShown]:
    """List operations, newest first; they are kept for a year."""
    before = None if call.query.before is None else call.query.before.bytes
    found, after = call.backend.store.operations.page(limit=call.query.limit, before=before)
    following = None if after is None else str(uuid.UUID(bytes=after))
    return ListPage([_shown(call, one) for one in found], following)


def show_operation(call: ApiCall[Nothing, None]) -> OperationShown:
    """Show how far an operation is."""
    id_ = find_bulk_operation(call.backend.store, call.path["operation_id"])
    return _shown(call, _get(call, id_))


def stop_operation(call: ApiCall[Nothing, None]) -> OperationShown:
    """Stop an operation; jobs that it has changed already stay changed."""
    id_ = find_bulk_operation(call.backend.store, call.path["operation_id"])
    if not call.backend.store.operations.stop(id_):
        raise HammerflowError(f"operation {uuid.UUID(bytes=id_)} has ended already")
    return _shown(call, _get(call, id_))


class Undone(msgspec.Struct):
    """How many jobs were put back, and how many had started."""

    undone: int
    started: int


def undo_operation_by_id(call: ApiCall[Nothing, None]) -> Undone:
    """Undo a retry for the jobs that have not started since; the others go on."""
    backend = call.backend
    id_ = find_bulk_operation(backend.store, call.path["operation_id"])
    found = _get(call, id_)
    if found.action != "retry" or found.state == "running":
        raise HammerflowError(
            f"operation {uuid.UUID(bytes=id_)} is {found.state}, a {found.action}: only a retry "
            "that has ended can be undone"
        )
    undone, started = undo_operation(backend, id_)
    backend.store.operations.end(id_, "undone", found.done, found.failed)
    return Undone(undone, started)


def _get(call: ApiCall[Any, Any], id_: bytes) -> BulkOperation:
    found = call.backend.store.operations.get(id_)
    if found is None:
        raise JobNotFound(f"operation {uuid.UUID(bytes=id_)} was removed just now")
    return found


def _shown(call: ApiCall[Any, Any], operation: BulkOperation) -> OperationShown:
    fields, texts = operation._asdict(), call.texts
    wanted = dict(fields["wanted"])
    if "error" in wanted:  # somebody may have searched for what others may not see
        wanted["error"] = texts.message(wanted["error"])
    error = fields["error"] and texts.note(fields["error"])
    return converted({**fields, "wanted": wanted, "error": error}, OperationShown)


_ONE = "/api/operations/{operation_id}"
ROUTES: Sequence[Route] = (
    Route("POST", "/api/operations", start_operation, OperationShown, Role.OPERATE,
          body=NewOperation, status=HTTPStatus.ACCEPTED),
    Route("GET", "/api/operations", list_operations, ListPage[OperationShown],
          query=OperationsPage),
    Route("GET", _ONE, show_operation, OperationShown),
    Route("POST", f"{_ONE}/stop", stop_operation, OperationShown, Role.OPERATE),
    Route("POST", f"{_ONE}/undo", undo_operation_by_id, Undone, Role.OPERATE),
)  # fmt: skip
