"""Child: the loop of a process that runs plain functions, one after another, in its main thread."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
import time
import types
from typing import Any, NamedTuple

from hammerflow.app import Hammerflow
from hammerflow.jobs.job import Claimed
from hammerflow.jobs.outcome import Outcome
from hammerflow.services.lease_clock import LeaseClock
from hammerflow.worker.child.executor import Executor
from hammerflow.worker.child.interrupts import SignalInterrupts
from hammerflow.worker.logs import facts
from hammerflow.worker.processes import resident_mebibytes, set_title
from hammerflow.worker.protocol import (
    PROGRESS,
    QUIT,
    TAKEN_BACK,
    TIMES,
    Pipes,
    Unpacker,
    pack,
    pack_outcome,
    write_all,
)

__all__ = ["ChildOptions", "SerialChild", "exit_now", "ignore_stop_signals"]

log = logging.getLogger("hammerflow.child")
_READ = 1 << 20


class ChildOptions(NamedTuple):
    """When a child makes way for a fresh one, and how much a async child takes."""

    max_jobs: int | None = None
    max_memory: int | None = None  # MiB
    slots: int = 100


class SerialChild:
    """Takes chunks of jobs and runs them in order.

    A token must be had before each job is started. When there is none, the supervisor has taken
    the rest of the chunk back: each byte of a pipe goes to one reader, so the kernel decides who
    has a job, and no job is started twice under one lease.
    """

    def __init__(
        self, app: Hammerflow, pipes: Pipes, options: ChildOptions, lease_clock: LeaseClock
    ) -> None:
        self._pipes = pipes
        self._options = options
        self._interrupts = SignalInterrupts()
        self._executor = Executor(
            app, progress=self._note, interrupts=self._interrupts, lease_clock=lease_clock
        )
        self._pid = os.getpid()
        self._times: dict[int, list[float]] = {}
        self._jobs_done = 0
        self._titled = 0

    def run(self) -> None:
        """Work until the supervisor closes its end."""
        ignore_stop_signals()
        self._interrupts.install()
        unpacker = Unpacker()
        while data := os.read(self._pipes.jobs, _READ):
            for _, generation, worker_id, jobs, queues in unpacker.frames(data):
                self._executor.worker_id = worker_id
                if queues:
                    self._executor.queues.update(queues)
                self._run_chunk(generation, jobs)

    def _run_chunk(self, generation: int, rows: list[list[Any]]) -> None:
        last = len(rows) - 1
        for index, row in enumerate(rows):
            try:
                token = os.read(self._pipes.tokens, 1)
            except BlockingIOError:
                self._send(pack([TAKEN_BACK, generation]) + self._take_times())
                return
            if not token or token[0] != generation & 255:
                exit_now(70 if token else 0)  # the supervisor is gone, or its counting is not ours
            frame = self._run_job(Claimed._make(row))
            if index == last:
                frame += self._take_times()
            self._send(frame)
            self._jobs_done += 1
            self._quit_if_spent()

    def _run_job(self, job: Claimed) -> bytes:
        if job.task_id != self._titled:
            self._show_title(job)
        begun = time.perf_counter()
        outcome: Outcome = self._executor.execute(job)
        if os.getpid() != self._pid:
            os._exit(0)  # the body has forked and this is the copy: its end is not the job's
        times = self._times.setdefault(job.task_id, [0, 0.0])
        times[0] += 1
        times[1] += time.perf_counter() - begun
        return pack_outcome(outcome)

    def _show_title(self, job: Claimed) -> None:
        task = self._executor.task(job)
        self._titled = job.task_id
        set_title(f"child {task.name if task is not None else 'unknown'}")

    def _take_times(self) -> bytes:
        times, self._times = self._times, {}
        return pack([TIMES, times]) if times else b""

    def _quit_if_spent(self) -> None:
        most, memory = self._options.max_jobs, self._options.max_memory
        why = None
        if most is not None and self._jobs_done >= most:
            why = f"{self._jobs_done} jobs done"
        elif memory is not None and resident_mebibytes() > memory:
            why = f"{resident_mebibytes():.0f} MiB of memory held"
        if why is not None:
            self._send(self._take_times() + pack([QUIT, why]))
            exit_now(0)

    def _note(self, job_id: bytes, fraction: float, note: str) -> None:
        self._send(pack([PROGRESS, job_id, fraction, note]))

    def _send(self, frame: bytes) -> None:
        try:
            write_all(self._pipes.results, frame)
        except BrokenPipeError:
            exit_now(0)
        except OSError as error:
            log.error("child cannot report", extra=facts(error=error))
            exit_now(71)


def ignore_stop_signals() -> None:
    """Leave SIGINT and SIGTERM, which a terminal or systemd sends to all processes, to the
    supervisor. By a handler and not SIG_IGN, which programs that a body starts would inherit."""
    pid = os.getpid()

    def ignore(number: int, frame: types.FrameType | None) -> None:
        if os.getpid() != pid:  # a process that a body has forked: it may be ended
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, ignore)


def exit_now(code: int) -> None:
    """End this process at once: what the fork server registered to run at exit is not ours."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):  # a border: a body may have closed or replaced them
            stream.flush()
    os._exit(code)
