"""Signature: a call that is not made yet, as plain data."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, TypedDict

from hammerflow.errors import ConfigError

__all__ = ["CallOptions", "Signature", "known_options", "seconds"]


class CallOptions(TypedDict, total=False):
    """What one call may say differently from its task. Durations: seconds or timedelta."""

    queue: str
    priority: int
    delay: float | timedelta  # from now; `countdown` in apply_async
    eta: datetime  # aware
    expires: float | timedelta | datetime
    job_id: uuid.UUID
    unique_key: str
    headers: Mapping[str, Any]
    max_attempts: int
    backoff: Any  # retry.Backoff
    timeout: float | timedelta
    soft_timeout: float | timedelta
    store_result: bool
    spawn: Any  # spawn.SpawnConfig


def known_options(options: CallOptions, what: str) -> CallOptions:
    """The options themselves.

    Raises:
        TypeError: one of them is unknown; the message names it.
    """
    for name in options:
        if name not in CallOptions.__annotations__:
            hint = ": say delay" if name == "countdown" else ""
            raise TypeError(f"{what} got an unexpected option {name!r}{hint}")
    return options


class Signature:
    """One call of a task: its name, arguments and options. Immutable; changes make a new one.

    Made by ``task.s(...)`` (takes its predecessor's result as first argument, in a fan-in or a
    chain), ``task.si(...)`` (does not), or ``app.signature(name, args, kwargs)``.
    """

    __slots__ = ("args", "immutable", "kwargs", "options", "task")

    def __init__(
        self,
        task: str,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
        options: CallOptions | None = None,
        immutable: bool = False,
    ) -> None:
        self.task = task
        self.args = args
        self.kwargs: Mapping[str, Any] = kwargs if kwargs is not None else {}
        self.options: CallOptions = options if options is not None else {}
        self.immutable = immutable

    def set(self, **options: Any) -> Signature:
        """A copy with these options over its own, as Celery's ``sig.set(queue="x")``."""
        given: Any = options
        merged: Any = {**self.options, **known_options(given, f"{self.task}.set()")}
        return Signature(self.task, self.args, self.kwargs, merged, self.immutable)

    def __repr__(self) -> str:
        parts = [repr(a) for a in self.args] + [f"{k}={v!r}" for k, v in self.kwargs.items()]
        return f"{self.task}({', '.join(parts)})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Signature):
            return NotImplemented
        return all(getattr(self, name) == getattr(other, name) for name in self.__slots__)

    __hash__ = None  # type: ignore[assignment]  # holds users' lists and dicts


def seconds(value: float | timedelta, what: str) -> float:
    """A duration given as seconds or timedelta, in seconds; ``what`` names it in the error."""
    number = value.total_seconds() if isinstance(value, timedelta) else value
    if type(number) not in (int, float) or not 0 <= number < 10**11:  # nor NaN, nor infinity
        raise ConfigError(f"{what} must be a duration from 0 seconds on, not {value!r}")
    return float(number)


def to_json(value: Mapping[str, Any]) -> str | None:
    """Compact JSON of a non-empty mapping, else None."""
    return json.dumps(value, separators=(",", ":"), allow_nan=False) if value else None
