"""Claims ready jobs when children have room, and gives them to the pool."""

from __future__ import annotations

import logging
import math
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from hammerflow.jobs.priority_rule import PriorityRule
from hammerflow.services.database_status import DatabaseStatus
from hammerflow.stores.store import Store
from hammerflow.worker.supervisor.child_group import Group
from hammerflow.worker.supervisor.counters import WorkerCounters
from hammerflow.worker.supervisor.pool import Pool
from hammerflow.worker.supervisor.queue_caps import QueueCaps
from hammerflow.worker.supervisor.queue_order import QueueOrder

__all__ = ["Claimer"]

log = logging.getLogger("hammerflow.claimer")
#: Seconds after which jobs that a claim has passed over are claimed, doubled each time.
_PASSED = 0.005
_AFTER_ERROR = 1.0  # seconds


@dataclass(eq=False)
class Claimer:
    """A thread that claims for one group of children.

    It claims when the doorbell rings and at every poll interval, but only while the group has room,
    and again at once after a claim that filled the room.

    Attributes:
        is_full: whether no more jobs may be claimed now.
        is_quiet: whether no job is held and every outcome is written.
        poll: seconds between two claims when the doorbell does not ring.
        rule: how priorities count.
        counters: count the claims; None: nobody asks.
        burst: poll often, and promote scheduled jobs before each claim.
        claiming: held while a claim is under way.
        unanswered_since: when the first claim began since one was answered; infinity if all were.
        empty_at: the pool's count of changes when a quiet worker last claimed and found nothing.
    """

    store: Store
    pool: Pool
    group: Group
    name: str
    worker_id: Callable[[], int]
    queue_order: QueueOrder
    caps: QueueCaps
    database_status: DatabaseStatus
    is_full: Callable[[], bool]
    is_quiet: Callable[[], bool]
    poll: float
    burst: bool
    rule: PriorityRule
    counters: WorkerCounters | None = None
    claiming: threading.Lock = field(default_factory=threading.Lock)
    unanswered_since: float = math.inf
    empty_at: int = -1
    _rung: bool = True
    _is_poll: bool = False  # no ring has told of what this claim finds
    _next_poll: float = 0.0
    _short: int = 0  # claims in a row that passed over ready jobs
    _last_queue: int | None = None  # the number of the one that was claimed from last
    _stopping: bool = False

    def __post_init__(self) -> None:
        if self.burst:
            self.poll = 0.05
        self._thread = threading.Thread(target=self._run, name=self.name, daemon=True)

    def start(self) -> None:
        """Start the thread; it claims at once."""
        self._thread.start()

    def ring(self) -> None:
        """There may be work."""
        with self.group.has_room:
            self._rung = True
            self.group.has_room.notify_all()

    def stop(self, timeout: float) -> None:
        """Claim no more, and wait up to ``timeout`` seconds for a claim that is under way."""
        with self.group.has_room:
            self._stopping = True
            self.group.has_room.notify_all()
        if self._thread.is_alive():
            self._thread.join(timeout)

    def _run(self) -> None:
        while (room := self._wait_for_room()) > 0:
            self.unanswered_since = min(self.unanswered_since, time.monotonic())
            try:
                with self.claiming:
                    self._claim(room)
            except Exception as error:  # a border: a claim that fails must not end all claims
                pause = self.database_status.note(error, self)
                if pause is None:
                    log.exception("a claim failed")
                self._pause(_AFTER_ERROR if pause is None else pause)
            else:
                self.unanswered_since = math.inf
                self.database_status.mark_up(self)

    def _wait_for_room(self) -> int:
        """How many jobs to claim, once there is a reason to; 0 at the end."""
        with self.group.has_room:
            while not self._stopping:
                now = time.monotonic()
                room = 0 if self.is_full() else self.group.room(now)
                wait = 0.0 if self._rung else self._next_poll - now
                if room and wait <= 0:
                    self._is_poll = not self._rung
                    self._rung = self.group.wants_room = False
                    return room
                self.group.wants_room = not room
                self.group.has_room.wait(self._wait_at_most(room, wait))
            return 0

    def _wait_at_most(self, room: int, until_poll: float) -> float | None:
        if not self.group.wanted:
            return None  # the app has no task for this group; a new fork server notifies
        return min(until_poll, self.poll) if room else self.poll

    def _claim(self, room: int) -> None:
        """Claim from the queues in turn until the room is filled."""
        left, changes = room, -1
        short, passed, waits = set[str](), set[str](), list[float]()
        given: Counter[str] = Counter()
        if self.burst:
            if self.store.jobs.promote().count:
                self.pool.note_change()  # the other claimer has found nothing too early
            changes = self.pool.changes if self.is_quiet() else -1
        for queue, share in self._turns(room):
            if queue in short:
                continue
            limit = min(share, left)
            with self.caps.room_of(queue, limit) as most:
                count = self._claim_from(queue, most) if most > 0 else 0
            left, given[queue] = left - count, given[queue] + count
            wait = self.store.jobs.claim_wait(queue, self.group.task_ids) if most > 0 else None
            if wait is not None:
                waits.append(wait)
            if count < limit:
                short.add(queue)
                if count < most and self.store.jobs.has_passed(queue, self.group.task_ids):
                    passed.add(queue)  # else it is at its cap
            if left <= 0:
                self._rung = True  # there may be more
                break
        self.queue_order.note(self.name, room, given, short - passed)
        if left == room and not waits:
            self.empty_at = changes
        self._short = self._short + 1 if passed and left > 0 else 0
        pause = self.poll if not passed else min(self.poll, _PASSED * 2 ** min(self._short, 10))
        self._next_poll = time.monotonic() + min([pause * random.uniform(0.9, 1.0), *waits])

    def _turns(self, room: int) -> Iterator[tuple[str, int]]:
        """The queues to claim from, in order, and how many jobs from each at most: of many queues
        those with ready jobs, from behind the one that came last."""
        if not self.queue_order.is_long:
            yield from self.queue_order.shares(room, self.name)
            return
        start = after = self._last_queue
        is_second = start is None
        while True:
            queue_id = self.store.queues.next_ready(after)
            if queue_id is None and not is_second:
                is_second, after = True, None
                continue
            if queue_id is None or (is_second and start is not None and queue_id > start):
                return
            after = queue_id
            if (name := self.queue_order.name_of(queue_id)) is not None:
                self._last_queue = queue_id
                yield name, room

    def _claim_from(self, queue: str, limit: int) -> int:
        worker_id, begun = self.worker_id(), time.monotonic()
        jobs = self.store.jobs.claim(
            worker_id, queue=queue, task_ids=self.group.task_ids, limit=limit,
            thorough=self.burst, rule=self.rule,
        )  # fmt: skip
        if self.counters is not None:
            self.counters.note_claim(time.monotonic() - begun, len(jobs))
            if jobs and self._is_poll:
                self.counters.count("poll_fallbacks_total", 1)
                self._is_poll = False
        if jobs:
            self.pool.offer(self.group, worker_id, jobs, queue)
        return len(jobs)

    def _pause(self, seconds: float) -> None:
        with self.group.has_room:
            self._rung = True
            if not self._stopping:
                self.group.has_room.wait(seconds)
