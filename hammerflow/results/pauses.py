"""Pause and resume: written by the store, and told to workers."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, TypedDict, Unpack

from hammerflow.errors import ConfigError
from hammerflow.notifiers.base import Notifier
from hammerflow.options.checks import NAME_CHECK, NOTE
from hammerflow.options.option import Option, OptionTable, checked, documented
from hammerflow.stores.pauses import Pause, PauseKind
from hammerflow.stores.store import Store
from hammerflow.text import user_at_host

if TYPE_CHECKING:
    from hammerflow.results.async_calls import AsyncCalls

__all__ = [
    "PAUSE_OPTIONS", "RESUME_OPTIONS", "PauseOptions", "ResumeOptions", "apause_by_options",
    "aresume_by_options", "list_pauses", "pause", "pause_by_options", "resume",
    "resume_by_options",
]  # fmt: skip

_QUEUE = Option("queue", NAME_CHECK, "None", "The queue, which need not exist yet.")
_TASK = Option("task", NAME_CHECK, "None", "The task, likewise. Neither: the whole app.")
#: What ``app.pause(...)`` takes.
PAUSE_OPTIONS = OptionTable(
    (
        _QUEUE,
        _TASK,
        Option("reason", NOTE, '""', "Why; it is listed."),
        Option("by", NOTE, "user@host", "Who; it is listed."),
    )
)
#: What ``app.resume(...)`` takes.
RESUME_OPTIONS = OptionTable((_QUEUE, _TASK))


class ResumeOptions(TypedDict, total=False):
    """The keywords of ``app.resume(...)``; :data:`RESUME_OPTIONS` describes them."""

    queue: str | None
    task: str | None


class PauseOptions(ResumeOptions, total=False):
    """The keywords of ``app.pause(...)``; :data:`PAUSE_OPTIONS` describes them."""

    reason: str | None
    by: str | None


class PauseBackend(Protocol):
    """What pauses need of an app or a command."""

    @property
    def store(self) -> Store: ...
    @property
    def notifier(self) -> Notifier: ...


class AsyncPauseBackend(PauseBackend, Protocol):
    """What the async forms need besides."""

    @property
    def async_calls(self) -> AsyncCalls: ...


def pause(backend: PauseBackend, kind: PauseKind, name: str, *, by: str, reason: str) -> None:
    """Pause the app, a queue or a task; see :meth:`Pauses.pause`."""
    backend.store.pauses.pause(kind, name, by=by, reason=reason)
    backend.notifier.ring_control()


def resume(backend: PauseBackend, kind: PauseKind, name: str) -> bool:
    """End a pause and ring for the jobs that it has held; False if there was none."""
    was_paused = backend.store.pauses.resume(kind, name)
    backend.notifier.ring_control()
    backend.notifier.ring({name} if kind is PauseKind.QUEUE else backend.store.queues.names())
    return was_paused


@documented(*PAUSE_OPTIONS)
def pause_by_options(self: PauseBackend, /, **options: Unpack[PauseOptions]) -> None:
    """Pause a queue, a task or, with neither, the whole app: every job in its database. Once this
    returns, no worker claims such a job. Running jobs continue, and new ones can be enqueued.

    Raises:
        ConfigError: both a queue and a task are given.
        StoreUnavailable: the database cannot be reached.
    """
    kind, name, more = _thing(PAUSE_OPTIONS, options, "app.pause()")
    by, reason = more.get("by") or user_at_host(), more.get("reason", "")
    pause(self, kind, name, by=by, reason=reason)


@documented(*RESUME_OPTIONS)
def resume_by_options(self: PauseBackend, /, **options: Unpack[ResumeOptions]) -> bool:
    """End the pause of a queue, a task or, with neither, the whole app; False if there was none.
    Other pauses stay.

    Raises:
        ConfigError: both a queue and a task are given.
        StoreUnavailable: the database cannot be reached.
    """
    kind, name, _ = _thing(RESUME_OPTIONS, options, "app.resume()")
    return resume(self, kind, name)


@documented(*PAUSE_OPTIONS)
async def apause_by_options(self: AsyncPauseBackend, /, **options: Unpack[PauseOptions]) -> None:
    """:meth:`pause` without blocking the event loop."""
    await self.async_calls.write(partial(pause_by_options, self, **options))


@documented(*RESUME_OPTIONS)
async def aresume_by_options(self: AsyncPauseBackend, /, **options: Unpack[ResumeOptions]) -> bool:
    """:meth:`resume` without blocking the event loop."""
    return await self.async_calls.write(partial(resume_by_options, self, **options))


def list_pauses(self: PauseBackend) -> list[Pause]:
    """What is paused: since when, by whom and why."""
    return list(self.store.pauses.list())


def _thing(
    options: OptionTable, given: Mapping[str, Any], owner: str
) -> tuple[PauseKind, str, dict[str, Any]]:
    """What a call names, its kind and name, and the other options; ConfigError if it names two."""
    found = checked(options, given, owner)
    queue, task = found.pop("queue", None), found.pop("task", None)
    if queue is not None and task is not None:
        raise ConfigError(f"{owner}: give either queue or task, and call it again for the other")
    if queue is not None:
        return PauseKind.QUEUE, queue, found
    return (PauseKind.APP, "", found) if task is None else (PauseKind.TASK, task, found)
