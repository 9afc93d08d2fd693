"""Backoffs: how long to wait before the next attempt."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any, Literal

from hammerflow import durations
from hammerflow.errors import ConfigError

__all__ = ["Backoff", "constant", "exponential", "fibonacci", "linear"]

_MOST = 1e9  # seconds, 31 years: far from what a timestamp or a float cannot hold


@dataclass(frozen=True, slots=True)
class Backoff:
    """A rule that gives the delay before the next attempt.

    It is plain data, so that a worker can apply it to a job whose process died. Use
    :func:`constant`, :func:`linear`, :func:`exponential` or :func:`fibonacci`.

    Args:
        kind: which formula.
        first: seconds before the second attempt.
        factor: of ``linear`` the seconds added each time, of ``exponential`` the multiplier.
        max: the longest delay in seconds, jitter included.
        jitter: the share, 0 to 1, by which a delay is randomly shorter or longer.

    Raises:
        ConfigError: a number is out of range, or the kind is unknown.
    """

    kind: Literal["constant", "linear", "exponential", "fibonacci"]
    first: float
    factor: float = 0.0
    max: float = 300.0
    jitter: float = 0.0

    def __post_init__(self) -> None:
        if self.kind not in [*_FORMULAS]:  # it may be unhashable
            raise ConfigError(f"unknown kind of backoff: {self.kind!r}")
        for number in (self.first, self.factor, self.max, self.jitter):
            if type(number) not in (int, float) or not 0 <= number <= _MOST:
                raise ConfigError(f"a backoff takes numbers from 0 to 1e9, not {number!r}")
        if self.jitter > 1:
            raise ConfigError(f"the jitter of a backoff is from 0 to 1, not {self.jitter}")

    def seconds(self, attempt: int, chance: float = 0.5) -> float:
        """The delay in seconds after an attempt that failed.

        Args:
            attempt: the number of that attempt, from 1.
            chance: a random number in [0, 1); 0.5 means no jitter. The delay is spread evenly
                over ``delay * (1 - jitter) .. delay * (1 + jitter)``, never above ``max``.
        """
        n = min(max(attempt, 1), 1000)
        delay = min(_FORMULAS[self.kind](self, n), self.max)
        return min(delay * (1 + self.jitter * (2 * chance - 1)), self.max)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Backoff:
        """The inverse of :meth:`to_dict`."""
        return cls(**data)


def constant(seconds: float | timedelta, *, jitter: float = 0.0) -> Backoff:
    """Wait the same time before each attempt.

    Args:
        seconds: the delay, in seconds or as timedelta.
        jitter: the share, 0 to 1, by which each delay is randomly shorter or longer.
    """
    first = _seconds(seconds)
    return Backoff("constant", first, max=first * (1 + jitter), jitter=jitter)


def linear(
    first: float | timedelta,
    *,
    step: float | timedelta | None = None,
    max: float | timedelta = 300,  # noqa: A002  pinned name
    jitter: float = 0.0,
) -> Backoff:
    """Wait ``first + step * (attempt - 1)`` seconds after an attempt, at most ``max``.

    Args:
        first: the delay after the first attempt, in seconds or as timedelta.
        step: what is added after each further attempt; ``first`` by default.
        max: the longest delay, jitter included.
        jitter: the share, 0 to 1, by which each delay is randomly shorter or longer.
    """
    added = first if step is None else step
    return Backoff("linear", _seconds(first), _seconds(added), _seconds(max), jitter)


def exponential(
    first: float | timedelta = 1,
    *,
    factor: float = 2,
    max: float | timedelta = 300,  # noqa: A002  pinned name
    jitter: float = 0.1,
) -> Backoff:
    """Wait ``first * factor ** (attempt - 1)`` seconds after an attempt, at most ``max``.

    Args:
        first: the delay after the first attempt, in seconds or as timedelta.
        factor: the multiplier after each further attempt.
        max: the longest delay, jitter included.
        jitter: the share, 0 to 1, by which each delay is randomly shorter or longer.
    """
    return Backoff("exponential", _seconds(first), factor, _seconds(max), jitter)


def fibonacci(
    first: float | timedelta = 1,
    *,
    max: float | timedelta = 300,  # noqa: A002  pinned name
    jitter: float = 0.1,
) -> Backoff:
    """Wait ``first * F(attempt)`` seconds after an attempt, at most ``max``; F: 1, 1, 2, 3, 5 ...

    Args:
        first: the delay after the first attempt, in seconds or as timedelta.
        max: the longest delay, jitter included.
        jitter: the share, 0 to 1, by which each delay is randomly shorter or longer.
    """
    return Backoff("fibonacci", _seconds(first), 0.0, _seconds(max), jitter)


def _seconds(value: float | timedelta) -> float:
    return durations.seconds(value, "the delay of a backoff")


def _exponential(backoff: Backoff, n: int) -> float:
    try:
        return backoff.first * backoff.factor ** (n - 1)
    except OverflowError:
        return backoff.max if backoff.first else 0.0


def _fibonacci(n: int) -> float:
    a, b = 0.0, 1.0
    for _ in range(n):
        a, b = b, a + b
    return a


_FORMULAS: Mapping[str, Callable[[Backoff, int], float]] = {
    "constant": lambda backoff, _: backoff.first,
    "linear": lambda backoff, n: backoff.first + backoff.factor * (n - 1),
    "exponential": _exponential,
    "fibonacci": lambda backoff, n: backoff.first * _fibonacci(n),
}
