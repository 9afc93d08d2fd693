"""Routes of the archive and of retention."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from hammerflow.admin.archive import archived_json, contents_json, contents_values, policies
from hammerflow.admin.ids import find_archived
from hammerflow.admin.known_names import refuse_unknown
from hammerflow.errors import JobNotFound
from hammerflow.jobs.job import JobState
from hammerflow.jobs.retention import RETENTION
from hammerflow.stores.retention.archive import ArchiveFilter, Moved
from hammerflow.stores.retention.retention import DeclaredLifetimes
from hammerflow.web.access import Role
from hammerflow.web.routes.jobs import redacted_values, with_errors
from hammerflow.web.routes.types import Cursor, Limit, Name, When, converted, instant_of, known
from hammerflow.web.routing import ApiCall, ListPage, Nothing, Route

__all__ = ["ROUTES"]

Ended = Literal["completed", "failed", "cancelled", "skipped"]
_VALUES = ("args", "kwargs", "result")


class ArchiveQuery(msgspec.Struct, forbid_unknown_fields=True):
    """Which archived jobs; since and until apply to when they ended."""

    task: Name | None = None
    queue: Name | None = None
    state: Ended | None = None
    since: When | None = None
    until: When | None = None
    before: Cursor | None = None
    limit: Limit = 50


class ArchivedRowShown(msgspec.Struct, kw_only=True):
    """An archived job, or an archived workflow, which has neither task nor queue.

    Attributes:
        size: bytes before they were compressed.
        group_id: of the jobs that are archived and restored together.
    """

    id: uuid.UUID
    task: str | None
    queue: str | None
    state: str
    ended_at: datetime | None
    size: int
    root_id: uuid.UUID | None
    workflow_id: uuid.UUID | None
    group_id: uuid.UUID


class ArchivedShown(ArchivedRowShown, kw_only=True):
    """Everything about an archived job; arguments and result only for those who may see them.

    Attributes:
        columns: the other columns of its rows.
        group_jobs: how many jobs come back with it.
    """

    archived_at: datetime | None
    call: str | None = None
    result_text: str | None = None
    args: Any = None
    kwargs: Any = None
    result: Any = None
    values_hidden: bool = False
    errors: list[dict[str, Any]] = []
    columns: dict[str, Any] = {}
    group_jobs: int


def list_archived(call: ApiCall[ArchiveQuery, None]) -> ListPage[ArchivedRowShown]:
    """List archived jobs, newest first; a page scans at most 20 000 and may be short."""
    query = call.query
    wanted = ArchiveFilter(
        task=query.task, queue=query.queue,
        state=None if query.state is None else JobState(query.state),
        since=instant_of(query.since, "since"), until=instant_of(query.until, "until"),
    )  # fmt: skip
    before = None if query.before is None else query.before.bytes
    jobs, after = call.backend.store.archive.page(wanted, query.limit, before)
    items = [converted(archived_json(job), ArchivedRowShown) for job in jobs]
    is_tired = after is not None and len(jobs) < query.limit
    return ListPage(items, None if after is None else str(uuid.UUID(bytes=after)), is_tired)


def show_archived(call: ApiCall[Nothing, None]) -> ArchivedShown:
    """Show everything about an archived job or workflow."""
    backend, archive = call.backend, call.backend.store.archive
    id_ = find_archived(backend.store, call.path["archived_id"])
    found = next(archive.contents([id_]), None)
    if found is None:
        raise JobNotFound(f"job {uuid.UUID(bytes=id_)} was restored or purged just now")
    fields, values = contents_json(backend.codec, found), contents_values(backend.codec, found)
    fields |= {"call": values.call, "result_text": values.result}
    fields = redacted_values(backend, found.archived.task or "", fields)
    fields = with_errors(fields, call.texts)
    if not call.who.sees_values:
        hidden = (*_VALUES, "call", "result_text", "args_error", "result_error")
        fields = {name: value for name, value in fields.items() if name not in hidden}
        fields["values_hidden"] = True
    named = {*ArchivedShown.__struct_fields__}
    columns = {name: value for name, value in fields.items() if name not in named}
    jobs = sum(group.jobs for group in archive.groups_of([id_]))
    return converted({**fields, "columns": columns, "group_jobs": jobs}, ArchivedShown)


class RestoreBody(msgspec.Struct, forbid_unknown_fields=True):
    """What to restore, each with its whole spawn tree or workflow.

    Attributes:
        keep: seconds before retention may remove them again.
        dry_run: only count.
    """

    ids: Annotated[list[uuid.UUID], Meta(min_length=1, max_length=500)]
    keep: Annotated[float, Meta(ge=0, le=10**9)] = 7 * 86_400.0
    dry_run: bool = False


class ArchivePurgeBody(msgspec.Struct, forbid_unknown_fields=True):
    """What to delete, each with its whole spawn tree or workflow."""

    ids: Annotated[list[uuid.UUID], Meta(min_length=1, max_length=500)]
    dry_run: bool = False


class ArchiveMoved(msgspec.Struct):
    """How many jobs came back or were deleted, or would be.

    Attributes:
        refused: ids that other jobs have taken since.
        damaged: ids whose pack cannot be read.
    """

    jobs: int
    refused: list[uuid.UUID] = []
    damaged: list[uuid.UUID] = []


def restore_archived(call: ApiCall[Nothing, RestoreBody]) -> ArchiveMoved:
    """Bring archived jobs back, with every row as it was."""
    archive = call.backend.store.archive
    groups = archive.groups_of([id_.bytes for id_ in call.body.ids])
    if call.body.dry_run:
        return ArchiveMoved(sum(group.jobs for group in groups))
    return _moved(archive.restore(groups, call.body.keep))


def purge_archived(call: ApiCall[Nothing, ArchivePurgeBody]) -> ArchiveMoved:
    """Delete archived jobs for good."""
    archive = call.backend.store.archive
    groups = archive.groups_of([id_.bytes for id_ in call.body.ids])
    if call.body.dry_run:
        return ArchiveMoved(sum(group.jobs for group in groups))
    return _moved(archive.purge(groups))


def _moved(moved: Moved) -> ArchiveMoved:
    ids = [[uuid.UUID(bytes=id_) for id_ in some] for some in (moved.refused, moved.damaged)]
    return ArchiveMoved(moved.jobs, *ids)


class ArchiveStats(msgspec.Struct):
    """What retention has done.

    Attributes:
        removed: jobs that were deleted since the database was made.
        archived: jobs that were ever archived, of which now are in the archive.
        walked_at: when retention last came to the end of all ended jobs.
    """

    removed: int
    archived: int
    restored: int
    purged: int
    now: int
    walked_at: datetime | None
    is_walking: bool


def show_archive_stats(call: ApiCall[Nothing, None]) -> ArchiveStats:
    """Show what retention has deleted and archived."""
    store = call.backend.store
    progress, counts = store.retention.progress(), store.archive.counts()
    fields = {
        **counts._asdict(), "now": counts.now, "removed": progress.removed if progress else 0,
        "walked_at": progress and progress.walked_at,
        "is_walking": progress is not None and progress.position is not None,
    }  # fmt: skip
    return converted(fields, ArchiveStats)


class LifetimesShown(msgspec.Struct):
    """How long ended jobs are kept, by end state: seconds, null for good, or archive after ...

    Attributes:
        kind: settings, task or queue; a queue wins over a task, and that over the settings.
    """

    kind: str
    name: str
    lifetimes: dict[str, float | str | None]


class LifetimesList(msgspec.Struct):
    """All lifetimes that are set."""

    items: list[LifetimesShown]


def list_retention(call: ApiCall[Nothing, None]) -> LifetimesList:
    """Show how long ended jobs are kept."""
    found = policies(call.backend.store, call.backend.settings.retention)
    return LifetimesList([_policy(each) for each in found])


def _policy(each: DeclaredLifetimes) -> LifetimesShown:
    return converted(each._asdict(), LifetimesShown)


class LifetimesBody(msgspec.Struct, forbid_unknown_fields=True):
    """Lifetimes by end state: seconds, 12h, archive after 7d, or never; those left out stay."""

    lifetimes: Annotated[dict[Ended, float | str], Meta(min_length=1)]


def put_retention(call: ApiCall[Nothing, LifetimesBody]) -> LifetimesShown:
    """Set how long the ended jobs of a queue are kept; workers follow within a minute."""
    store, name = call.backend.store, _queue(call)
    changes = RETENTION(dict(call.body.lifetimes), "lifetimes")
    before = [each for each in store.retention.declared() if each[:2] == ("queue", name)]
    lifetimes = {**(before[0].lifetimes if before else {}), **changes}
    store.retention.keep_queue(name, lifetimes)
    return _policy(DeclaredLifetimes("queue", name, lifetimes))


def reset_retention(call: ApiCall[Nothing, None]) -> LifetimesShown:
    """Remove the lifetimes that were set for a queue."""
    name = _queue(call)
    call.backend.store.retention.keep_queue(name, {})
    return _policy(DeclaredLifetimes("queue", name, {}))


def _queue(call: ApiCall[Any, Any]) -> str:
    name, queues = call.path["queue"], call.backend.store.queues.names()
    known(lambda: refuse_unknown("queue", name, queues))
    return name


_POLICY = "/api/retention/{queue}"
ROUTES: Sequence[Route] = (
    Route("GET", "/api/archive/jobs", list_archived, ListPage[ArchivedRowShown],
          query=ArchiveQuery),
    Route("GET", "/api/archive/jobs/{archived_id}", show_archived, ArchivedShown),
    Route("POST", "/api/archive/restore", restore_archived, ArchiveMoved, Role.OPERATE,
          body=RestoreBody),
    Route("POST", "/api/archive/purge", purge_archived, ArchiveMoved, Role.ADMIN,
          body=ArchivePurgeBody),
    Route("GET", "/api/archive/stats", show_archive_stats, ArchiveStats),
    Route("GET", "/api/retention", list_retention, LifetimesList),
    Route("PUT", _POLICY, put_retention, LifetimesShown, Role.ADMIN, body=LifetimesBody),
    Route("DELETE", _POLICY, reset_retention, LifetimesShown, Role.ADMIN),
)  # fmt: skip
