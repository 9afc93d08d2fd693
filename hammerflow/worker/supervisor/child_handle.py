"""Seats: what a supervisor knows of each child: the jobs it was given, and which one it runs."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby, islice
from typing import Any, NamedTuple

from hammerflow.jobs.job import Claimed
from hammerflow.jobs.outcome import Completed, Outcome
from hammerflow.worker.protocol import (
    ASYNC,
    ENDED,
    JOBS,
    PROGRESS,
    QUIT,
    SERIAL,
    STOP,
    TAKEN_BACK,
    TIMES,
    pack,
    unpack_outcome,
)
from hammerflow.worker.run_options import TaskCatalog
from hammerflow.worker.supervisor.child_channel import ChildChannel
from hammerflow.worker.supervisor.prefetch import Prefetch

__all__ = [
    "AsyncChildHandle",
    "ChildHandle",
    "HeldJob",
    "KillReason",
    "RoundResults",
    "SerialChildHandle",
]

log = logging.getLogger("hammerflow.pool")


class HeldJob(NamedTuple):
    """A job under the registration that claimed it."""

    worker_id: int
    job: Claimed


class KillReason(NamedTuple):
    """Why the supervisor kills a child: not the fault of any job but ``job_id``."""

    why: str  # timeout, cancel, drain, silent
    job_id: bytes | None = None
    timeout: float = 0.0


class RoundResults:
    """What children have said in one round.

    Attributes:
        ended: the ends by the registration that claimed the job.
        unusual: those that are not simply completed, for the log.
        notes: words of progress.
    """

    def __init__(self) -> None:
        self.ended: dict[int, list[tuple[Claimed, Outcome]]] = {}
        self.unusual: list[tuple[Claimed, Outcome]] = []
        self.notes: list[tuple[bytes, float, str]] = []

    def add(self, held: HeldJob, outcome: Outcome) -> None:
        """A job has ended."""
        self.ended.setdefault(held.worker_id, []).append((held.job, outcome))
        if type(outcome) is not Completed:
            self.unusual.append((held.job, outcome))

    def add_completed(self, worker_id: int, pairs: Iterable[tuple[Claimed, Completed]]) -> None:
        """Jobs have simply completed."""
        self.ended.setdefault(worker_id, []).extend(pairs)


def _is_result(frame: Any) -> bool:
    return type(frame) is bytes or frame is None


class _Chunk:
    """Jobs handed to a child together.

    Attributes:
        done: how many outcomes have come.
        kept: how many of the jobs it may start: the rest was taken back.
    """

    __slots__ = ("done", "generation", "jobs", "kept", "worker_id")

    def __init__(self, worker_id: int, jobs: list[Claimed], generation: int) -> None:
        self.worker_id = worker_id
        self.jobs = jobs
        self.generation = generation
        self.done = 0
        self.kept = len(jobs)


class ChildHandle:
    """A child, from the request to fork it until its end is known."""

    kind: bytes

    def __init__(self, serial: int, line: ChildChannel, manifest: TaskCatalog, now: float) -> None:
        self.serial = serial
        self.line = line
        self.manifest = manifest  # of the code that this child runs
        self.pid: int | None = None
        self.status: int | None = None
        self.has_exited = False
        self.exited_at: float | None = None  # when that was heard
        self.eof_at: float | None = None  # when its results ended
        self.is_retiring = False
        self.doom: KillReason | None = None
        self.quit_because: str | None = None
        self.born = now
        self.since = now  # when it last began a job, as far as can be seen
        self.jobs_ended = 0
        self.grace_ends: dict[bytes, float] = {}  # cancelled jobs: when patience ends
        self._queues_known: set[int] = set()

    def is_held_open(self, since: float) -> bool:
        """Whether it exited before ``since`` and its results do not end: a process that a body has
        forked lives on with our pipe."""
        return self.eof_at is None and self.exited_at is not None and self.exited_at <= since

    def _frame(
        self, generation: int, worker_id: int, jobs: Sequence[Claimed], queues: Mapping[int, str]
    ) -> bytes:
        """Jobs, with the names of queues that this child has not met."""
        new = {job.queue_id for job in jobs} - self._queues_known
        self._queues_known |= new
        names = {queue_id: queues[queue_id] for queue_id in new if queue_id in queues}
        return pack([JOBS, generation, worker_id, jobs, names])


class SerialChildHandle(ChildHandle):
    """A child that runs jobs one after another."""

    kind = SERIAL

    def __init__(self, serial: int, line: ChildChannel, manifest: TaskCatalog, now: float) -> None:
        super().__init__(serial, line, manifest, now)
        self._chunks: deque[_Chunk] = deque()
        self._generation = 0
        self._is_blocked = False  # jobs were taken back: it must first notice

    @property
    def is_busy(self) -> bool:
        """Whether it has jobs, or has not noticed yet that it has none any more."""
        return bool(self._chunks)

    @property
    def is_free(self) -> bool:
        """Whether it may be given jobs and would begin at once."""
        return not self._chunks and not self._is_gone

    @property
    def may_prefetch(self) -> bool:
        """Whether a second chunk may wait in it."""
        return len(self._chunks) == 1 and not self._is_blocked and not self._is_gone

    @property
    def unstarted(self) -> int:
        """About how many jobs wait in it."""
        if self._is_blocked or not self._chunks:
            return 0
        return max(0, sum(chunk.kept - chunk.done for chunk in self._chunks) - 1)

    @property
    def load(self) -> int:
        """Jobs that it has not ended."""
        return sum(chunk.kept - chunk.done for chunk in self._chunks)

    @property
    def _is_gone(self) -> bool:
        return (
            self.is_retiring
            or self.doom is not None
            or self.eof_at is not None
            or self.quit_because is not None
        )

    def hand(
        self, worker_id: int, jobs: list[Claimed], queues: Mapping[int, str], now: float
    ) -> None:
        """Give it jobs."""
        self._generation = (self._generation + 1) & 255
        if not self._chunks:
            self.since = now
        self._chunks.append(_Chunk(worker_id, jobs, self._generation))
        frame = self._frame(self._generation, worker_id, jobs, queues)
        self.line.send(frame, bytes([self._generation]) * len(jobs))

    def hear(self, frames: list[Any], harvest: RoundResults, pace: Prefetch, now: float) -> None:
        """Take in what it has said; runs of plain results, the bulk, a run at a time."""
        for is_plain, run in groupby(frames, _is_result):
            if is_plain:
                self._end_plainly([*run], harvest, now)
                continue
            for frame in run:
                if frame[0] == ENDED:
                    self._end_one(unpack_outcome(frame[1], frame[2]), harvest, now)
                elif frame[0] == TIMES:
                    pace.observe(frame[1])
                elif frame[0] == TAKEN_BACK:
                    self._over(frame[1])
                elif frame[0] == PROGRESS:
                    harvest.notes.append((frame[1], frame[2], frame[3]))
                elif frame[0] == QUIT:
                    self.quit_because = frame[1]

    def take_back(self) -> list[HeldJob]:
        """Take away what it has not started; it gets nothing new until it has noticed."""
        if not self._chunks or self._is_blocked:
            return []
        taken = self._take_unstarted()
        self._is_blocked = bool(taken)
        return taken

    def running(self) -> list[HeldJob]:
        """The job that it runs now, as far as can be seen."""
        for chunk in self._chunks:
            if chunk.done < chunk.kept:
                return [HeldJob(chunk.worker_id, chunk.jobs[chunk.done])]
        return []

    def held(self) -> list[HeldJob]:
        """All jobs that it was given and has neither ended nor lost again."""
        return [
            HeldJob(chunk.worker_id, job)
            for chunk in self._chunks
            for job in chunk.jobs[chunk.done : chunk.kept]
        ]

    def leftovers(self) -> tuple[list[HeldJob], list[HeldJob]]:
        """After its death: (what it ran, what it had not started)."""
        unstarted = self._take_unstarted()
        return self.held(), unstarted

    def next_timeout(self) -> tuple[float, HeldJob, float] | None:
        """(when, job, timeout) of the hard timeout that strikes next."""
        for held in self.running():
            timeout = self.manifest.timeout(held.job)
            if timeout is not None:
                return self.since + timeout, held, timeout
        return None

    def _end_plainly(self, results: list[bytes | None], harvest: RoundResults, now: float) -> None:
        """The next jobs completed with these results."""
        if self.manifest.ttls or self.grace_ends:
            for result in results:
                self._end_one(Completed(result), harvest, now)
            return
        at = 0
        while at < len(results):
            chunk = self._head()
            jobs = chunk.jobs[chunk.done : min(chunk.kept, chunk.done + len(results) - at)]
            ends = map(Completed, islice(results, at, at + len(jobs)))
            harvest.add_completed(chunk.worker_id, zip(jobs, ends, strict=True))
            at += len(jobs)
            self._advance(chunk, len(jobs), now)

    def _end_one(self, outcome: Outcome, harvest: RoundResults, now: float) -> None:
        chunk = self._head()
        job = chunk.jobs[chunk.done]
        if type(outcome) is Completed and outcome.ttl is None:
            ttl = self.manifest.ttls.get(job.task_id)
            outcome = outcome if ttl is None else outcome._replace(ttl=ttl)
        harvest.add(HeldJob(chunk.worker_id, job), outcome)
        self.grace_ends.pop(job.id, None)
        self._advance(chunk, 1, now)

    def _head(self) -> _Chunk:
        """The chunk that the next outcome belongs to."""
        if not self._chunks or self._chunks[0].done == self._chunks[0].kept:
            raise RuntimeError("a child has ended a job that it was not given")
        return self._chunks[0]

    def _advance(self, chunk: _Chunk, count: int, now: float) -> None:
        self.since = now
        self.jobs_ended += count
        chunk.done += count
        if chunk.done == len(chunk.jobs):
            self._chunks.popleft()
            self._unblock()

    def _over(self, generation: int) -> None:
        """It found no token: the rest of that chunk was taken back."""
        self._chunks = deque(c for c in self._chunks if c.generation != generation)
        self._unblock()

    def _unblock(self) -> None:
        if not self._chunks:
            self._is_blocked = False

    def _take_unstarted(self) -> list[HeldJob]:
        tokens = self.line.take_tokens()
        taken: list[HeldJob] = []
        for chunk in self._chunks:
            count = tokens.count(chunk.generation)
            if count:
                cut = chunk.kept - count
                taken += [HeldJob(chunk.worker_id, job) for job in chunk.jobs[cut : chunk.kept]]
                chunk.kept = cut
        return taken


class _InFlight(NamedTuple):
    held: HeldJob
    deadline: float | None
    timeout: float


class AsyncChildHandle(ChildHandle):
    """A child that runs many jobs at once."""

    kind = ASYNC

    def __init__(
        self, serial: int, line: ChildChannel, manifest: TaskCatalog, now: float, *, slots: int
    ) -> None:
        super().__init__(serial, line, manifest, now)
        self._slots = slots
        self._in_flight: dict[bytes, _InFlight] = {}
        self._stopped: dict[bytes, float] = {}

    @property
    def is_busy(self) -> bool:
        """Whether it has jobs."""
        return bool(self._in_flight)

    @property
    def free_slots(self) -> int:
        """How many jobs it may be given."""
        if self.is_retiring or self.doom or self.eof_at is not None or self.quit_because:
            return 0
        return max(0, self._slots - len(self._in_flight))

    @property
    def load(self) -> int:
        """Jobs that it has not ended."""
        return len(self._in_flight)

    def hand(
        self, worker_id: int, jobs: list[Claimed], queues: Mapping[int, str], now: float
    ) -> None:
        """Give it jobs; it starts all of them."""
        for job in jobs:
            timeout = self.manifest.timeout(job)
            deadline = None if timeout is None else now + timeout
            self._in_flight[job.id] = _InFlight(HeldJob(worker_id, job), deadline, timeout or 0.0)
        self.since = now
        self.line.send(self._frame(0, worker_id, jobs, queues))

    def hear(self, frames: list[Any], harvest: RoundResults, pace: Prefetch, now: float) -> None:
        """Take in what it has said."""
        for frame in frames:
            if frame[0] == ENDED:
                _, code, fields, job_id = frame
                flight = self._in_flight.pop(job_id)
                self._stopped.pop(job_id, None)
                self.grace_ends.pop(job_id, None)
                self.jobs_ended += 1
                harvest.add(flight.held, unpack_outcome(code, fields))
            elif frame[0] == PROGRESS:
                harvest.notes.append((frame[1], frame[2], frame[3]))
            elif frame[0] == QUIT:
                self.quit_because = frame[1]

    def stop(self, job_id: bytes, why: str) -> None:
        """Cancel one job in it."""
        self.line.send(pack([STOP, job_id, why]))

    def running(self) -> list[HeldJob]:
        """All jobs that it runs."""
        return [flight.held for flight in self._in_flight.values()]

    held = running

    def leftovers(self) -> tuple[list[HeldJob], list[HeldJob]]:
        """After its death: (what it ran, what it had not started)."""
        return self.running(), []

    def next_timeout(self) -> tuple[float, HeldJob, float] | None:
        """(when, job, timeout) of the hard timeout that strikes next; a job that was asked to stop
        for it is killed a second later."""
        dated = [f for f in self._in_flight.values() if f.deadline is not None]
        if not dated:
            return None
        first = min(dated, key=self._end_of)
        return self._end_of(first), first.held, first.timeout

    def time_out(self, held: HeldJob, now: float) -> bool:
        """Ask a job to stop whose time is over; False if it was asked and did not."""
        if held.job.id in self._stopped:
            return False
        self._stopped[held.job.id] = now + 1.0
        self.stop(held.job.id, "timeout")
        return True

    def _end_of(self, flight: _InFlight) -> float:
        asked = self._stopped.get(flight.held.job.id)
        return asked if asked is not None else flight.deadline or 0.0
