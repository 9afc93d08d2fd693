"""The tasks behind map, starmap, chunks, and replace() with a group."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from hammerflow.tasks.functions import UNFINISHED, unfinished
from hammerflow.tasks.task import Task

__all__ = ["BUILTIN", "builtin_tasks"]

#: Prefix of the builtin tasks' names.
BUILTIN = "hammerflow."


def builtin_tasks(tasks: Mapping[str, Task[..., Any]]) -> dict[str, Callable[..., Any]]:
    """The functions of the builtin tasks by name.

    Args:
        tasks: the app's registered tasks, which the builtin ones call.
    """

    def call(name: str, args: Iterable[Any]) -> Any:
        task = tasks[name]
        value = task.fn(*args)
        if task.defaults.is_async:
            import asyncio

            value = asyncio.run(value)
        if type(value) in UNFINISHED:
            raise unfinished(name, value)
        return value

    def map_(task: str, items: list[Any]) -> list[Any]:
        return [call(task, (item,)) for item in items]

    def starmap(task: str, items: list[Any]) -> list[Any]:
        return [call(task, item) for item in items]

    def collect(results: list[Any]) -> list[Any]:
        return results

    return {f"{BUILTIN}map": map_, f"{BUILTIN}starmap": starmap, f"{BUILTIN}collect": collect}
