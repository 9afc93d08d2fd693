"""CallOptions: what one call may set differently from its task."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, TypedDict

from hammerflow.option import Option

__all__ = ["CALL_OPTIONS", "EACH", "CallOptions", "known_options", "to_json"]


_TASK = "the task's"
#: The option of a call that ``Task.map``, ``starmap`` or ``chunks`` has made: its only argument is
#: a list with the arguments for each call of the function.
EACH = "each"

#: What ``Task.options(...)``, ``Signature.set(...)`` and ``app.signature(...)`` take.
CALL_OPTIONS = (
    Option("queue", "str", _TASK, "The queue that its jobs go to."),
    Option("priority", "int", _TASK, "0 (background) to 4 (critical); higher runs first."),
    Option("max_attempts", "int", _TASK, "Attempts before a job fails for good; 1 or more."),
    Option("backoff", "Backoff", _TASK, "How long to wait before each further attempt."),
    Option.duration("timeout", _TASK, "Running time of one attempt; then its process is killed."),
    Option.duration("soft_timeout", _TASK, "Running time until SoftTimeout is raised in the body."),
    Option(
        "store_result", "bool", _TASK,
        "Whether the return value is stored; if not, get() returns None and no call can take it.",
    ),
    Option.duration("delay", "0", "Earliest start, from now (countdown= in apply_async)."),
    Option("eta", "datetime", "None", "Earliest start, as an aware datetime; excludes delay."),
    Option(
        "expires", "float | timedelta | datetime", _TASK,
        "Latest start, counted from now or as an aware datetime; then the job is cancelled.",
        "seconds",
    ),
    Option("job_id", "uuid.UUID", "a new one", "The job's id; a job that has it is left as it is."),
    Option(
        "unique_key", "str", "None",
        "While a job with this key (1 to 255 characters) has not ended, its Result is returned.",
    ),
    Option("headers", "Mapping", "{}", "JSON-able values that the body reads as job.headers."),
    Option("spawn", "SpawnConfig", _TASK, "Limits and inheritance rules for its children."),
)  # fmt: skip


class CallOptions(TypedDict, total=False):
    """Options of one call, by name; :data:`CALL_OPTIONS` describes them."""

    queue: str
    priority: int
    delay: float | timedelta
    eta: datetime
    expires: float | timedelta | datetime
    job_id: uuid.UUID
    unique_key: str
    headers: Mapping[str, Any]
    max_attempts: int
    backoff: Any  # jobs.backoff.Backoff
    timeout: float | timedelta
    soft_timeout: float | timedelta
    store_result: bool
    spawn: Any  # canvas.spawn.SpawnConfig


def known_options(options: CallOptions, what: str) -> CallOptions:
    """The options themselves, if all of them exist; else a TypeError names one that does not."""
    for name in options:
        if name not in CallOptions.__annotations__:
            hint = ": use delay" if name == "countdown" else ""
            raise TypeError(f"{what} got an unexpected option {name!r}{hint}")
    return options


def to_json(value: Mapping[str, Any]) -> str | None:
    """Compact JSON of a mapping; None if it is empty."""
    return json.dumps(value, separators=(",", ":"), allow_nan=False) if value else None
