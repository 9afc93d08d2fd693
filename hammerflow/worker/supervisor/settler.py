"""Writes outcomes in batches: all that have arrived when the last write returns."""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from hammerflow.errors import StoreUnavailable
from hammerflow.jobs.job import Claimed
from hammerflow.jobs.outcome import (
    Completed,
    Failed,
    Failure,
    Lost,
    Outcome,
    Parked,
    Retrying,
    Settled,
    Snoozed,
)
from hammerflow.jobs.settlement import Settlement
from hammerflow.services.database_status import DatabaseStatus
from hammerflow.stores.connections.error_codes import ErrorKind
from hammerflow.stores.database import LockedOut
from hammerflow.stores.rows import JobLogRow
from hammerflow.stores.store import Store
from hammerflow.stores.transitions.settle import is_plain
from hammerflow.stores.transitions.unit import CascadeTooLong
from hammerflow.text import counted
from hammerflow.worker.failures import message_of, type_name
from hammerflow.worker.logs import facts
from hammerflow.worker.supervisor.counters import WorkerCounters
from hammerflow.worker.supervisor.refusals import Refusals, kind_of

__all__ = ["Settler"]

log = logging.getLogger("hammerflow.settler")
Pair = tuple[Claimed, Outcome]


@dataclass(eq=False)
class _Outcomes:
    """Outcomes that are written in one transaction."""

    worker_id: int
    pairs: list[Pair]
    due: float = 0.0  # by time.monotonic()
    tries: int = 0  # alone, each of which ended in an error
    losses: int = 0  # of the connection, between which other writes came through
    waits: int = 0  # how often another transaction held what they lock
    tie: bytes | str | None = None  # what they share, and another transaction holds
    taken: int = 0  # of its kind, when the database refused it: see Refusals.taken


#: How often an outcome that the database refuses is tried alone; more often where no table says
#: what the error means.
_TRIES = 2
_TRIES_UNKNOWN = 6
#: How often a batch loses its connection before its outcomes are tried alone, or one alone ends.
_MOST_LOSSES = 3
_PAUSE = 0.05  # seconds, doubled with each try
_PATIENCE = 5.0  # seconds
#: Seconds for which a batch waits for a lock that another transaction holds; and for which those of
#: its outcomes do that are then tried apart.
_LOCK_PATIENCE, _LOCK_GLANCE = 0.02, 0.01
_PARTS = 4
_LONGEST_PAUSE = 0.4  # seconds between two tries while another transaction holds such a lock
_MANY_WAITS = 25  # after 9 s, when the log says what is waited for

_BATCH = 1_000
#: Jobs that may start or end because of the outcomes of a batch. A few thousand take 0.1 s.
_FOLLOWING = 500
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
        counters: count what is written; None: nobody asks.
    """

    store: Store
    database_status: DatabaseStatus
    on_settled: Callable[[Settlement], None]
    on_later: Callable[[float], None]
    counters: WorkerCounters | None = None
    _queue: deque[tuple[int, list[Pair]]] = field(default_factory=deque)
    _changed: threading.Condition = field(default_factory=threading.Condition)
    _suspects: list[_Outcomes] = field(default_factory=list)
    _held: dict[tuple[int, bytes | str | None], _Outcomes] = field(default_factory=dict)
    _writing: _Outcomes | None = None
    _long: deque[_Outcomes] = field(default_factory=deque)  # for the thread of long cascades
    _is_queues_turn: bool = False
    _logs: dict[tuple[bytes, int], JobLogRow] = field(default_factory=dict)  # by job and lease
    _count: int = 0
    _bytes: int = 0
    _stopping: bool = False
    _give_up_at: float | None = None

    def __post_init__(self) -> None:
        self._thread = threading.Thread(target=self._run, name="settler", daemon=True)
        self._refusals = Refusals(self.store.jobs)

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
        settled = [(job, outcome) for job, outcome in pairs if type(outcome) is Settled]
        if settled:
            _log_stale(sum(outcome.stale for _, outcome in settled))
            if self.counters is not None:
                self.counters.note_settled_by_children(settled)
            pairs = [pair for pair in pairs if type(pair[1]) is not Settled]
        if not pairs:
            return
        with self._changed:
            self._queue.append((worker_id, pairs))
            self._count += len(pairs)
            self._bytes += _size(pairs)
            self._changed.notify()

    def keep_logs(self, rows: Sequence[JobLogRow]) -> None:
        """Keep what attempts have logged, to be written with the outcomes that come next."""
        with self._changed:
            for row in rows:
                self._logs[row.job_id, row.lease] = row
                self._bytes += len(row.data)

    def held(self, worker_id: int) -> set[bytes]:
        """Ids of jobs of this registration whose outcome is not written yet."""
        with self._changed:
            batches = [*self._suspects, *self._long, *([self._writing] if self._writing else [])]
            groups = [*self._queue, *((batch.worker_id, batch.pairs) for batch in batches)]
            return {job.id for owner, pairs in groups if owner == worker_id for job, _ in pairs}

    def is_written(self, worker_id: int, job_id: bytes) -> bool:
        """Whether no outcome of this job, claimed under this registration, waits to be written."""
        return job_id not in self.held(worker_id)

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
        # On SQLite one transaction writes at a time, whatever thread it is in.
        most = None if self.store.database.dialect.one_writer else _FOLLOWING
        while (batch := self._take_batch()) is not None:
            is_written = self._write(batch, most)
            with self._changed:
                self._writing = None
                if not self._goes_on(batch, is_written):
                    return

    def _run_long(self) -> None:
        """Write outcomes from which much follows, while the other thread writes all others."""
        is_going = True
        while is_going:
            batch = self._long[0]
            is_written = self._write(batch, None)
            with self._changed:
                self._long.popleft()
                is_going = self._goes_on(batch, is_written) and bool(self._long)
                self._changed.notify()

    def _goes_on(self, batch: _Outcomes, is_written: bool | None) -> bool:
        """Note how a batch went; False if it was given up: it still counts, so the settler is not
        idle."""
        if is_written:
            self._count -= len(batch.pairs)
            self._bytes -= _size(batch.pairs)
            for row in self._logs_of(batch.pairs):
                self._bytes -= len(row.data)
                del self._logs[row.job_id, row.lease]
        return is_written is not None

    def _take_batch(self) -> _Outcomes | None:
        """Move up to a batch to ``_writing``, where ``held`` still finds it; None at the end."""
        with self._changed:
            while True:
                now = time.monotonic()
                suspect = min(self._suspects, key=lambda suspect: suspect.due, default=None)
                is_due = suspect is not None and suspect.due <= now
                if suspect is not None and is_due and not (self._queue and self._is_queues_turn):
                    self._suspects.remove(suspect)
                    self._held.pop((suspect.worker_id, suspect.tie), None)
                    self._writing, self._is_queues_turn = suspect, True
                    return suspect
                if self._queue:
                    self._is_queues_turn = False
                    self._writing = self._next_batch()
                    if self._writing.pairs:
                        return self._writing
                    continue
                if self._stopping and suspect is None and not self._long:
                    return None
                self._changed.wait(None if suspect is None else suspect.due - now)

    def _next_batch(self) -> _Outcomes:
        worker_id, first = self._queue.popleft()
        pairs = [*first]
        while self._queue and self._queue[0][0] == worker_id and len(pairs) < _BATCH:
            pairs += self._queue.popleft()[1]
        if len(pairs) > _BATCH:
            self._queue.appendleft((worker_id, pairs[_BATCH:]))
        batch = _Outcomes(worker_id, pairs[:_BATCH])
        if self._held:
            batch.pairs = []
            for pair in pairs[:_BATCH]:
                self._held.get((worker_id, _tie(*pair)), batch).pairs.append(pair)
        return batch

    def _write(self, batch: _Outcomes, most: int | None) -> bool | None:
        """Write the outcomes of a batch, unless more than ``most`` jobs start or end because of it.

        Returns:
            Whether they are written; False if they wait for another try, None if that ends.
        """
        writes = -1
        while True:
            begun = time.monotonic()
            try:
                settlement = self.store.jobs.settle(
                    batch.worker_id, batch.pairs,
                    patience=_LOCK_GLANCE if batch.waits else _LOCK_PATIENCE, most=most,
                    logs=self._logs_of(batch.pairs),
                )  # fmt: skip
            except LockedOut as error:
                return self._try_apart(batch, error)
            except CascadeTooLong:
                return self._hand_over(batch)
            except StoreUnavailable as error:
                # What breaks the connection again and again while other writes come through has
                # itself to blame; a refusal is of all outcomes, and passes.
                batch.losses += not error.is_refusal and writes not in (-1, self._writes)
                if batch.losses >= _MOST_LOSSES:
                    return self._suspect(batch, error)
                writes = self._writes
                if not self._wait(error, len(batch.pairs)):
                    return None
            except Exception as error:  # noqa: BLE001 - a border: one bad row must not hold up the others
                return self._suspect(batch, error)
            else:
                if settlement.held:
                    self._put_aside(batch, settlement.held)
                self._after(settlement, batch.pairs, time.monotonic() - begun)
                return True

    def _logs_of(self, pairs: Sequence[Pair]) -> list[JobLogRow]:
        """The logs of these attempts, to be written with their outcomes."""
        if not self._logs:
            return []
        found = (self._logs.get((job.id, job.lease)) for job, _ in pairs)
        return [row for row in found if row is not None]

    @property
    def _writes(self) -> int:
        return self.store.database.writes

    def _wait(self, error: StoreUnavailable, count: int) -> bool:
        """Wait until the database can be used again; False if the time for the last writes ends."""
        pause = self.database_status.mark_down(error, self)
        if self._give_up_at is not None and time.monotonic() + pause > self._give_up_at:
            log.error(
                "could not write %s in time: other workers run the jobs again",
                counted(count, "outcome"),
            )
            return False
        self.database_status.wait(pause)
        return True

    def _suspect(self, batch: _Outcomes, error: Exception) -> bool | None:
        """Try the outcomes of a batch again, each in a transaction of its own; end a job whose
        outcome has repeated its error alone, unless the database refuses all of its kind."""
        if len(batch.pairs) > 1:
            if not self._refusals:
                count = counted(len(batch.pairs), "job")
                log.info("settling %s failed, trying each alone: %s", count, error)
            with self._changed:
                self._suspects += [_Outcomes(batch.worker_id, [pair]) for pair in batch.pairs]
            return False
        [pair] = batch.pairs
        kind = kind_of(*pair)
        batch.tries += 1
        if batch.tries == 1:
            batch.taken = self._refusals.taken(kind)
        is_known = self.store.database.kind_of(error) in (ErrorKind.DATA, ErrorKind.DUPLICATE)
        tries = _TRIES if is_known else _TRIES_UNKNOWN
        pause = _PAUSE * 2 ** min(batch.tries, tries)
        if kind not in self._refusals and (batch.losses or batch.tries >= tries):
            try:
                is_at_fault = batch.losses or self._refusals.judge(
                    batch.worker_id, *pair, error, batch.taken
                )
            except (LockedOut, StoreUnavailable):
                is_at_fault = False
            if is_at_fault:
                return self._end(batch, error)
        if kind in self._refusals:  # all who wait make 20 tries a second at most
            pause = _PATIENCE * (1 + len(self._suspects) / 100)
        self._retry_later(batch, pause)
        return False

    def _hurry(self) -> None:
        """Try at once what waits to be tried again."""
        with self._changed:
            for batch in self._suspects:
                batch.due = 0.0

    def _retry_later(self, batch: _Outcomes, seconds: float) -> None:
        batch.due = time.monotonic() + seconds
        with self._changed:
            self._suspects.append(batch)

    def _put_aside(self, batch: _Outcomes, held: set[bytes]) -> None:
        """Take the outcomes whose lease another transaction has locked out of a batch, and try each
        again alone. A client holds such a lock once it has enqueued a dependent."""
        pause = min(_PAUSE * 2**batch.waits, _LONGEST_PAUSE)
        due, waits = time.monotonic() + pause, batch.waits + 1
        with self._changed:
            for pair in batch.pairs:
                if pair[0].id in held:
                    self._suspects.append(_Outcomes(batch.worker_id, [pair], due, waits=waits))
            batch.pairs = [pair for pair in batch.pairs if pair[0].id not in held]

    def _try_apart(self, batch: _Outcomes, error: LockedOut) -> bool:
        """Find the outcomes of a batch that wait for a lock which another transaction holds, and
        write the others. A client holds the lock of a workflow or of a waiting job, say, once it
        has enqueued a dependent of it. What comes for that workflow meanwhile joins them."""
        batch.waits += 1
        with self._changed:
            if (tie := self._split(batch)) is not None:
                batch.tie = tie
                batch.due = time.monotonic() + min(_PAUSE * 2**batch.waits, _LONGEST_PAUSE)
                self._held[batch.worker_id, batch.tie] = batch
                self._suspects.append(batch)
        if batch.waits == _MANY_WAITS:
            log.warning(
                "%s must wait for a lock that another transaction holds; find that "
                "transaction, and end it: %s", counted(len(batch.pairs), "outcome"), error,
            )  # fmt: skip
        return False

    def _hand_over(self, batch: _Outcomes) -> bool:
        """Find the outcomes of a batch from which too much follows, for a thread of their own, and
        write the others. That thread ends when it has nothing more to do."""
        with self._changed:
            if self._split(batch) is not None:
                self._long.append(batch)
                if len(self._long) == 1:
                    threading.Thread(target=self._run_long, name="cascades", daemon=True).start()
        return False

    def _split(self, batch: _Outcomes) -> bytes | str | None:
        """Queue the parts of a batch that share no locks; where it has no parts, the tie of all."""
        groups: dict[bytes | str, list[Pair]] = defaultdict(list)
        for pair in batch.pairs:
            groups[_tie(*pair)].append(pair)
        if len(groups) == 1:
            return next(iter(groups))
        self._suspects += [
            _Outcomes(batch.worker_id, part, waits=batch.waits) for part in _parts(groups)
        ]
        return None

    def _end(self, batch: _Outcomes, error: Exception) -> bool | None:
        """End a job whose outcome cannot be written, with the reason; park it where not even that
        can be. It must not run again, as its body has ended."""
        [(job, outcome)] = batch.pairs
        failure = _failed_to_settle(outcome, error)
        for instead in (Failed(failure), Parked("unwritable", failure)):
            pairs: list[Pair] = [(job, instead)]
            while True:
                begun = time.monotonic()
                try:
                    settlement = self.store.jobs.settle(
                        batch.worker_id, pairs, patience=_LOCK_GLANCE
                    )
                except LockedOut:
                    break
                except StoreUnavailable as unavailable:
                    if not self._wait(unavailable, 1):
                        return None
                except Exception:  # a border, as above
                    log.exception("the end of a job could not be written", extra=_facts(job))
                    break
                else:
                    if settlement.held:
                        break
                    log.error("%s", failure.message, extra=_facts(job))
                    self._after(settlement, pairs, time.monotonic() - begun)
                    return True
        self._retry_later(batch, _PATIENCE)  # nothing can be written about it now
        return False

    def _after(self, settlement: Settlement, pairs: Sequence[Pair], seconds: float) -> None:
        self.database_status.mark_up(self)
        if self.counters is not None:
            self.counters.note_settled(settlement, pairs, seconds)
        if (self._suspects or self._refusals) and self._refusals.note(
            pair for pair in pairs if pair[0].id not in settlement.stale
        ):
            self._hurry()
        _log_stale(len(settlement.stale))
        delays = []
        for job, outcome in pairs:
            kind = type(outcome)
            if kind is Completed:  # nearly all
                continue
            if kind is Lost and job.id not in settlement.stale:
                _log_loss(job, settlement)
            elif isinstance(outcome, Retrying | Snoozed):
                delays.append(outcome.delay)
        self.on_settled(settlement)
        if delays:
            self.on_later(min(delays))


def _log_stale(count: int) -> None:
    if count:
        log.warning("dropped %s of leases that were taken over", counted(count, "outcome"))


def _log_loss(job: Claimed, settlement: Settlement) -> None:
    """What a lost attempt led to: only the settle knows how often the job was lost before."""
    if job.id in settlement.stopped:
        text = "job is cancelled, as was asked"
    elif job.id in settlement.parked:
        text = "job is parked: its process has died too often"
    elif job.id in settlement.ended:
        text = "job failed: no attempt is left"
    else:
        text = "job will be tried again"
    log.warning(text, extra=facts(job=uuid.UUID(bytes=job.id), attempt=job.attempt))


def _tie(job: Claimed, outcome: Outcome) -> bytes | str:
    """What the end of a job locks, its lease aside: the one that others most likely lock, too."""
    if is_plain([(job, outcome)]):
        return b""
    return job.workflow_id or job.unique_key or job.dependent_id or job.id


def _parts(groups: Mapping[bytes | str, list[Pair]]) -> Iterator[list[Pair]]:
    """Whole groups in a few parts; what locks nothing comes first."""
    ties = sorted(groups, key=bool)
    if not ties[0]:
        yield groups[ties.pop(0)]
    size = -(-len(ties) // _PARTS)
    for at in range(0, len(ties), size):
        yield [pair for tie in ties[at : at + size] for pair in groups[tie]]


def _size(pairs: Sequence[Pair]) -> int:
    return sum(len(o.result) for _, o in pairs if type(o) is Completed and o.result is not None)


def _failed_to_settle(outcome: Outcome, error: Exception) -> Failure:
    name = type(outcome).__name__
    text = f"the outcome of this job ({name}) could not be written: {message_of(error)}"
    return Failure("failed", type_name(error), text, "")


def _facts(job: Claimed) -> dict[str, object]:
    return facts(job=uuid.UUID(bytes=job.id), attempt=job.attempt)
