"""What both kinds of children share: the executor, reports to the supervisor, and limits."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from typing import NamedTuple

from hammerflow.app import Hammerflow
from hammerflow.services.lease_clock import LeaseClock
from hammerflow.worker.child.executor import Executor
from hammerflow.worker.child.interrupts import Interrupts
from hammerflow.worker.descriptors import Sentinel
from hammerflow.worker.failures import CLOSED_PIPES
from hammerflow.worker.logs import facts
from hammerflow.worker.processes import exit_now, resident_mebibytes
from hammerflow.worker.protocol import PROGRESS, Pipes, pack, write_all

__all__ = ["Child", "ChildLimits"]

log = logging.getLogger("hammerflow.child")


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
    """A process that executes jobs; make it in the process itself, after the fork."""

    app: Hammerflow
    pipes: Pipes
    limits: ChildLimits
    lease_clock: LeaseClock
    _jobs_done: int = 0

    def __post_init__(self) -> None:
        self._pid = os.getpid()
        self._sentinel = Sentinel(self.pipes.results)
        self._damage: str | None = None
        self._interrupts = Interrupts()
        self._executor = Executor(self.app, self._send_progress, self._interrupts, self.lease_clock)

    def _send(self, message: bytes) -> None:
        """Write one or more messages; end this process if nobody reads them any more."""
        if not self._sentinel.is_there:
            self._check_pipes()
        try:
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
        if self._damage is None:
            self._damage = "a body has closed descriptors that were not its own"
            log.warning("ending this child: %s", self._damage)

    def _quit_reason(self) -> str | None:
        """Why this child is used up; None if it is not."""
        return self.limits.quit_reason(self._jobs_done) or self._damage

    def _send_progress(self, job_id: bytes, fraction: float, note: str) -> None:
        self._send(pack([PROGRESS, job_id, fraction, note]))

    def _exit_if_forked(self) -> None:
        """End a copy of this process that a body has forked: its end is not the job's."""
        if os.getpid() != self._pid:
            os._exit(0)
