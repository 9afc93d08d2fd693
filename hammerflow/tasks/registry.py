"""TaskRegistry: the tasks and spawn handlers of an app, each under a name of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from hammerflow.canvas.spawn import SpawnContext
from hammerflow.errors import ConfigError
from hammerflow.introspection.kinds import is_a
from hammerflow.introspection.origin import Origin
from hammerflow.tasks.functions import checked_function, checked_handler, default_name
from hammerflow.tasks.options import declared, refuse_other_options
from hammerflow.tasks.task import AsyncTask, Spawner, Task
from hammerflow.text import checked_name

__all__ = ["TaskRegistry"]

F = TypeVar("F", bound=Callable[..., Any])


class TaskRegistry:
    """Registers functions.

    Args:
        app: whose tasks they become.
    """

    def __init__(self, app: Any) -> None:
        self._app = app
        self._origins: dict[tuple[str, str], Origin] = {}
        self.tasks: dict[str, Task[..., Any]] = {}
        self.spawn_handlers: dict[str, Callable[[SpawnContext], Iterable[Any]]] = {}

    def register(
        self, fn: Callable[..., Any], kind: type[Task[..., Any]], options: Mapping[str, Any]
    ) -> Task[..., Any]:
        """Make a task of a function; see :meth:`Hammerflow.task`."""
        given = dict(options)
        if is_a(fn, Task):
            raise ConfigError(
                f"{fn.__qualname__} is the task {fn.name!r} already: give its function, task.fn"
            )
        fn = checked_function(fn, is_spawner=kind is Spawner)
        name, refusal = given.pop("name", None), ""
        if name is None:
            name, refusal = default_name(fn)
        name = checked_name(name, "a task's name")
        found = declared(fn, name, given, is_spawner=kind is Spawner)
        if found.is_async and kind is Task:
            kind = AsyncTask
        known = self.tasks.get(name)
        if known is not None and Origin.of(fn).is_once_more(self._origins["task", name]):
            refuse_other_options(name, known.defaults, found)
        self._take_name("task", name, fn, "another one, name='...'")
        task = kind(fn, name=name, options=found, app=self._app, refusal=refusal)
        self.tasks[name] = task
        return task

    def spawn_handler(self, name: str) -> Callable[[F], F]:
        """The decorator that registers a spawn handler; see :meth:`Hammerflow.spawn_handler`."""
        name = checked_name(name, "a spawn handler's name")

        def register(fn: F) -> F:
            self._take_name("spawn handler", name, checked_handler(fn, name), "another one")
            self.spawn_handlers[name] = fn
            return fn

        return register

    def _take_name(self, what: str, name: str, fn: Any, remedy: str) -> None:
        """Note where a function under this name was defined; ConfigError if it is another one's."""
        origin = Origin.of(fn)
        names = self.tasks if what == "task" else self.spawn_handlers
        known = self._origins.get((what, name), origin)
        if name in names and not origin.is_again(known):
            raise ConfigError(
                f"the {what} name {name!r} is taken by {known}: give {origin} {remedy}"
            )
        self._origins[what, name] = origin
