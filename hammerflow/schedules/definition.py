"""Definition: everything that an app or an operator says of a schedule, and its ticks."""

from __future__ import annotations

import functools
import hashlib
import itertools
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

from hammerflow.errors import ConfigError
from hammerflow.introspection.kinds import is_a
from hammerflow.options.checks import LATEST
from hammerflow.schedules.call_template import CallTemplate
from hammerflow.schedules.cron import Cron
from hammerflow.schedules.crontab import crontab
from hammerflow.schedules.description import description, interval
from hammerflow.schedules.options import INTERVAL, SCHEDULE_OPTIONS
from hammerflow.text import safe_repr, timestamp

__all__ = [
    "Definition", "Ticks", "merged_edit", "parsed_when", "read_definition", "refuse_never_due",
    "to_plain",
]  # fmt: skip

_MICROSECOND = timedelta(microseconds=1)
_DAY = 86_400.0
#: The shortest interval in seconds.
_SHORTEST: Final = 1.0


def parsed_when(name: str, when: Any, tz: Any) -> dict[str, Any]:
    """What a definition keeps of ``when`` and ``tz``: cron text, a crontab or a timedelta.

    Raises:
        ConfigError: it is none of these, or is never due.
    """
    if is_a(when, crontab):
        when = when.text
    if is_a(when, str):
        cron = Cron.parse(when, "UTC" if tz is None else tz, name=name)
        return {"cron": cron.text, "tz": cron.zone.key}
    if not is_a(when, timedelta):
        raise ConfigError(
            f"schedule {name}: when must be a cron expression, a timedelta or a crontab(...), not "
            f"{safe_repr(when)}"
        )
    seconds = INTERVAL(when, f"schedule {name}: the interval")
    if seconds < _SHORTEST:
        raise ConfigError(f"schedule {name}: the interval must be 1 second or more")
    return {"every": seconds, **({} if tz is None else {"tz": Cron.parse("@daily", tz).zone.key})}


@dataclass(frozen=True, slots=True)
class Definition:
    """A schedule as code or an operator defines it; durations in seconds.

    Attributes:
        cron: a cron expression; else ``every`` is set.
        call: what each tick enqueues.
        summary: the call in words.
    """

    call: CallTemplate
    summary: str
    cron: str | None = None
    every: float | None = None
    tz: str = "UTC"
    misfire: str = "once"
    catch_up: float | None = None
    overlap: str = "allow"
    jitter: float = 0.0
    start: datetime | None = None
    end: datetime | None = None
    paused: bool = False
    after: str | None = None

    @property
    def oldest(self) -> float | None:
        """Seconds after which a missed tick does not run any more; None if any may."""
        return _DAY if self.catch_up is None and self.misfire == "all" else self.catch_up

    @property
    def times(self) -> tuple[Any, ...]:
        """What decides when it is due."""
        return (self.cron, self.every, self.tz, self.start, self.end)

    @property
    def zone(self) -> ZoneInfo:
        """The zone of its days."""
        return ZoneInfo(self.tz)

    def words(self, name: str) -> str:
        """When it is due, in plain language."""
        if self.every is not None:
            return interval(self.every)
        return f"{description(_cron(self.cron or '', self.tz, name))} ({self.tz})"

    def delay_of(self, name: str, tick: datetime, following: datetime | None) -> timedelta:
        """The jitter of a tick: the same in every process, and less than up to the next tick."""
        most = self.jitter
        if following is not None:
            most = min(most, (following - tick).total_seconds())
        text = f"{name}\0{tick.astimezone(UTC).isoformat()}".encode()
        part = int.from_bytes(hashlib.blake2b(text, digest_size=6).digest()) / (1 << 48)
        return timedelta(seconds=int(part * most * 1000) / 1000)


class Ticks:
    """The ticks of a definition.

    Args:
        anchor: from which an interval is counted.
    """

    def __init__(self, name: str, definition: Definition, anchor: datetime) -> None:
        self._cron = None
        if definition.every is None:
            self._cron = _cron(definition.cron or "", definition.tz, name)
        self._every = definition.every
        self._anchor = definition.start.astimezone(UTC) if definition.start else anchor
        self._start = definition.start
        self._end = definition.end or LATEST

    def after(self, instant: datetime) -> Iterator[datetime]:
        """Its ticks after an instant, in UTC."""
        if self._start is not None:
            instant = max(instant, self._start.astimezone(UTC) - _MICROSECOND)
        every = self._each(instant) if self._cron is None else self._cron.ticks_after(instant)
        return itertools.takewhile(lambda tick: tick <= self._end, every)

    def next_after(self, instant: datetime) -> datetime | None:
        """The first tick after an instant; None if there is none."""
        return next(self.after(instant), None)

    def last_before(self, instant: datetime) -> datetime | None:
        """The last tick before an instant; None if there is none."""
        instant = min(instant, self._end + _MICROSECOND)
        if self._cron is not None:
            found = self._cron.previous_before(instant)
        else:
            count = -((self._anchor - instant) // timedelta(seconds=self._every or 0.0)) - 1
            found = self._anchor + count * timedelta(seconds=self._every or 0.0)
        is_early = self._start is not None and found is not None and found < self._start
        return None if is_early else found

    def _each(self, instant: datetime) -> Iterator[datetime]:
        step = timedelta(seconds=self._every or 0.0)
        for n in itertools.count((instant - self._anchor) // step + 1):
            try:
                yield self._anchor + n * step
            except OverflowError:
                return


def refuse_never_due(
    name: str, definition: Definition, anchor: datetime, since: datetime | None = None
) -> None:
    """Raise ConfigError if no tick lies between a schedule's start and its end.

    Args:
        anchor: from which an interval is counted, if it has no start.
        since: when the schedule begins, if it has no later start. None is for code, which does not
            know that, and which may be deployed long after the end.
    """
    start, end = definition.start, definition.end
    if start is not None and end is not None and end <= start:
        raise ConfigError(f"schedule {name}: end must be later than start")
    begin = max((at for at in (start, since) if at is not None), default=None)
    if begin is None:
        return
    if end is not None and end < begin:
        when = timestamp(end.astimezone(definition.zone))
        raise ConfigError(f"schedule {name}: its end, {when}, is in the past: give a later one")
    before = begin - _MICROSECOND if begin == start else begin  # a tick at the start counts
    if Ticks(name, definition, anchor).next_after(before) is None:
        left = f"between {timestamp(begin.astimezone(definition.zone))} and its end"
        if end is None:
            left = "after its start"
        raise ConfigError(f"schedule {name} is never due {left}: change when, start or end")


@functools.lru_cache(maxsize=16_384)
def _cron(text: str, tz: str, name: str) -> Cron:
    return Cron.parse(text, tz, name=name)


@functools.lru_cache(maxsize=16_384)
def read_definition(code: str | None, edit: str | None, name: str) -> Definition:
    """The definition that holds: an operator's edit over what the code says.

    Raises:
        ConfigError: the row was written by something else; the message says what is wrong.
    """
    try:
        plain = {**json.loads(code or "{}"), **json.loads(edit or "{}")}
        kept = {key: plain[key] for key in ("cron", "every", "tz", "summary") if key in plain}
        options = {
            n: _read(n, v)
            for n, v in plain.items()
            if n in SCHEDULE_OPTIONS.by_name and v is not None
        }
        if edit and "every" in json.loads(edit):
            kept.pop("cron", None)
        elif edit and "cron" in json.loads(edit):
            kept.pop("every", None)
        call = CallTemplate.from_json(plain["call"])
        if (changed := call.changed(plain.get("job") or {})) is not None:
            call, kept["summary"] = changed, plain["job"].get("summary", kept.get("summary"))
        found = Definition(call=call, **{**options, **kept})
        for instant in (found.start, found.end):
            if instant is not None:
                instant.astimezone(UTC)
        if found.every is None:
            _cron(found.cron or "", found.tz, name)
        elif not found.every >= _SHORTEST:
            raise ConfigError("its interval must be 1 second or more")
    except (KeyError, TypeError, ValueError, OSError) as error:
        raise ConfigError(f"its definition cannot be read: {error!r}") from error
    return found


def merged_edit(before: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """An operator's changes over those that were made before.

    A cron expression and an interval replace each other. What is changed of the call holds over
    what was changed before of a call of the same task; another call, over all of it.
    """
    kept = dict(before)
    if "call" in changes:
        kept.pop("job", None)
    for one, other in (("cron", "every"), ("every", "cron")):
        if one in changes:
            kept.pop(other, None)
    merged = {**kept, **changes}
    old, new = kept.get("job") or {}, changes.get("job")
    if new is not None and old.get("task") == new["task"]:
        merged["job"] = {**old, **new}
    return merged


def _read(name: str, value: Any) -> Any:
    check = SCHEDULE_OPTIONS.by_name[name].check
    if name in ("start", "end") and is_a(value, str):
        value = datetime.fromisoformat(value)
    return check(value, name)


def to_plain(options: Mapping[str, Any], tz: str) -> dict[str, Any]:
    """Checked options as values for JSON."""
    plain = dict(options)
    for name in ("start", "end"):
        instant = plain.get(name)
        if instant is not None:
            local = instant.replace(tzinfo=ZoneInfo(tz)) if instant.tzinfo is None else instant
            plain[name] = local.astimezone(UTC).isoformat()
    return plain
