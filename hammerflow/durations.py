"""Durations: what users give as seconds, timedelta or text, as a number of seconds."""

from __future__ import annotations

import numbers
import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from hammerflow.errors import ConfigError
from hammerflow.introspection.kinds import is_a
from hammerflow.text import safe_repr

__all__ = [
    "LONGEST", "age", "duration_text", "duration_words", "parsed_seconds", "real", "seconds",
    "seconds_between", "seconds_or_none",
]  # fmt: skip

#: The longest duration in seconds, about 3 000 years: what every database can add to a time.
LONGEST: Final = 10**11
_TEXT = re.compile(
    r"(?=.)(?:(\d+)d)?\s*(?:(\d+)h)?\s*(?:(\d+)m)?\s*(?:(\d+(?:\.\d+)?)s)?", re.ASCII
)


def seconds(value: float | timedelta, what: str) -> float:
    """A duration from 0 to 10**11 seconds as a number; ``what`` names it in the ConfigError."""
    try:
        number = real(value)
    except (Exception, SystemExit):  # noqa: BLE001 - a border: the value's own methods may raise
        number = -1.0
    if not 0 <= number <= LONGEST:  # false for NaN, too
        shown = safe_repr(value)
        raise ConfigError(f"{what} must be a duration of 0 or more seconds, not {shown}")
    return number


def real(value: Any) -> float:
    """A number or a timedelta as a float: an int, a float, what Python's numbers know as real
    (fractions, numpy's numbers) or a Decimal, but no bool.

    Raises:
        ValueError: it is something else.
    """
    if type(value) is float or type(value) is int:
        return float(value)
    if is_a(value, timedelta):
        return timedelta.total_seconds(value)
    is_real = is_a(value, numbers.Real) or is_a(value, Decimal)  # type: ignore[type-abstract]
    if is_a(value, bool) or not is_real:
        raise ValueError(value)
    return float(value)


def seconds_or_none(value: float | timedelta | None, what: str) -> float | None:
    """As :func:`seconds`; None, which means without a limit, stays None."""
    return None if value is None else seconds(value, what)


def parsed_seconds(value: object, what: str) -> float:
    """A duration of a file: a number of seconds, or a text such as ``"90s"`` or ``"1h30m"``."""
    if not isinstance(value, str):
        return seconds(value, what)  # type: ignore[arg-type]  # it checks the type
    parts = _TEXT.fullmatch(value) if len(value) <= 40 else None
    if parts is None:
        raise ConfigError(f'{what} must be a duration such as "90s", "15m" or "1h30m"')
    days, hours, minutes, rest = (float(part or 0) for part in parts.groups())
    return seconds(days * 86_400 + hours * 3_600 + minutes * 60 + rest, what)


def duration_text(seconds: float) -> str:
    """A duration as :func:`parsed_seconds` reads it: ``"7d"``, ``"1h30m"``."""
    parts = []
    for unit, size in (("d", 86_400), ("h", 3_600), ("m", 60)):
        if count := int(seconds // size):
            parts.append(f"{count}{unit}")
        seconds -= count * size
    if seconds or not parts:
        parts.append(f"{seconds:.3f}".rstrip("0").rstrip(".") + "s")
    return "".join(parts)


def duration_words(seconds: float) -> str:
    """A duration for people, by its two largest units: ``"4 min 12 s"``, ``"2 d 4 h"``."""
    whole, parts = round(seconds), list[str]()
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1)):
        count, whole = divmod(whole, size)
        if count or parts:
            parts.append(f"{count} {unit}" if count else "")
    return " ".join(part for part in parts[:2] if part) or "0 s"


def seconds_between(start: datetime | None, end: datetime | None) -> float | None:
    """Seconds from start to end, 0 where the clock went back; None where one is not known."""
    return None if start is None or end is None else max(0.0, (end - start).total_seconds())


def age(instant: datetime | None) -> str:
    """How long ago an instant was: ``12s``, ``3m``, ``5h``, ``2d``; ``in 3m`` if it is to come."""
    if instant is None:
        return ""
    seconds = (datetime.now(UTC) - instant) / timedelta(seconds=1)
    sign, seconds = ("in ", -seconds) if seconds < -0.5 else ("", abs(seconds))
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= 2 * size:
            return f"{sign}{seconds / size:.0f}{unit}"
    return f"{sign}{seconds:.0f}s"
