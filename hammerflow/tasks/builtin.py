"""Builtin tasks, which map, starmap, chunks and replacing groups are made of."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from hammerflow.tasks.task import Task

__all__ = ["COLLECT", "MAP", "STARMAP", "BuiltinTasks"]

MAP = "hammerflow.map"
STARMAP = "hammerflow.starmap"
COLLECT = "hammerflow.collect"


class BuiltinTasks:
    """The functions of the builtin tasks.

    Args:
        tasks: the app's registered tasks by name.
    """

    def __init__(self, tasks: Mapping[str, Task[..., Any]]) -> None:
        self._tasks = tasks

    def by_name(self) -> dict[str, Callable[..., Any]]:
        """The functions by task name."""
        return {MAP: self.map, STARMAP: self.starmap, COLLECT: self.collect}

    def map(self, task: str, items: list[Any]) -> list[Any]:
        """Call a task's function with each item in turn; the list of its results."""
        return [self._call(task, (item,)) for item in items]

    def starmap(self, task: str, items: list[Any]) -> list[Any]:
        """As :meth:`map`, where each item is a list of arguments."""
        return [self._call(task, tuple(item)) for item in items]

    def collect(self, results: list[Any]) -> list[Any]:
        """The results of a group as one result."""
        return results

    def _call(self, task: str, args: tuple[Any, ...]) -> Any:
        called = self._tasks[task]
        value = called.fn(*args)
        if called.defaults.is_async:
            import asyncio

            return asyncio.run(value)
        return value
