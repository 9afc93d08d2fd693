"""Declaring: what the decorators of an app take, and how that becomes the options of a task."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Coroutine, Iterator, Mapping
from datetime import timedelta
from typing import Any, ParamSpec, TypedDict, TypeVar, overload

from hammerflow.canvas.signature import Signature
from hammerflow.canvas.spawn import SpawnConfig, SpawnHook
from hammerflow.durations import seconds
from hammerflow.jobs.backoff import Backoff
from hammerflow.jobs.job import checked_priority
from hammerflow.tasks.task import AsyncTask, Spawner, Task, TaskOptions
from hammerflow.text import checked_name

__all__ = ["DeclaredOptions", "Decorator", "SpawnerDecorator", "SpawnerOptions", "declared"]

P = ParamSpec("P")
R = TypeVar("R")


class DeclaredOptions(TypedDict, total=False):
    """What ``@app.task(...)`` takes. Durations: seconds or timedelta."""

    name: str
    queue: str
    priority: int
    max_attempts: int
    backoff: Backoff
    retry_on: type[BaseException] | tuple[type[BaseException], ...]
    no_retry_on: type[BaseException] | tuple[type[BaseException], ...]
    timeout: float | timedelta
    soft_timeout: float | timedelta
    expires: float | timedelta
    store_result: bool
    result_ttl: float | timedelta
    serializer: str
    in_transaction: bool


class SpawnerOptions(DeclaredOptions, total=False):
    """What ``@app.spawner(...)`` takes besides: the fields of SpawnConfig, a fan-in, hooks."""

    then: Signature
    validate: SpawnHook
    on_spawn_complete: SpawnHook
    handler: str
    max_spawn_count: int
    max_depth: int
    inherit_priority: bool
    inherit_queue: bool
    inherit_timeout: bool
    inherit_retry: bool
    inherit_trace: bool
    spawn_delay: float | timedelta
    batch_size: int
    operation_id: str
    metadata: Mapping[str, Any]


class Decorator:
    """The type of ``app.task(...)``: a decorator that keeps the function's parameters."""

    @overload
    def __call__(self, fn: Callable[P, Coroutine[Any, Any, R]], /) -> AsyncTask[P, R]: ...
    @overload
    def __call__(self, fn: Callable[P, R], /) -> Task[P, R]: ...
    def __call__(self, fn: Any, /) -> Any: ...


class SpawnerDecorator:
    """The type of ``app.spawner(...)``."""

    @overload
    def __call__(self, fn: Callable[P, Iterator[Signature]], /) -> Spawner[P, Any]: ...
    @overload
    def __call__(self, fn: Callable[P, R], /) -> Spawner[P, R]: ...
    def __call__(self, fn: Any, /) -> Any: ...


def declared(
    fn: Callable[..., Any], kind: type[Task[..., Any]], given: dict[str, Any]
) -> TaskOptions:
    """The options of a task as they were given to its decorator."""
    values = dict(given)
    spawn = None
    if kind is Spawner:
        fields = SpawnConfig.names() & values.keys()
        spawn = SpawnConfig(**{name: values.pop(name) for name in fields})
    for name in ("timeout", "soft_timeout", "expires", "result_ttl"):
        if values.get(name) is not None:
            values[name] = seconds(values[name], name)
    for name in ("retry_on", "no_retry_on"):
        if isinstance(values.get(name), type):
            values[name] = (values[name],)
    if "priority" in values:
        values["priority"] = checked_priority(values["priority"])
    if "queue" in values:
        values["queue"] = checked_name(values["queue"], "a queue's name")
    is_async = inspect.iscoroutinefunction(fn) or inspect.isasyncgenfunction(fn)
    try:
        return TaskOptions(**values, is_async=is_async, spawn=spawn, declared=frozenset(given))
    except TypeError as error:
        raise TypeError(f"task {fn.__name__}: {error}") from None
