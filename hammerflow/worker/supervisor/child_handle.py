"""What the supervisor knows of one child, whatever kind of jobs it runs."""

from __future__ import annotations

import contextlib
import math
import os
import random
import signal
import uuid
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import Any, ClassVar, NamedTuple

from hammerflow.jobs.job import Claimed
from hammerflow.jobs.log_lines import KeptLine, LineBuffer
from hammerflow.jobs.outcome import (
    Failed,
    Failure,
    Lost,
    Outcome,
    Released,
    Retrying,
    Settled,
    Suspected,
)
from hammerflow.stores.rows import JobLogRow
from hammerflow.worker.failures import (
    CLOSED_PIPES,
    dropped_job,
    lost_child,
    self_cancelled,
    uncharged,
)
from hammerflow.worker.processes import kill_family
from hammerflow.worker.protocol import (
    ASK,
    ASYNC,
    HELLO,
    JOBS,
    LIMITED,
    LINES,
    LOG,
    PROGRESS,
    QUIT,
    RUNS,
    STACKED,
    LimitedBody,
    pack,
)
from hammerflow.worker.run_options import TaskCatalog
from hammerflow.worker.stacks import Frame
from hammerflow.worker.supervisor.child_channel import ChildChannel
from hammerflow.worker.supervisor.log_tails import RunningLog
from hammerflow.worker.supervisor.round_results import HeldJob, RoundResults

__all__ = ["ChildHandle", "JobDeadline", "KillReason"]

#: Jobs of a child that are described one by one.
_DESCRIBED = 20


class KillReason(NamedTuple):
    """Why the supervisor kills a child. A job that exceeded its timeout or a limit is named, with
    its failure; other jobs of the child are not at fault and released without a charge."""

    why: str  # continues "killing child 4711: ..."
    job_id: bytes | None = None
    failure: Failure | None = None


class JobDeadline(NamedTuple):
    """When the hard timeout of a job strikes."""

    at: float
    held: HeldJob
    timeout: float  # seconds


@dataclass(eq=False)
class ChildHandle(ABC):
    """A child, from the request to fork it until its end is known.

    Attributes:
        serial: number of the request, by which the fork server reports the pid.
        catalog: the tasks of the code that this child runs.
        queues: names of the queues by their numbers; the pool fills it.
        started_at: seconds of the monotonic clock, as everywhere here.
        pid: None until the child or the fork server has reported it.
        stack: descriptor under which it tells its stack; -1 if it does not.
        is_ready: it has said hello. Only then it counts, and gets jobs.
        status: exit code, or minus the signal that killed it.
        exited_at: when its exit was reported, or noticed.
        eof_at: when its end of the results was closed; only then is it known what it ran.
        is_killed: SIGKILL was sent.
        is_mute: a body has closed its pipes, and it was killed for that.
        is_orphaned: its fork server has died, and the kernel kills it: nobody reports its exit.
        is_unreported: its fork server is stopped: nobody reports its exit, but it works on.
        is_retiring: it gets no more jobs, and ends when it is free.
        is_isolated: it was given a suspect, and gets no other job.
        quit_reason: why it ends on its own decision (its number of jobs, its memory).
        limited: the body with limits that it runs, until its job has ended.
        dropped: jobs that it does not run, though it was given them and has reported no outcome.
        stacks: of jobs, as it has told them when it was asked.
        kill_at: jobs that were cancelled here, and when the child is killed for each.
        logs: what jobs have logged whose tasks keep it.
    """

    kind: ClassVar[bytes]

    serial: int
    channel: ChildChannel
    catalog: TaskCatalog
    queues: Mapping[int, str]
    started_at: float
    pid: int | None = None
    stack: int = -1
    is_ready: bool = False
    status: int | None = None
    exited_at: float | None = None
    eof_at: float | None = None
    is_killed: bool = False
    is_mute: bool = False
    is_orphaned: bool = False
    is_unreported: bool = False
    is_retiring: bool = False
    is_isolated: bool = False
    kill_reason: KillReason | None = None
    quit_reason: str | None = None
    jobs_ended: int = 0
    limited: LimitedBody | None = None
    dropped: list[HeldJob] = field(default_factory=list)
    stacks: SimpleQueue[tuple[bytes, list[Frame]]] = field(default_factory=SimpleQueue)
    kill_at: dict[bytes, float] = field(default_factory=dict)
    logs: dict[bytes, JobLogRow | RunningLog] = field(default_factory=dict)
    _known_queues: set[int] = field(default_factory=set)
    _asked_about: set[bytes] | None = None  # the jobs that it had when it was last asked

    def describe(self, now: float) -> dict[str, Any]:
        """What it does, for people: pid, kind, the first of the jobs that it runs, each with its
        task and the seconds that it has run, and how many it runs in all."""
        running = self.running()
        jobs = [
            {
                "id": str(uuid.UUID(bytes=held.job.id)), "task": self.catalog.name(held.job),
                "seconds": round(self.seconds_of(held.job, now), 1),
            } for held in running[:_DESCRIBED]
        ]  # fmt: skip
        kind = "async" if self.kind == ASYNC else "serial"
        return {"pid": self.pid, "kind": kind, "jobs": jobs, "running": len(running)}

    @property
    def takes_jobs(self) -> bool:
        """Whether it may get more jobs."""
        is_open = self.is_ready and self.eof_at is None and not self.is_isolated
        return is_open and not self.is_expected_to_end

    @property
    def is_staying(self) -> bool:
        """Whether it will take jobs, now or once it has started."""
        return not (self.is_retiring or self.quit_reason or self.is_isolated)

    @property
    def is_expected_to_end(self) -> bool:
        """Whether it ends for a known reason."""
        return self.is_retiring or self.kill_reason is not None or self.quit_reason is not None

    def learn_pid(self, pid: int) -> None:
        """Note its pid; kill it if that was decided before."""
        self.pid = pid
        if self.kill_reason is not None and not self.is_killed:
            self.kill()

    def kill(self, reason: KillReason | None = None) -> None:
        """Kill it and what its bodies have started; without a reason the jobs that it ran count as
        lost."""
        if reason is not None and self.kill_reason is None:
            self.kill_reason = reason
            self.kill_at.clear()
        if self.pid is not None and self.exited_at is None:
            self.is_killed = True
            kill_family(self.pid)

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal if the child is there."""
        if self.pid is not None and self.exited_at is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    @property
    def stalls_at(self) -> float:
        """When it should have begun what it was given; infinity if it has, or nobody can tell."""
        return math.inf

    def is_stalled(self, now: float) -> bool:
        """Whether it has not begun by then: it is stopped, say, or a thread of an earlier body
        hangs in C."""
        return False

    @abstractmethod
    def running(self) -> list[HeldJob]:
        """The jobs that it runs now, as precisely as its reports tell."""

    @abstractmethod
    def seconds_of(self, job: Claimed, now: float) -> float:
        """How long it has run a job."""

    @property
    @abstractmethod
    def is_busy(self) -> bool:
        """Whether it has jobs."""

    @property
    @abstractmethod
    def idle_since(self) -> float:
        """When it ended its last job, or was requested; infinity while it has jobs."""

    @abstractmethod
    def give(self, worker_id: int, jobs: list[Claimed], now: float) -> None:
        """Send it jobs that were claimed under one registration."""

    @abstractmethod
    def held(self) -> list[HeldJob]:
        """All jobs that it was given and has neither ended nor lost again."""

    @property
    def can_be_asked(self) -> bool:
        """Whether there is something to ask, and no question is open."""
        return self._asked_about is None and self.is_busy and self.channel.jobs >= 0

    def ask(self) -> None:
        """Ask what it runs. It reads messages in order, so its answer knows every job of now: one
        that is missing in it, and has no outcome by then, will never have one."""
        self._asked_about = {held.job.id for held in self.held()}
        self.channel.send(pack([ASK]))

    def outcome_after_death(self, job: Claimed, others: int) -> Outcome:
        """How a job ended that this child ran when it died: lost, over a limit, or released if the
        supervisor killed the child for another reason, or it died with its fork server.

        Args:
            others: how many other jobs it ran; with any, it is not known which was at fault.
        """
        options, reason = self.catalog.run_options(job), self.kill_reason
        if reason is None:
            if self.is_orphaned:
                return Released()
            status = CLOSED_PIPES if self.is_mute else self.status
            return self._loss(job, lost_child(self.pid, status), others)
        failure = reason.failure
        if reason.job_id != job.id or failure is None:
            return Released()
        return self._retried(job, failure, may_retry=failure.type not in options.unretried)

    def outcome_of_dropped(self, job: Claimed) -> Outcome:
        """How a job ended that this child has dropped."""
        return self._loss(job, dropped_job(self.pid))

    def _retried(self, job: Claimed, failure: Failure, *, may_retry: bool) -> Outcome:
        delay = self.catalog.run_options(job).delay_after(job.attempt, random.random())
        return Retrying(delay, failure) if may_retry and delay is not None else Failed(failure)

    def _loss(self, job: Claimed, failure: Failure, others: int = 0) -> Outcome:
        """Charged to a job that was alone, and to one that must not run twice."""
        most = self.catalog.run_options(job).max_attempts
        if others and most > 1:
            return Suspected(uncharged(failure, others))
        return Lost(failure, 0.0 if job.attempt < most else None)

    def _jobs_message(self, generation: int, worker_id: int, jobs: Sequence[Claimed]) -> bytes:
        """Jobs, with the names of the queues that this child does not know yet."""
        if self._asked_about:  # one of them may come again, after the question
            self._asked_about.difference_update(job.id for job in jobs)
        new = {job.queue_id for job in jobs} - self._known_queues
        self._known_queues |= new
        names = {queue_id: self.queues[queue_id] for queue_id in new if queue_id in self.queues}
        return pack([JOBS, generation, worker_id, jobs, names])

    def _end(self, held: HeldJob, outcome: Outcome, results: RoundResults, seconds: float) -> None:
        self.jobs_ended += 1
        if self.logs:
            self._end_log(held.job, outcome, results)
        is_cancelled = self.kill_at.pop(held.job.id, None) is not None
        if type(outcome) is Released:
            is_excused = self._excuses_release()
            if is_cancelled:
                results.add_stopped(held, self.pid, seconds)
                return
            if not is_excused:
                outcome = self._retried(held.job, self_cancelled(), may_retry=True)
        results.add(held, outcome, self.pid, seconds)

    def _end_log(self, job: Claimed, outcome: Outcome, results: RoundResults) -> None:
        """Keep what a job has reported with its end. Without a report nothing is kept of it: not
        what was written while it ran, either, unless its child has settled it."""
        log = self.logs.pop(job.id, None)
        if isinstance(log, JobLogRow):
            results.logs.append(log)
        elif log is not None and log.is_written and type(outcome) is not Settled:
            results.logs.append(JobLogRow.nothing(job.id, job.lease, job.attempt))

    def keep_log(self, job: Claimed, outcome: Outcome, results: RoundResults) -> None:
        """Keep what a job has logged that could not report its end."""
        log = self.logs.get(job.id)
        if isinstance(log, RunningLog):
            is_wanted = not log.only_failures or type(outcome) is not Released
            if is_wanted:
                row = JobLogRow.of(job.id, job.lease, job.attempt, log.buffer)
                self.logs[job.id] = row
        self._end_log(job, outcome, results)

    def new_logs(self) -> Iterator[tuple[HeldJob, RunningLog]]:
        """The running jobs that have logged since their lines were taken."""
        if not self.logs:
            return
        held = {one.job.id: one for one in self.held()}
        for job_id, log in self.logs.items():
            if isinstance(log, RunningLog) and log.is_new and job_id in held:
                yield held[job_id], log

    @abstractmethod
    def _excuses_release(self) -> bool:
        """Whether a job that was interrupted is not at fault, though it was not cancelled. Each
        cause excuses one job."""

    def _take_lines(
        self, job_id: bytes, only_failures: bool, most: int, rows: Sequence[Any]
    ) -> None:  # fmt: skip
        log = self.logs.get(job_id)
        if not isinstance(log, RunningLog):
            log = self.logs[job_id] = RunningLog(only_failures, LineBuffer(most))
        log.is_new = True
        for row in rows:
            if isinstance(row, str):
                log.buffer.extend_last(row)
            else:
                log.buffer.add(KeptLine(*row))

    def _receive_common(self, message: list[Any], results: RoundResults) -> None:
        if message[0] == PROGRESS:
            results.notes.append((message[1], message[2], message[3]))
        elif message[0] == LINES:
            self._take_lines(*message[1:])
            results.has_lines = True
        elif message[0] == LOG:
            self.logs[message[1]] = JobLogRow(*message[1:])
        elif message[0] == LIMITED:
            self.limited = LimitedBody(*message[1:])
        elif message[0] == HELLO:
            self.is_ready = True
            self.stack = message[2]
            self.learn_pid(message[1])
        elif message[0] == STACKED:
            self.stacks.put((message[1], [tuple(frame) for frame in message[2]]))
        elif message[0] == QUIT:
            self.quit_reason = message[1]
        elif message[0] == RUNS and self._asked_about is not None:
            dropped = self._asked_about.difference(message[1])
            self._asked_about = None
            self.dropped = [held for held in self.held() if held.job.id in dropped]
