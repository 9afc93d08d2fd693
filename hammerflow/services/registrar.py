"""Registrar: keeps this worker's row in the database true to what it can run."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from hammerflow.ids import worker_number
from hammerflow.services.heartbeat import Heartbeat
from hammerflow.services.lease_clock import now
from hammerflow.stores.store import Store

__all__ = ["Registrar", "Registration"]

log = logging.getLogger("hammerflow.registrar")
_EVERY = 1.0  # while an old number waits to be dropped
_SELDOM = 60.0


class Registration(NamedTuple):
    """What a worker says of itself."""

    info: Mapping[str, Any]
    tasks: Sequence[str]
    queues: Sequence[str]


class Registrar:
    """Registers anew, under a new number, when the tasks have changed or the row is gone; the
    old number is kept alive until no job is held under it.

    Args:
        describe: gives what to register.
        is_used: whether jobs are held under a number.
        on_ready: called with queues in which jobs were revived.

    Attributes:
        worker_id: the number to claim under; None while there is none.
    """

    def __init__(
        self,
        store: Store,
        heart: Heartbeat,
        *,
        describe: Callable[[], Registration],
        is_used: Callable[[int], bool],
        on_ready: Callable[[Iterable[str]], None],
    ) -> None:
        self._store = store
        self._heart = heart
        self._describe = describe
        self._is_used = is_used
        self._on_ready = on_ready
        self._is_due = True
        self._old: list[int] = []
        self.worker_id: int | None = None

    def renew(self) -> None:
        """Register anew at the next tick; until then the old number serves."""
        self._is_due = True

    def gone(self, worker_id: int) -> None:
        """The row of this number is gone; :meth:`renew` once nothing runs under it any more."""
        log.warning("this worker was silent for too long: its jobs were taken over")
        if worker_id in self._old:
            self._old.remove(worker_id)
        if worker_id == self.worker_id:
            self.worker_id = None

    def tick(self) -> float:
        if self._is_due:
            self._is_due = False
            try:
                self._register()
            except BaseException:
                self._is_due = True
                raise
        for worker_id in [i for i in self._old if not self._is_used(i)]:
            self._store.workers.leave(worker_id)
            self._heart.drop(worker_id)
            self._old.remove(worker_id)
        return _EVERY if self._old else _SELDOM

    def leave(self) -> None:
        """This worker ends."""
        for worker_id in (self.worker_id, *self._old):
            if worker_id is not None:
                self._heart.drop(worker_id)
                self._store.workers.leave(worker_id)
        self.worker_id, self._old = None, []

    def _register(self) -> None:
        info, tasks, queues = self._describe()
        worker_id, begun = worker_number(), now()
        revived = self._store.workers.register(
            worker_id,
            host=socket.gethostname(),
            pid=os.getpid(),
            info=info,
            tasks=tasks,
            queues=queues,
        )
        self._heart.add(worker_id, begun)
        if self.worker_id is not None:
            self._old.append(self.worker_id)
        self.worker_id = worker_id
        if revived:
            self._on_ready(revived)
