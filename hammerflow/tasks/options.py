"""The options of a task: what its decorator takes, and what holds for all of its calls."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any, TypedDict

from hammerflow.canvas.signature import Signature, plain
from hammerflow.canvas.spawn import SpawnConfig, SpawnHook
from hammerflow.durations import seconds
from hammerflow.errors import ConfigError
from hammerflow.jobs.backoff import Backoff, exponential
from hammerflow.jobs.job import checked_priority
from hammerflow.option import Option, option_table
from hammerflow.text import checked_name

__all__ = [
    "CALL_OPTIONS",
    "OPTIONS",
    "SPAWNER_OPTIONS",
    "SPAWN_OPTIONS",
    "DeclaredOptions",
    "SpawnerOptions",
    "TaskOptions",
    "declared",
    "option_table",
]

_ERRORS = "exception class, or tuple of them"
_duration = Option.duration

#: What ``@app.task(...)`` takes.
OPTIONS = (
    Option("name", "str", "module.function", "The task's name in the database."),
    Option("queue", "str", '"default"', "The queue that its jobs go to."),
    Option("priority", "int", "2", "0 (background) to 4 (critical); higher runs first."),
    Option("max_attempts", "int", "3", "Attempts before a job fails for good; 1 or more."),
    Option("backoff", "Backoff", "exponential(1)", "How long to wait before each further attempt."),
    Option("retry_on", _ERRORS, "every error", "Only these errors are retried."),
    Option("no_retry_on", _ERRORS, "()", "These errors fail the job at once."),
    _duration("timeout", "None", "Running time of one attempt; then its process is killed."),
    _duration("soft_timeout", "None", "Running time of one attempt until SoftTimeout is raised."),
    _duration("expires", "None", "Latest start, counted from now; then the job is cancelled."),
    Option("store_result", "bool", "True", "Whether the return value is stored."),
    _duration("result_ttl", "None", "How long a result is kept after the job's end; None: always."),
    Option("serializer", "str", "the app's", 'Encoding of the arguments: "msgpack" or "json".'),
    Option(
        "in_transaction", "bool", "False",
        "Run the body inside the transaction that completes the job (current_job().connection).",
    ),
)  # fmt: skip

#: What ``Task.options(...)``, ``Signature.set(...)`` and ``app.signature(...)`` take.
CALL_OPTIONS = (
    *(
        replace(option, default="the task's")
        for option in OPTIONS
        if option.name in {"queue", "priority", "max_attempts", "backoff", "timeout",
                           "soft_timeout", "store_result"}
    ),
    _duration("delay", "0", "Earliest start, counted from now (countdown= in apply_async)."),
    Option("eta", "datetime", "None", "Earliest start, as an aware datetime; excludes delay."),
    Option(
        "expires", "float | timedelta | datetime", "the task's",
        "Latest start, counted from now or as an aware datetime; then the job is cancelled.",
        "seconds",
    ),
    Option("job_id", "uuid.UUID", "a new one", "The job's id; a job that has it is left as it is."),
    Option(
        "unique_key", "str", "None",
        "While a job with this key has not ended, the call returns that job's Result.",
    ),
    Option("headers", "Mapping", "{}", "JSON-able values that the body reads as job.headers."),
    Option("spawn", "SpawnConfig", "the task's", "Limits and inheritance rules for its children."),
)  # fmt: skip

#: The fields of SpawnConfig, which ``@app.spawner(...)`` takes as keywords.
SPAWN_OPTIONS = (
    Option("handler", "str", "None", "The @app.spawn_handler that gives a plain task's children."),
    Option("max_spawn_count", "int", "1000", "Most children of one run; one more fails it."),
    Option("max_depth", "int", "10", "Most generations below the root job; deeper ones fail."),
    Option("inherit_priority", "bool", "True", "Children without a priority take the parent's."),
    Option("inherit_queue", "bool", "False", "Children without a queue take the parent's."),
    Option("inherit_timeout", "bool", "False", "Children without timeouts take the parent's."),
    Option("inherit_retry", "bool", "False", "Children without retry options take the parent's."),
    Option("inherit_trace", "bool", "True", "Children carry the parent's trace id."),
    _duration("spawn_delay", "0", "Time between the starts of two children."),
    Option(
        "batch_size", "int", "None",
        "Most children that run at a time: child n starts after child n - batch_size has ended.",
    ),
    Option("operation_id", "str", "None", "Text recorded with the spawn, for tracking."),
    Option("metadata", "Mapping", "{}", "JSON-able values recorded with the spawn."),
)  # fmt: skip

#: What ``@app.spawner(...)`` takes in addition to :data:`OPTIONS`.
SPAWNER_OPTIONS = (
    Option("then", "Signature", "None", "A call that runs once all children have completed."),
    Option(
        "validate", "Callable[[SpawnContext], bool | None]", "None",
        "Called before the body; it refuses the spawn by raising or by returning False.",
    ),
    Option(
        "on_spawn_complete", "Callable[[SpawnContext], None]", "None",
        "Called once the children are committed.",
    ),
    *SPAWN_OPTIONS,
)  # fmt: skip


class DeclaredOptions(TypedDict, total=False):
    """The keywords of ``@app.task(...)``; :data:`OPTIONS` describes them."""

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
    """The keywords of ``@app.spawner(...)``; :data:`SPAWNER_OPTIONS` describes the further ones."""

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


@dataclass(frozen=True, slots=True)
class TaskOptions:
    """What holds for all calls of a task; durations in seconds.

    Attributes:
        retry_on: None retries every error.
        is_async: the function is an ``async def``.
        spawn: limits and inheritance rules of a spawner; None for a plain task.
        declared: names of the options that the decorator was given: a child does not inherit
            its parent's value for these.

    Raises:
        ConfigError: two options contradict each other, or a number is out of range.
    """

    queue: str = "default"
    priority: int = 2
    max_attempts: int = 3
    backoff: Backoff = field(default_factory=exponential)
    retry_on: tuple[type[BaseException], ...] | None = None
    no_retry_on: tuple[type[BaseException], ...] = ()
    timeout: float | None = None
    soft_timeout: float | None = None
    expires: float | None = None
    store_result: bool = True
    result_ttl: float | None = None
    serializer: str | None = None
    in_transaction: bool = False
    is_async: bool = False
    spawn: SpawnConfig | None = None
    then: Signature | None = None
    validate: SpawnHook | None = None
    on_spawn_complete: SpawnHook | None = None
    declared: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        if self.max_attempts < 1:
            raise ConfigError(f"max_attempts must be 1 or more, not {self.max_attempts}")
        if self.timeout is not None and (self.soft_timeout or 0) > self.timeout:
            raise ConfigError("soft_timeout must not be longer than timeout")
        if self.then is not None:
            plain(self.then, "the fan-in of a spawner (then)")
        if self.in_transaction and self.is_async:
            raise ConfigError("in_transaction=True needs a plain function, not an async one")


def declared(fn: Callable[..., Any], given: Mapping[str, Any], *, is_spawner: bool) -> TaskOptions:
    """The options of a task from the keywords of its decorator.

    Raises:
        ConfigError: a value is out of range.
        TypeError: an option is unknown; the message names the task.
    """
    values = dict(given)
    spawn = None
    if is_spawner:
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
