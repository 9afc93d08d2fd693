"""Run options: what holds for one job, and what a supervisor knows of the tasks of an app."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from hammerflow.errors import ConfigError, CpuLimitExceeded, MemoryLimitExceeded, SoftTimeout
from hammerflow.ids import name_id
from hammerflow.jobs.backoff import Backoff, FunctionBackoff
from hammerflow.jobs.job import Claimed
from hammerflow.jobs.limit import Limit
from hammerflow.jobs.retention import Lifetimes
from hammerflow.tasks.options import TaskOptions
from hammerflow.tasks.shape import TaskShape
from hammerflow.tasks.task import Task

__all__ = [
    "RunOptions",
    "TaskCatalog",
    "TaskInfo",
    "refuse_elsewhere",
    "run_options_of",
    "wants_retry",
]

#: The options that a job may override, and their types.
_OVERRIDES: dict[str, tuple[type, ...]] = {
    "max_attempts": (int,),
    "timeout": (int, float),
    "soft_timeout": (int, float),
    "store_result": (bool,),
    "memory_limit": (int,),
    "cpu_limit": (int, float),
}


#: The errors that end a body from outside, by the type that a job's history names.
_KILLS = {
    "HardTimeout": SoftTimeout,
    "MemoryLimitExceeded": MemoryLimitExceeded,
    "CpuLimitExceeded": CpuLimitExceeded,
}


class RunOptions(NamedTuple):
    """How a job is run, retried and kept. Durations in seconds, memory in bytes.

    Attributes:
        unretried: the errors from outside, by type, after which it is not tried again.
    """

    max_attempts: int
    backoff: Backoff | FunctionBackoff
    timeout: float | None
    soft_timeout: float | None
    store_result: bool
    memory_limit: int | None
    cpu_limit: float | None
    unretried: Sequence[str]

    @property
    def is_limited(self) -> bool:
        """Whether the supervisor watches what the body takes."""
        return self.memory_limit is not None or self.cpu_limit is not None

    def delay_after(self, attempt: int, chance: float) -> float | None:
        """Seconds until the next attempt; None if ``attempt`` (1 is the first) was the last one.

        Args:
            chance: random, from 0 to 1, for the jitter.
        """
        return None if attempt >= self.max_attempts else self.backoff.seconds(attempt, chance)

    def with_overrides(self, job_options: Mapping[str, Any]) -> RunOptions:
        """These options with those of one job laid over them; ConfigError for a wrong type."""
        changes = {name: job_options[name] for name in _OVERRIDES if name in job_options}
        for name, value in changes.items():
            if not isinstance(value, _OVERRIDES[name]):
                raise ConfigError(f"the job's option {name} is {value!r}")
        if "backoff" in job_options:
            changes["backoff"] = Backoff.from_dict(job_options["backoff"])
        return self._replace(**changes) if changes else self


def run_options_of(options: TaskOptions) -> RunOptions:
    """The run options of a task's jobs that override none."""
    return RunOptions(
        options.max_attempts, options.backoff, options.timeout, options.soft_timeout,
        options.store_result, options.memory_limit, options.cpu_limit,
        [name for name, kind in _KILLS.items() if not wants_retry(options, kind())],
    )  # fmt: skip


def wants_retry(options: TaskOptions, error: BaseException) -> bool:
    """Whether a task is tried again after this error, while attempts are left.

    Without ``retry_on`` that is any error, ``SystemExit`` from a ``sys.exit()`` included.
    """
    if isinstance(error, options.no_retry_on):
        return False
    return options.retry_on is None or isinstance(error, options.retry_on)


_DEFAULTS = run_options_of(TaskOptions())


def refuse_elsewhere(limits: Sequence[str], task: str, platform: str = sys.platform) -> None:
    """Refuse limits of bodies where the supervisor cannot measure what they take.

    Args:
        limits: the limits that a task, or a call of it, has.

    Raises:
        ConfigError: there is one, and this is not Linux.
    """
    if limits and platform != "linux":
        raise ConfigError(
            f"{limits[0]} of {task} cannot be enforced on {platform}: run its worker on Linux, or "
            "leave the limit out"
        )


class TaskInfo(NamedTuple):
    """What a supervisor, which never imports the app's code, must know of a task."""

    name: str
    queue: str
    is_async: bool
    result_ttl: float | None
    limit: Limit | None
    retention: Lifetimes | None
    run_options: RunOptions
    shape: str | None

    @property
    def runs_alone(self) -> bool:
        """As of :class:`TaskOptions`."""
        return self.is_async and self.run_options.is_limited

    @classmethod
    def of(cls, task: Task[..., Any]) -> TaskInfo:
        """The facts of a registered task."""
        options = task.defaults
        return cls(
            task.name, options.queue, options.is_async, options.result_ttl, options.limit,
            options.retention,
            run_options_of(options), TaskShape.of(task).to_text(),
        )  # fmt: skip

    def to_plain(self) -> list[Any]:
        """Plain values for a pipe."""
        _, backoff, *rest = self.run_options
        limit = self.limit and self.limit.to_plain()
        kept = self.retention, self.shape, self.run_options.max_attempts, backoff.to_dict()
        return [*self[:4], limit, *kept, *rest]

    @classmethod
    def from_plain(cls, plain: list[Any]) -> TaskInfo:
        """The inverse of :meth:`to_plain`."""
        name, queue, is_async, result_ttl, limit, retention, shape, *others = plain
        max_attempts, backoff, *rest = others
        run_options = RunOptions(max_attempts, Backoff.from_dict(backoff), *rest)
        return cls(
            name, queue, is_async, result_ttl, limit and Limit.from_plain(limit), retention,
            run_options, shape,
        )  # fmt: skip


class TaskCatalog:
    """All tasks of an app, by the number that names them in the hot tables.

    Attributes:
        names: of the tasks, sorted.
        queues: to which they belong by default.
        tasks: what is known of them.
        limits: that tasks declare, by their names.
        shapes: of the tasks, by their names.
        ttls: by the number of a task: how many seconds its results are kept, if not for good.
    """

    def __init__(self, tasks: list[TaskInfo]) -> None:
        self._tasks = {name_id(task.name): task for task in tasks}
        self.tasks = tasks
        self.names = sorted(task.name for task in tasks)
        self.queues = {task.queue for task in tasks}
        self.limits = {task.name: task.limit for task in tasks if task.limit is not None}
        self.shapes = {task.name: task.shape for task in tasks if task.shape is not None}
        self.ttls = {i: t.result_ttl for i, t in self._tasks.items() if t.result_ttl is not None}

    def ids(self, *, is_async: bool, alone: bool = False) -> list[int]:
        """The numbers of the plain tasks, of the async ones, or of those that run alone."""
        kind = is_async, alone
        return sorted(i for i, t in self._tasks.items() if (t.is_async, t.runs_alone) == kind)

    def name(self, job: Claimed) -> str:
        """The name of a job's task."""
        task = self._tasks.get(job.task_id)
        return task.name if task is not None else str(job.task_id)

    def run_options(self, job: Claimed) -> RunOptions:
        """What holds for a job."""
        task = self._tasks.get(job.task_id)
        options = _DEFAULTS if task is None else task.run_options
        if job.options is None:
            return options
        try:
            return options.with_overrides(json.loads(job.options))
        except Exception:  # noqa: BLE001 - a border: rows may come from anywhere
            return options  # the child parks it; the supervisor must not fail over a row

    def timeout(self, job: Claimed) -> float | None:
        """A job's hard timeout in seconds."""
        return self.run_options(job).timeout
