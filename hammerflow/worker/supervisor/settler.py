"""Writes outcomes in batches: all that have arrived when the last write returns."""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from hammerflow.errors import StoreUnavailable
from hammerflow.jobs.job import Claimed
from hammerflow.jobs.outcome import (
    Completed,
    Failed,
    Lost,
    Outcome,
    Released,
    Retrying,
    Settled,
    Snoozed,
)
from hammerflow.jobs.settlement import Settlement
from hammerflow.services.database_status import DatabaseStatus
from hammerflow.stores.store import Store
from hammerflow.worker.failures import failure_of
from hammerflow.worker.logs import facts

__all__ = ["Settler"]

log = logging.getLogger("hammerflow.settler")
Pair = tuple[Claimed, Outcome]

_BATCH = 1_000
#: While more outcomes than this (or more bytes of results) are unwritten, nothing is claimed.
_FULL = 10_000
_FULL_BYTES = 256 << 20


@dataclass(eq=False)
class Settler:
    """A queue of outcomes and the thread that writes them.

    An outcome is kept until the database has accepted it or refused it as stale. It is written
    under the registration that claimed its job, so a late write does no harm.

    Attributes:
        on_later: called with the seconds after which a job of a batch is due again.
    """

    store: Store
    database_status: DatabaseStatus
    on_settled: Callable[[Settlement], None]
    on_later: Callable[[float], None]
    _queue: deque[tuple[int, list[Pair]]] = field(default_factory=deque)
    _changed: threading.Condition = field(default_factory=threading.Condition)
    _writing: tuple[int, list[Pair]] | None = None
    _count: int = 0
    _bytes: int = 0
    _stopping: bool = False
    _give_up_at: float | None = None

    def __post_init__(self) -> None:
        self._thread = threading.Thread(target=self._run, name="settler", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    @property
    def is_full(self) -> bool:
        """Whether claims should pause."""
        return self._count > _FULL or self._bytes > _FULL_BYTES

    @property
    def is_idle(self) -> bool:
        """Whether everything is written."""
        return self._count == 0

    def put(self, worker_id: int, pairs: list[Pair]) -> None:
        """Queue these outcomes; what a child has settled in its own transaction needs no more."""
        settled = [outcome for _, outcome in pairs if type(outcome) is Settled]
        if settled:
            _log_stale(sum(outcome.stale for outcome in settled))
            pairs = [pair for pair in pairs if type(pair[1]) is not Settled]
        if not pairs:
            return
        with self._changed:
            self._queue.append((worker_id, pairs))
            self._count += len(pairs)
            self._bytes += _size(pairs)
            self._changed.notify()

    def held(self, worker_id: int) -> set[bytes]:
        """Ids of jobs of this registration whose outcome is not written yet."""
        with self._changed:
            groups = [*self._queue, *([self._writing] if self._writing else [])]
            return {job.id for owner, pairs in groups if owner == worker_id for job, _ in pairs}

    def stop(self, timeout: float) -> bool:
        """Write all outcomes and end; False if that took longer than ``timeout`` seconds."""
        with self._changed:
            self._stopping = True
            self._give_up_at = time.monotonic() + timeout
            self._changed.notify()
        if self._thread.is_alive():
            self._thread.join(timeout + 1.0)
        return self.is_idle

    def _run(self) -> None:
        while (batch := self._take_batch()) is not None:
            worker_id, pairs = batch
            is_written = self._write(worker_id, pairs)
            with self._changed:
                self._writing = None
                if not is_written:
                    return  # given up: these still count, so the settler is not idle
                self._count -= len(pairs)
                self._bytes -= _size(pairs)

    def _take_batch(self) -> tuple[int, list[Pair]] | None:
        """Move up to a batch to ``_writing``, where ``held`` still finds it; None at the end."""
        with self._changed:
            while not self._queue:
                if self._stopping:
                    return None
                self._changed.wait()
            worker_id, first = self._queue.popleft()
            pairs = [*first]
            while self._queue and self._queue[0][0] == worker_id and len(pairs) < _BATCH:
                pairs += self._queue.popleft()[1]
            if len(pairs) > _BATCH:
                self._queue.appendleft((worker_id, pairs[_BATCH:]))
            self._writing = (worker_id, pairs[:_BATCH])
            return self._writing

    def _write(self, worker_id: int, pairs: list[Pair]) -> bool:
        while True:
            try:
                settlement = self.store.jobs.settle(worker_id, pairs)
            except StoreUnavailable as error:
                pause = self.database_status.mark_down(error, self)
                if self._give_up_at is not None and time.monotonic() + pause > self._give_up_at:
                    log.error(
                        "could not write %d outcomes in time: other workers run the jobs again",
                        len(pairs),
                    )
                    return False
                self.database_status.wait(pause)
            except Exception:  # a border: one bad row must not hold up the others
                log.exception("settling %d jobs failed, trying each alone", len(pairs))
                return self._write_singly(worker_id, pairs)
            else:
                self._after(settlement, pairs)
                return True

    def _write_singly(self, worker_id: int, pairs: Sequence[Pair]) -> bool:
        if len(pairs) > 1:
            written = [self._write(worker_id, [pair]) for pair in pairs]
            return all(written)
        [(job, outcome)] = pairs
        for instead in (_failed_to_settle(outcome), Released()):
            try:
                self._after(self.store.jobs.settle(worker_id, [(job, instead)]), [(job, instead)])
                return True
            except StoreUnavailable:
                return self._write(worker_id, [(job, instead)])
            except Exception:  # a border, as above
                log.exception("settling a job failed", extra=facts(job=uuid.UUID(bytes=job.id)))
        return True  # it stays leased until the lease reconciler releases it

    def _after(self, settlement: Settlement, pairs: Sequence[Pair]) -> None:
        self.database_status.mark_up(self)
        _log_stale(len(settlement.stale))
        for job, outcome in pairs:
            if type(outcome) is Lost and job.id not in settlement.stale:
                _log_loss(job, settlement)
        delays = [o.delay for _, o in pairs if type(o) is Retrying or type(o) is Snoozed]
        self.on_settled(settlement)
        if delays:
            self.on_later(min(delays))


def _log_stale(count: int) -> None:
    if count:
        log.warning("dropped %d outcomes: their leases were taken over", count)


def _log_loss(job: Claimed, settlement: Settlement) -> None:
    """What a lost attempt led to: only the settle knows how often the job was lost before."""
    if job.id in settlement.parked:
        text = "job is parked: its process has died too often"
    elif job.id in settlement.ended:
        text = "job failed: no attempt is left"
    else:
        text = "job will be tried again"
    log.warning(text, extra=facts(job=uuid.UUID(bytes=job.id), attempt=job.attempt))


def _size(pairs: Sequence[Pair]) -> int:
    return sum(len(o.result) for _, o in pairs if type(o) is Completed and o.result is not None)


def _failed_to_settle(outcome: Outcome) -> Outcome:
    error = RuntimeError(f"the outcome of this job ({type(outcome).__name__}) could not be written")
    return Failed(failure_of(error))
