"""What the worker's tests share: claimed jobs made by hand, and a child without a supervisor."""

from __future__ import annotations

import math
import os
import signal
import time
from collections.abc import Callable
from typing import Any

from hammerflow import Hammerflow
from hammerflow.codec.codec import Codec
from hammerflow.ids import name_id, new_id
from hammerflow.jobs.job import Claimed
from hammerflow.jobs.outcome import Outcome
from hammerflow.services.lease_clock import LeaseClock
from hammerflow.worker.child.async_ import AsyncChild
from hammerflow.worker.child.base import ChildLimits
from hammerflow.worker.child.serial import SerialChild
from hammerflow.worker.fork_signals import ignore_stop_signals
from hammerflow.worker.run_options import TaskCatalog, TaskInfo
from hammerflow.worker.supervisor.async_handle import AsyncChildHandle
from hammerflow.worker.supervisor.child_channel import ChildChannel
from hammerflow.worker.supervisor.prefetch import Prefetch
from hammerflow.worker.supervisor.round_results import RoundResults
from hammerflow.worker.supervisor.serial_handle import SerialChildHandle
from tests.support.waiting import until

__all__ = ["Bench", "claimed"]

_CODEC = Codec()


def claimed(task: str = "task", *args: Any, **fields: Any) -> Claimed:
    """A job as a claim would return it."""
    values: dict[str, Any] = {
        "id": new_id(),
        "lease": 1,
        "attempt": 1,
        "task_id": name_id(task),
        "queue_id": name_id("default"),
        "priority": 2,
        "args": _CODEC.encode_call(args, {}),
        "options": None,
        "headers": None,
        "parent_id": None,
        "root_id": None,
        "depth": 0,
        "spawn_index": None,
        "dependent_id": None,
        "unique_key": None,
        "trace": None,
        "workflow_id": None,
        "flags": 0,
        "expired": False,
    }
    return Claimed(**(values | fields))


class Bench:
    """One child and its handle.

    Args:
        child: what it runs, SerialChild or AsyncChild.
        values: further fields of the child.
    """

    def __init__(
        self,
        app: Hammerflow,
        options: ChildLimits = ChildLimits(),  # noqa: B008 - a tuple
        child: type[SerialChild | AsyncChild] = SerialChild,
        **values: Any,
    ) -> None:
        catalog = TaskCatalog([TaskInfo.of(task) for task in app.tasks.values()])
        self.channel = ChildChannel()
        kind = AsyncChildHandle if child is AsyncChild else SerialChildHandle
        self.handle: Any = kind(1, self.channel, catalog, {}, time.monotonic())
        self.results = RoundResults()
        self.prefetch = Prefetch()
        self.is_over = False
        self.pid = os.fork()
        if self.pid == 0:
            os.close(self.channel.jobs)
            pulse = LeaseClock()
            pulse.extend(math.inf)
            try:
                ignore_stop_signals()  # as the fork server does
                child(app, self.channel.child_ends, options, pulse, **values).run()
            finally:  # nothing may return into the copy of the test
                os._exit(1)
        self.handle.pid = self.pid
        self.channel.handed_over()

    def give(self, *jobs: Claimed) -> None:
        self.handle.give(7, list(jobs), time.monotonic())

    def listen(self) -> None:
        """Take in what the child has said by now."""
        messages = self.channel.messages()
        if messages is None:
            self.is_over = True
        else:
            self.handle.receive(messages, self.results, self.prefetch, time.monotonic())
        self.channel.flush()

    def listen_until(self, condition: Callable[[], bool]) -> None:
        def has_told() -> bool:
            self.listen()
            return condition()

        until("the child reports it", has_told)

    def run(self, *jobs: Claimed) -> list[Outcome]:
        """Give it jobs; their outcomes in the order of the jobs, once all have ended."""
        self.give(*jobs)
        ends: dict[bytes, Outcome] = {}

        def have_ended() -> bool:
            ends.update((job.id, outcome) for job, outcome in self.results.ended.get(7, []))
            return ends.keys() >= {job.id for job in jobs}

        self.listen_until(have_ended)
        return [ends[job.id] for job in jobs]

    @property
    def ended(self) -> list[bytes]:
        return [job.id for job, _ in self.results.ended.get(7, [])]

    def close(self) -> None:
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        self.channel.close()
