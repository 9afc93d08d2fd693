"""UniqueKey: which calls of a task count as the same work, and what becomes of a second one."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, NamedTuple

from hammerflow.errors import ConfigError
from hammerflow.introspection.origin import runs_when_called
from hammerflow.options.checks import NAME_CHECK, Unfit, ValueCheck, choice, duration, instance
from hammerflow.options.option import Option, OptionTable, checked, documented

__all__ = ["UNIQUE", "UNIQUE_OPTIONS", "HeldKey", "UniqueKey"]


def _by(value: Any) -> Any:
    if callable(value):
        if not runs_when_called(value):
            raise Unfit("a plain function, neither async nor a generator")
        return value
    names = (value,) if isinstance(value, str) else value
    if not isinstance(names, tuple | list) or not names:
        raise Unfit
    return tuple(NAME_CHECK.read(name) for name in names)


_BY = ValueCheck(
    "str | tuple[str, ...] | Callable",
    '"args", the name of an argument, several of them, or a function of the arguments',
    _by,
)
_PERIOD = duration(zero=False)

#: The fields of :class:`UniqueKey`.
UNIQUE_OPTIONS = OptionTable((
    Option(
        "by", _BY, '("args",)',
        "What must be equal: all arguments, the named ones, or the value of a function of the "
        "arguments.",
    ),
    Option(
        "for_states", choice("until_done", "until_started"), '"until_done"',
        "How long a job holds its key: until its end, or until its first start.",
    ),
    Option(
        "within", _PERIOD, "None",
        "Maximum time that a key is held; for throttle the exact time, for debounce the delay of "
        "each call.",
    ),
    Option(
        "on_conflict", choice("reject", "return_existing", "replace", "debounce", "throttle"),
        '"reject"', "What happens to a second call.",
    ),
    Option(
        "max_wait", _PERIOD, "None",
        "For debounce: the longest time after the first call until the job is due.",
    ),
))  # fmt: skip


@documented(*UNIQUE_OPTIONS)
@dataclass(frozen=True, slots=True)
class UniqueKey:
    """Allows only one job at a time for the same work of a task; all options are keywords.

    Raises:
        ConfigError: a value is of another type or out of range, or two do not go together.
    """

    by: Any = ("args",)  # kept as a tuple of names or a function
    for_states: str = "until_done"
    within: Any = None  # a duration; kept as seconds
    on_conflict: str = "reject"
    max_wait: Any = None  # a duration; kept as seconds

    def __init__(
        self, by: str | Iterable[str] | Callable[..., Any] | None = None,
        for_states: str | None = None, within: float | timedelta | None = None,
        on_conflict: str | None = None, max_wait: float | timedelta | None = None,
    ) -> None:  # fmt: skip
        given = {
            "by": by, "for_states": for_states, "within": within, "on_conflict": on_conflict,
            "max_wait": max_wait,
        }  # fmt: skip
        found = checked(UNIQUE_OPTIONS, given, "UniqueKey")
        defaults = {
            "by": ("args",), "for_states": "until_done", "within": None, "on_conflict": "reject",
            "max_wait": None,
        }  # fmt: skip
        for name, value in {**defaults, **found}.items():
            object.__setattr__(self, name, value)
        if self.on_conflict == "throttle" and self.within is None:
            raise ConfigError("UniqueKey: throttle needs a period: within=timedelta(...)")
        if self.max_wait is not None and self.on_conflict != "debounce":
            raise ConfigError('UniqueKey: max_wait goes with on_conflict="debounce" only')

    @property
    def frees_at_start(self) -> bool:
        """Whether the key is free once its job has started. The arguments of a debounced call that
        comes later must not be lost, so there it always is."""
        return self.for_states == "until_started" or self.on_conflict == "debounce"

    def held(self, text: str) -> HeldKey:
        """This rule for the key of one call."""
        is_debounce = self.on_conflict == "debounce"  # whose period is the delay of its job
        within = None if is_debounce else self.within
        return HeldKey(text, self.on_conflict, self.frees_at_start, within, self.max_wait)


class HeldKey(NamedTuple):
    """The key of one call with its rule, in values that can be spooled.

    Attributes:
        frees_at_start: the key is free once its job has started.
        within: seconds after which it is free in any case.
        max_wait: seconds after the first call at which a debounced job is due at the latest.
    """

    text: str
    on_conflict: str
    frees_at_start: bool
    within: float | None
    max_wait: float | None

    @property
    def replaces(self) -> bool:
        """Whether a second call changes the job of the first one."""
        return self.on_conflict in ("replace", "debounce")


#: A value of the option ``unique``.
UNIQUE = instance(UniqueKey, "a UniqueKey(...)")
