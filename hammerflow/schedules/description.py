"""Descriptions of cron expressions in plain language: "weekdays at 08:00"."""

from __future__ import annotations

import calendar
from collections.abc import Collection, Iterable, Sequence

from hammerflow.schedules.cron import Cron

__all__ = ["description", "interval"]

_ALL = ["*"]
_WORKDAYS, _WEEKEND = {1, 2, 3, 4, 5}, {0, 6}
#: Times of a day that are listed one by one.
_MOST_TIMES = 6
_NTH = ("", "first", "second", "third", "fourth", "fifth")


def description(cron: Cron) -> str:
    """When it is due, in words, without its time zone."""
    minute, hour, day, month, weekday, *second = cron.fields
    months = "" if month == _ALL else f" in {_and([calendar.month_name[m] for m in month])}"
    days = _days(cron, day, weekday)
    times = _times(second[0] if second else [0], minute, hour)
    if months and days.endswith(" of the month"):
        days, months = days.removesuffix(" the month") + months.removeprefix(" in"), ""
    if not times.startswith("at "):
        return f"{times}{f', {days}' if days else ''}{months}"
    return f"{days or 'every day'}{months} {times}"


def _times(second: Sequence[object], minute: Sequence[object], hour: Sequence[object]) -> str:
    if second == _ALL or len(second) > 1:
        minutes = "" if minute == _ALL else f" {_each('minute', minute, 60)}"
        return _each("second", second, 60) + minutes + _within(hour)
    seconds = f":{second[0]:02}" if second != [0] else ""
    if minute != _ALL and hour != _ALL and len(minute) * len(hour) <= _MOST_TIMES:
        return f"at {_and([f'{h:02}:{m:02}{seconds}' for h in hour for m in minute])}"
    late = f", {second[0]} s past the minute" if seconds else ""
    if minute != _ALL and len(minute) == 1:
        if hour != _ALL and _is_run(hour):
            return (
                f"every hour from {hour[0]:02}:{minute[0]:02} to {hour[-1]:02}:{minute[0]:02}{late}"
            )
        past = f", {minute[0]} min past" if minute != [0] else ""
        return _each("hour", hour, 24) + past + late
    return _each("minute", minute, 60) + _within(hour) + late


def _each(unit: str, values: Sequence[object], size: int) -> str:
    """``every 15 minutes``, or the values."""
    if values == _ALL:
        return f"every {unit}"
    numbers = [value for value in values if isinstance(value, int)]
    step = size // len(numbers)
    if len(numbers) > 1 and numbers == list(range(0, size, step)):
        return f"every {step} {unit}s"
    return f"in {unit}{'s' if len(numbers) > 1 else ''} {_ranges(numbers)}"


def _within(hour: Sequence[object]) -> str:
    if hour == _ALL:
        return ""
    if _is_run(hour):
        return f" from {hour[0]:02}:00 to {hour[-1]:02}:59"
    return f" in hours {_ranges([value for value in hour if isinstance(value, int)])}"


def _is_run(values: Sequence[object]) -> bool:
    """Whether each value follows the one before it."""
    first, last = values[0], values[-1]
    return isinstance(first, int) and isinstance(last, int) and last - first == len(values) - 1


def _days(cron: Cron, day: Sequence[object], weekday: Sequence[object]) -> str:
    """``weekdays``; days of the month or of the week are joined by "or", as cron does."""
    found = []
    if day != _ALL:
        found.append(_month_days(cron.text.split(" ")[-3], day))
    if weekday != _ALL:
        found.append(_weekdays(cron, [value for value in weekday if isinstance(value, int)]))
    return " or ".join(found)


def _month_days(field: str, day: Sequence[object]) -> str:
    if field.upper().endswith("W"):
        return f"on the weekday nearest the {_ordinal(field[:-1])}"
    names = [_ordinal(value) for value in day if value != "l"]
    if "l" in day:
        names.append("last day")
    return f"on the {_and(names)} of the month"


def _weekdays(cron: Cron, weekday: Sequence[int]) -> str:
    if cron.nth_weekdays:
        names = [
            f"{'last' if n == 'l' else _NTH[n]} {_day_name(value)}"
            for value, those in sorted(cron.nth_weekdays.items())
            for n in sorted(those, key=str)
        ]
        return f"on the {_and(names)} of the month"
    if set(weekday) == _WORKDAYS:
        return "weekdays"
    if set(weekday) == _WEEKEND:
        return "weekends"
    return _and([f"{_day_name(value)}s" for value in sorted(weekday, key=lambda d: (d - 1) % 7)])


def _day_name(value: int) -> str:
    return calendar.day_name[(value - 1) % 7]


def _ordinal(value: object) -> str:
    number = int(str(value))
    ending = {1: "st", 2: "nd", 3: "rd"}.get(number % 10 if number // 10 != 1 else 0, "th")
    return f"{number}{ending}"


def _ranges(numbers: Sequence[int]) -> str:
    """``1-3, 7``."""
    runs: list[list[int]] = []
    for number in sorted(numbers):
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return _and([f"{run[0]}-{run[-1]}" if len(run) > 1 else str(run[0]) for run in runs])


def _and(names: Iterable[str] | Collection[str]) -> str:
    *most, last = names
    return f"{', '.join(most)} and {last}" if most else last


def interval(seconds: float) -> str:
    """``every 90 minutes``."""
    for unit, size in (("day", 86_400), ("hour", 3_600), ("minute", 60)):
        if seconds % size == 0:
            count = int(seconds // size)
            return f"every {unit}" if count == 1 else f"every {count} {unit}s"
    return "every second" if seconds == 1 else f"every {seconds:g} seconds"
