"""Failures: dead letters in groups whose errors look alike, so that they may have one cause."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from hammerflow.stores.dead_letters import DeadLetter

__all__ = ["FailureGroup", "cause_of", "failure_groups", "group_key"]

_SAMPLES, _HOURS = 3, 24
#: What differs from one failure to the next: texts in quotes, ids, numbers.
_VARYING = re.compile(
    r"'[^']*'|\"[^\"]*\"|\b[0-9a-f]{8}-[0-9a-f-]{27}\b|\b0x[0-9a-f]+\b|\b[0-9a-f]{12,}\b|\d+",
    re.IGNORECASE,
)


@dataclass(slots=True)
class FailureGroup:
    """Dead letters of one task with the same type of error and alike messages.

    Attributes:
        key: names the group for as long as its jobs are there.
        pattern: the message, with ``*`` for what differs.
        message: of the newest.
        jobs: how many were counted.
        hours: how many in each of the last 24 hours, the oldest first.
        samples: ids of the newest.
    """

    key: str
    task: str
    error: str
    pattern: str
    message: str
    jobs: int = 0
    first_at: datetime | None = None
    last_at: datetime | None = None
    hours: list[int] = field(default_factory=lambda: [0] * _HOURS)
    samples: list[bytes] = field(default_factory=list)


def cause_of(message: str) -> str:
    """The first line of a message, with ``*`` for what differs from failure to failure."""
    line = message.partition("\n")[0][:200]
    return _VARYING.sub("*", line).strip()


def group_key(task: str, error: str, message: str) -> str:
    """The key of the group of a failure."""
    text = "\0".join((task, error, cause_of(message)))
    return hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=8).hexdigest()


def failure_groups(
    letters: Iterable[DeadLetter], *, now: datetime | None = None
) -> list[FailureGroup]:
    """The groups of dead letters, the largest first.

    Args:
        now: to which ``hours`` count.
    """
    now = now or datetime.now(UTC)
    groups: dict[str, FailureGroup] = {}
    for each in letters:
        key = group_key(each.task, each.error, each.message)
        group = groups.get(key)
        if group is None:
            pattern = cause_of(each.message)
            group = groups[key] = FailureGroup(key, each.task, each.error, pattern, each.message)
        _add(group, each, now)
    return sorted(groups.values(), key=lambda group: (-group.jobs, group.key))


def _add(group: FailureGroup, each: DeadLetter, now: datetime) -> None:
    group.jobs += 1
    if len(group.samples) < _SAMPLES:
        group.samples.append(each.job_id)
    if group.last_at is None or each.at > group.last_at:
        group.last_at, group.message = each.at, each.message
    if group.first_at is None or each.at < group.first_at:
        group.first_at = each.at
    hours_ago = int((now - each.at) / timedelta(hours=1))
    if 0 <= hours_ago < _HOURS:
        group.hours[_HOURS - 1 - hours_ago] += 1
