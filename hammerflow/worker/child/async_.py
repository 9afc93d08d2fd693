"""Async child: a process that runs many async functions at once on one event loop."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from dataclasses import dataclass, field
from typing import Any, NoReturn

from hammerflow.jobs.job import Claimed
from hammerflow.worker.child.base import Child
from hammerflow.worker.child.execution import JobExecution
from hammerflow.worker.child.job_task import JobTask, owner_of
from hammerflow.worker.child.programs import Programs
from hammerflow.worker.failures import CLOSED_PIPES, failure_of
from hammerflow.worker.processes import exit_now, set_title
from hammerflow.worker.protocol import ASK, JOBS, QUIT, RUNS, STACK, STACKED, Unpacker, pack
from hammerflow.worker.stacks import await_chain

__all__ = ["AsyncChild"]

log = logging.getLogger("hammerflow.child")

_READ = 1 << 20
_INTERNAL_ERROR = 70


@dataclass(eq=False)
class AsyncChild(Child):
    """Starts every job that it gets at once; the supervisor keeps to its number of slots.

    When it is used up it says QUIT, and ends once nothing runs and the supervisor has closed its
    end.
    """

    shares_process = True

    _tasks: dict[bytes, JobTask] = field(default_factory=dict)
    _programs: Programs = field(default_factory=Programs)
    _has_quit: bool = False

    def run(self) -> None:
        """Work until the supervisor closes its end."""
        self._begin()
        self._programs.install()
        set_title("async child")
        self._unpacker = Unpacker()
        self._loop = asyncio.new_event_loop()
        asyncio.set_event_loop(self._loop)
        os.set_blocking(self.pipes.jobs, False)
        self._loop.add_reader(self.pipes.jobs, self._read)
        self._say_hello()
        while True:  # a body may stop the loop
            try:
                self._loop.run_forever()
            except (SystemExit, KeyboardInterrupt) as error:
                self._blame(error)
            except OSError:
                if self._sentinel.is_there:
                    raise
                os._exit(CLOSED_PIPES)  # a body has closed the loop's descriptors

    def _read(self) -> None:
        self._executor.exit_if_forked()  # the copy of the loop must not take jobs of this one
        try:
            with contextlib.suppress(BlockingIOError):
                data = os.read(self.pipes.jobs, _READ)
                if not data:
                    self._exit(0)
                self._renew_death_wish()
                for message in self._unpacker.frames(data):
                    self._obey(message)
        except BaseException as error:  # noqa: BLE001 - a border: the loop would only log it
            self._fail_process("cannot obey the supervisor", error)

    def _obey(self, message: list[Any]) -> None:
        if message[0] == ASK:
            runs = [job_id for job_id, task in self._tasks.items() if not task.done()]
            self._send(pack([RUNS, runs]))
            return
        if message[0] == STACK:
            task = self._tasks.get(message[1])
            frames = await_chain(task.get_coro()) if task is not None else []  # type: ignore[arg-type]
            self._send(pack([STACKED, message[1], frames]))
            return
        if message[0] != JOBS:
            self._stop(*message[1:])
            return
        _, _, self._executor.worker_id, rows, queues = message
        self._executor.queues.update(queues)
        for job in map(Claimed._make, rows):
            task = self._tasks[job.id] = JobTask(self._run_job(job), loop=self._loop)
            task.add_done_callback(self._check_end)

    def _stop(self, job_id: bytes, reason: str) -> None:
        task = self._tasks.get(job_id)
        if task is not None and task.execution is not None and not task.execution.is_stopped:
            task.execution.stop_reason = reason
            task.cancel()

    async def _run_job(self, job: Claimed) -> None:
        def started(execution: JobExecution) -> None:
            self._tasks[job.id].execution = execution
            self._programs.begin(execution)

        outcome = await self._executor.execute_async(job, started)
        self._executor.exit_if_forked()
        task = self._tasks.pop(job.id, None)
        if task is not None and (execution := task.execution) is not None:
            self._programs.end(execution, kill=execution.stop_reason == "timeout")
            if execution.is_spent or (execution.is_stopped and execution.run_options.is_limited):
                self._spoiled = self._spoiled or "threads of a body with a limit may go on"
        self._restore()
        message = self._ended(outcome, job.id)
        self._send(self._take_quit() + message)  # at once, so that no job comes between them

    def _check_end(self, task: asyncio.Task[None]) -> None:
        """A task that did not report its end: the supervisor will ask, and settle it as lost."""
        error = asyncio.CancelledError() if task.cancelled() else task.exception()
        if error is not None:
            log.error("the end of a job cannot be reported\n%s", failure_of(error).traceback)

    def _blame(self, error: BaseException) -> None:
        """Fail the job that has ended the loop: asyncio lets SystemExit and KeyboardInterrupt out
        of it when a task or callback raises them. The other jobs go on."""
        owner = owner_of(error)
        task = None if owner is None else self._tasks.get(owner.job.id)
        if owner is None or task is None or task.execution is not owner:
            text = failure_of(error).traceback
            log.error("a task or callback that belongs to no running job failed\n%s", text)
        elif not owner.is_stopped:
            owner.stray_error = error
            # Not at once: a body that waits for the task gets the exception itself.
            self._loop.call_soon(task.cancel)

    def _take_quit(self) -> bytes:
        """The message that this child is used up, once."""
        if self._has_quit or not (reason := self._quit_reason()):
            return b""
        self._has_quit = True
        return pack([QUIT, reason])

    def _fail_process(self, what: str, error: BaseException) -> NoReturn:
        try:
            log.error("%s\n%s", what, failure_of(error).traceback)
        finally:  # handlers of logs are the user's, too
            exit_now(_INTERNAL_ERROR)
