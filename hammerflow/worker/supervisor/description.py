"""WorkerDescription: what a worker tells of itself, to the database and in its log."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any

from hammerflow.services.registrar import Registration
from hammerflow.services.scheduler import version_of
from hammerflow.stores.store import Store
from hammerflow.tasks.builtin import BUILTIN
from hammerflow.worker.logs import facts
from hammerflow.worker.options import WorkerOptions
from hammerflow.worker.supervisor.child_count import ChildCount
from hammerflow.worker.supervisor.fork_server_client import Greeting
from hammerflow.worker.supervisor.queue_order import QueueOrder

__all__ = ["WorkerDescription"]

log = logging.getLogger("hammerflow.worker")


class WorkerDescription:
    """Describes a worker by its options, its queues and the code that it runs.

    Args:
        greeting: the first one: a reload replaces the code, not the settings.
    """

    def __init__(
        self,
        options: WorkerOptions,
        greeting: Greeting,
        store: Store,
        queue_order: QueueOrder,
        child_count: ChildCount,
    ) -> None:
        self._options = options
        self._name, self._settings = greeting.name, greeting.settings
        self._store = store
        self._queue_order = queue_order
        self._child_count = child_count
        self._new_queues: set[str] | None = None  # of -Q, not in the database at the start

    def of(self, greeting: Greeting) -> Registration:
        """The registration of the worker while it runs the code that has sent this greeting."""
        from hammerflow import __version__

        settings, catalog, queues = self._settings, greeting.catalog, self._queue_order.names
        info = {
            "version": __version__, "app": self._options.app, "name": self._name,
            **self._child_count.info, "queues": queues, "is_open": self._queue_order.is_open,
            "doorbell": settings.doorbell_address, "caps": self._options.caps,
            "aging": self._options.priority_rule(settings).aging, "tasks": _count_tasks(greeting),
            "namespace": settings.namespace, "schedules": version_of(greeting.schedules),
        }  # fmt: skip
        if self._new_queues is None:
            self._new_queues = self._find_new_queues(catalog.queues)
        named = [name for name in queues if name not in self._new_queues]
        kept = settings.retention
        lifetimes = {t.name: {**kept, **(t.retention or {})} for t in catalog.tasks}
        return Registration(info, catalog.names, named, catalog.limits, lifetimes, catalog.shapes)

    def started(self, greeting: Greeting) -> dict[str, Any]:
        """The fields of the line "worker started" in the log."""
        settings = self._settings
        return facts(
            app=self._options.app, database=settings.database_label,
            database_from=settings.database_source, doorbell=settings.bell,
            children=self._options.child_range.to_plain(), tasks=_count_tasks(greeting),
            queues="all" if self._queue_order.is_open else ",".join(self._queue_order.names),
        )  # fmt: skip

    def _find_new_queues(self, of_tasks: Iterable[str]) -> set[str]:
        """Name queues of -Q that nobody has used yet: each may be a typo, so none is written
        before its first job."""
        known = self._store.queues.names() | {"default", *of_tasks}
        new = {*(self._options.weights or ())} - known
        for name in sorted(new):
            log.warning(
                "the queue %s is new: no job was ever in it, and no task of the app names it; "
                "check its name in -Q", name,
            )  # fmt: skip
        return new


def _count_tasks(greeting: Greeting) -> int:
    """How many tasks the app itself has."""
    return sum(not name.startswith(BUILTIN) for name in greeting.catalog.names)
