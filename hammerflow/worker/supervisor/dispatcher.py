"""Dispatcher: claims ready jobs when children have room, and hands them to the pool."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable

from hammerflow.errors import StoreUnavailable
from hammerflow.services.database_status import DatabaseStatus
from hammerflow.stores.store import Store
from hammerflow.worker.supervisor.child_group import AsyncChildGroup, SerialChildGroup
from hammerflow.worker.supervisor.queue_order import QueueOrder

__all__ = ["Dispatcher"]

log = logging.getLogger("hammerflow.dispatcher")


class Dispatcher:
    """A thread that claims for one crew.

    It looks when it is rung and at every poll interval, but only while there is room, and claims
    again at once after a claim that was full.

    Args:
        worker_id: gives the registration to claim under.
        is_full: whether no more jobs may be claimed now.
        is_quiet: whether no job is held and no outcome unwritten.
        poll: seconds between two looks when no bell rings.
        burst: look often, and promote before each look.
    """

    def __init__(
        self,
        store: Store,
        crew: SerialChildGroup | AsyncChildGroup,
        *,
        worker_id: Callable[[], int],
        schedule: QueueOrder,
        database_status: DatabaseStatus,
        is_full: Callable[[], bool],
        is_quiet: Callable[[], bool],
        poll: float,
        burst: bool,
        name: str,
    ) -> None:
        self._store = store
        self._crew = crew
        self._worker_id = worker_id
        self._schedule = schedule
        self._database_status = database_status
        self._is_full = is_full
        self._is_quiet = is_quiet
        self._poll = 0.05 if burst else poll
        self._burst = burst
        self._rung = True
        self._next_look = 0.0
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self.claiming = threading.Lock()  # held while a claim is under way
        self.empty_at = -1  # the pool's count of changes at the last look that found nothing

    def start(self) -> None:
        """Begin with a look."""
        self._thread.start()

    def ring(self) -> None:
        """There may be work."""
        with self._crew.has_room:
            self._rung = True
            self._crew.has_room.notify_all()

    def stop(self, timeout: float) -> None:
        """Claim no more; a claim under way is waited for."""
        with self._crew.has_room:
            self._stopping = True
            self._crew.has_room.notify_all()
        if self._thread.is_alive():
            self._thread.join(timeout)

    def _run(self) -> None:
        while (room := self._wait_for_room()) > 0:
            try:
                with self.claiming:
                    self._look(room)
            except StoreUnavailable as error:
                self._pause(self._database_status.mark_down(error))
            except Exception:  # a border: a claim that fails must not end all claims
                log.exception("a claim failed")
                self._pause(1.0)
            else:
                self._database_status.mark_up()

    def _wait_for_room(self) -> int:
        """How many jobs to claim, once there is a reason to; 0 at the end."""
        with self._crew.has_room:
            while not self._stopping:
                room = 0 if self._is_full() else self._crew.room(time.monotonic())
                wait = 0.0 if self._rung else self._next_look - time.monotonic()
                if room and wait <= 0:
                    self._rung = self._crew.wants_room = False
                    return room
                self._crew.wants_room = not room
                self._crew.has_room.wait(self._wait_at_most(room, wait))
            return 0

    def _wait_at_most(self, room: int, until_look: float) -> float | None:
        if not self._crew.wanted:
            return None  # the app has no task for this crew; staffing it notifies
        return min(until_look, self._poll) if room else self._poll

    def _look(self, room: int) -> None:
        """Ask the queues in turn until the room is filled."""
        left, busy, changes = room, False, -1
        if self._burst:
            changes = self._crew.changes if self._is_quiet() else -1
            self._store.jobs.promote()
        for queue in self._schedule.order():
            worker_id = self._worker_id()
            jobs = self._store.jobs.claim(
                worker_id, queue=queue, task_ids=self._crew.task_ids, limit=left,
                thorough=self._burst,
            )  # fmt: skip
            if jobs:
                self._crew.offer(worker_id, jobs, queue)
                left -= len(jobs)
                busy = True
            if left <= 0:
                break
        if left <= 0:
            self._rung = True  # there may be more
        elif not busy:
            self.empty_at = changes
        self._next_look = time.monotonic() + self._poll * random.uniform(0.9, 1.0)

    def _pause(self, seconds: float) -> None:
        with self._crew.has_room:
            self._rung = True
            if not self._stopping:
                self._crew.has_room.wait(seconds)
