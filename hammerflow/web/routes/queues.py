"""Routes of queues: list, show health, pause and resume."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from hammerflow.admin.queues import EXPLAINED, Figures, figures_of, healths_of
from hammerflow.errors import JobNotFound
from hammerflow.results.pauses import pause, resume
from hammerflow.stores.pauses import PauseKind
from hammerflow.web.access import Role
from hammerflow.web.routes.types import Name, Reason, converted
from hammerflow.web.routing import ApiCall, Nothing, Route

__all__ = ["ROUTES", "PauseBody", "Paused"]

_AGE = 1.0  # seconds for which all clients of a process share the figures of all queues


class QueueRow(msgspec.Struct):
    """A queue: its jobs in each live state, how many come and end, and who has paused it.

    Attributes:
        oldest: seconds since its oldest ready job was enqueued.
        at_least: the states whose numbers are lower bounds.
    """

    name: str
    paused_at: datetime | None
    paused_by: str | None
    reason: str | None
    ready: int
    running: int
    scheduled: int
    waiting: int
    parked: int
    oldest: float | None
    at_least: list[str]
    enqueued_per_second: float
    ended_per_second: float


class QueuesQuery(msgspec.Struct, forbid_unknown_fields=True):
    """Which queues, and in which order."""

    sort: Annotated[
        Literal["name", "oldest"],
        Meta(description="oldest: first those whose oldest ready job waits for longest."),
    ] = "name"
    limit: Annotated[int, Meta(ge=1, description="The first ones.")] | None = None


class QueueList(msgspec.Struct):
    """Queues; all in the order of their names where nothing else was asked for."""

    items: list[QueueRow]


class QueueHealthShown(msgspec.Struct):
    """Whether a queue's jobs run; status is ok, warn or fail."""

    queue: str
    status: str
    says: str
    advice: str


class HealthQuery(msgspec.Struct, forbid_unknown_fields=True):
    """Which queues."""

    queue: Annotated[Name, Meta(description="This one alone.")] | None = None


class HealthList(msgspec.Struct):
    """The health of each queue.

    Attributes:
        explained: what keeps the first ready job of a queue from starting was found out for as many
            queues at most, those whose ready jobs wait for longest.
    """

    items: list[QueueHealthShown]
    explained: int


def list_queues(call: ApiCall[QueuesQuery, None]) -> QueueList:
    """List the queues with their depths and rates."""
    found, query = _figures(call), call.query
    if query.sort == "oldest":
        found = sorted(found, key=_waiting, reverse=True)
    return QueueList([*map(_row, found[: query.limit])])


def _waiting(figures: Figures) -> float:
    """Seconds for which its oldest ready job waits; those without any come last."""
    return -1.0 if figures.depth.oldest is None else figures.depth.oldest


def _row(figures: Figures) -> QueueRow:
    """By hand, as there may be thousands."""
    depth = figures.depth
    return QueueRow(
        depth.name, depth.paused_at, depth.paused_by, depth.reason, depth.ready, depth.running,
        depth.scheduled, depth.waiting, depth.parked, depth.oldest, [*depth.at_least],
        figures.enqueued, figures.ended,
    )  # fmt: skip


def _figures(call: ApiCall[Any, Any]) -> Sequence[Figures]:
    """Those of all queues, which many pages show: read once a second at most."""
    backend = call.backend
    return call.recent.get("figures", _AGE, lambda: figures_of(backend.store, lease=backend.lease))


def show_queue(call: ApiCall[Nothing, None]) -> QueueRow:
    """Show one queue."""
    name = call.path["queue"]
    _check(call, name)
    found = figures_of(call.backend.store, lease=call.backend.lease, name=name)
    return _row(found[0])


def list_queue_health(call: ApiCall[HealthQuery, None]) -> HealthList:
    """Show for each queue, or for one, whether its jobs run, and what to do if not."""
    if (name := call.query.queue) is None:
        return call.recent.get("queue-health", _AGE, lambda: _health(call, _figures(call)))
    backend = call.backend
    return _health(call, figures_of(backend.store, lease=backend.lease, name=name))


def _health(call: ApiCall[Any, Any], figures: Sequence[Figures]) -> HealthList:
    backend = call.backend
    found = healths_of(backend.store, figures, lease=backend.lease)
    return HealthList([converted(one._asdict(), QueueHealthShown) for one in found], EXPLAINED)


class PauseBody(msgspec.Struct, forbid_unknown_fields=True):
    """Why."""

    reason: Reason = ""


class Paused(msgspec.Struct):
    """Whether it is paused now."""

    name: str
    is_paused: bool


def pause_queue(call: ApiCall[Nothing, PauseBody]) -> Paused:
    """Stop workers from starting jobs of a queue; running jobs go on."""
    _check(call, call.path["queue"])
    return _pause(call, PauseKind.QUEUE, call.path["queue"])


def resume_queue(call: ApiCall[Nothing, None]) -> Paused:
    """Let workers start the jobs of a queue again."""
    _check(call, call.path["queue"])
    resume(call.backend, PauseKind.QUEUE, call.path["queue"])
    return Paused(call.path["queue"], is_paused=False)


def _pause(call: ApiCall[Any, PauseBody], kind: PauseKind, name: str) -> Paused:
    pause(call.backend, kind, name, by=call.who.name, reason=call.body.reason)
    return Paused(name, is_paused=True)


def _check(call: ApiCall[Any, Any], name: str) -> None:
    if not call.backend.store.queues.knows(name):
        raise JobNotFound(f"there is no queue {name!r}: see GET /api/queues")


_ONE = "/api/queues/{queue}"
ROUTES: Sequence[Route] = (
    Route("GET", "/api/queues", list_queues, QueueList, query=QueuesQuery),
    Route("GET", "/api/queue-health", list_queue_health, HealthList, query=HealthQuery),
    Route("GET", _ONE, show_queue, QueueRow),
    Route("POST", f"{_ONE}/pause", pause_queue, Paused, Role.OPERATE, body=PauseBody),
    Route("POST", f"{_ONE}/resume", resume_queue, Paused, Role.OPERATE),
)
