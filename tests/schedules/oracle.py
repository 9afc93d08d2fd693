"""A slow oracle of ticks: it tries every minute of a window."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, available_timezones

from hammerflow.schedules.cron import Cron

__all__ = ["EXPRESSIONS", "differences", "is_of_whole_minutes", "transitions", "zones"]

EXPRESSIONS = (
    "30 2 * * *", "0 0 * * *", "45 23 * * *", "15 1,2,3 * * *", "0 */2 * * *", "*/15 * * * *",
    "10 0-23 * * *", "0 0 1,31 * *", "30 1 * * 0", "0 3 28 2,3,10 0",
)  # fmt: skip
_MINUTE, _DAY = timedelta(minutes=1), timedelta(days=1)
_AROUND = timedelta(hours=30)


def zones() -> list[str]:
    """All zones with the name of a region."""
    return sorted(name for name in available_timezones() if "/" in name and "Etc/" not in name)


def transitions(zone: ZoneInfo, first: int = 1970, last: int = 2037) -> Iterator[datetime]:
    """The instants, by the minute, at which the offset of a zone changes."""
    day, end = datetime(first, 1, 1, tzinfo=UTC), datetime(last + 1, 1, 1, tzinfo=UTC)
    while day < end:
        early, late = day, day + _DAY
        if _offset(early, zone) != _offset(late, zone):
            while late - early > _MINUTE:
                middle = early + (late - early) // _MINUTE // 2 * _MINUTE
                if _offset(middle, zone) == _offset(early, zone):
                    early = middle
                else:
                    late = middle
            yield late
        day += _DAY


def is_of_whole_minutes(change: datetime, name: str) -> bool:
    """Whether the offset before a change is, as all are since 1972."""
    before = _offset(change - _MINUTE, ZoneInfo(name)) or timedelta()
    return not before.total_seconds() % 60


def differences(name: str, change: datetime, expression: str) -> list[datetime]:
    """Ticks around a change on which the cron and the oracle do not agree."""
    zone = ZoneInfo(name)
    begin, end = change - _AROUND, change + _AROUND
    cron, found, tick = Cron.parse(expression, name), set(), begin
    while (next_ := cron.next_after(tick)) is not None and next_ <= end:
        assert next_ > tick, (name, expression, tick)
        found.add(next_)
        tick = next_
    return sorted(found ^ set(_ticks(zone, change, expression, begin, end)))


def _ticks(
    zone: ZoneInfo, change: datetime, expression: str, begin: datetime, end: datetime
) -> Iterator[datetime]:
    minutes, hours, days, months, weekdays = map(_values, expression.split(), _RANGES)

    def matches(wall: datetime) -> bool:
        by_day, by_weekday = wall.day in days, wall.isoweekday() % 7 in weekdays
        is_either = len(days) < 31 and len(weekdays) < 7
        is_day = by_day or by_weekday if is_either else by_day and by_weekday
        return wall.minute in minutes and wall.hour in hours and wall.month in months and is_day

    if len(hours) == 24:
        instant = begin + _MINUTE
        while instant <= end:
            if matches(instant.astimezone(zone)):
                yield instant
            instant += _MINUTE
        return
    wall = (begin - _DAY).astimezone(zone).replace(tzinfo=None)
    last = (end + _DAY).astimezone(zone).replace(tzinfo=None)
    while wall <= last:
        if matches(wall):
            instant = wall.replace(tzinfo=zone).astimezone(UTC)
            is_skipped = instant.astimezone(zone).replace(tzinfo=None) != wall
            instant = change if is_skipped else instant
            if begin < instant <= end:
                yield instant
        wall += _MINUTE


_RANGES = (range(60), range(24), range(1, 32), range(1, 13), range(7))


def _values(field: str, whole: range) -> set[int]:
    values: set[int] = set()
    for part in field.split(","):
        body, _, step = part.partition("/")
        first, _, last = body.partition("-")
        some = whole if body == "*" else range(int(first), int(last or first) + 1)
        values.update(some[:: int(step or 1)])
    return values


def _offset(instant: datetime, zone: ZoneInfo) -> timedelta | None:
    return instant.astimezone(zone).utcoffset()
