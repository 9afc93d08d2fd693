"""Durations: what users give as seconds, timedelta or text, as a number of seconds."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Final

from hammerflow.errors import ConfigError

__all__ = ["LONGEST", "parsed_seconds", "seconds", "seconds_or_none"]

#: The longest duration in seconds, about 3 000 years: what every database can add to a time.
LONGEST: Final = 10**11
_TEXT = re.compile(
    r"(?=.)(?:(\d+)d)?\s*(?:(\d+)h)?\s*(?:(\d+)m)?\s*(?:(\d+(?:\.\d+)?)s)?", re.ASCII
)


def seconds(value: float | timedelta, what: str) -> float:
    """A duration from 0 to 10**11 seconds as a number; ``what`` names it in the ConfigError."""
    number = value.total_seconds() if isinstance(value, timedelta) else value
    if type(number) not in (int, float) or not 0 <= number < LONGEST:  # false for NaN, too
        raise ConfigError(f"{what} must be a duration of 0 or more seconds, not {value!r}")
    return float(number)


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
