"""Routes of limits: list, set and remove."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from hammerflow.admin.known_names import refuse_unknown
from hammerflow.admin.limits import TARGET, check_limited_task, limit_json, whole_target
from hammerflow.jobs.limit import MAX_RUNNING, RATE, Limit
from hammerflow.web.access import Role
from hammerflow.web.backend import app_of
from hammerflow.web.routes.types import Name, checked_value, converted, known
from hammerflow.web.routing import ApiCall, Nothing, Route

__all__ = ["ROUTES"]


class LimitsQuery(msgspec.Struct, forbid_unknown_fields=True):
    """Of which task or queue."""

    task: Name | None = None
    queue: Name | None = None


class LimitRow(msgspec.Struct):
    """One key of a limit.

    Attributes:
        target: task:NAME, queue:NAME or batch:ID.
        key: of the jobs; empty where the limit has no keys.
        waiting: ready jobs; 100 000 of all limits are counted at most.
        next_start: seconds until the rate allows the next start.
        set_by: null: the code declares it.
    """

    target: str
    key: str
    rate: str | None
    max: int | None
    running: int
    waiting: int
    next_start: float
    set_by: str | None
    set_at: datetime | None


class LimitList(msgspec.Struct):
    """All limits, a row for each key that is in use."""

    items: list[LimitRow]


class LimitBody(msgspec.Struct, forbid_unknown_fields=True):
    """What may start; what is left out stays as it was."""

    rate: Annotated[
        str, Meta(min_length=1, max_length=64, description="Such as 100/m.")
    ] | None = None  # fmt: skip
    max: Annotated[
        int, Meta(ge=0, le=1_000_000, description="How many may run at a time; 0 stops all starts.")
    ] | None = None  # fmt: skip


class LimitHeld(msgspec.Struct):
    """The limit that holds now; nulls for none."""

    target: str
    rate: str | None
    max: int | None


def list_limits(call: ApiCall[LimitsQuery, None]) -> LimitList:
    """List the limits, for each key: what runs, what waits, and when the next job may start."""
    query = call.query
    pairs = (("task", query.task), ("queue", query.queue))
    wanted = {f"{kind}:{name}" for kind, name in pairs if name is not None}
    found = call.backend.store.limits.list()
    rows = [limit for limit in found if not wanted or limit.target in wanted]
    return LimitList([converted(limit_json(limit), LimitRow) for limit in rows])


def set_limit(call: ApiCall[Nothing, LimitBody]) -> LimitHeld:
    """Limit a task (each of its keys, if it has a limit_key), a queue or a batch.

    The target is task:NAME, queue:NAME, or batch:ID of a batch that was created with a rate. It
    holds for all workers within a second, until it is removed.
    """
    store, (kind, name) = call.backend.store, _target(call)
    if kind == "queue":
        known(lambda: refuse_unknown("queue", name, store.queues.names() | _declared(call)))
    elif kind == "task":
        known(lambda: check_limited_task(store, name))
    rate = checked_value(RATE, call.body.rate, "rate")
    most = checked_value(MAX_RUNNING, call.body.max, "max")
    return _held(
        call, kind, name, store.limits.give(kind, name, Limit(rate, most), by=call.who.name)
    )


def remove_limit(call: ApiCall[Nothing, None]) -> LimitHeld:
    """Remove a limit that was set; the one that the code declares applies again."""
    kind, name = _target(call)
    return _held(call, kind, name, call.backend.store.limits.remove(kind, name))


def _target(call: ApiCall[Any, Any]) -> tuple[str, str]:
    target: tuple[str, str] = TARGET(call.path["target"], "the target")
    return whole_target(call.backend.store, target)


def _declared(call: ApiCall[Any, Any]) -> set[str]:
    app = app_of(call.backend)
    tasks = () if app is None else app.tasks.values()
    return {"default", *(task.defaults.queue for task in tasks)}


def _held(call: ApiCall[Any, Any], kind: str, name: str, limit: Limit) -> LimitHeld:
    call.backend.notifier.ring(call.backend.store.queues.names())  # to look at waiting jobs again
    return converted({"target": f"{kind}:{name}", **limit.to_plain()}, LimitHeld)


_ONE = "/api/limits/{target}"
ROUTES: Sequence[Route] = (
    Route("GET", "/api/limits", list_limits, LimitList, query=LimitsQuery),
    Route("PUT", _ONE, set_limit, LimitHeld, Role.OPERATE, body=LimitBody),
    Route("DELETE", _ONE, remove_limit, LimitHeld, Role.OPERATE),
)
