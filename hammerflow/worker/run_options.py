"""Policy: what holds for one job: its task's options with the job's own laid over them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from hammerflow.errors import ConfigError, SoftTimeout
from hammerflow.ids import name_id
from hammerflow.jobs.backoff import Backoff
from hammerflow.jobs.job import Claimed
from hammerflow.tasks.options import TaskOptions
from hammerflow.tasks.task import Task

__all__ = ["RunOptions", "TaskCatalog", "TaskInfo", "run_options_of", "wants_retry"]


_OVERRIDES: dict[str, tuple[type, ...]] = {
    "max_attempts": (int,),
    "timeout": (int, float),
    "soft_timeout": (int, float),
    "store_result": (bool,),
}


class RunOptions(NamedTuple):
    """How a job is run, retried and kept. Seconds."""

    max_attempts: int
    backoff: Backoff
    timeout: float | None
    soft_timeout: float | None
    store_result: bool
    retries_timeouts: bool

    def delay_after(self, attempt: int, chance: float) -> float | None:
        """Seconds until the next attempt; None if ``attempt`` was the last one."""
        return None if attempt >= self.max_attempts else self.backoff.seconds(attempt, chance)

    def overridden(self, options: str | None) -> RunOptions:
        """With what the job itself says (JSON) laid over it."""
        return self if options is None else self.with_overrides(json.loads(options))

    def with_overrides(self, given: Mapping[str, Any]) -> RunOptions:
        """With a job's own options laid over it."""
        changes: dict[str, Any] = {}
        for name, kinds in _OVERRIDES.items():
            if name in given:
                if not isinstance(given[name], kinds):
                    raise ConfigError(f"the job's option {name} is {given[name]!r}")
                changes[name] = given[name]
        if "backoff" in given:
            changes["backoff"] = Backoff.from_dict(given["backoff"])
        return self._replace(**changes) if changes else self


def run_options_of(options: TaskOptions) -> RunOptions:
    """What a task's options mean for a job without options of its own."""
    return RunOptions(
        options.max_attempts,
        options.backoff,
        options.timeout,
        options.soft_timeout,
        options.store_result,
        wants_retry(options, SoftTimeout()),
    )


def wants_retry(options: TaskOptions, error: BaseException) -> bool:
    """Whether the task tries again after this error, while attempts are left.

    Without ``retry_on`` that is any error, ``SystemExit`` from a ``sys.exit()`` included.
    """
    if isinstance(error, options.no_retry_on):
        return False
    return options.retry_on is None or isinstance(error, options.retry_on)


class TaskInfo(NamedTuple):
    """What a supervisor must know of a task whose code it never imports."""

    name: str
    queue: str
    is_async: bool
    result_ttl: float | None
    policy: RunOptions

    @classmethod
    def of(cls, task: Task[..., Any]) -> TaskInfo:
        options = task.defaults
        return cls(
            task.name, options.queue, options.is_async, options.result_ttl, run_options_of(options)
        )

    def to_plain(self) -> list[Any]:
        """Plain data for a pipe."""
        policy = self.policy._replace(backoff=self.policy.backoff.to_dict())  # type: ignore[arg-type]
        return [*self[:4], list(policy)]

    @classmethod
    def from_plain(cls, plain: list[Any]) -> TaskInfo:
        """The inverse of :meth:`to_plain`."""
        policy = RunOptions(*plain[4])
        backoff = Backoff.from_dict(policy.backoff)  # type: ignore[arg-type]
        name, queue, is_async, result_ttl, _ = plain
        return cls(name, queue, is_async, result_ttl, policy._replace(backoff=backoff))


class TaskCatalog:
    """All tasks of an app, by the number that stands for them in the hot tables."""

    def __init__(self, tasks: list[TaskInfo]) -> None:
        self._tasks = {name_id(task.name): task for task in tasks}
        self.names = sorted(task.name for task in tasks)
        self.queues = {task.queue for task in tasks}
        self._timeouts = {
            task_id: task.policy.timeout
            for task_id, task in self._tasks.items()
            if task.policy.timeout is not None
        }
        self.ttls = {
            task_id: task.result_ttl
            for task_id, task in self._tasks.items()
            if task.result_ttl is not None
        }

    def ids(self, *, is_async: bool) -> list[int]:
        """The numbers of the async tasks, or of the others."""
        return sorted(i for i, task in self._tasks.items() if task.is_async is is_async)

    def name(self, job: Claimed) -> str:
        """The name of a job's task."""
        task = self._tasks.get(job.task_id)
        return task.name if task is not None else str(job.task_id)

    def policy(self, job: Claimed) -> RunOptions:
        """What holds for a job."""
        task = self._tasks.get(job.task_id)
        base = run_options_of(TaskOptions()) if task is None else task.policy
        try:
            return base.overridden(job.options)
        except Exception:  # noqa: BLE001 - a border: rows may come from anywhere
            return base  # the child parks it; the supervisor must not fall over a row

    def timeout(self, job: Claimed) -> float | None:
        """A job's hard timeout in seconds."""
        if job.options is None:
            return self._timeouts.get(job.task_id)
        return self.policy(job).timeout
