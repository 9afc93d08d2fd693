"""A child that runs many jobs at once on an event loop, as the supervisor sees it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from hammerflow.jobs.job import Claimed
from hammerflow.worker.protocol import ASYNC, ENDED, STACK, STOP, pack, unpack_outcome
from hammerflow.worker.supervisor.child_handle import ChildHandle, JobDeadline
from hammerflow.worker.supervisor.prefetch import Prefetch
from hammerflow.worker.supervisor.round_results import HeldJob, RoundResults

__all__ = ["AsyncChildHandle"]

#: Seconds between asking a body to stop at its timeout and killing its child.
_STOP_WAIT = 1.0


class _InFlight(NamedTuple):
    held: HeldJob
    began_at: float
    timeout: float | None


@dataclass(eq=False)
class AsyncChildHandle(ChildHandle):
    """A child that runs many jobs at once: it starts each job when it gets it, without tokens."""

    kind = ASYNC

    _ended_at: float = 0.0
    _in_flight: dict[bytes, _InFlight] = field(default_factory=dict)
    _stop_by: dict[bytes, float] = field(default_factory=dict)  # timed out, and asked to stop

    @property
    def is_busy(self) -> bool:
        """Whether it has jobs."""
        return bool(self._in_flight)

    @property
    def idle_since(self) -> float:
        """When it ended its last job, or was requested; infinity while it has jobs."""
        return math.inf if self._in_flight else max(self._ended_at, self.started_at)

    @property
    def load(self) -> int:
        """How many jobs it has not ended."""
        return len(self._in_flight)

    def give(self, worker_id: int, jobs: list[Claimed], now: float) -> None:
        """Send it jobs that were claimed under one registration."""
        for job in jobs:
            held = HeldJob(worker_id, job)
            self._in_flight[job.id] = _InFlight(held, now, self.catalog.timeout(job))
        self.channel.send(self._jobs_message(0, worker_id, jobs))

    def receive(
        self, messages: list[Any], results: RoundResults, prefetch: Prefetch, now: float
    ) -> None:
        """Sort in what it has sent."""
        for message in messages:
            if message[0] != ENDED:
                self._receive_common(message, results)
                continue
            _, code, fields, job_id = message
            outcome = unpack_outcome(code, fields)
            job = self._in_flight.pop(job_id)
            self._stop_by.pop(job_id, None)
            self._ended_at, self.limited = now, None
            self._end(job.held, outcome, results, now - job.began_at)

    def drop(self, results: RoundResults, now: float) -> None:
        """Settle what it has dropped as lost; its other jobs run on."""
        self.limited = None
        for held in self.dropped:
            del self._in_flight[held.job.id]
            self._stop_by.pop(held.job.id, None)
            self.kill_at.pop(held.job.id, None)
            outcome = self.outcome_of_dropped(held.job)
            self.keep_log(held.job, outcome, results)
            results.add(held, outcome, self.pid, None)

    def take_back(self) -> list[HeldJob]:
        """Nothing: it has started all its jobs."""
        return []

    def held(self) -> list[HeldJob]:
        """The jobs that it runs."""
        return [job.held for job in self._in_flight.values()]

    def running(self) -> list[HeldJob]:
        """The jobs that it runs."""
        return self.held()

    def seconds_of(self, job: Claimed, now: float) -> float:
        """How long it has run this job."""
        return now - self._in_flight[job.id].began_at

    def ask_for_stack(self, job_id: bytes) -> None:
        """Ask where the body of a job is; the answer comes to ``stacks``, once the loop is free."""
        self.channel.send(pack([STACK, job_id]))

    def cancel(self, job_id: bytes) -> None:
        """Interrupt the body of this job."""
        self._stop(job_id, "cancel")

    def next_deadline(self) -> JobDeadline | None:
        """The hard timeout that strikes next; once the job was asked to stop, the kill after it."""
        deadlines = (
            JobDeadline(
                self._stop_by.get(job_id, job.began_at + job.timeout), job.held, job.timeout
            )
            for job_id, job in self._in_flight.items()
            if job.timeout is not None
        )
        return min(deadlines, key=lambda deadline: deadline.at, default=None)

    def ask_to_stop(self, held: HeldJob, now: float) -> bool:
        """Ask a body that exceeded its timeout to stop; False if it was asked and did not."""
        if held.job.id in self._stop_by:
            return False
        self._stop_by[held.job.id] = now + _STOP_WAIT
        self._stop(held.job.id, "timeout")
        return True

    def _excuses_release(self) -> bool:
        return True  # its child stops a body on request only, and knows whom a neighbour disturbed

    def _stop(self, job_id: bytes, why: str) -> None:
        self.channel.send(pack([STOP, job_id, why]))
