"""Cron: a cron expression in a time zone, and the instants at which it is due.

The only place that decides ticks: workers, commands and documents ask it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from croniter import croniter

from hammerflow.errors import ConfigError
from hammerflow.introspection.kinds import is_a
from hammerflow.text import plain_text, safe_repr

__all__ = ["Cron"]

#: Characters of an expression; and years within which it must have a tick (29 February on a Monday
#: comes after 28 or 40).
_LONGEST, _YEARS = 200, 120
_NAMES: Final = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
#: Name and number of values of each field.
_FIELDS: Final = (
    ("minute", 60), ("hour", 24), ("day of month", 31), ("month", 12), ("day of week", 7),
)  # fmt: skip
_SECOND: Final = ("second", 60)
_HOUR = 1  # its place in what croniter expands
#: Names whose zone differs from host to host, or which many hosts do not have.
_OF_THE_HOST = re.compile("localtime|posixrules|Factory|posix/.*|right/.*")
_PART = re.compile(r"(?P<first>[^-/]+)(?:-(?P<last>[^-/]+))?(?:/(?P<step>\d+))?")
_MICROSECOND = timedelta(microseconds=1)


class Cron:
    """A cron expression in a time zone.

    Which instants of a day of change are ticks: an expression for all 24 hours follows elapsed
    time, so it is due in both passes of a repeated hour, and never in a skipped one. Any other
    counts each wall time once a day: of a repeated hour the first pass; the wall times of a skipped
    hour together, at the first instant after it.

    Attributes:
        text: the expression, with single blanks and without what cron would misread.
        zone: an IANA time zone.
        second_first: it has six fields, the first of which are seconds.
    """

    def __init__(self, text: str, zone: ZoneInfo, hash_id: str = "") -> None:
        self.text = text
        self.zone = zone
        self.second_first = text.count(" ") == len(_FIELDS)
        self._hash_id = hash_id.encode()
        self.fields, self.nth_weekdays = croniter.expand(
            text, hash_id=self._hash_id, second_at_beginning=self.second_first, strict=True
        )
        hours = self.fields[_HOUR]
        self._is_elapsed = hours == ["*"] or set(hours) == set(range(24))

    @classmethod
    def parse(cls, text: object, tz: object = "UTC", *, name: str = "") -> Cron:
        """Check an expression of five fields, or of six with the seconds first.

        Args:
            text: such as ``"30 2 * * 1-5"`` or ``"@daily"``; see crontab(5). ``L`` is the last day
                of the month, ``L5`` the last Friday, ``5#2`` the second, ``15W`` the weekday that
                is nearest to the 15th, ``H`` a value that follows from the name.
            tz: the name of an IANA time zone.
            name: of the schedule.

        Raises:
            ConfigError: it is not one, or is never due.
        """
        zone = _zone(tz)
        given = plain_text(text)
        if given is None:
            raise ConfigError(
                f'a cron expression must be text such as "0 2 * * *", not {safe_repr(text)}'
            )
        fields = _fields(given)
        hashed = any(re.search(r"(?i)(?<![a-z])h(?![a-z])", field) for field in fields)
        if hashed and not name:
            raise ConfigError(f"H in {safe_repr(given)} needs a schedule with a name")
        try:
            cron = cls(" ".join(fields), zone, name if hashed else "")
        except (ValueError, KeyError, OverflowError) as error:
            why = _wrong_field(fields) or error
            raise ConfigError(f"{safe_repr(given)} is not a cron expression: {why}") from error
        if cron.next_after(datetime.now(UTC)) is None:
            raise ConfigError(f"the cron expression {safe_repr(given)} is never due")
        return cron

    def next_after(self, instant: datetime) -> datetime | None:
        """The first tick after an aware instant, in UTC; None if there is none for 120 years."""
        return next(self.ticks_after(instant), None)

    def ticks_after(self, instant: datetime) -> Iterator[datetime]:
        """The ticks after an aware instant, in UTC, each later than the one before."""
        walk = croniter(
            self.text, instant.astimezone(self.zone), datetime, hash_id=self._hash_id,
            second_at_beginning=self.second_first, max_years_between_matches=_YEARS,
        )  # fmt: skip
        try:
            while True:
                local = walk.get_next()
                if local.fold and not self._is_elapsed:
                    continue  # its wall time has come before
                tick: datetime = local.astimezone(UTC)
                if tick > instant:
                    yield tick
                    instant = tick
        except (ValueError, OverflowError):  # no match within these years, or beyond the year 9999
            return

    def previous_before(self, instant: datetime) -> datetime | None:
        """The last tick before an aware instant, in UTC; None if there is none for 120 years.

        Found by :meth:`next_after` alone, so that the two always agree.
        """
        instant = instant.astimezone(UTC)
        step = timedelta(minutes=1)
        oldest = instant - timedelta(days=366 * _YEARS)
        late, early = instant, instant - step  # no tick from late on; one after early?
        while not self._has_tick(early, instant):
            if early <= oldest:
                return None
            step *= 2
            late, early = early, max(instant - step, oldest)
        while late - early > _MICROSECOND:
            middle = early + (late - early) / 2
            if self._has_tick(middle, instant):
                early = middle
            else:
                late = middle
        return self.next_after(early)

    def is_tick(self, instant: datetime) -> bool:
        """Whether it is due at exactly this aware instant."""
        return self.next_after(instant - _MICROSECOND) == instant

    def _has_tick(self, after: datetime, before: datetime) -> bool:
        found = self.next_after(after)
        return found is not None and found < before


def _zone(tz: object) -> ZoneInfo:
    try:
        zone = ZoneInfo(str(tz)) if is_a(tz, str) else tz
    except (ValueError, OSError, LookupError):
        zone = None
    if is_a(zone, ZoneInfo) and not _OF_THE_HOST.fullmatch(zone.key or "localtime"):
        return zone
    raise ConfigError(f'tz must name a time zone, such as "Europe/Berlin", not {safe_repr(tz)}')


def _fields(given: str) -> list[str]:
    """The fields of an expression, checked where croniter reads another meaning into them."""
    shown = safe_repr(given)
    if len(given) > _LONGEST or re.search(r"\d{5}", given):
        raise ConfigError(f"{shown} is not a cron expression: it is too long")
    if given.strip().startswith("@"):
        known = _NAMES.get(given.strip().lower())
        if known is None:
            raise ConfigError(
                f"{shown} is not known; use {', '.join(_NAMES)}, five fields, or a timedelta"
            )
        return known.split()
    fields = given.split()
    if len(fields) not in (len(_FIELDS), len(_FIELDS) + 1):
        raise ConfigError(
            f"{shown} is not a cron expression: it has {len(fields)} fields, not five (minute, "
            "hour, day of month, month, day of week) or six (second first)"
        )
    kinds = _kinds(fields)
    checked = [_field(field, kind, shown) for field, kind in zip(fields, kinds, strict=True)]
    day, weekday = checked[-3], checked[-1]
    if day not in "*?" and re.search("(?i)[#L]", weekday):
        raise ConfigError(
            f"{shown} names days of the month and {weekday}, which cron cannot join: make two "
            "schedules"
        )
    return checked


def _kinds(fields: Sequence[str]) -> tuple[tuple[str, int], ...]:
    return _FIELDS if len(fields) == len(_FIELDS) else (_SECOND, *_FIELDS)


def _wrong_field(fields: Sequence[str]) -> str | None:
    """The first field that is wrong on its own; None if they are only wrong together."""
    for place, (what, _) in enumerate(_kinds(fields)):
        alone = ["*"] * len(fields)
        alone[place] = fields[place]
        try:
            croniter.expand(
                " ".join(alone), hash_id=b"", second_at_beginning=len(fields) > len(_FIELDS)
            )
        except (ValueError, KeyError, OverflowError) as error:
            wrong = "is out of range" if "out of range" in str(error) else "cannot be read"
            return f"the {what} {safe_repr(fields[place])} {wrong}"
    return None


def _field(field: str, kind: tuple[str, int], shown: str) -> str:
    """One field, in which a range of one value is that value."""
    what, size = kind
    if re.search(r"(?i)(?<![a-z])r(?![a-z])", field):
        raise ConfigError(f"R in {shown} would differ between processes: use H")
    if what == "day of week" and (last := re.fullmatch(r"(?i)([0-7])L", field)):
        raise ConfigError(f"write L{last[1]} for the last such day of the month in {shown}")
    parts = []
    for part in field.split(","):
        found = _PART.fullmatch(part)
        if found is None:
            parts.append(part)  # croniter says what is wrong
            continue
        first, end, step = found["first"], found["last"], found["step"]
        if step is not None and not 0 < int(step) < size:
            raise ConfigError(
                f"the {what} {part!r} of {shown} steps past its {size} values: use a timedelta for "
                "an interval"
            )
        is_one = end is not None and first.lower() == end.lower()
        parts.append(first if is_one else part)
    return ",".join(parts)
