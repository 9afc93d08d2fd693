"""A child that runs jobs one after another, as the supervisor sees it."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import groupby, islice
from typing import Any

from hammerflow.jobs.job import Claimed
from hammerflow.jobs.outcome import Completed, Outcome
from hammerflow.worker.child.interrupts import CANCEL_SIGNAL
from hammerflow.worker.protocol import ENDED, SERIAL, TAKEN_BACK, TIMES, unpack_outcome
from hammerflow.worker.supervisor.child_handle import ChildHandle, JobDeadline
from hammerflow.worker.supervisor.prefetch import Prefetch
from hammerflow.worker.supervisor.round_results import HeldJob, RoundResults

__all__ = ["STALLED", "SerialChildHandle"]

#: Seconds that an idle child has to begin a job.
STALLED = 5.0


@dataclass(eq=False, slots=True)
class _Chunk:
    """Jobs that were given to a serial child together; it ends them in this order."""

    worker_id: int
    jobs: list[Claimed]
    generation: int  # the value of their tokens
    kept: int  # how many it may start: the rest was taken back
    done: int = 0  # how many outcomes have arrived


@dataclass(eq=False)
class SerialChildHandle(ChildHandle):
    """A child that runs jobs one after another, in the order in which it got them.

    Its outcomes carry no job ids, for speed: each belongs to the first job of the first chunk that
    has not ended. This holds because the child reports in order, and because tokens are taken from
    the end of a chunk only: the child reads one token per job, from the front.

    Attributes:
        active_at: when it began its current job, as precisely as its reports tell.
    """

    kind = SERIAL

    active_at: float = 0.0
    _chunks: deque[_Chunk] = field(default_factory=deque)
    _generation: int = 0
    # Set while jobs are taken back and the child has not reported that it missed their
    # tokens. It must not get new tokens before: it would start the old jobs with them.
    _is_blocked: bool = False
    # How many signals may still interrupt a job: one may arrive after the end of its own.
    _cancels: int = 0
    _has_begun: bool = False  # its current job, when this was last looked at

    @property
    def is_busy(self) -> bool:
        """Whether it has jobs, or has not yet noticed that all of them were taken back."""
        return bool(self._chunks)

    @property
    def idle_since(self) -> float:
        """When it ended its last job, or was requested; infinity while it has jobs."""
        return math.inf if self._chunks else max(self.active_at, self.started_at)

    @property
    def is_free(self) -> bool:
        """Whether it would begin at once with jobs that it is given."""
        return not self._chunks and self.takes_jobs

    @property
    def may_prefetch(self) -> bool:
        """Whether a second chunk may wait in it."""
        return len(self._chunks) == 1 and not self._is_blocked and self.takes_jobs

    @property
    def unstarted(self) -> int:
        """About how many jobs wait in it."""
        return 0 if self._is_blocked else max(0, self.load - 1)

    @property
    def load(self) -> int:
        """How many jobs it has not ended."""
        return sum(chunk.kept - chunk.done for chunk in self._chunks)

    def give(self, worker_id: int, jobs: list[Claimed], now: float) -> None:
        """Send it jobs that were claimed under one registration."""
        self._generation = (self._generation + 1) & 255
        if not self._chunks:
            self.active_at, self._has_begun = now, False
        self._chunks.append(_Chunk(worker_id, jobs, self._generation, len(jobs)))
        message = self._jobs_message(self._generation, worker_id, jobs)
        self.channel.send(message, bytes([self._generation]) * len(jobs))

    def receive(
        self, messages: list[Any], results: RoundResults, prefetch: Prefetch, now: float
    ) -> None:
        """Sort in what it has sent; plain results, the bulk, are taken a run at a time."""
        runs = [(is_plain, [*run]) for is_plain, run in groupby(messages, _is_plain)]
        ends = sum(
            len(run) if is_plain else sum(message[0] == ENDED for message in run)
            for is_plain, run in runs
        )
        seconds = (now - self.active_at) / max(ends, 1)
        for is_plain, run in runs:
            if is_plain:
                self._complete(run, results, now, seconds)
                continue
            for message in run:
                if message[0] == ENDED:
                    outcome = unpack_outcome(message[1], message[2])
                    self._end_one(outcome, results, now, seconds)
                elif message[0] == TIMES:
                    prefetch.observe(message[1])
                elif message[0] == TAKEN_BACK:
                    self._drop_chunk(message[1])
                else:
                    self._receive_common(message, results)

    def take_back(self) -> list[HeldJob]:
        """Take away what it has not started, by reading the tokens that are left.

        Each token is one job less that the child may start, and the last tokens are those of the
        last jobs. The child gets nothing new until it has noticed. After its death, and once its
        results were read to their end, exactly what it ran is left in :meth:`held`.
        """
        taken: list[HeldJob] = []
        tokens = self.channel.take_tokens() if self._chunks else b""
        for chunk in self._chunks if tokens else ():
            cut = chunk.kept - tokens.count(chunk.generation)
            taken += [HeldJob(chunk.worker_id, job) for job in chunk.jobs[cut : chunk.kept]]
            chunk.kept = cut
        self._is_blocked |= bool(taken)
        return taken

    def held(self) -> list[HeldJob]:
        """All jobs that it was given and has neither ended nor lost again."""
        return [*self._held()]

    def running(self) -> list[HeldJob]:
        """The job that it runs now, as precisely as its reports tell."""
        return [*islice(self._held(), 1)]

    def seconds_of(self, job: Claimed, now: float) -> float:
        """How long it has run this job, the only one that it runs."""
        return now - self.active_at

    @property
    def stalls_at(self) -> float:
        """As in the base; it reads one token for each job that it begins."""
        return self.active_at + STALLED if self._chunks and not self._has_begun else math.inf

    def is_stalled(self, now: float) -> bool:
        """Whether it has not begun by then."""
        if now < self.stalls_at:
            return False
        self._has_begun = self.channel.tokens_left < self.load
        return not self._has_begun

    def cancel(self, job_id: bytes) -> None:
        """Interrupt the body that runs."""
        self._cancels += 1
        self.send_signal(CANCEL_SIGNAL)

    def next_deadline(self) -> JobDeadline | None:
        """The hard timeout that strikes next."""
        for held in self.running():
            timeout = self.catalog.timeout(held.job)
            if timeout is not None:
                return JobDeadline(self.active_at + timeout, held, timeout)
        return None

    def ask_to_stop(self, held: HeldJob, now: float) -> bool:
        """Never: a plain function that exceeded its timeout can only be killed."""
        return False

    def drop(self, results: RoundResults, now: float) -> None:
        """Kill it: its outcomes belong to jobs by their order, which cannot be trusted any more.
        Tokens tell which of its jobs were not started."""
        self.kill()

    def _excuses_release(self) -> bool:
        is_late, self._cancels = self._cancels > 0, max(0, self._cancels - 1)
        return is_late

    def _held(self) -> Iterator[HeldJob]:
        for chunk in self._chunks:
            for job in islice(chunk.jobs, chunk.done, chunk.kept):
                yield HeldJob(chunk.worker_id, job)

    def _complete(
        self, values: list[bytes | None], results: RoundResults, now: float, seconds: float
    ) -> None:
        if self.catalog.ttls or self.kill_at or self.logs:
            for value in values:
                self._end_one(Completed(value), results, now, seconds)
            return
        at = 0
        while at < len(values):
            chunk = self._current_chunk()
            jobs = chunk.jobs[chunk.done : min(chunk.kept, chunk.done + len(values) - at)]
            pairs = [*zip(jobs, map(Completed, islice(values, at, at + len(jobs))), strict=True)]
            results.add_completed(chunk.worker_id, pairs, self.pid, seconds)
            self.jobs_ended += len(jobs)
            at += len(jobs)
            self._advance(chunk, len(jobs), now)

    def _end_one(self, outcome: Outcome, results: RoundResults, now: float, seconds: float) -> None:
        chunk = self._current_chunk()
        job = chunk.jobs[chunk.done]
        if type(outcome) is Completed and outcome.ttl is None:
            ttl = self.catalog.ttls.get(job.task_id)
            outcome = outcome if ttl is None else outcome._replace(ttl=ttl)
        self._end(HeldJob(chunk.worker_id, job), outcome, results, seconds)
        self._advance(chunk, 1, now)

    def _current_chunk(self) -> _Chunk:
        """The chunk that the next outcome belongs to."""
        if not self._chunks or self._chunks[0].done == self._chunks[0].kept:
            raise RuntimeError("the child ended a job that it was not given")
        return self._chunks[0]

    def _advance(self, chunk: _Chunk, count: int, now: float) -> None:
        self.active_at, self._has_begun, self.limited = now, False, None
        chunk.done += count
        if chunk.done == len(chunk.jobs):
            self._chunks.popleft()
            self._is_blocked &= bool(self._chunks)

    def _drop_chunk(self, generation: int) -> None:
        """The child found no token: it has noticed that the rest of the chunk was taken back."""
        for chunk in self._chunks:
            if chunk.generation == generation and chunk.done < chunk.kept:
                rest = islice(chunk.jobs, chunk.done, chunk.kept)
                self.dropped = [HeldJob(chunk.worker_id, job) for job in rest]
                return
        self._chunks = deque(c for c in self._chunks if c.generation != generation)
        self._is_blocked &= bool(self._chunks)


def _is_plain(message: Any) -> bool:
    """Whether this is the result of a job that simply completed."""
    return type(message) is bytes or message is None
