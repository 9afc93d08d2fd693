"""Backoffs: how long to wait before the next attempt."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any, Final, Literal

from hammerflow.introspection.kinds import is_a
from hammerflow.options.checks import Unfit, ValueCheck, choice, duration, number
from hammerflow.text import safe_repr

__all__ = [
    "BACKOFF", "BACKOFF_OR_FUNCTION", "Backoff", "FunctionBackoff", "constant", "exponential",
    "fibonacci", "linear",
]  # fmt: skip

_log = logging.getLogger("hammerflow.backoff")

_MOST: Final = 1e9  # seconds, 31 years: far from what a timestamp or a float cannot hold
_DELAY = duration(most=_MOST)
_FIELDS: Final = {
    "kind": choice("constant", "linear", "exponential", "fibonacci"),
    "first": _DELAY,
    "factor": number(0, _MOST),
    "max": _DELAY,
    "jitter": number(0, 1),
}


@dataclass(frozen=True, slots=True)
class Backoff:
    """A rule that gives the delay before the next attempt.

    It is plain data, so that a worker can apply it to a job whose process died. Use
    :func:`constant`, :func:`linear`, :func:`exponential` or :func:`fibonacci`.

    Args:
        kind: which formula.
        first: seconds before the second attempt.
        factor: for ``linear`` the seconds added each time, for ``exponential`` the multiplier.
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
        for name, check in _FIELDS.items():
            value = check(getattr(self, name), f"{name} of a backoff")
            object.__setattr__(self, name, value)

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


@dataclass(frozen=True, slots=True)
class FunctionBackoff:
    """A user-defined backoff: a function from the number of an attempt to seconds.

    Args:
        fn: called in the process that ran the attempt. A job whose process died waits as
            :func:`exponential` says, and so does one for which the function raises or returns
            anything but a duration; the log then says why.
    """

    fn: Callable[[int], Any]

    def seconds(self, attempt: int, chance: float = 0.5) -> float:
        """The delay in seconds after an attempt that failed; see :meth:`Backoff.seconds`."""
        try:
            return _DELAY(self.fn(attempt), "the delay it returns")  # type: ignore[no-any-return]
        except Exception as error:  # noqa: BLE001 - a border: the user's function
            fn = safe_repr(self.fn)
            _log.warning("exponential() replaces the backoff %s: %s", fn, safe_repr(error))
            return _STANDARD.seconds(attempt, chance)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON: the backoff that applies where the function cannot be called."""
        return _STANDARD.to_dict()


def constant(seconds: float | timedelta, *, jitter: float = 0.0) -> Backoff:
    """Wait the same time before each attempt.

    Args:
        seconds: the delay, in seconds or as timedelta.
        jitter: the share, 0 to 1, by which each delay is randomly shorter or longer.
    """
    first = _DELAY(seconds, "the delay of constant()")
    share = _FIELDS["jitter"](jitter, "the jitter of constant()")
    return Backoff("constant", first, max=min(first * (1 + share), _MOST), jitter=share)


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
    return Backoff("linear", _plain(first), _DELAY(added, "step of linear()"), _plain(max), jitter)


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
    return Backoff("exponential", _plain(first), factor, _plain(max), jitter)


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
    return Backoff("fibonacci", _plain(first), 0.0, _plain(max), jitter)


def _plain(value: Any) -> float:
    """Seconds of a timedelta; anything else goes on to Backoff, which checks it."""
    return timedelta.total_seconds(value) if is_a(value, timedelta) else value


_STANDARD: Final = exponential()


def _is_backoff(value: Any) -> Backoff:
    if isinstance(value, Backoff):
        return value
    advice = ""
    if isinstance(value, type) or value in (constant, linear, exponential, fibonacci):
        advice = "call it, as in exponential(1)"
    elif isinstance(value, int | float | timedelta):
        advice = "write constant(...) to wait that long before each attempt"
    elif callable(value):
        advice = "a function is possible in the task's decorator only"
    raise Unfit(advice=advice)


def _is_rule(value: Any) -> Backoff | FunctionBackoff:
    try:
        return _is_backoff(value)
    except Unfit as unfit:
        if not callable(value) or unfit.advice.startswith("call it"):
            raise
    _check_function(value)
    return FunctionBackoff(value)


def _check_function(fn: Any) -> None:
    if inspect.iscoroutinefunction(fn) or inspect.isgeneratorfunction(fn):
        raise Unfit(advice="it must be a plain function that returns seconds")
    try:
        inspect.signature(fn).bind(1)
    except TypeError:
        raise Unfit(advice="it must take one argument, the number of the attempt") from None
    except ValueError:
        return  # a function without a signature, written in C


#: The backoff of one call: plain data, which is stored with its job.
BACKOFF = ValueCheck("Backoff", "a backoff such as exponential(1)", _is_backoff)
#: The backoff of a task, whose worker has its functions.
BACKOFF_OR_FUNCTION = ValueCheck(
    "Backoff | Callable[[int], float]",
    "a backoff such as exponential(1), or a function that takes the number of the attempt and "
    "returns seconds",
    _is_rule,
)


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
