"""The options of a task: what its decorator takes, and what holds for all of its calls."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any, TypedDict

from hammerflow.canvas.options import CALL_OPTIONS
from hammerflow.canvas.signature import Signature, plain
from hammerflow.canvas.spawn import SPAWN_OPTIONS, SpawnConfig, SpawnHook
from hammerflow.durations import seconds
from hammerflow.errors import ConfigError
from hammerflow.jobs.backoff import Backoff, exponential
from hammerflow.jobs.job import checked_priority
from hammerflow.option import Option
from hammerflow.tasks.functions import is_async
from hammerflow.text import checked_name

__all__ = [
    "OPTIONS",
    "SPAWNER_OPTIONS",
    "DeclaredOptions",
    "SpawnerOptions",
    "TaskOptions",
    "declared",
]

_ERRORS = "exception class, or tuple of them"
_BY_NAME = {option.name: option for option in CALL_OPTIONS}


def _of_call(name: str, default: str) -> Option:
    return replace(_BY_NAME[name], default=default)


#: What ``@app.task(...)`` takes.
OPTIONS = (
    Option("name", "str", "module.function", "The task's name in the database."),
    _of_call("queue", '"default"'),
    _of_call("priority", "2"),
    _of_call("max_attempts", "3"),
    _of_call("backoff", "exponential(1)"),
    Option("retry_on", _ERRORS, "every error", "Only these errors are retried."),
    Option("no_retry_on", _ERRORS, "()", "These errors fail the job at once."),
    _of_call("timeout", "None"),
    _of_call("soft_timeout", "None"),
    Option.duration("expires", "None", "Latest start, from now; then the job is cancelled."),
    _of_call("store_result", "True"),
    Option.duration("result_ttl", "None", "How long an ended job's result is kept; None: always."),
    Option("serializer", "str", "the app's", 'Encoding of the arguments: "msgpack" or "json".'),
    Option(
        "check_arguments", "bool", "True",
        "Whether a call is refused at once if its arguments do not fit the function.",
    ),
    Option(
        "in_transaction", "bool", "False",
        "Run the body inside the transaction that completes the job (current_job().connection).",
    ),
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
    check_arguments: bool
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
        spawn: limits and inheritance rules of a spawner; None for a plain task.
        declared: names of the options that the decorator was given: a child does not inherit
            its parent's value for these.
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
    check_arguments: bool = True
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
        ConfigError: a value is out of range, or two options contradict each other.
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
    try:
        return TaskOptions(**values, is_async=is_async(fn), spawn=spawn, declared=frozenset(given))
    except TypeError as error:
        raise TypeError(f"task {fn.__name__}: {error}") from None
