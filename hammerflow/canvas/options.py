"""CallOptions: what one call may set differently from its task."""

from __future__ import annotations

import json
import math
import uuid
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, TypedDict

from hammerflow.canvas.spawn import SpawnConfig
from hammerflow.errors import ConfigError
from hammerflow.ids import plain_id
from hammerflow.introspection.kinds import is_a
from hammerflow.jobs.backoff import BACKOFF
from hammerflow.jobs.job import PRIORITY
from hammerflow.jobs.unique import UNIQUE
from hammerflow.options.checks import (
    FLAG,
    JSON,
    KWARGS,
    MOMENT,
    NAME_CHECK,
    Unfit,
    ValueCheck,
    duration,
    instance,
    size,
    whole,
)
from hammerflow.options.option import Option, OptionTable, checked

__all__ = [
    "ATTEMPTS", "CALL_OPTIONS", "EACH", "LIMITS", "TIMEOUT", "CallOptions", "CheckedOptions",
    "known_options", "to_json",
]  # fmt: skip


_TASK = "the task's"
#: The option of a call that ``Task.map``, ``starmap`` or ``chunks`` has made: its only argument is
#: a list with the arguments for each call of the function.
EACH = "each"
#: A number of attempts.
ATTEMPTS = whole(1, 1_000_000)
#: A limit on a running time: at most three years, which the timers of all platforms take.
TIMEOUT = duration(zero=False, most=100_000_000)
#: What a body may use up; each needs a process of its own, so async functions have none.
LIMITS = ("memory_limit", "cpu_limit")
_DELAY = duration()


def _expires(value: Any) -> float | datetime:
    check = MOMENT if isinstance(value, datetime) else _DELAY
    try:
        return check.read(value)  # type: ignore[no-any-return]
    except Unfit as unfit:
        raise Unfit(check.wanted if check is MOMENT else "", advice=unfit.advice) from None


def _job_id(value: Any) -> uuid.UUID:
    plain = plain_id(value) if is_a(value, uuid.UUID) else None
    if plain is None:
        raise Unfit
    return plain


_EXPIRES = ValueCheck(
    "float | timedelta | datetime",
    f"{_DELAY.wanted}, or an aware datetime",
    _expires,
    "seconds",
    f"{_DELAY.bounds}, or {MOMENT.bounds}",
)

#: What ``Task.options(...)``, ``Signature.set(...)`` and ``app.signature(...)`` take.
CALL_OPTIONS = OptionTable((
    Option("queue", NAME_CHECK, _TASK, "The queue that its jobs go to."),
    Option("priority", PRIORITY, _TASK, "0 (background) to 4 (critical); higher runs first."),
    Option("max_attempts", ATTEMPTS, _TASK, "Attempts before a job fails for good."),
    Option("backoff", BACKOFF, _TASK, "How long to wait before each further attempt."),
    Option("timeout", TIMEOUT, _TASK, "Running time of one attempt; then its process is killed."),
    Option("soft_timeout", TIMEOUT, _TASK, "Running time until SoftTimeout is raised in the body."),
    Option(
        "memory_limit", size(1 << 20, 1 << 50), _TASK,
        "Memory that one attempt may take; beyond it the attempt fails, MemoryLimitExceeded.",
    ),
    Option(
        "cpu_limit", TIMEOUT, _TASK,
        "CPU time of one attempt; beyond it CpuLimitExceeded is raised in the body.",
    ),
    Option(
        "store_result", FLAG, _TASK,
        "Whether the return value is stored; if not, get() returns None and no call can take it.",
    ),
    Option("delay", _DELAY, "0", "Earliest start, from now (countdown= in apply_async)."),
    Option("eta", MOMENT, "None", "Earliest start, as an aware datetime; excludes delay."),
    Option(
        "expires", _EXPIRES, _TASK,
        "Latest start, counted from now or as an aware datetime; then the job is cancelled.",
    ),
    Option(
        "job_id", ValueCheck("uuid.UUID", "a uuid.UUID", _job_id), "a new one",
        "The job's id; a job that has it is left as it is.",
    ),
    Option(
        "unique_key", NAME_CHECK, "None",
        "While a job with this key has not ended, its Result is returned.",
    ),
    Option(
        "unique", UNIQUE, _TASK,
        "Which calls are the same work, and what becomes of a second one; excludes unique_key.",
    ),
    Option("headers", JSON, "{}", "Values that the body reads as job.headers."),
    Option(
        "spawn", instance(SpawnConfig, "a SpawnConfig(...)"), _TASK,
        "Limits and inheritance rules for its children.",
    ),
))  # fmt: skip


class CallOptions(TypedDict, total=False):
    """Options of one call, by name; :data:`CALL_OPTIONS` describes them."""

    queue: str
    priority: int
    delay: float | timedelta
    eta: datetime
    expires: float | timedelta | datetime
    job_id: uuid.UUID
    unique_key: str
    unique: Any  # jobs.unique.UniqueKey
    headers: Mapping[str, Any]
    max_attempts: int
    backoff: Any  # jobs.backoff.Backoff
    timeout: float | timedelta
    soft_timeout: float | timedelta
    memory_limit: int | str
    cpu_limit: float | timedelta
    store_result: bool
    spawn: Any  # canvas.spawn.SpawnConfig


class CheckedOptions(dict[str, Any]):
    """Options of a call in their stored form. They do not change, so nothing checks them again."""

    def _refuse(self, *_: Any, **__: Any) -> Any:
        raise TypeError("the options of a signature cannot be changed: use signature.set(...)")

    __setitem__ = __delitem__ = __ior__ = update = setdefault = _refuse
    pop = popitem = clear = _refuse

    def __reduce__(self) -> Any:
        return CheckedOptions, (dict(self),)


def known_options(options: Mapping[str, Any], what: str) -> Any:
    """The options in their stored form; ``what`` says whose they are, as in :func:`checked`."""
    if type(options) is CheckedOptions:
        return options
    given = options if type(options) is dict else KWARGS(options, f"{what}: options")
    found = CheckedOptions(checked(CALL_OPTIONS, given, what))
    if len(found) < 2:
        return found
    if "eta" in found and "delay" in found:
        raise ConfigError(f"{what}: give either delay (countdown) or eta, not both")
    if "unique" in found and "unique_key" in found:
        raise ConfigError(f"{what}: give either unique_key or unique, not both")
    if found.get("soft_timeout", 0) > found.get("timeout", math.inf):
        raise ConfigError(f"{what}: soft_timeout must not be longer than timeout")
    return found


def to_json(value: Mapping[str, Any] | None) -> str | None:
    """Compact JSON of a mapping; None if it is empty."""
    return json.dumps(value, separators=(",", ":"), allow_nan=False) if value else None
