"""Retention: for how long an ended job is kept, by its state, task and queue."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from hammerflow.jobs.job import FINAL_STATES, JobState
from hammerflow.kinds import is_a
from hammerflow.options.checks import Unfit, ValueCheck, lifetime
from hammerflow.text import plain_text

__all__ = [
    "KEPT_STATES",
    "RETENTION",
    "Lifetimes",
    "RetentionPolicy",
    "lifetimes_of",
    "lifetimes_text",
]

#: Seconds for which jobs in an end state are kept, by the state's name; None keeps them for good.
Lifetimes: TypeAlias = Mapping[str, float | None]

#: The end states, as the options and commands name them.
KEPT_STATES: Final = tuple(state.value for state in JobState if state.is_final)
_LIFETIME = lifetime()


def _retention(value: Any) -> Lifetimes:
    if not is_a(value, Mapping):  # type: ignore[type-abstract]
        return dict.fromkeys(KEPT_STATES, _LIFETIME.read(value))
    found: dict[str, float | None] = {}
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
        name = FINAL_STATES[state].value
        for lifetimes in (self.queues.get(queue_id), self.tasks.get(task_id), self.default):
            if lifetimes is not None and name in lifetimes:
                return lifetimes[name]
        return None

    @property
    def shortest(self) -> float | None:
        """The shortest lifetime of all; None if everything is kept for good."""
        every = (self.default, *self.tasks.values(), *self.queues.values())
        found = [seconds for each in every for seconds in each.values() if seconds is not None]
        return min(found, default=None)


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
            name: None if found[name] is None else float(found[name])
            for name in KEPT_STATES
            if name in found
        }
    except (ValueError, TypeError):
        return dict.fromkeys(KEPT_STATES)
