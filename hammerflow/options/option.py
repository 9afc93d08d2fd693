"""Option: one option as data, described once for ``help()``, the reference and validation."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from inspect import cleandoc
from typing import Any, Self, TypeVar

from hammerflow.options.checks import ValueCheck, refusal
from hammerflow.text import plain_text, safe_repr

__all__ = [
    "Option", "OptionTable", "checked", "documented", "option_table", "refuse_unknown",
    "unknown_option",
]  # fmt: skip

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Option:
    """An option of a decorator, a call, a canvas or an app.

    Attributes:
        check: what it may be; see :mod:`hammerflow.options.checks`. None always means "not given".
        default: the default as source text, ``'"default"'``; what applies where nothing is given.
        meaning: one sentence for the reference.
    """

    name: str
    check: ValueCheck
    default: str
    meaning: str

    @property
    def type(self) -> str:
        """The type as the reader writes it, ``"float | timedelta"``."""
        return self.check.type

    def __str__(self) -> str:
        unit = f", {self.check.unit}" if self.check.unit else ""
        return f"{self.name} ({self.type}{unit}; default {self.default})"


class OptionTable(tuple[Option, ...]):
    """The options that one decorator, call or object takes.

    Attributes:
        by_name: each by its name.
    """

    by_name: Mapping[str, Option]

    def __new__(cls, options: Iterable[Option]) -> Self:
        table = super().__new__(cls, options)
        table.by_name = {option.name: option for option in table}
        return table


def checked(
    options: OptionTable,
    given: Mapping[str, Any],
    owner: str,
    *,
    unknown: type[Exception] = TypeError,
) -> dict[str, Any]:
    """The options that are given, each in its stored form; those that are None are left out.

    Args:
        owner: whose they are, as the beginning of a sentence: ``"task shop.add"``.
        unknown: the class of the error for an option that does not exist.

    Raises:
        ConfigError: a value is of another type or out of range.
        TypeError: an option does not exist; the message has ours, if it is another library's name.
    """
    found: dict[str, Any] = {}
    for name, value in given.items():
        option = options.by_name.get(name if type(name) is str else plain_text(name) or "")
        if option is None:
            raise unknown(unknown_option(name, options.by_name, owner))
        if value is None:
            continue
        try:
            found[option.name] = option.check.read(value)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - the value's own methods may raise
            raise refusal(option.check, value, f"{owner}: {option.name}", error) from None
    return found


def refuse_unknown(options: OptionTable, given: Iterable[str], owner: str) -> None:
    """Raise the TypeError of :func:`checked` for an option that does not exist."""
    for name in given:
        if name not in options.by_name:
            raise TypeError(unknown_option(name, options.by_name, owner))


def unknown_option(name: Any, known: Iterable[str], owner: str) -> str:
    """The sentence for an option that does not exist: our name for it, or one that is close."""
    import difflib  # on the way to an error only

    from hammerflow.options.foreign_names import ADVICE

    known = list(known)
    shown = safe_repr(name)
    plain = plain_text(name) or ""
    for ours, advice in ADVICE.get(plain, ()):
        if ours is None or ours in known:
            return f"{owner} has no option {shown}: {advice}"
    near = difflib.get_close_matches(plain[:100], known, n=1, cutoff=0.6)
    if near:
        return f"{owner} has no option {shown}: did you mean {near[0]}?"
    return f"{owner} has no option {shown}; it takes {', '.join(known)}"


def documented(*options: Option) -> Callable[[T], T]:
    """A decorator that appends an "Options:" section to a docstring, one entry an option."""
    lines = ["Options:"]
    for option in options:
        lines += [f"    {option}:", f"        {option.meaning}"]

    def append(target: T) -> T:
        target.__doc__ = "\n".join([cleandoc(target.__doc__ or ""), "", *lines])
        return target

    return append


def option_table(options: Iterable[Option]) -> str:
    """The options as a Markdown table: name, type, accepted values, default, meaning."""
    rows = ["| Option | Type | Accepted | Default | Meaning |", "|---|---|---|---|---|"]
    for option in options:
        check = option.check
        kind = check.type.replace("|", "\\|") + (f" ({check.unit})" if check.unit else "")
        rows.append(
            f"| `{option.name}` | {kind} | {check.bounds} | `{option.default}` | {option.meaning} |"
        )
    return "\n".join(rows) + "\n"
