"""Registrar: keeps this worker's row in the database equal to what it can run."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from typing import Any, NamedTuple

from hammerflow.ids import worker_number
from hammerflow.jobs.limit import Limit
from hammerflow.jobs.retention import Lifetimes
from hammerflow.notifiers.address import all_in_words, in_words, unheard
from hammerflow.stores.store import Store
from hammerflow.tasks.builtin import BUILTIN
from hammerflow.text import host_name

__all__ = ["Registrar", "Registration"]

log = logging.getLogger("hammerflow.registrar")
#: Seconds between ticks: while an old registration waits to be removed, and else.
_BUSY = 1.0
_IDLE = 60.0


class Registration(NamedTuple):
    """What a worker tells others about itself."""

    info: Mapping[str, Any]  # shown by ``hammerflow doctor``
    tasks: Sequence[str]  # that it can run
    queues: Sequence[str]  # that it serves, and whose names are to be in the database
    limits: Mapping[str, Limit]  # that its tasks declare
    lifetimes: Mapping[str, Lifetimes]  # of the jobs of its tasks
    shapes: Mapping[str, str]  # of its tasks, for calls that are made without their code


@dataclass(eq=False)
class Registrar:
    """Registers under a new worker id when the tasks have changed or the row is gone.

    The old registration is kept alive until no job is held under it: a fencing check compares the
    worker id of the claim, so a job must be settled under the id that claimed it.

    ``on_registered`` gets a new worker id, which needs a heartbeat from now on, and an instant of
    the lease clock before its row was written.
    """

    store: Store
    _: KW_ONLY
    describe: Callable[[], Registration]
    is_used: Callable[[int], bool]  # whether jobs are held under a worker id
    on_ready: Callable[[Iterable[str]], None]  # called with the queues where parked jobs are ready
    on_registered: Callable[[int, float], None]
    on_dropped: Callable[[int], None]  # called with a worker id that needs no heartbeat any more
    worker_id: int | None = field(init=False, default=None)  # the one to claim under
    _is_due: bool = field(init=False, default=True)
    _has_news: bool = field(init=False, default=False)
    _old: list[int] = field(init=False, default_factory=list)
    _shared: frozenset[str] = field(init=False, default=frozenset())  # tasks, already warned of
    _unheard: set[str] = field(init=False, default_factory=set)  # doorbells, likewise

    def renew(self) -> None:
        """Register again at the next tick; until then the current worker id serves."""
        self._is_due = True

    def tell(self) -> None:
        """Write what it tells about itself again at the next tick."""
        self._has_news = True

    def forget(self, worker_id: int) -> None:
        """The row of this worker id is gone; call :meth:`renew` once no job runs under it."""
        log.warning("no heartbeat for longer than the lease: other workers took over the jobs")
        if worker_id in self._old:
            self._old.remove(worker_id)
        if worker_id == self.worker_id:
            self.worker_id = None

    def tick(self, now: float) -> float:
        """Register where that is due, and remove old registrations that hold no job."""
        if self._is_due:
            self._is_due = False  # before the statements: renew() may be called meanwhile
            try:
                self._register(now)
            except BaseException:
                self._is_due = True
                raise
        elif self._has_news and self.worker_id is not None:
            self._has_news = False
            self.store.workers.tell(self.worker_id, self.describe().info)
        for worker_id in [i for i in self._old if not self.is_used(i)]:
            self.store.workers.leave(worker_id)
            self.on_dropped(worker_id)
            self._old.remove(worker_id)
        self._warn_of_unheard()
        return _BUSY if self._old else _IDLE

    def leave(self) -> None:
        """Remove all registrations: the worker ends."""
        for worker_id in (self.worker_id, *self._old):
            if worker_id is not None:
                self.on_dropped(worker_id)
                self.store.workers.leave(worker_id)
        self.worker_id, self._old = None, []

    def _register(self, now: float) -> None:
        info, tasks, queues, limits, lifetimes, shapes = self.describe()
        worker_id = worker_number()
        own = [task for task in tasks if not task.startswith(BUILTIN)]
        self.store.limits.declare(limits, own)  # before the first claim
        revived = self.store.workers.register(
            worker_id, host=host_name(), pid=os.getpid(),
            info=info, tasks=tasks, queues=queues, shapes=shapes,
        )  # fmt: skip
        self.on_registered(worker_id, now)
        if self.worker_id is not None:
            self._old.append(self.worker_id)
        self.worker_id = worker_id
        if revived:
            self.on_ready(revived)
        self.store.retention.keep_tasks(lifetimes)
        self._warn_of_shared(tasks)

    def _warn_of_unheard(self) -> None:
        """Say which doorbells clients ring for nobody, once for each."""
        addresses = [each["info"].get("doorbell") for each in self.store.workers.list()]
        heard = [address for address in addresses if address]
        rung = {in_words(each) for each in unheard(self.store.clients.doorbells(), heard)}
        for doorbell in sorted(rung - self._unheard):
            log.warning(
                "clients ring %s; the workers listen to %s, so jobs of these clients wait for a "
                "poll: give both the same redis, doorbell and namespace",
                doorbell, all_in_words(heard),
            )  # fmt: skip
        self._unheard |= rung

    def _warn_of_shared(self, tasks: Sequence[str]) -> None:
        """Say which of these tasks another app of this database has as well, once for each."""
        shared = {
            name: apps
            for name, apps in self.store.workers.shared_tasks().items()
            if name in tasks and not name.startswith(BUILTIN)
        }
        if not shared.keys() <= self._shared:
            log.warning(
                "the apps %s of this database both have the tasks %s and run each other's jobs: "
                "rename them in one of the apps, or give each app a prefix or database of its own",
                ", ".join(sorted({app for apps in shared.values() for app in apps})),
                ", ".join(sorted(shared)),
            )
        self._shared = frozenset(shared)
