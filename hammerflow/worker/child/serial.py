"""Serial child: a process that runs plain functions, one after another, in its main thread."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from typing import Any

from hammerflow.jobs.job import Claimed
from hammerflow.worker.child.base import Child
from hammerflow.worker.processes import exit_now, set_title
from hammerflow.worker.protocol import ASK, QUIT, RUNS, TAKEN_BACK, TIMES, Unpacker, pack

__all__ = ["SerialChild"]

_READ = 1 << 20
_PROTOCOL_ERROR = 70


@dataclass(eq=False)
class SerialChild(Child):
    """Takes chunks of jobs and runs them in order.

    It needs a token for each job that it starts. If there is none, the supervisor has taken the
    rest of the chunk back: each byte of a pipe goes to one reader, so the kernel decides who has a
    job, and no job is started twice under one lease.
    """

    _times: dict[int, list[float]] = field(default_factory=dict)
    _titled: int = 0

    def run(self) -> None:
        """Work until the supervisor closes its end."""
        self._begin()
        unpacker = Unpacker()
        self._say_hello()
        while data := os.read(self.pipes.jobs, _READ):
            self._renew_death_wish()
            for message in unpacker.frames(data):
                if message[0] == ASK:
                    self._send(pack([RUNS, []]))  # all that came before the question has ended
                    continue
                _, generation, worker_id, jobs, queues = message
                self._executor.worker_id = worker_id
                self._executor.queues.update(queues)
                self._run_chunk(generation, jobs)
        self._exit(0)

    def _run_chunk(self, generation: int, rows: list[list[Any]]) -> None:
        last = len(rows) - 1
        for index, row in enumerate(rows):
            if not self._take_token(generation):
                self._restore()  # nothing may follow for long
                self._send(pack([TAKEN_BACK, generation]) + self._take_times())
                return
            message = self._run_job(Claimed._make(row), is_last=index == last)
            if index == last:
                message += self._take_times()
            self._send(message)
            self._quit_if_used_up()

    def _take_token(self, generation: int) -> bool:
        """Take the right to start one job of a chunk; False if the supervisor has taken it back."""
        try:
            token = os.read(self.pipes.tokens, 1)
        except BlockingIOError:
            return False
        if not token:
            exit_now(0)  # the supervisor is gone
        if token[0] != generation:
            exit_now(_PROTOCOL_ERROR)
        return True

    def _run_job(self, job: Claimed, *, is_last: bool) -> bytes:
        if job.task_id != self._titled:
            task = self._executor.task(job)
            self._titled = job.task_id
            set_title(f"child {task.name if task is not None else 'unknown'}")
        begun = time.perf_counter()
        outcome = self._executor.execute(job)
        self._executor.exit_if_forked()
        ended = time.perf_counter()
        times = self._times.setdefault(job.task_id, [0, 0.0])
        times[0] += 1
        times[1] += ended - begun
        self._restore(None if is_last else job.task_id, ended)
        return self._ended(outcome)

    def _take_times(self) -> bytes:
        times, self._times = self._times, {}
        return pack([TIMES, times]) if times else b""

    def _quit_if_used_up(self) -> None:
        if reason := self._quit_reason():
            self._send(self._take_times() + pack([QUIT, reason]))
            self._exit(0)
