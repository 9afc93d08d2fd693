"""What both kinds of children share: the executor, reports to the supervisor, and limits."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple, NoReturn

from hammerflow.app import Hammerflow
from hammerflow.jobs.outcome import Failed, Outcome
from hammerflow.services.lease_clock import LeaseClock
from hammerflow.stores.rows import JobLogRow
from hammerflow.text import storable
from hammerflow.worker.child.executor import Executor
from hammerflow.worker.child.hooks import call_starts
from hammerflow.worker.child.interrupts import Interrupts
from hammerflow.worker.child.log_keeper import KeptLog, LogKeeper
from hammerflow.worker.child.process_state import ProcessState
from hammerflow.worker.child.watching import flush
from hammerflow.worker.descriptors import Sentinel
from hammerflow.worker.failures import CLOSED_PIPES, failure_of
from hammerflow.worker.logs import SPAN_IDS, facts
from hammerflow.worker.memory import cpu_seconds, held_bytes
from hammerflow.worker.processes import (
    die_with_parent,
    exit_now,
    resident_mebibytes,
)
from hammerflow.worker.protocol import (
    HELLO,
    LIMITED,
    LINES,
    LOG,
    PROGRESS,
    LimitedBody,
    Pipes,
    pack,
    pack_outcome,
    write_all,
)
from hammerflow.worker.run_options import RunOptions
from hammerflow.worker.stacks import offer_stack

__all__ = ["Child", "ChildLimits"]

log = logging.getLogger("hammerflow.child")

_NOTE = 500  # characters of a progress report, up to 4 bytes each


class ChildLimits(NamedTuple):
    """When a child makes way for a fresh one."""

    max_jobs: int | None = None
    max_memory: int | None = None  # MiB

    def quit_reason(self, jobs_done: int) -> str | None:
        """Why a child that has done ``jobs_done`` jobs is used up; None if it is not."""
        if self.max_jobs is not None and jobs_done >= self.max_jobs:
            return f"{jobs_done} jobs done"
        if self.max_memory is not None and (memory := resident_mebibytes()) > self.max_memory:
            return f"{memory:.0f} MiB of memory held"
        return None


@dataclass(eq=False)
class Child:
    """A process that executes jobs; make it in the process itself, after the fork.

    Attributes:
        largest_outcome: bytes that the message on the end of one job may have. No database takes a
            value of 1 GiB, and the supervisor reads no message of 2.
        cancel_watchdog: see :class:`ProcessState`.
        shares_process: whether bodies run in it at the same time.
    """

    app: Hammerflow
    pipes: Pipes
    limits: ChildLimits
    lease_clock: LeaseClock
    largest_outcome: int = 1 << 30
    cancel_watchdog: bool = False
    shares_process: ClassVar[bool] = False
    _jobs_done: int = 0
    _spoiled: str | None = None  # why no other body may run in this process
    #: Bodies report progress from their threads, too.
    _sending: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self._parent = os.getppid()
        self._sentinel = Sentinel(self.pipes.results)
        self._interrupts = Interrupts()
        self._executor = Executor(
            self.app, self._send_progress, self._interrupts, self._send_limits, self.lease_clock
        )
        self._executor.log_keeper = LogKeeper.of(self.app, _LogMessages(self._send))

        if self.app.settings.tracing:
            from hammerflow.telemetry.tracing import current_ids  # imports OpenTelemetry

            SPAN_IDS[:] = [current_ids]

    def _begin(self) -> None:
        """Handle signals, and note the state of the process to which it returns after each job."""
        self._interrupts.install()
        if self._executor.log_keeper is not None:
            self._executor.log_keeper.install()
        call_starts(self.app.hooks)
        self._stack = offer_stack()
        if self.shares_process:
            self._interrupts.survive_others()
        self._state = ProcessState(cancel_watchdog=self.cancel_watchdog)

    def _exit(self, code: int) -> NoReturn:
        """End this process once spans and errors that wait for an exporter have been sent."""
        if self.app.watchers:
            flush(self.app.watchers)
        exit_now(code)

    def _say_hello(self) -> None:
        """Ask for jobs: whatever could fail at the start of this process has not failed."""
        self._send(pack([HELLO, os.getpid(), self._stack]))

    def _restore(self, task_id: int | None = None, now: float = 0.0) -> None:
        """Put back what bodies have changed of the process.

        Args:
            task_id: of a body that another one follows at once, without a wait for jobs.
            now: seconds of ``time.perf_counter()``, with a task id.
        """
        if task_id is None:
            reason = self._state.restore()
        else:
            reason = self._state.restore_after(task_id, now)
        self._spoiled = reason or self._spoiled

    def _ended(self, outcome: Outcome, job_id: bytes | None = None) -> bytes:
        """The message on the end of a job."""
        self._jobs_done += 1
        try:
            message = pack_outcome(outcome, job_id)
            if len(message) <= self.largest_outcome:
                return message
            raise ValueError(
                f"the job ended with {len(message)} bytes of result and children, more than the "
                f"{self.largest_outcome} that a database takes: store them elsewhere"
            )
        except Exception as error:  # noqa: BLE001 - a border: values of the user's may be in it
            return pack_outcome(Failed(failure_of(error)), job_id)

    def _quit_reason(self) -> str | None:
        """Why this child is used up; None if it is not."""
        return self._spoiled or self.limits.quit_reason(self._jobs_done)

    def _renew_death_wish(self) -> None:
        """A body that changes its user, even for a moment, cancels the request to be killed with
        the fork server (prctl(2), PR_SET_PDEATHSIG)."""
        die_with_parent(self._parent)

    def _send(self, message: bytes) -> None:
        """Write one or more messages; end this process if nobody reads them any more."""
        if not self._sentinel.is_there:
            self._check_pipes()
        try:
            with self._sending:
                write_all(self.pipes.results, message)
        except BrokenPipeError:
            exit_now(0)
        except OSError as error:
            log.error("cannot write to the supervisor", extra=facts(error=error))
            exit_now(71)

    def _check_pipes(self) -> None:
        """A body has closed descriptors of this process: end it, once it has said what it can."""
        if not self._sentinel.is_same(self.pipes.results):
            os._exit(CLOSED_PIPES)  # any message, or output, could end in a file of the body
        if self._spoiled is None:
            self._spoiled = "a body has closed descriptors that were not its own"
            log.warning("ending this child: %s", self._spoiled)

    def _send_limits(self, job_id: bytes, options: RunOptions) -> None:
        """Have the supervisor watch what the next body takes."""
        limits = options.memory_limit, options.cpu_limit
        body = LimitedBody(job_id, *limits, held_bytes("self"), cpu_seconds("self"))
        self._send(pack([LIMITED, *body]))

    def _send_progress(self, job_id: bytes, fraction: float, note: str) -> None:
        # Short enough for one atomic write (pipe(7), PIPE_BUF): the soft timeout of the body that
        # calls this must not leave half a message.
        self._send(pack([PROGRESS, job_id, fraction, storable(note, _NOTE)]))


class _LogMessages:
    """Tells the supervisor what bodies log: a killed one has told it before it died."""

    def __init__(self, send: Callable[[bytes], None]) -> None:
        self._send = send

    def lines(self, log: KeptLog, rows: Sequence[Any]) -> None:
        """A body has logged these."""
        self._send(pack([LINES, log.job.id, log.only_failures, log.most, rows]))

    def row(self, row: JobLogRow) -> None:
        """An attempt has ended, and keeps these lines."""
        self._send(pack([LOG, *row]))
