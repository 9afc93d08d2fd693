"""Async child: a process that runs many async functions at once on one event loop."""

from __future__ import annotations

import asyncio
import contextlib
import os
from typing import Any

from hammerflow.app import Hammerflow
from hammerflow.jobs.job import Claimed
from hammerflow.services.lease_clock import LeaseClock
from hammerflow.worker.child.executor import Executor, JobExecution
from hammerflow.worker.child.serial import ChildOptions, exit_now, ignore_stop_signals
from hammerflow.worker.processes import resident_mebibytes, set_title
from hammerflow.worker.protocol import (
    JOBS,
    PROGRESS,
    QUIT,
    Pipes,
    Unpacker,
    pack,
    pack_outcome,
    write_all,
)

__all__ = ["AsyncChild"]


class AsyncChild:
    """Starts every job it gets at once; the supervisor keeps to its number of slots.

    When it is spent (by jobs or memory) it says QUIT and ends once nothing runs and the supervisor
    has closed its end.
    """

    def __init__(
        self, app: Hammerflow, pipes: Pipes, options: ChildOptions, lease_clock: LeaseClock
    ) -> None:
        self._pipes = pipes
        self._options = options
        self._executor = Executor(app, progress=self._note, lease_clock=lease_clock)
        self._running: dict[bytes, asyncio.Task[None]] = {}
        self._calls: dict[bytes, JobExecution] = {}
        self._jobs_done = 0
        self._pid = os.getpid()
        self._said_quit = False

    def run(self) -> None:
        """Work until the supervisor closes its end."""
        asyncio.run(self._main())

    async def _main(self) -> None:
        ignore_stop_signals()
        set_title("async child")
        loop = asyncio.get_running_loop()
        ended = loop.create_future()
        unpacker = Unpacker()

        def read() -> None:
            with contextlib.suppress(BlockingIOError):
                data = os.read(self._pipes.jobs, 1 << 20)
                if not data and not ended.done():
                    ended.set_result(None)
                for frame in unpacker.frames(data):
                    self._obey(frame)

        os.set_blocking(self._pipes.jobs, False)
        loop.add_reader(self._pipes.jobs, read)
        await ended
        exit_now(0)

    def _obey(self, frame: list[Any]) -> None:
        if frame[0] == JOBS:
            _, _, worker_id, rows, queues = frame
            self._executor.worker_id = worker_id
            self._executor.queues.update(queues or {})
            for row in rows:
                job = Claimed._make(row)
                self._running[job.id] = asyncio.create_task(self._run_job(job))
            return
        _, job_id, why = frame
        task, call = self._running.get(job_id), self._calls.get(job_id)
        if task is not None and call is not None and call.stop is None:
            call.stop = why
            task.cancel()

    async def _run_job(self, job: Claimed) -> None:
        def started(call: JobExecution) -> None:
            self._calls[job.id] = call

        outcome = await self._executor.execute_async(job, started)
        if os.getpid() != self._pid:
            os._exit(0)  # the body has forked and this is the copy
        self._running.pop(job.id, None)
        self._calls.pop(job.id, None)
        self._send(pack_outcome(outcome, job.id))
        self._jobs_done += 1
        self._quit_if_spent()

    def _quit_if_spent(self) -> None:
        most, memory = self._options.max_jobs, self._options.max_memory
        if self._said_quit or (most is None and memory is None):
            return
        if most is not None and self._jobs_done >= most:
            self._say_quit(f"{self._jobs_done} jobs done")
        elif memory is not None and resident_mebibytes() > memory:
            self._say_quit(f"{resident_mebibytes():.0f} MiB of memory held")

    def _say_quit(self, why: str) -> None:
        self._said_quit = True
        self._send(pack([QUIT, why]))

    def _note(self, job_id: bytes, fraction: float, note: str) -> None:
        self._send(pack([PROGRESS, job_id, fraction, note]))

    def _send(self, frame: bytes) -> None:
        try:
            write_all(self._pipes.results, frame)
        except OSError:
            exit_now(0)
