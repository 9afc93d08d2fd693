"""Retention: for how long an ended job is kept, by its state, task and queue, and what then."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from hammerflow.durations import parsed_seconds
from hammerflow.errors import ConfigError
from hammerflow.introspection.kinds import is_a
from hammerflow.jobs.job import FINAL_STATES, JobState
from hammerflow.options.checks import ARCHIVE_AFTER, Unfit, ValueCheck, lifetime
from hammerflow.text import plain_text

__all__ = [
    "KEPT_STATES",
    "RETENTION",
    "Lifetime",
    "Lifetimes",
    "PurgeFilter",
    "RetentionPolicy",
    "lifetimes_of",
    "lifetimes_text",
]

#: Seconds for which a job is kept and then deleted; None keeps it for good; a text such as "archive
#: after 7d" says after how long it is archived.
Lifetime: TypeAlias = float | str | None
#: Of the jobs in each end state, by the state's name.
Lifetimes: TypeAlias = Mapping[str, Lifetime]

#: The end states, as the options and commands name them.
KEPT_STATES: Final = tuple(state.value for state in JobState if state.is_final)
_LIFETIME = lifetime()


def _retention(value: Any) -> Lifetimes:
    if not is_a(value, Mapping):  # type: ignore[type-abstract]
        return dict.fromkeys(KEPT_STATES, _LIFETIME.read(value))
    found: dict[str, Lifetime] = {}
    for key, each in value.items():
        if (state := plain_text(key)) not in KEPT_STATES:
            raise Unfit(f"a mapping from {', '.join(KEPT_STATES)}", value=key)
        found[state] = _LIFETIME.read(each)
    return found


#: How long the ended jobs of a task are kept.
RETENTION: Final = ValueCheck(
    "float | timedelta | str | Mapping",
    f"{_LIFETIME.wanted}, or a mapping from end states to such",
    _retention, "seconds", f"{_LIFETIME.bounds}, or a mapping from end states to such",
)  # fmt: skip


@functools.lru_cache(1_000)
def _archive_seconds(lifetime: str) -> float:
    return parsed_seconds(lifetime.removeprefix(ARCHIVE_AFTER), "it")


def _seconds(lifetime: Lifetime) -> float | None:
    return _archive_seconds(lifetime) if isinstance(lifetime, str) else lifetime


@dataclass(frozen=True, slots=True)
class RetentionPolicy:
    """What holds in a database: a queue's lifetimes win over a task's, these over the default.

    Attributes:
        default: of every end state, by the settings of the process that asks.
        tasks: by the number of a task, as the last worker that serves it has written them.
        queues: by the number of a queue, as an operator has set them.
    """

    default: Lifetimes
    tasks: Mapping[int, Lifetimes] = field(default_factory=dict)
    queues: Mapping[int, Lifetimes] = field(default_factory=dict)

    def seconds(self, state: int, task_id: int, queue_id: int) -> float | None:
        """How long a job is kept after its end; None for good. ``state`` is its number."""
        return _seconds(self._lifetime(state, task_id, queue_id))

    def archives(self, state: int, task_id: int, queue_id: int) -> bool:
        """Whether a job is archived then, and not deleted."""
        return isinstance(self._lifetime(state, task_id, queue_id), str)

    def _lifetime(self, state: int, task_id: int, queue_id: int) -> Lifetime:
        name = FINAL_STATES[state].value
        for lifetimes in (self.queues.get(queue_id), self.tasks.get(task_id), self.default):
            if lifetimes is not None and name in lifetimes:
                return lifetimes[name]
        return None

    @property
    def shortest(self) -> float | None:
        """The shortest lifetime of all; None if everything is kept for good."""
        every = (self.default, *self.tasks.values(), *self.queues.values())
        found = [_seconds(lifetime) for each in every for lifetime in each.values()]
        return min((seconds for seconds in found if seconds is not None), default=None)

    @property
    def spares_restored(self) -> bool:
        """Whether what has come back from the archive stays for the time that was asked for."""
        return True


@dataclass(frozen=True, slots=True)
class PurgeFilter:
    """Which ended jobs a person removes, in the form of a policy.

    Attributes:
        states: names of end states.
        age: seconds since the end, at least.
        task_id: None for any; as ``queue_id``.
    """

    states: frozenset[str]
    age: float
    task_id: int | None
    queue_id: int | None

    def seconds(self, state: int, task_id: int, queue_id: int) -> float | None:
        """As :meth:`RetentionPolicy.seconds`."""
        matches = (
            FINAL_STATES[state].value in self.states
            and self.task_id in (None, task_id)
            and self.queue_id in (None, queue_id)
        )
        return self.age if matches else None

    def archives(self, state: int, task_id: int, queue_id: int) -> bool:
        """As :meth:`RetentionPolicy.archives`: a person deletes."""
        return False

    @property
    def spares_restored(self) -> bool:
        """As :attr:`RetentionPolicy.spares_restored`: a person means what matches."""
        return False

    @property
    def shortest(self) -> float | None:
        """As :attr:`RetentionPolicy.shortest`."""
        return self.age


def lifetimes_text(lifetimes: Lifetimes) -> str:
    """Lifetimes as they are kept in the database."""
    return json.dumps(dict(lifetimes), sort_keys=True)


def lifetimes_of(text: str) -> Lifetimes:
    """The inverse of :func:`lifetimes_text`; what cannot be read keeps everything for good."""
    try:
        found: Any = json.loads(text)
        return {
            name: None if found[name] is None else _LIFETIME.read(found[name])
            for name in KEPT_STATES
            if name in found
        }
    except (ValueError, TypeError, ConfigError):
        return dict.fromkeys(KEPT_STATES)
