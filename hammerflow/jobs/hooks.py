"""JobHooks: functions of the user's that a worker's child calls as it runs jobs."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from hammerflow.errors import ConfigError

__all__ = ["HookedJob", "JobHooks"]


@dataclass(frozen=True, slots=True)
class HookedJob:
    """What a hook is told.

    Attributes:
        task: the task's name.
        queue: the queue's name.
        attempt: the number of this attempt, from 1.
        error_type: qualified name of the exception that ended the attempt; None without one.
        error_message: its text; likewise.
    """

    id: uuid.UUID
    task: str
    queue: str
    attempt: int
    error_type: str | None = None
    error_message: str | None = None


Hook = TypeVar("Hook", bound=Callable[[HookedJob], object])
Start = TypeVar("Start", bound=Callable[[], object])


class JobHooks:
    """The hooks of an app, ``app.hooks``: decorators for plain functions of one argument."""

    def __init__(self) -> None:
        self.known: dict[str, list[Callable[[HookedJob], object]]] = {}
        self.child_starts: list[Callable[[], object]] = []

    def child_started(self, hook: Start) -> Start:
        """Call ``hook``, without arguments, in each child of a worker before its first job: the
        place for what survives no fork, such as threads, clients and exporters. Its errors are
        logged.

        Raises:
            ConfigError: it is an async function.
        """
        self._check("child_started", hook)
        self.child_starts.append(hook)
        return hook

    def job_started(self, hook: Hook) -> Hook:
        """Call ``hook`` before a body begins.

        Raises:
            ConfigError: it is an async function, as with the other decorators.
        """
        return self._add("started", hook)

    def job_completed(self, hook: Hook) -> Hook:
        """Call ``hook`` once a body has returned."""
        return self._add("completed", hook)

    def job_failed(self, hook: Hook) -> Hook:
        """Call ``hook`` after an attempt that is the last one."""
        return self._add("failed", hook)

    def job_timed_out(self, hook: Hook) -> Hook:
        """Call ``hook`` after a timeout that ends in the child, before ``job_failed`` or
        ``job_retried``."""
        return self._add("timed_out", hook)

    def job_retried(self, hook: Hook) -> Hook:
        """Call ``hook`` after an attempt that another one follows."""
        return self._add("retried", hook)

    def _add(self, moment: str, hook: Hook) -> Hook:
        self._check(f"job_{moment}", hook)
        self.known.setdefault(moment, []).append(hook)
        return hook

    @staticmethod
    def _check(name: str, hook: Callable[..., object]) -> None:
        from inspect import iscoroutinefunction

        if iscoroutinefunction(hook):
            raise ConfigError(f"the hook for {name} is async: make it a plain function")
