"""SpawnConfig and SpawnContext: the limits of a spawner, and what its hooks receive."""

from __future__ import annotations

import dataclasses
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Final

from hammerflow.durations import seconds
from hammerflow.errors import ConfigError
from hammerflow.options.checks import FLAG, JSON, KWARGS, duration, text, whole
from hammerflow.options.option import Option, OptionTable, checked, documented

__all__ = ["SPAWN_OPTIONS", "SpawnConfig", "SpawnContext", "SpawnHook"]

_COUNT = 1_000_000_000
_TEXT = text(1_000)

#: The fields of :class:`SpawnConfig`, which ``@app.spawner(...)`` takes as keywords.
SPAWN_OPTIONS = OptionTable((
    Option(
        "handler", _TEXT, "None",
        "The @app.spawn_handler that yields a plain task's children; of a spawner only recorded.",
    ),
    Option(
        "max_spawn_count", whole(0, _COUNT), "1000",
        "Most children of one run; one more fails the job at once, and no child is inserted.",
    ),
    Option(
        "max_depth", whole(1, 10_000), "10",
        "Most generations below the root; a deeper child fails the job at once.",
    ),
    Option("inherit_priority", FLAG, "True", "Children without a priority take the parent's."),
    Option("inherit_queue", FLAG, "False", "Children without a queue take the parent's."),
    Option("inherit_timeout", FLAG, "False", "The same for timeout and soft_timeout."),
    Option("inherit_retry", FLAG, "False", "The same for max_attempts and backoff."),
    Option("inherit_trace", FLAG, "True", "Children carry the parent's trace id."),
    Option(
        "spawn_delay", duration(most=100_000_000), "0",
        "Child i may start i * spawn_delay after the parent's end.",
    ),
    Option(
        "batch_size", whole(1, _COUNT), "None",
        "Most children that run at a time: child n starts after child n - batch_size has ended.",
    ),
    Option("operation_id", _TEXT, "None", "Text recorded with the run."),
    Option("metadata", JSON, "{}", "Values recorded with the run."),
))  # fmt: skip


_FIELDS: Final = dataclasses.replace(KWARGS, wanted="a mapping")


@documented(*SPAWN_OPTIONS)
@dataclass(frozen=True, slots=True)
class SpawnConfig:
    """Limits of a spawner, and what its children inherit; all options are keywords.

    Raises:
        ConfigError: a value is of another type or out of range.
    """

    handler: str | None = None
    max_spawn_count: int = 1_000
    max_depth: int = 10
    inherit_priority: bool = True
    inherit_queue: bool = False
    inherit_timeout: bool = False
    inherit_retry: bool = False
    inherit_trace: bool = True
    spawn_delay: Any = 0.0  # a duration; kept as seconds
    batch_size: int | None = None
    operation_id: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        given = {name: getattr(self, name) for name in SPAWN_OPTIONS.by_name}
        found = checked(SPAWN_OPTIONS, given, "SpawnConfig")
        for name, value in found.items():
            object.__setattr__(self, name, value)
        for name in given.keys() - found.keys():  # None means "not given"
            object.__setattr__(self, name, {} if name == "metadata" else _DEFAULTS[name])

    @classmethod
    def from_mapping(cls, given: Any) -> SpawnConfig:
        """The ``_spawn_config`` of a job that another system inserted.

        It maps field names to values; ``spawn_delay_ms`` is ``spawn_delay`` in milliseconds.
        """
        values = _FIELDS(given, "_spawn_config")
        if "spawn_delay_ms" in values:
            delay = values.pop("spawn_delay_ms")
            values["spawn_delay"] = seconds(delay, "spawn_delay_ms") / 1_000
        return cls(**checked(SPAWN_OPTIONS, values, "_spawn_config", unknown=ConfigError))

    @classmethod
    def names(cls) -> frozenset[str]:
        """The names of all fields."""
        return frozenset(f.name for f in fields(cls))


@dataclass(frozen=True, slots=True)
class SpawnContext:
    """What the hooks ``validate`` and ``on_spawn_complete`` receive.

    Attributes:
        job_id: id of the parent.
        task: name of the parent's task.
        args: decoded positional arguments of the parent.
        kwargs: decoded keyword arguments of the parent.
        config: the SpawnConfig of this run.
        depth: generations between the root and the parent.
        spawned: how many children were yielded; None in ``validate``.
        children: ids of the first 10 000 children, in order; None in ``validate``.
        result: what the body returned, for a spawn handler.
    """

    job_id: uuid.UUID
    task: str
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    config: SpawnConfig
    depth: int
    spawned: int | None = None
    children: tuple[uuid.UUID, ...] | None = None
    result: Any = None


SpawnHook = Callable[[SpawnContext], None]


_DEFAULTS = {f.name: f.default for f in fields(SpawnConfig)}
