"""Async child: a process that runs many async functions at once on one event loop."""

from __future__ import annotations

import asyncio
import contextlib
import os
from dataclasses import dataclass, field
from typing import Any

from hammerflow.jobs.job import Claimed
from hammerflow.worker.child.base import Child
from hammerflow.worker.child.execution import JobExecution
from hammerflow.worker.fork_signals import ignore_stop_signals
from hammerflow.worker.processes import exit_now, set_title
from hammerflow.worker.protocol import ASK, JOBS, QUIT, RUNS, Unpacker, pack, pack_outcome

__all__ = ["AsyncChild"]

_READ = 1 << 20


@dataclass(eq=False)
class AsyncChild(Child):
    """Starts every job that it gets at once; the supervisor keeps to its number of slots.

    When it is used up it says QUIT, and ends once nothing runs and the supervisor has closed its
    end.
    """

    _tasks: dict[bytes, asyncio.Task[None]] = field(default_factory=dict)
    _executions: dict[bytes, JobExecution] = field(default_factory=dict)  # that can be stopped
    _has_quit: bool = False

    def run(self) -> None:
        """Work until the supervisor closes its end."""
        asyncio.run(self._main())

    async def _main(self) -> None:
        ignore_stop_signals()
        set_title("async child")
        loop = asyncio.get_running_loop()
        closed = loop.create_future()
        unpacker = Unpacker()

        def read() -> None:
            with contextlib.suppress(BlockingIOError):
                data = os.read(self.pipes.jobs, _READ)
                if not data and not closed.done():
                    closed.set_result(None)
                for message in unpacker.frames(data):
                    self._obey(message)

        os.set_blocking(self.pipes.jobs, False)
        loop.add_reader(self.pipes.jobs, read)
        await closed
        exit_now(0)

    def _obey(self, message: list[Any]) -> None:
        if message[0] == ASK:
            runs = [job_id for job_id, task in self._tasks.items() if not task.done()]
            self._send(pack([RUNS, runs]))
            return
        if message[0] != JOBS:
            self._stop(*message[1:])
            return
        _, _, self._executor.worker_id, rows, queues = message
        self._executor.queues.update(queues)
        for job in map(Claimed._make, rows):
            self._tasks[job.id] = asyncio.create_task(self._run_job(job))

    def _stop(self, job_id: bytes, reason: str) -> None:
        execution = self._executions.get(job_id)
        if execution is not None and execution.stop_reason is None:
            execution.stop_reason = reason
            self._tasks[job_id].cancel()

    async def _run_job(self, job: Claimed) -> None:
        def started(execution: JobExecution) -> None:
            self._executions[job.id] = execution

        outcome = await self._executor.execute_async(job, started)
        self._exit_if_forked()
        self._tasks.pop(job.id, None)
        self._executions.pop(job.id, None)
        self._send(pack_outcome(outcome, job.id))
        self._jobs_done += 1
        self._quit_if_used_up()

    def _quit_if_used_up(self) -> None:
        if not self._has_quit and (reason := self._quit_reason()):
            self._has_quit = True
            self._send(pack([QUIT, reason]))
