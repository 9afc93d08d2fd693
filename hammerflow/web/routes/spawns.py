"""Routes of spawns: operations, totals, trees and lineages."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from hammerflow.admin.ids import find_job, get_job
from hammerflow.admin.jobs import jobs_by_id
from hammerflow.admin.spawn_tree import CHART_MOST, as_graph, as_json, nodes_of, read_tree
from hammerflow.admin.spawns import lineage_json, operation_json, pending_json, stats_json
from hammerflow.web.routes.jobs import fields_shown
from hammerflow.web.routes.types import Hours, Limit, Name, converted
from hammerflow.web.routing import ApiCall, Route, Text
from hammerflow.workflows.graph import draw

__all__ = ["ROUTES"]


class OperationsQuery(msgspec.Struct, forbid_unknown_fields=True):
    """Which operations."""

    limit: Limit = 50
    queue: Name | None = None
    hours: Hours | None = None


class SpawnOperation(msgspec.Struct):
    """One run of a spawner.

    Attributes:
        lease: the number of this run among the runs of the job.
        requested: the children that it asked for.
        spawned: the children that were inserted; 0 where the run failed.
    """

    parent_id: uuid.UUID
    lease: int
    requested: int
    spawned: int
    started_at: datetime | None
    ended_at: datetime | None
    handler: str
    operation_id: str | None
    metadata: dict[str, Any]
    error: str | None
    task: str | None
    queue: str | None
    seconds: float


class OperationList(msgspec.Struct):
    """Spawn operations, newest first."""

    items: list[SpawnOperation]


def list_spawn_operations(call: ApiCall[OperationsQuery, None]) -> OperationList:
    """List spawn operations, newest first; failed runs are listed, too."""
    query = call.query
    since = None if query.hours is None else timedelta(hours=query.hours)
    runs = call.backend.store.spawns.operations(since=since, queue=query.queue, limit=query.limit)
    return OperationList([converted(_told(call, operation_json(run)), SpawnOperation)
                          for run in runs])  # fmt: skip


def _told(call: ApiCall[Any, Any], fields: dict[str, Any]) -> dict[str, Any]:
    """An operation with what is shown of its metadata and error."""
    error = fields["error"] and call.texts.message(fields["error"])
    return {**fields, "metadata": call.texts.fields(fields["metadata"] or {}), "error": error}


class SpawnStatsQuery(msgspec.Struct, forbid_unknown_fields=True):
    """Of which time and queue."""

    queue: Name | None = None
    hours: Hours = 24.0


class HandlerStats(msgspec.Struct):
    """The runs of one handler in one queue; times are in seconds."""

    handler: str
    queue: str | None
    operations: int
    failures: int
    requested: int
    children: int
    most_children: int
    mean_seconds: float
    longest_seconds: float


class SpawnTotals(msgspec.Struct):
    """Totals of the last hours; is_cut if there are more than 50 000 operations that no worker
    has counted yet, of which only the newest are counted."""

    hours: float
    operations: int
    children: int
    failures: int
    success_rate: float
    operations_per_hour: float
    children_per_hour: float
    is_cut: bool
    handlers: list[HandlerStats]


def show_spawn_stats(call: ApiCall[SpawnStatsQuery, None]) -> SpawnTotals:
    """Count operations, children and failures, by handler and queue."""
    hours = call.query.hours
    since = timedelta(hours=hours)
    found, is_cut = call.backend.store.spawns.stats(since=since, queue=call.query.queue)
    return converted(stats_json(found, hours, is_cut=is_cut), SpawnTotals)


class PendingQuery(msgspec.Struct, forbid_unknown_fields=True):
    """How many."""

    limit: Limit = 50


class PendingSpawner(msgspec.Struct):
    """A completed spawner with unfinished children: their number by state."""

    parent_id: uuid.UUID
    task: str | None
    states: dict[str, int]
    not_ended: int
    operation: SpawnOperation | None


class PendingList(msgspec.Struct):
    """Such spawners, newest first."""

    items: list[PendingSpawner]


def list_pending_spawners(call: ApiCall[PendingQuery, None]) -> PendingList:
    """List completed spawners with unfinished children, newest first."""
    store = call.backend.store
    found = store.spawns.pending(limit=call.query.limit)
    parents = jobs_by_id(store, [each.parent_id for each in found])
    pairs = [(each, parents.get(each.parent_id)) for each in found]
    items = [pending_json(pair) for pair in pairs]
    for one in items:
        one["operation"] = one["operation"] and _told(call, one["operation"])
    return PendingList([converted(one, PendingSpawner) for one in items])


class TreeQuery(msgspec.Struct, forbid_unknown_fields=True):
    """How the tree is written, and how much of it."""

    format: Literal["json", "text", "mermaid", "dot"] = "json"
    max_depth: Annotated[int, Meta(ge=0, le=1000, description="Generations below the job.")] = 10
    wide: Annotated[
        int,
        Meta(ge=0, le=1000, description="Above this many children of one job, only their counts."),
    ] = 20


class FoldedChildren(msgspec.Struct):
    """Children that are only counted."""

    task: str
    count: int
    states: dict[str, int]


class TreeNode(msgspec.Struct):
    """A job and what it has spawned.

    Attributes:
        is_fan_in: it waits, or waited, for its siblings.
        folded: the children that are not in children.
        is_cut: there is more below than was asked for.
    """

    id: uuid.UUID
    task: str
    state: str
    attempt: int
    spawn_index: int | None
    reason: str | None
    error: str | None
    is_fan_in: bool
    children: list[TreeNode]
    folded: list[FoldedChildren]
    is_cut: bool


def show_spawn_tree(call: ApiCall[TreeQuery, None]) -> TreeNode | Text:
    """Show a job and its descendants as nested objects, or drawn as text, Mermaid or DOT."""
    store, query = call.backend.store, call.query
    job = get_job(store, call.path["job_id"])
    limits = {"most": CHART_MOST} if query.format in ("mermaid", "dot") else {}
    root = read_tree(store, job, max_depth=query.max_depth, wide=query.wide, **limits)
    for node in nodes_of(root):
        node.error = call.texts.note(node.error)
    if query.format == "json":
        return converted(as_json(root), TreeNode)
    graph = as_graph(root)
    return Text(draw(graph, query.format, max_nodes=len(graph.nodes)))


class LineageQuery(msgspec.Struct, forbid_unknown_fields=True):
    """How far, and how many jobs of each generation are named."""

    depth: Annotated[int, Meta(ge=1, le=1000)] = 10
    limit: Limit = 20


def show_lineage(call: ApiCall[LineageQuery, None]) -> dict[str, Any]:
    """List a job's ancestors and descendants by generation."""
    store, query = call.backend.store, call.query
    key = find_job(store, call.path["job_id"])
    found = store.spawns.lineage(
        key, ancestors=True, descendants=True, depth=query.depth, limit=query.limit
    )
    below = [id_ for generation in found.generations for id_ in generation.ids]
    jobs = jobs_by_id(store, [*found.ancestors, key, *below])
    told = lineage_json(key, found, jobs)
    lists = [told["ancestors"], *(one["jobs"] for one in told["generations"])]
    for some in lists:
        some[:] = [fields_shown(job, call.texts) for job in some]
    return {**told, "job": fields_shown(told["job"], call.texts)}


ROUTES: Sequence[Route] = (
    Route("GET", "/api/spawn/operations", list_spawn_operations, OperationList,
          query=OperationsQuery),
    Route("GET", "/api/spawn/stats", show_spawn_stats, SpawnTotals, query=SpawnStatsQuery),
    Route("GET", "/api/spawn/pending", list_pending_spawners, PendingList, query=PendingQuery),
    Route("GET", "/api/jobs/{job_id}/spawn-tree", show_spawn_tree, TreeNode, query=TreeQuery,
          text="text/plain"),
    Route("GET", "/api/jobs/{job_id}/lineage", show_lineage, dict[str, Any], query=LineageQuery),
)  # fmt: skip
