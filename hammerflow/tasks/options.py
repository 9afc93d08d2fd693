"""The options of a task: what its decorator takes, and what holds for all of its calls."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any, TypedDict

from hammerflow.canvas.options import CALL_OPTIONS, LIMITS
from hammerflow.canvas.signature import Signature
from hammerflow.canvas.spawn import SPAWN_OPTIONS, SpawnConfig, SpawnHook
from hammerflow.errors import ConfigError
from hammerflow.introspection.origin import are_same, is_async
from hammerflow.jobs.backoff import BACKOFF_OR_FUNCTION, Backoff, FunctionBackoff, exponential
from hammerflow.jobs.limit import RATE, Limit, Rate
from hammerflow.jobs.retention import RETENTION, Lifetimes
from hammerflow.jobs.unique import UniqueKey
from hammerflow.options.checks import (
    FLAG,
    HOOK,
    KEEP_LOGS,
    NAME_CHECK,
    ValueCheck,
    choice,
    duration,
    exceptions,
    whole,
)
from hammerflow.options.option import Option, OptionTable, checked
from hammerflow.tasks.key_checks import check_unique
from hammerflow.tasks.limit_key import LIMIT_KEY, KeyRule, check_key
from hammerflow.workflows.options import then_check

__all__ = [
    "OPTIONS",
    "SPAWNER_OPTIONS",
    "DeclaredOptions",
    "SpawnerOptions",
    "TaskOptions",
    "declared",
    "refuse_limits",
    "refuse_other_options",
]

_ERRORS = exceptions()


def _of_call(name: str, default: str, check: ValueCheck | None = None) -> Option:
    option = CALL_OPTIONS.by_name[name]
    return replace(option, default=default, check=check or option.check)


#: What ``@app.task(...)`` takes.
OPTIONS = OptionTable((
    Option("name", NAME_CHECK, "module.function", "The task's name in the database."),
    _of_call("queue", '"default"'),
    _of_call("priority", "2"),
    _of_call("max_attempts", "3"),
    _of_call("backoff", "exponential(1)", BACKOFF_OR_FUNCTION),
    Option("retry_on", _ERRORS, "every error", "Only these errors are retried."),
    Option("no_retry_on", _ERRORS, "()", "These errors fail the job at once."),
    _of_call("timeout", "None"),
    _of_call("soft_timeout", "None"),
    _of_call("memory_limit", "None"),
    _of_call("cpu_limit", "None"),
    Option("expires", duration(), "None", "Latest start, from now; after it the job is cancelled."),
    _of_call("unique", "None"),
    _of_call("store_result", "True"),
    Option("result_ttl", duration(), "None", "How long an ended job's result is kept, "
        "and at least until its dependents have ended."),
    Option("retention", RETENTION, "the app's settings", "How long ended jobs are kept: for every "
        "end state, or a mapping from completed, failed, cancelled or skipped."),
    Option("keep_logs", KEEP_LOGS, "the app's", "Which attempts' "
        "log lines are kept with the job: never, on_failure (failed attempts) or always."),
    Option("serializer", choice("msgpack", "json"), "the app's", "Encoding of the arguments."),
    Option(
        "check_arguments", FLAG, "True",
        "Whether a call is refused at once if its arguments do not fit the function.",
    ),
    Option(
        "in_transaction", FLAG, "False",
        "Run the body inside the transaction that completes the job (current_job().connection).",
    ),
    Option("rate_limit", RATE, "None", "How often jobs may start, across all workers: `100/m`."),
    Option(
        "max_concurrency", whole(1, 1_000_000), "None", "How many may run at a time, across all "
        "workers.",
    ),
    Option(
        "limit_key", LIMIT_KEY, "None", "Which calls share the two limits above: those with the "
        "same value of this key, `\"{customer}\"`.",
    ),
    Option(
        "fair_by", LIMIT_KEY, "None", "Who shares the workers: within a priority, jobs with "
        "different values of this key take turns, `\"tenant_id\"`.",
    ),
))  # fmt: skip


#: What ``@app.spawner(...)`` takes in addition to :data:`OPTIONS`.
SPAWNER_OPTIONS = OptionTable((
    Option(
        "then", then_check("the fan-in of a spawner (then)"), "None",
        "A call that runs once all children have completed.",
    ),
    Option(
        "validate", HOOK, "None",
        "Called before the body; it refuses the spawn by raising or by returning False.",
    ),
    Option("on_spawn_complete", HOOK, "None", "Called once the children are committed."),
    *SPAWN_OPTIONS,
))  # fmt: skip
_ALL = OptionTable((*OPTIONS, *SPAWNER_OPTIONS))


class DeclaredOptions(TypedDict, total=False):
    """The keywords of ``@app.task(...)``; :data:`OPTIONS` describes them."""

    name: str
    queue: str
    priority: int
    max_attempts: int
    backoff: Backoff | Callable[[int], float | timedelta]
    retry_on: type[BaseException] | Iterable[type[BaseException]]
    no_retry_on: type[BaseException] | Iterable[type[BaseException]]
    timeout: float | timedelta
    soft_timeout: float | timedelta
    memory_limit: int | str
    cpu_limit: float | timedelta
    expires: float | timedelta
    unique: UniqueKey
    store_result: bool
    result_ttl: float | timedelta
    retention: float | timedelta | str | Mapping[str, float | timedelta | str]
    keep_logs: str
    serializer: str
    check_arguments: bool
    in_transaction: bool
    rate_limit: str
    max_concurrency: int
    limit_key: KeyRule
    fair_by: KeyRule


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
    backoff: Backoff | FunctionBackoff = field(default_factory=exponential)
    retry_on: tuple[type[BaseException], ...] | None = None
    no_retry_on: tuple[type[BaseException], ...] = ()
    timeout: float | None = None
    soft_timeout: float | None = None
    memory_limit: int | None = None
    cpu_limit: float | None = None
    expires: float | None = None
    unique: UniqueKey | None = None
    store_result: bool = True
    result_ttl: float | None = None
    retention: Lifetimes | None = None
    keep_logs: str | None = None
    serializer: str | None = None
    check_arguments: bool = True
    in_transaction: bool = False
    rate_limit: Rate | None = None
    max_concurrency: int | None = None
    limit_key: KeyRule | None = None
    fair_by: KeyRule | None = None
    is_async: bool = False
    spawn: SpawnConfig | None = None
    then: Signature | None = None
    validate: SpawnHook | None = None
    on_spawn_complete: SpawnHook | None = None
    declared: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        if self.timeout is not None and (self.soft_timeout or 0) > self.timeout:
            raise ConfigError("soft_timeout must not be longer than timeout")
        if self.in_transaction and self.is_async:
            raise ConfigError("in_transaction=True needs a plain function, not an async one")
        if self.limit_key is not None and not self._is_limited:
            raise ConfigError("limit_key needs rate_limit or max_concurrency")

    @property
    def runs_alone(self) -> bool:
        """Whether a body shares its process with no other one, though it is async: only so it is
        known what it takes."""
        return self.is_async and any(getattr(self, name) is not None for name in LIMITS)

    @property
    def _is_limited(self) -> bool:
        return self.rate_limit is not None or self.max_concurrency is not None

    @property
    def limit(self) -> Limit | None:
        """What it declares for all of its jobs, or for each key of them; with nothing in it where
        they only take turns."""
        if not self._is_limited and self.fair_by is None:
            return None
        return Limit(self.rate_limit, self.max_concurrency)


def refuse_limits(given: Iterable[str], options: TaskOptions, owner: str = "") -> None:
    """Refuse limits of a call of an async function without any: its bodies share their process with
    others, so nobody can tell which of them has taken what."""
    for name in LIMITS if options.is_async and not options.runs_alone else ():
        if name in given:
            raise ConfigError(
                f"{owner}{name} can be given to a call of an async function only if its task has "
                "a limit, because jobs without one share a process: give @app.task memory_limit or "
                "cpu_limit"
            )


def declared(
    fn: Callable[..., Any], name: str, given: Mapping[str, Any], *, is_spawner: bool
) -> TaskOptions:
    """The options of a task from the keywords of its decorator.

    Args:
        name: of the task, for messages.

    Raises:
        ConfigError: a value is of another type or out of range, or two options contradict each
            other; the message names the task.
        TypeError: an option is unknown; the message names the task.
    """
    owner = f"task {name}"
    values = checked(_ALL if is_spawner else OPTIONS, given, owner)
    names = frozenset(values)
    values.pop("name", None)
    spawn = None
    if is_spawner:
        fields = SPAWN_OPTIONS.by_name.keys() & values.keys()
        spawn = SpawnConfig(**{name: values.pop(name) for name in fields})
    try:
        for option in ("limit_key", "fair_by"):
            if option in values:
                check_key(fn, option, values[option])
        if "unique" in values:
            check_unique(fn, values["unique"])
        return TaskOptions(**values, is_async=is_async(fn), spawn=spawn, declared=names)
    except ConfigError as error:
        raise ConfigError(f"{owner}: {error}") from None


def refuse_other_options(name: str, known: TaskOptions, given: TaskOptions) -> None:
    """Refuse to register a function again under its name with options other than before: the last
    ones would hold for all calls, whoever has the first task.

    Raises:
        ConfigError: an option differs; the message names those that do.
    """
    names = known.declared ^ given.declared
    names |= {each for each in known.declared & given.declared if _differs(each, known, given)}
    if names or (known.spawn is None) != (given.spawn is None):
        what = ", ".join(sorted(names)) or "as a task and as a spawner"
        raise ConfigError(
            f"the task {name!r} is registered already, and its options differ ({what}): register "
            "it once, and change them for a call by its options(...), or give this one another "
            "name, name='...'"
        )


def _differs(name: str, *options: TaskOptions) -> bool:
    one, other = (getattr(o if hasattr(o, name) else o.spawn, name) for o in options)
    if type(one) is FunctionBackoff and type(other) is FunctionBackoff:
        one, other = one.fn, other.fn
    if are_same(one, other):
        return False
    try:
        return bool(one != other)
    except Exception:  # noqa: BLE001 - a border: values of the user's, such as arrays, are compared
        return True
