"""Checks: what an option may be, as data that is shown in the reference and applied where it is
given."""

from __future__ import annotations

import numbers
import re
import types
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

from hammerflow.durations import LONGEST, duration_text, parsed_seconds, real
from hammerflow.errors import ConfigError
from hammerflow.introspection.kinds import is_a
from hammerflow.introspection.origin import runs_when_called
from hammerflow.options.json_values import Misfit, json_copy
from hammerflow.text import NAME, plain_text, safe_repr

__all__ = [
    "ARCHIVE_AFTER", "ARGS", "EARLIEST", "FLAG", "HOOK", "JSON", "KEEP_LOGS", "KWARGS", "LATEST",
    "MOMENT",
    "NAME_CHECK", "NOTE", "Unfit", "ValueCheck", "are_items", "choice", "duration", "exceptions",
    "expiry", "instance", "items_of", "lifetime", "number", "pattern", "refusal", "size", "text",
    "whole",
]  # fmt: skip

#: The instants that all databases store and Python reads back, with room for any time zone.
EARLIEST: Final = datetime(1970, 1, 1, tzinfo=UTC)
LATEST: Final = datetime(9999, 12, 30, tzinfo=UTC)


class Unfit(ValueError):
    """A value does not fit a check.

    Args:
        wanted: what it must be, if that is not what the check says as a whole.
        value: the part of the value at fault, if it is not the whole.
        path: where that part is, ``"['a'][0]"``.
        advice: what to do, as the end of the sentence.
    """

    def __init__(
        self, wanted: str = "", *, value: Any = ..., path: str = "", advice: str = ""
    ) -> None:
        super().__init__(wanted)
        self.wanted, self.value, self.path, self.advice = wanted, value, path, advice


@dataclass(frozen=True, slots=True)
class ValueCheck:
    """What a value may be, and the form in which it is kept.

    Attributes:
        type: the type as the reader writes it, ``"float | timedelta"``.
        wanted: completes the sentence "max_attempts must be ...".
        read: takes the value and returns its stored form; raises :class:`Unfit`.
        unit: the unit of a bare number, ``"seconds"``; empty if there is none.
        bounds: the accepted range, for the reference: ``"1 to 1000"``; empty if any will do.
        parse: takes the text of an environment variable or flag and returns the value.
    """

    type: str
    wanted: str
    read: Callable[[Any], Any]
    unit: str = ""
    bounds: str = ""
    parse: Callable[[str], Any] = str

    def __call__(self, value: Any, what: str) -> Any:
        """The value in its stored form; ``what`` names it in the ConfigError."""
        try:
            return self.read(value)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - the value's own methods may raise
            raise refusal(self, value, what, error) from None

    def from_text(self, given: str, what: str) -> Any:
        """The stored form of a value given as text: an environment variable or a flag."""
        try:
            value = self.parse(given)
        except (ValueError, ConfigError):
            value = given
        return self(value, what)


def refusal(check: ValueCheck, value: Any, what: str, error: BaseException) -> ConfigError:
    """The sentence for a value that does not fit."""
    if isinstance(error, ConfigError):
        return ConfigError(f"{what}: {error}")
    unfit = error if isinstance(error, Unfit) else Unfit()
    shown = safe_repr(value if unfit.value is ... else unfit.value)
    advice = f": {unfit.advice}" if unfit.advice else ""
    wanted = unfit.wanted or check.wanted
    return ConfigError(f"{what}{unfit.path} must be {wanted}, not {shown}{advice}")


# -- numbers


def whole(least: int, most: int, unit: str = "") -> ValueCheck:
    """A whole number in this range: an int, or what counts as one (numpy's), but no bool."""

    def read(value: Any) -> int:
        if type(value) is not int:
            if isinstance(value, bool) or not isinstance(value, numbers.Integral):
                raise Unfit
            value = int(value)
        if not least <= value <= most:
            raise Unfit
        return value  # type: ignore[no-any-return]

    return ValueCheck(
        "int", f"a whole number from {least} to {most}", read, unit, f"{least} to {most}", _integer
    )


def number(least: float, most: float) -> ValueCheck:
    """A number in this range, as a float."""

    def read(value: Any) -> float:
        if isinstance(value, timedelta) or not least <= real(value) <= most:  # false for NaN, too
            raise Unfit
        return real(value)

    bounds = f"{least:g} to {most:g}"
    return ValueCheck("float", f"a number from {bounds}", read, "", bounds, float)


def duration(*, zero: bool = True, most: float = LONGEST) -> ValueCheck:
    """A duration as seconds or timedelta, kept as seconds.

    Args:
        zero: whether it may be 0.
        most: the longest in seconds.
    """

    def read(value: Any) -> float:
        found = real(value)
        if not (found >= 0 if zero else found > 0) or not found <= most:  # false for NaN, too
            raise Unfit
        return found

    range_ = f"from 0 to {most:.0f}" if zero else f"of more than 0 and at most {most:.0f}"
    bounds = f"{'0 to' if zero else 'above 0, to'} {most:.0f}"
    return ValueCheck(
        "float | timedelta", f"a duration {range_} seconds", read, "seconds", bounds, _duration
    )


_SIZE = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,6})?) ?([kKMGT]i?)?B", re.ASCII)
_POWERS = {"": 0, "K": 1, "M": 2, "G": 3, "T": 4}


def size(least: int, most: int) -> ValueCheck:
    """A number of bytes in this range: an int, or a text with a unit such as "512MB" (10^6) or
    "1.5GiB" (2^30); kept as a whole number of bytes."""

    def read(value: Any) -> int:
        plain = plain_text(value)
        found = (_bytes(plain) if plain is not None else integer.read(value)) or 0
        if not least <= found <= most:
            raise Unfit
        return found

    integer = whole(0, most)
    wanted = f'a size such as "512MB" or "2GiB", from {least} to {most} bytes'
    return ValueCheck(
        "int | str", wanted, read, "bytes", f'{least} to {most}, or a text as "512MB"',
        lambda given: int(given) if given.isascii() and given.isdigit() else given,
    )  # fmt: skip


def _bytes(given: str) -> int | None:
    parts = _SIZE.fullmatch(given)
    if parts is None:
        return None
    unit = parts[2] or ""
    base = 1024 if unit.endswith("i") else 1000
    return int(float(parts[1]) * base ** _POWERS[unit[:1].upper()])


#: How the text of a lifetime begins after which jobs are archived instead of deleted.
ARCHIVE_AFTER = "archive after "


def lifetime() -> ValueCheck:
    """A duration as seconds or timedelta; ``"never"``, which is kept as None; or a text such as
    ``"archive after 7d"``, which stays a text."""
    of_duration = duration()

    def read(value: Any) -> float | str | None:
        given = plain_text(value)
        if given == "never":
            return None
        if given is None or not given.startswith(ARCHIVE_AFTER):
            return of_duration.read(value)  # type: ignore[no-any-return]
        try:
            seconds = of_duration.read(_duration(given.removeprefix(ARCHIVE_AFTER)))
        except (ValueError, ConfigError):
            raise Unfit from None
        return ARCHIVE_AFTER + duration_text(seconds)

    others = '"never" or "archive after 7d"'
    return ValueCheck(
        "float | timedelta | str", f"{of_duration.wanted}, {others}", read, "seconds",
        f"{of_duration.bounds}, {others}",
        lambda given: given if given == "never" else _duration(given),
    )  # fmt: skip


def expiry() -> ValueCheck:
    """A duration as seconds or timedelta, more than 0; or ``"never"``, which is kept as None."""
    of_duration = duration(zero=False)

    def read(value: Any) -> float | None:
        return None if plain_text(value) == "never" else of_duration.read(value)

    return ValueCheck(
        "float | timedelta | str", f'{of_duration.wanted}, or "never"', read, "seconds",
        f'{of_duration.bounds}, or "never"',
        lambda given: given if given == "never" else _duration(given),
    )  # fmt: skip


def _integer(given: str) -> int:
    if not re.fullmatch(r"[+-]?[0-9]{1,18}", given, re.ASCII):
        raise ValueError(given)
    return int(given)


def _duration(given: str) -> float:
    try:
        return float(given)
    except ValueError:
        return parsed_seconds(given, "it")


# -- times


def _moment(value: Any) -> datetime:
    if not isinstance(value, datetime):
        is_date = isinstance(value, date)
        raise Unfit(advice="a date has no time" if is_date else "")
    if value.utcoffset() is None:
        raise Unfit(advice="it has no time zone; add tzinfo=UTC, for example")
    if not EARLIEST <= value <= LATEST:
        raise Unfit
    utc = value.astimezone(UTC)
    return datetime.combine(utc.date(), utc.time(), UTC)  # of a subclass, too


_RANGE = f"{EARLIEST:%Y-%m-%d} to {LATEST:%Y-%m-%d} UTC"
#: An instant that every database stores.
MOMENT: Final = ValueCheck(
    "datetime", f"an aware datetime from {_RANGE}", _moment, "", _RANGE, datetime.fromisoformat
)


# -- text


def text(most: int, *, least: int = 0) -> ValueCheck:
    """Any text that every database stores, up to this many characters."""

    def read(value: Any) -> str:
        plain = plain_text(value)
        if plain is None or not least <= len(plain) <= most:
            raise Unfit
        if "\0" in plain:
            raise Unfit(advice="it holds a NUL character")
        try:
            plain.encode()
        except UnicodeEncodeError:
            raise Unfit(advice="it holds a lone surrogate") from None
        return plain

    bounds = f"{least} to {most} characters" if least else f"up to {most} characters"
    return ValueCheck("str", f"a text of {bounds}", read, "", bounds)


def _name(value: Any) -> str:
    plain = plain_text(value)
    if plain is None or not 0 < len(plain) <= NAME or not plain.isprintable():
        raise Unfit
    return plain


def _note(value: Any) -> str:
    plain = plain_text(value)
    if plain is None:
        raise Unfit
    return plain


#: A reason or note: any text, which is cut and cleaned where it is stored.
NOTE: Final = ValueCheck("str", "text", _note)

#: A name or key.
NAME_CHECK: Final = ValueCheck(
    "str", f"a text of 1 to {NAME} printable characters", _name, "", f"1 to {NAME} characters"
)


def pattern(regex: str, rule: str) -> ValueCheck:
    """A text that the regular expression matches; ``rule`` says it in words."""

    def read(value: Any) -> str:
        plain = plain_text(value)
        if plain is None or not re.fullmatch(regex, plain, re.ASCII):
            raise Unfit
        return plain

    return ValueCheck("str", rule, read, "", rule)


def choice(*values: str, type: str = "str") -> ValueCheck:  # noqa: A002 - as the attribute
    """One of these texts, or a member of a StrEnum that equals one."""

    def read(value: Any) -> str:
        plain = plain_text(value)
        if plain not in values:
            raise Unfit
        return plain

    listed = ", ".join(values)
    return ValueCheck(type, f"one of {listed}", read, "", listed)


# -- others


#: Of which attempts the lines are kept that their bodies log.
KEEP_LOGS = choice("never", "on_failure", "always")


def _flag(value: Any) -> bool:
    if type(value) is not bool:
        raise Unfit
    return value


_WORDS = {"1": True, "true": True, "yes": True, "on": True}
_WORDS |= {"0": False, "false": False, "no": False, "off": False}
#: True or False, nothing else; an environment variable also yes, no, on, off, 1 and 0.
FLAG: Final = ValueCheck(
    "bool", "true or false", _flag, parse=lambda given: _WORDS.get(given.lower(), given)
)


def _hook(value: Any) -> Any:
    if not callable(value):
        raise Unfit
    if not runs_when_called(value):
        raise Unfit("a plain function, neither async nor a generator")
    return value


#: A function that the worker calls.
HOOK: Final = ValueCheck("Callable[[SpawnContext], Any]", "a function", _hook)


def exceptions() -> ValueCheck:
    """An exception class, or several in a tuple, list, set or union; kept as a tuple."""

    def read(value: Any) -> tuple[type[BaseException], ...]:
        return tuple(dict.fromkeys(_classes(value)))

    return ValueCheck(
        "exception class, or tuple of them",
        "an exception class, or a tuple or list of exception classes",
        read,
    )


def _classes(value: Any) -> list[type[BaseException]]:
    if isinstance(value, type):
        if not issubclass(value, BaseException):
            raise Unfit(value=value)
        return [value]
    if isinstance(value, types.UnionType) or typing.get_origin(value) is typing.Union:
        value = typing.get_args(value)
    if not isinstance(value, tuple | list | set | frozenset):
        raise Unfit(value=value)
    return [found for part in value for found in _classes(part)]


def instance(kind: type, wanted: str) -> ValueCheck:
    """An instance of a class; ``wanted`` says how to make one."""

    def read(value: Any) -> Any:
        if not issubclass(type(value), kind):
            raise Unfit
        return value

    return ValueCheck(kind.__name__, wanted, read)


def _args(value: Any) -> tuple[Any, ...]:
    if not is_a(value, list | tuple):
        raise Unfit
    return tuple(value)


#: The positional arguments of a call.
ARGS: Final = ValueCheck("list | tuple", "a list or tuple of arguments", _args)


def _kwargs(value: Any) -> dict[str, Any]:
    if not is_a(value, Mapping):  # type: ignore[type-abstract]
        raise Unfit
    found: dict[str, Any] = {}
    for key, argument in value.items():
        name = plain_text(key)
        if name is None:
            raise Unfit(advice=f"the name {safe_repr(key)} is not text")
        found[name] = argument
    return found


#: The keyword arguments of a call; names from a StrEnum become plain text.
KWARGS: Final = ValueCheck("Mapping", "a mapping from names to arguments", _kwargs)


def are_items(value: Any) -> bool:
    """Whether it can be iterated over, and is neither text nor a mapping, whose characters or keys
    nobody means."""
    return is_a(value, Iterable) and not is_a(value, str | bytes | bytearray | Mapping)  # type: ignore[type-abstract]


def items_of(value: Any, what: str) -> Iterator[Any]:
    """What iterates over the value, if :func:`are_items`; ``what`` begins the TypeError's
    sentence."""
    if are_items(value):
        try:
            return iter(value)
        except (Exception, SystemExit) as error:
            raise TypeError(f"{what}, not {safe_repr(value)}") from error
    raise TypeError(f"{what}, not {safe_repr(value)}")


def _json(value: Any) -> dict[str, Any]:
    if not is_a(value, Mapping):  # type: ignore[type-abstract]
        raise Unfit
    try:
        return json_copy(dict(value))  # type: ignore[no-any-return]
    except Misfit as misfit:
        raise Unfit(
            misfit.wanted, value=misfit.value, path=misfit.path, advice=misfit.advice
        ) from None


#: A mapping that JSON keeps exactly; the stored form is a copy, so later changes do not leak in.
JSON: Final = ValueCheck(
    "Mapping", "a mapping with text as keys and values that JSON keeps", _json,
    bounds="JSON types only",
)  # fmt: skip
