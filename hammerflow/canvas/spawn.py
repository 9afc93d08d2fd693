"""SpawnConfig and SpawnContext: what a spawner may do, and what its hooks see."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from datetime import timedelta
from typing import Any

from hammerflow.durations import seconds
from hammerflow.errors import ConfigError

__all__ = ["SpawnConfig", "SpawnContext"]


@dataclass(frozen=True, slots=True)
class SpawnConfig:
    """Limits and inheritance rules of one spawner.

    Args:
        handler: name of a function registered by ``app.spawn_handler``, which gives the children of
            a task that is no spawner; of a spawner it is only recorded.
        max_spawn_count: children per run; one more fails the attempt with nothing inserted.
        max_depth: generations below the root; deeper fails the attempt.
        inherit_priority: children without a priority of their own take the parent's.
        inherit_queue: children without a queue of their own take the parent's.
        inherit_timeout: the same for ``timeout`` and ``soft_timeout``.
        inherit_retry: the same for ``max_attempts`` and ``backoff``.
        inherit_trace: children carry the parent's trace id.
        spawn_delay: seconds or timedelta between the starts of two children: child i may start
            i * spawn_delay after the parent's end.
        batch_size: how many children may run at a time: each starts after the end of the one
            ``batch_size`` places before it.
        operation_id: recorded with the operation, for tracking.
        metadata: JSON-able facts recorded with the operation.
    """

    handler: str | None = None
    max_spawn_count: int = 1_000
    max_depth: int = 10
    inherit_priority: bool = True
    inherit_queue: bool = False
    inherit_timeout: bool = False
    inherit_retry: bool = False
    inherit_trace: bool = True
    spawn_delay: float | timedelta = 0.0
    batch_size: int | None = None
    operation_id: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _check_count("max_spawn_count", self.max_spawn_count, least=0)
        _check_count("max_depth", self.max_depth, least=1)
        if self.batch_size is not None:
            _check_count("batch_size", self.batch_size, least=1)
        seconds(self.spawn_delay, "spawn_delay")
        if not isinstance(self.metadata, Mapping):
            raise ConfigError(f"metadata must be a mapping, not {self.metadata!r}")
        for name in ("handler", "operation_id"):
            value = getattr(self, name)
            if value is not None and not isinstance(value, str):
                raise ConfigError(f"{name} must be text, not {value!r}")

    @classmethod
    def from_mapping(cls, given: Any) -> SpawnConfig:
        """The configuration in the ``_spawn_config`` of a job that another system inserted.

        ``spawn_delay_ms`` stands for ``spawn_delay`` in milliseconds.

        Raises:
            ConfigError: it is malformed; says how.
        """
        if not isinstance(given, Mapping):
            raise ConfigError(f"_spawn_config must be a mapping, not {given!r}")
        values = dict(given)
        if "spawn_delay_ms" in values:
            delay = values.pop("spawn_delay_ms")
            values["spawn_delay"] = seconds(delay, "spawn_delay_ms") / 1_000
        unknown = sorted(map(str, values.keys() - cls.names()))
        if unknown:
            known = ", ".join(sorted(cls.names() | {"spawn_delay_ms"}))
            raise ConfigError(f"_spawn_config has no field {unknown[0]!r}; its fields are {known}")
        for name in ("inherit_priority", "inherit_queue", "inherit_timeout", "inherit_retry",
                     "inherit_trace"):  # fmt: skip
            if not isinstance(values.get(name, False), bool):
                raise ConfigError(f"{name} must be true or false, not {values[name]!r}")
        return cls(**values)

    @classmethod
    def names(cls) -> frozenset[str]:
        """The names of all fields."""
        return frozenset(f.name for f in fields(cls))


@dataclass(frozen=True, slots=True)
class SpawnContext:
    """What ``validate`` and ``on_spawn_complete`` hooks receive.

    Attributes:
        job_id: the parent's id.
        task: the parent's task name.
        args, kwargs: the parent's arguments, decoded.
        config: the SpawnConfig in force.
        spawned: how many children were yielded (None in ``validate``).
        children: their ids, in order, for the first 10 000 (None in ``validate``).
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


def _check_count(name: str, value: int, *, least: int) -> None:
    if type(value) is not int or value < least:
        raise ConfigError(f"{name} must be a whole number from {least} on, not {value!r}")


SpawnHook = Callable[[SpawnContext], None]
