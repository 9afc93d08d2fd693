"""Backoffs: how long to wait before the next attempt."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from hammerflow.errors import ConfigError

__all__ = ["Backoff", "constant", "exponential", "fibonacci", "linear"]


@dataclass(frozen=True, slots=True)
class Backoff:
    """A rule that gives the delay after attempt n: plain data, so a worker can apply it to a job
    whose process died.

    Use :func:`constant`, :func:`linear`, :func:`exponential` or :func:`fibonacci`.
    """

    kind: Literal["constant", "linear", "exponential", "fibonacci"]
    first: float
    factor: float = 0.0  # linear: seconds added each time; exponential: multiplier
    max: float = 300.0
    jitter: float = 0.0

    def __post_init__(self) -> None:
        if self.first < 0 or self.max < 0 or self.factor < 0:
            raise ConfigError(f"a backoff's seconds must not be negative: {self}")
        if not 0 <= self.jitter <= 1:
            raise ConfigError(f"a backoff's jitter is a share from 0 to 1, not {self.jitter}")

    def seconds(self, attempt: int, chance: float = 0.5) -> float:
        """The delay in seconds after attempt number ``attempt`` (1 is the first).

        Args:
            attempt: the attempt that just failed, from 1.
            chance: a random number in [0, 1); 0.5 means no jitter. The delay is spread evenly
                over ``delay * (1 - jitter) .. delay * (1 + jitter)``, never above ``max``.
        """
        n = min(max(attempt, 1), 1000)
        match self.kind:
            case "constant":
                delay = self.first
            case "linear":
                delay = self.first + self.factor * (n - 1)
            case "exponential":
                delay = _power(self.first, self.factor, n - 1, self.max)
            case "fibonacci":
                delay = self.first * _fibonacci(n)
        delay = min(delay, self.max)
        return min(delay * (1 + self.jitter * (2 * chance - 1)), self.max)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Backoff:
        """The inverse of :meth:`to_dict`."""
        return cls(**data)


def constant(seconds: float, *, jitter: float = 0.0) -> Backoff:
    """The same delay each time."""
    return Backoff("constant", seconds, max=seconds, jitter=jitter)


def linear(
    first: float, *, step: float | None = None, max: float = 300, jitter: float = 0.0
) -> Backoff:
    """``first``, ``first + step``, ``first + 2 * step`` ... seconds (step: ``first``)."""
    return Backoff("linear", first, first if step is None else step, max, jitter)


def exponential(
    first: float = 1, *, factor: float = 2, max: float = 300, jitter: float = 0.1
) -> Backoff:
    """``first * factor ** (attempt - 1)`` seconds, at most ``max``."""
    return Backoff("exponential", first, factor, max, jitter)


def fibonacci(first: float = 1, *, max: float = 300, jitter: float = 0.1) -> Backoff:
    """``first`` times 1, 1, 2, 3, 5, 8 ... seconds, at most ``max``."""
    return Backoff("fibonacci", first, 0.0, max, jitter)


def _power(first: float, factor: float, n: int, limit: float) -> float:
    try:
        return first * factor**n
    except OverflowError:
        return limit


def _fibonacci(n: int) -> float:
    a, b = 0.0, 1.0
    for _ in range(n):
        a, b = b, a + b
    return a
