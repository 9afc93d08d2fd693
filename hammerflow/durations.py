"""Durations: what users give as seconds or timedelta, as a number of seconds."""

from __future__ import annotations

from datetime import timedelta

from hammerflow.errors import ConfigError

__all__ = ["seconds", "seconds_or_none"]


def seconds(value: float | timedelta, what: str) -> float:
    """A duration given as seconds or timedelta, in seconds; ``what`` names it in the error."""
    number = value.total_seconds() if isinstance(value, timedelta) else value
    if type(number) not in (int, float) or not 0 <= number < 10**11:  # nor NaN, nor infinity
        raise ConfigError(f"{what} must be a duration from 0 seconds on, not {value!r}")
    return float(number)


def seconds_or_none(value: float | timedelta | None, what: str) -> float | None:
    """As :func:`seconds`; None, which means without a limit, stays None."""
    return None if value is None else seconds(value, what)
