"""The children of a worker, and the one thread that talks with them."""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from hammerflow.errors import ConfigError
from hammerflow.ids import name_id
from hammerflow.jobs.job import Claimed
from hammerflow.jobs.outcome import Outcome
from hammerflow.stores.rows import JobLogRow
from hammerflow.text import counted
from hammerflow.worker.logs import facts
from hammerflow.worker.options import ChildRange, WorkerOptions
from hammerflow.worker.processes import resident_mebibytes_of
from hammerflow.worker.run_options import TaskCatalog
from hammerflow.worker.supervisor.async_handle import AsyncChildHandle
from hammerflow.worker.supervisor.child_group import (
    AsyncChildGroup,
    Group,
    Handle,
    LimitedAsyncChildGroup,
    SerialChildGroup,
)
from hammerflow.worker.supervisor.child_handle import KillReason
from hammerflow.worker.supervisor.child_lifecycle import ChildLifecycle
from hammerflow.worker.supervisor.event_loop import EventLoop
from hammerflow.worker.supervisor.fork_server_client import ForkServerClient
from hammerflow.worker.supervisor.job_log import JobLog
from hammerflow.worker.supervisor.limit_watch import LimitWatch
from hammerflow.worker.supervisor.log_tails import LogTail, tails_of
from hammerflow.worker.supervisor.pool_size import PoolSize
from hammerflow.worker.supervisor.round_results import HeldJob, RoundResults, Runs
from hammerflow.worker.supervisor.suspects import SuspectTurns

__all__ = ["Pool"]

log = logging.getLogger("hammerflow.pool")

#: Jobs that found no child for this many seconds go back to the database, for other hosts.
_BACKLOG_WAIT = 0.5
#: So do suspects after this many seconds; they wait for each other.
_SUSPECTS_WAIT = 30.0
#: Seconds after which a suspect whose turn it is is tried again.
_TURN_WAIT = 0.02
#: Between two rounds while children stream tiny jobs: outcomes are then taken by the dozen.
_BREATH = 0.0005
_AFTER_ERROR = 0.1


class Pool:
    """Hands claimed jobs to children and delivers their outcomes.

    What must hold:

    - *A job starts at most once under a lease.* A serial child reads one token from its token pipe
      before it starts a job; the pool writes one per job. To take a job back, the pool reads the
      token itself. The kernel gives each byte to one reader, so either the child has started the
      job or it never will. A child whose jobs were taken back gets new ones only after it has
      reported the missing token: it would start the old jobs with the new tokens.
    - *An outcome is delivered once, whatever happens.* A round that fails still delivers what it
      has collected. After a death the results are read to their end before anything is concluded
      from the jobs without an outcome (see :meth:`ChildLifecycle.check_all`).
    - *Every claimed job is in one place:* the backlog, a child, or the settler. :meth:`held` must
      name all of the first two, or the lease reconciler would release a job that is about to run.
    - *The backlog does not wait.* Jobs that no child has taken for half a second are released:
      this worker misjudged how long its jobs take, and other hosts may be idle.

    All state is guarded by one lock, and neither a child nor the database can block its holder: the
    pipes are non-blocking, and the settler only queues. The thread of the pool reads; other threads
    (claims, cancellations, the drain) take the lock, change something, and wake it.

    Args:
        log_level: of the lines for jobs that ended well, as a number of :mod:`logging`.
        deliver: takes the outcomes of jobs by the registration that claimed them.
        keep_logs: takes what they have logged, before ``deliver`` gets them.
        on_lines: called after rounds in which running bodies have logged.
        on_progress: takes what a job reports of its progress: id, fraction, note.
        on_fork_server_lost: called when the fork server has died or does not answer; with that
            as a sentence.
        is_written: see :class:`SuspectTurns`.
        on_runs: takes the outcomes of attempts that have ended, and their seconds, before
            ``deliver`` gets them.

    Attributes:
        changes: counts jobs that became ready, came and went.
        released: counts jobs that gave their leases back.
        have_started: set once all children run.
        have_ended: set once a drain has seen the last child end.
    """

    def __init__(
        self,
        options: WorkerOptions,
        *,
        log_level: int,
        deliver: Callable[[int, list[tuple[Claimed, Outcome]]], None],
        keep_logs: Callable[[Sequence[JobLogRow]], None],
        on_progress: Callable[[bytes, float, str], None],
        on_lines: Callable[[], None],
        on_fork_server_lost: Callable[[str], None],
        is_written: Callable[[int, bytes], bool] = lambda worker_id, job_id: True,
        on_runs: Callable[[Sequence[Runs]], None] | None = None,
    ) -> None:
        self.lock = threading.RLock()
        self.changes = 0
        self.released = 0
        self.have_started = threading.Event()
        self.have_ended = threading.Event()
        self._queues: dict[int, str] = {}
        self._job_log = JobLog(log_level, self._queues)
        self._turns = SuspectTurns(is_written)
        shared = self.lock, self._queues, self._turns
        self.serial = SerialChildGroup(*shared)
        self.async_ = AsyncChildGroup(*shared, slots=options.async_slots)
        self.groups: tuple[Group, ...] = (
            self.serial, self.async_, LimitedAsyncChildGroup(*shared),
        )  # fmt: skip
        self._event_loop = EventLoop()
        self._limit_watch = LimitWatch(self.lock, self.groups, self._kill_for_limit)
        self._children = ChildLifecycle(
            self.groups, self._event_loop, self._job_log, options.child_range.least,
            on_fork_server_lost, self._limit_watch,
        )  # fmt: skip
        self._size = PoolSize(
            self.groups, self._children, options.child_range, options.child_cooldown
        )
        self._grace = options.grace
        self._deliver_to_settler = deliver
        self._keep_logs = keep_logs
        self._on_progress = on_progress
        self._on_lines = on_lines
        self._on_runs = on_runs
        self._abandoned: set[int] = set()  # registrations that are gone
        self._ended: Counter[int] = Counter()  # by queue, since the last take_state()
        self._state_at = time.monotonic()
        self._wakes_at = 0.0
        self._is_draining = False
        self._is_over = False
        self._thread = threading.Thread(target=self._run, name="pool", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def use_fork_server(self, client: ForkServerClient, catalog: TaskCatalog) -> None:
        """Take children from this fork server from now on; older children end when they are free,
        and what they have not started goes to the new ones."""
        with self.lock:
            self._children.use_fork_server(client, catalog)
            self._event_loop.wake()

    @property
    def is_idle(self) -> bool:
        """Whether no job is held."""
        with self.lock:
            return not any(
                group.has_waiting or any(child.is_busy for child in group.children)
                for group in self.groups
            )

    def held(self) -> list[HeldJob]:
        """All jobs that were claimed and have not ended."""
        with self.lock:
            return [held for group in self.groups for held in group.held()]

    def count_of(self, queue: str) -> int:
        """How many jobs of a queue were claimed and have not ended."""
        queue_id = name_id(queue)
        return sum(held.job.queue_id == queue_id for held in self.held())

    @property
    def missing_children(self) -> int:
        """How many children fewer than usual are there to take jobs."""
        with self.lock:
            ready = [sum(child.is_ready for child in group.children) for group in self.groups]
            return sum(
                max(0, group.wanted - count)
                for group, count in zip(self.groups, ready, strict=True)
            )

    @property
    def size(self) -> int:
        """How many children of a kind there should be now."""
        return self._size.size

    @property
    def child_range(self) -> ChildRange:
        """How many children of a kind there should be, at least and at most."""
        return self._size.limits

    def resize(self, change: Mapping[str, Any], by: str) -> dict[str, Any]:
        """Change how many children there are: see :meth:`PoolSize.change`, which may refuse it."""
        with self.lock:
            if self._is_draining:
                raise ConfigError("the worker is draining: it starts no more children")
            told = self._size.change(change, by, time.monotonic())
            self._event_loop.wake()
            return told

    @property
    def has_fork_server(self) -> bool:
        """Whether children can be forked."""
        return self._children.has_fork_server

    @property
    def retired_fork_servers(self) -> int:
        """How many old fork servers still have children."""
        with self.lock:
            return self._children.retired_fork_servers

    def running(self) -> int:
        """How many jobs run, as precisely as the children report it."""
        with self.lock:
            return sum(len(child.running()) for _, child in self._children.all())

    @property
    def is_draining(self) -> bool:
        """Whether it claims and starts no more."""
        return self._is_draining

    def take_state(self) -> dict[str, Any]:
        """What the children do, and how many jobs of each queue have ended since the last call."""
        now = time.monotonic()
        with self.lock:
            children = [child.describe(now) for _, child in self._children.all()]
            waiting = sum(len(group.held()) for group in self.groups)
            ended, self._ended = self._ended, Counter()
            counts = {self._queues.get(id_, str(id_)): count for id_, count in ended.items()}
        seconds, self._state_at = now - self._state_at, now
        for child in children:
            memory = resident_mebibytes_of(child["pid"]) if child["pid"] else None
            child["memory"] = None if memory is None else round(memory)
        running = sum(child["running"] for child in children)
        return {
            "draining": self._is_draining, "waiting": waiting - running, "children": children,
            "ended": counts, "seconds": round(seconds, 2),
        }  # fmt: skip

    def occupation(self) -> tuple[int, int, Counter[str]]:
        """How many children are busy, and idle; how many jobs of each queue run."""
        running: Counter[str] = Counter()
        with self.lock:
            children = [child for _, child in self._children.all()]
            busy = sum(child.is_busy for child in children)
            for child in children:
                running.update(self.queue_name(held.job.queue_id) for held in child.running())
        return busy, len(children) - busy, running

    def queue_name(self, queue_id: int) -> str:
        """The name of a queue from which a job was claimed."""
        return self._queues.get(queue_id, str(queue_id))

    def task_name(self, job: Claimed) -> str:
        """The name of a job's task."""
        return self._children.catalog.name(job)

    def place_of(self, job_id: bytes) -> tuple[Handle | None, bytes | None]:
        """The child that has a job, and the job that it runs: for a coroutine the same one."""
        with self.lock:
            for _, child in self._children.all():
                if any(held.job.id == job_id for held in child.held()):
                    ids = [held.job.id for held in child.running()]
                    return child, job_id if job_id in ids else ids[0] if ids else None
        return None, None

    def ask_for_stack(self, child: AsyncChildHandle, job_id: bytes) -> None:
        """Ask an async child where the body of a job is."""
        with self.lock:
            child.ask_for_stack(job_id)
            self._event_loop.wake()

    def note_change(self) -> None:
        """Scheduled jobs became ready: a claim that found nothing before says nothing any more."""
        with self.lock:
            self.changes += 1

    def offer(self, group: Group, worker_id: int, jobs: Sequence[Claimed], queue: str) -> None:
        """Take claimed jobs; free children get theirs before this returns.

        They are handed out in the thread of the claim, so that no switch of threads lies between a
        claim and the start of its jobs.
        """
        with self.lock:
            self.changes += 1
            self._queues[jobs[0].queue_id] = queue
            if worker_id in self._abandoned:
                held = [HeldJob(worker_id, job) for job in jobs]
                self._release(held, "the registration that claimed them is gone")
                return
            now = time.monotonic()
            group.add_jobs(worker_id, jobs, now)
            if self._is_draining:
                self._release_unstarted("the worker is draining")
                return
            group.dispatch(now)
            is_clogged = any(child.channel.is_clogged for child in group.children)
            if is_clogged or self._next_wake(now) < self._wakes_at:
                self._event_loop.wake()

    def cancel(self, job_id: bytes) -> None:
        """Stop a job. One that has not started is released: settling sees the request and ends it.
        A body is interrupted, and its child is killed if it still runs after the grace. May be
        called again until the job has ended."""
        with self.lock:
            now = time.monotonic()
            results = RoundResults()
            for group in self.groups:
                results.release(group.take_unstarted(job_id, now))
            self._deliver(results)
            if results.ended:
                job = uuid.UUID(bytes=job_id)
                log.info("cancelled a job that had not started", extra=facts(job=job))
            for _, child in self._children.all():
                for held in child.held():
                    if held.job.id == job_id:
                        self._interrupt(child, held, now)
            self._event_loop.wake()

    def ask_children(self) -> None:
        """Find jobs that a child has dropped; call it once a second or more often."""
        with self.lock:
            self._children.ask_all(time.monotonic())
            if any(child.channel.is_clogged for _, child in self._children.all()):
                self._event_loop.wake()

    def drain(self) -> None:
        """Release what has not started; let the rest end."""
        with self.lock:
            self._is_draining = True
            self._release_unstarted("the worker is draining")
            self._children.retire_all()
            self._event_loop.wake()

    def abandon(self, worker_id: int) -> None:
        """The leases of this registration were taken over: stop what runs under it."""
        with self.lock:
            self._abandoned.add(worker_id)
            self.kill_all("its leases were taken over")

    def kill_all(self, why: str) -> None:
        """Kill every child; the jobs that they run are released uncharged."""
        with self.lock:
            self._release_unstarted(why)
            self._children.kill_all(why)
            self._event_loop.wake()

    def stop(self) -> None:
        """End the thread; the children must be gone."""
        with self.lock:
            self._is_over = True
            self._event_loop.wake()
        self._limit_watch.stop()
        if self._thread.is_alive():
            self._thread.join(5.0)
        self._children.close()

    def take_tails(self, most_bytes: int) -> list[LogTail]:
        """Copies of what running jobs have logged that is new; see :func:`tails_of`."""
        with self.lock:
            pairs = [pair for _, child in self._children.all() for pair in child.new_logs()]
            return tails_of(pairs, most_bytes)

    def _kill_for_limit(self, child: Handle, reason: KillReason) -> None:
        held = next((held for held in child.running() if held.job.id == reason.job_id), None)
        self._children.kill(child, reason, held)
        self._event_loop.wake()

    def _run(self) -> None:
        while not self._is_over:
            try:
                self._round()
            except Exception:  # a border: the pool must outlive what it did not expect
                log.exception("a round of the pool failed")
                time.sleep(_AFTER_ERROR)

    def _round(self) -> None:
        """Wait for messages or the next deadline, and do what they call for."""
        with self.lock:
            now = time.monotonic()
            self._wakes_at = wake_at = self._next_wake(now)
        callbacks = self._event_loop.wait(wake_at - now)
        with self.lock:
            results = RoundResults(logs_all=self._job_log.is_complete)
            results.runs = None if self._on_runs is None else []
            now = time.monotonic()
            try:
                for callback in callbacks:
                    callback(results, now)
                self._update(results, now)
            finally:
                self._deliver(results)  # whatever happens, no outcome is dropped
            for group in self.groups:
                if group.wants_room and group.room(now):
                    group.has_room.notify_all()
            streams = bool(results.ended) and any(c.unstarted for c in self.serial.children)
        for note in results.notes:
            self._on_progress(*note)
        if results.has_lines:
            self._on_lines()
        if streams:
            time.sleep(_BREATH)

    def _update(self, results: RoundResults, now: float) -> None:
        """What follows from the messages and from the clock.

        The dead are reaped first, so that their unstarted jobs and their places are free for the
        rest: new children, and jobs for all that are free. What then still waits is too much.
        """
        for sizer in self._size.sizers if not self._is_draining else ():
            sizer.update(now)  # first: the children that it retires end in the next line
        self._children.check_all(results, now)
        for group in self.groups:
            if self._is_draining:
                results.release(group.take_waiting())
                continue
            self._children.start_missing(group, now)
            group.rebalance(now)
            group.dispatch(now)
            waited = group.backlog.take_before(now - _BACKLOG_WAIT)
            if group.suspects:
                waited += group.suspects.take_before(now - _SUSPECTS_WAIT)
            results.release(waited)
            if waited:
                _log_release(len(waited), "no child was free for them")
        for _, child in self._children.all():
            if child.channel.is_clogged:  # learn when its pipe takes more
                self._event_loop.watch_writing(child.channel.jobs, child.channel.flush)
            else:
                self._event_loop.forget_writing(child.channel.jobs)
        if not self.have_started.is_set() and self._children.are_complete:
            self.have_started.set()
        if self._is_draining and not any(group.children for group in self.groups):
            self.have_ended.set()

    def _next_wake(self, now: float) -> float:
        """When there is something to do that no message announces; infinity for never."""
        times = [*self._children.wake_times()]
        if self._turns.are_due:
            times.append(now + _TURN_WAIT)
        times += [sizer.next_update() for sizer in self._size.sizers if not self._is_draining]
        for group in self.groups:
            times += [group.backlog.oldest + _BACKLOG_WAIT, group.next_rebalance()]
            if group.suspects:
                times.append(group.suspects.oldest + _SUSPECTS_WAIT)
            if group.not_before > now and group.missing > 0 and not self._is_draining:
                times.append(group.not_before)
        return min(times)

    def _interrupt(self, child: Handle, held: HeldJob, now: float) -> None:
        if child.kill_reason is not None:
            return
        if held.job.id not in child.kill_at:
            fields = self._job_log.fields(held.job, child.catalog)
            log.info("interrupting a cancelled job", extra=facts(child=child.pid, **fields))
        child.kill_at.setdefault(held.job.id, now + self._grace)
        child.cancel(held.job.id)

    def _release_unstarted(self, why: str) -> None:
        now = time.monotonic()
        unstarted: list[HeldJob] = []
        for group in self.groups:
            group.take_back(now)
            unstarted += group.take_waiting()
        self._release(unstarted, why)

    def _release(self, held: Sequence[HeldJob], why: str) -> None:
        if held:
            results = RoundResults()
            results.release(held)
            self._deliver(results)
            _log_release(len(held), why)

    def _deliver(self, results: RoundResults) -> None:
        self.released += results.released
        if results.runs and self._on_runs is not None:
            self._on_runs(results.runs)
        if results.logs:
            self._keep_logs(results.logs)
        for worker_id, pairs in results.ended.items():
            self.changes += 1
            if pairs:  # the ends of one round are mostly of one queue: no work for each job
                self._ended[pairs[0][0].queue_id] += len(pairs)
            self._deliver_to_settler(worker_id, pairs)
        self._turns.note_delivery()
        self._job_log.write(results.to_log, self._children.catalog)


def _log_release(count: int, why: str) -> None:
    log.info("released %s: %s", counted(count, "lease"), why, extra=facts(leases=count))
