"""Claims ready jobs when children have room, and gives them to the pool."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable

from hammerflow.errors import StoreUnavailable
from hammerflow.services.database_status import DatabaseStatus
from hammerflow.stores.store import Store
from hammerflow.worker.supervisor.child_group import Group
from hammerflow.worker.supervisor.pool import Pool
from hammerflow.worker.supervisor.queue_order import QueueOrder

__all__ = ["Dispatcher"]

log = logging.getLogger("hammerflow.dispatcher")


class Dispatcher:
    """A thread that claims for one group of children.

    It claims when the doorbell rings and at every poll interval, but only while the group has room,
    and again at once after a claim that filled the room.

    Args:
        is_full: whether no more jobs may be claimed now.
        is_quiet: whether no job is held and every outcome is written.
        poll: seconds between two claims when the doorbell does not ring.
        burst: poll often, and promote scheduled jobs before each claim.

    Attributes:
        claiming: held while a claim is under way.
        empty_at: the pool's count of changes when a quiet worker last claimed and found nothing.
    """

    def __init__(
        self,
        store: Store,
        pool: Pool,
        group: Group,
        *,
        worker_id: Callable[[], int],
        queue_order: QueueOrder,
        database_status: DatabaseStatus,
        is_full: Callable[[], bool],
        is_quiet: Callable[[], bool],
        poll: float,
        burst: bool,
        name: str,
    ) -> None:
        self._store = store
        self._pool = pool
        self._group = group
        self._worker_id = worker_id
        self._queue_order = queue_order
        self._database_status = database_status
        self._is_full = is_full
        self._is_quiet = is_quiet
        self._poll = 0.05 if burst else poll
        self._burst = burst
        self._rung = True
        self._next_poll = 0.0
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self.claiming = threading.Lock()
        self.empty_at = -1

    def start(self) -> None:
        """Start the thread; it claims at once."""
        self._thread.start()

    def ring(self) -> None:
        """There may be work."""
        with self._group.has_room:
            self._rung = True
            self._group.has_room.notify_all()

    def stop(self, timeout: float) -> None:
        """Claim no more, and wait up to ``timeout`` seconds for a claim that is under way."""
        with self._group.has_room:
            self._stopping = True
            self._group.has_room.notify_all()
        if self._thread.is_alive():
            self._thread.join(timeout)

    def _run(self) -> None:
        while (room := self._wait_for_room()) > 0:
            try:
                with self.claiming:
                    self._claim(room)
            except StoreUnavailable as error:
                self._pause(self._database_status.mark_down(error))
            except Exception:  # a border: a claim that fails must not end all claims
                log.exception("a claim failed")
                self._pause(1.0)
            else:
                self._database_status.mark_up()

    def _wait_for_room(self) -> int:
        """How many jobs to claim, once there is a reason to; 0 at the end."""
        with self._group.has_room:
            while not self._stopping:
                now = time.monotonic()
                room = 0 if self._is_full() else self._group.room(now)
                wait = 0.0 if self._rung else self._next_poll - now
                if room and wait <= 0:
                    self._rung = self._group.wants_room = False
                    return room
                self._group.wants_room = not room
                self._group.has_room.wait(self._wait_at_most(room, wait))
            return 0

    def _wait_at_most(self, room: int, until_poll: float) -> float | None:
        if not self._group.wanted:
            return None  # the app has no task for this group; a new fork server notifies
        return min(until_poll, self._poll) if room else self._poll

    def _claim(self, room: int) -> None:
        """Claim from the queues in turn until the room is filled."""
        left, busy, changes = room, False, -1
        if self._burst:
            changes = self._pool.changes if self._is_quiet() else -1
            self._store.jobs.promote()
        for queue in self._queue_order.order():
            worker_id = self._worker_id()
            jobs = self._store.jobs.claim(
                worker_id, queue=queue, task_ids=self._group.task_ids, limit=left,
                thorough=self._burst,
            )  # fmt: skip
            if jobs:
                self._pool.offer(self._group, worker_id, jobs, queue)
                left -= len(jobs)
                busy = True
            if left <= 0:
                break
        if left <= 0:
            self._rung = True  # there may be more
        elif not busy:
            self.empty_at = changes
        self._next_poll = time.monotonic() + self._poll * random.uniform(0.9, 1.0)

    def _pause(self, seconds: float) -> None:
        with self._group.has_room:
            self._rung = True
            if not self._stopping:
                self._group.has_room.wait(seconds)
