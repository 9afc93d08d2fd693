"""CallOptions: what one call may set differently from its task."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, TypedDict

__all__ = ["CallOptions", "known_options", "to_json"]


class CallOptions(TypedDict, total=False):
    """Options of one call; what is left out comes from the task.

    Attributes:
        queue: name of the queue.
        priority: a :class:`Priority` or its number, 0 to 4.
        delay: seconds or timedelta from now until the job may start; ``countdown`` in
            ``apply_async``.
        eta: the aware datetime from which on the job may start.
        expires: seconds or timedelta from now, or an aware datetime, after which the job no
            longer starts.
        job_id: the id of the job, a UUID that no other job has.
        unique_key: text of at most 255 characters; while a job with this key has not ended,
            the call adds no job and returns the Result of that one.
        headers: a mapping that JSON can hold; the body reads it as ``current_job().headers``.
        max_attempts: attempts until the job fails for good, from 1 to 32 767.
        backoff: the :class:`Backoff` between two attempts.
        timeout: seconds or timedelta after which the attempt is stopped.
        soft_timeout: seconds or timedelta after which the body gets :class:`SoftTimeout`.
        store_result: whether what the body returns is kept.
        spawn: the :class:`SpawnConfig` of this call.
    """

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
