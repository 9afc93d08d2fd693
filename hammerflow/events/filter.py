"""EventFilter: which events a reader wants, by kind and by what they tell."""

from __future__ import annotations

import fnmatch
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hammerflow.durations import parsed_seconds
from hammerflow.errors import ConfigError
from hammerflow.events.event import Event
from hammerflow.events.kinds import DEFAULT_KINDS, EventKind, kinds_of, mask_of, names_of
from hammerflow.options.checks import Unfit, ValueCheck, duration
from hammerflow.text import plain_text

__all__ = ["EventFilter"]

_PRIORITIES = ("background", "low", "normal", "high", "critical")


def _read_priority(given: Any) -> int:
    name = plain_text(given)
    if name is not None:
        return _PRIORITIES.index(name)
    if isinstance(given, bool) or given not in range(5):
        raise Unfit
    return int(given)


_DURATION = duration()
_PRIORITY = ValueCheck("int | str", f"0 to 4 or one of {', '.join(_PRIORITIES)}", _read_priority)


@dataclass(frozen=True, slots=True)
class EventFilter:
    """A filter; an event must pass all of its parts. Names of queues and tasks may hold ``*``.

    An event whose job was removed already passes what cannot be checked any more: it is better
    told twice than never.

    Attributes:
        kinds: of events.
        queues: names, any of them; empty for all.
        tasks: likewise.
        min_priority: 0 (background) to 4 (critical).
        min_duration: seconds that an attempt took at least; drops events of jobs that have none.
        headers: name and value of headers of the job; all of them.
        metadata: likewise of the metadata of a workflow, batch or spawner.
    """

    kinds: frozenset[EventKind] = DEFAULT_KINDS
    queues: Sequence[str] = ()
    tasks: Sequence[str] = ()
    min_priority: int | None = None
    min_duration: float | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    metadata: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(
        cls, *, kinds: Sequence[str] | None = None, queues: Sequence[str] = (),
        tasks: Sequence[str] = (), min_priority: int | str | None = None,
        min_duration: Any = None, headers: Mapping[str, Any] | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> EventFilter:  # fmt: skip
        """A filter of what a user has written.

        Args:
            kinds: names, ``job.*`` for all of a noun; None for all but enqueued and started.
            min_priority: 0 to 4, or a name.
            min_duration: seconds, timedelta or text such as ``1m30s``.

        Raises:
            ConfigError: a part cannot be read.
        """
        names = [] if kinds is None else _names(kinds, "kinds")
        priority = None if min_priority is None else _PRIORITY(min_priority, "min_priority")
        return cls(
            kinds_of(names) if names else DEFAULT_KINDS,
            tuple(_names(queues, "queues")), tuple(_names(tasks, "tasks")), priority,
            None if min_duration is None else _duration(min_duration),
            _pairs(headers, "headers"), _pairs(metadata, "metadata"),
        )  # fmt: skip

    @property
    def mask(self) -> int:
        """The bits of its kinds."""
        return mask_of(self.kinds - {EventKind.LOG_GAP})

    def to_plain(self) -> dict[str, Any]:
        """The filter as JSON, without the parts that are not set."""
        found = {
            "kinds": None if self.kinds == DEFAULT_KINDS else names_of(self.kinds),
            "queues": [*self.queues], "tasks": [*self.tasks], "min_priority": self.min_priority,
            "min_duration": self.min_duration, "headers": dict(self.headers),
            "metadata": dict(self.metadata),
        }  # fmt: skip
        return {name: value for name, value in found.items() if value not in (None, [], {})}

    def to_json(self) -> str:
        """The text that the database holds."""
        return json.dumps(self.to_plain(), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> EventFilter:
        """The filter of a text that :meth:`to_json` has written."""
        try:
            return cls.of(**json.loads(text))
        except (TypeError, ValueError) as error:
            raise ConfigError(f"a filter of events cannot be read: {error}") from None

    @property
    def needs_data(self) -> bool:
        """Whether the kind alone does not decide."""
        return self.to_plain().keys() - {"kinds"} != set()

    def wants(self, event: Event) -> bool:
        """Whether an event passes all parts but the kinds."""
        data = event.data
        return (
            self._has_name(self.queues, event, "queue")
            and self._has_name(self.tasks, event, "task")
            and self._is_urgent(event)
            and self._is_long(event)
            and _has_all(self.headers, data.get("headers"), event)
            and _has_all(self.metadata, data.get("metadata"), event)
        )

    def _has_name(self, patterns: Sequence[str], event: Event, field: str) -> bool:
        name = event.data.get(field)
        if not patterns:
            return True
        if name is None:
            return event.is_tombstone
        return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)

    def _is_urgent(self, event: Event) -> bool:
        if self.min_priority is None:
            return True
        priority = event.data.get("priority")
        if not isinstance(priority, str) or priority not in _PRIORITIES:
            return event.is_tombstone
        return _PRIORITIES.index(priority) >= self.min_priority

    def _is_long(self, event: Event) -> bool:
        if self.min_duration is None:
            return True
        duration = event.data.get("duration")
        return event.is_tombstone if duration is None else bool(duration >= self.min_duration)


def _has_all(wanted: Mapping[str, str], given: Any, event: Event) -> bool:
    if not wanted:
        return True
    if not isinstance(given, Mapping):
        return event.is_tombstone
    return all(name in given and str(given[name]) == value for name, value in wanted.items())


def _read_names(given: Any) -> list[str]:
    one = plain_text(given)
    names = [plain_text(name) for name in (given if one is None else [one])]
    if not all(names):
        raise Unfit
    return [name for name in names if name is not None]


#: Names of kinds, queues or tasks; or one of them.
_names = ValueCheck("list of str", "a list of names", _read_names)


def _read_pairs(given: Any) -> dict[str, str]:
    pairs = {plain_text(name): plain_text(value) for name, value in dict(given or {}).items()}
    if None in pairs or None in pairs.values():
        raise Unfit
    return {str(name): str(value) for name, value in pairs.items()}


_pairs = ValueCheck("dict of str", "names and values, all of them texts", _read_pairs)


def _duration(given: Any) -> float:
    text = plain_text(given)
    if text is not None:
        return parsed_seconds(text, "min_duration")
    return float(_DURATION(given, "min_duration"))
