"""Routes of pauses: what is paused, and the whole app."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import msgspec

from hammerflow.results.pauses import pause, resume
from hammerflow.stores.pauses import PauseKind
from hammerflow.web.access import Role
from hammerflow.web.routes.queues import PauseBody, Paused
from hammerflow.web.routes.types import converted
from hammerflow.web.routing import ApiCall, Nothing, Route

__all__ = ["ROUTES"]


class PauseShown(msgspec.Struct):
    """A pause of the app, a queue or a task."""

    kind: str
    name: str
    paused_at: datetime
    paused_by: str | None
    reason: str | None


class PauseList(msgspec.Struct):
    """All pauses."""

    items: list[PauseShown]


def list_pauses(call: ApiCall[Nothing, None]) -> PauseList:
    """List what is paused: since when, by whom and why."""
    found = call.backend.store.pauses.list()
    return PauseList([converted(each, PauseShown) for each in found])


def pause_app(call: ApiCall[Nothing, PauseBody]) -> Paused:
    """Stop workers from starting any job; running jobs go on."""
    pause(call.backend, PauseKind.APP, "", by=call.who.name, reason=call.body.reason)
    return Paused("", is_paused=True)


def resume_app(call: ApiCall[Nothing, None]) -> Paused:
    """Let workers start jobs again; pauses of queues and tasks stay."""
    resume(call.backend, PauseKind.APP, "")
    return Paused("", is_paused=False)


ROUTES: Sequence[Route] = (
    Route("GET", "/api/pauses", list_pauses, PauseList),
    Route("POST", "/api/app/pause", pause_app, Paused, Role.OPERATE, body=PauseBody),
    Route("POST", "/api/app/resume", resume_app, Paused, Role.OPERATE),
)
