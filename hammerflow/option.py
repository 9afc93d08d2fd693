"""Option: one option as data, described once for ``help()``, the reference and validation."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from inspect import cleandoc
from typing import Any, TypeVar

__all__ = ["Option", "documented", "option_table"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Option:
    """An option of a decorator, a call or an app.

    Attributes:
        type: the type as the reader writes it, ``"float | timedelta"``.
        default: the default as source text, ``'"default"'``; what applies where nothing is given.
        unit: the unit of a bare number, ``"seconds"``; empty if there is none.
        check: takes (value, name for messages) and returns the value in its stored form; raises
            ConfigError. None where any value of the type will do.
    """

    name: str
    type: str
    default: str
    meaning: str
    unit: str = ""
    check: Callable[[Any, str], Any] | None = None

    @classmethod
    def duration(
        cls, name: str, default: str, meaning: str, check: Callable[[Any, str], Any] | None = None
    ) -> Option:
        """An option that takes seconds or a timedelta."""
        return cls(name, "float | timedelta", default, meaning, "seconds", check)

    def __str__(self) -> str:
        unit = f", {self.unit}" if self.unit else ""
        return f"{self.name} ({self.type}{unit}; default {self.default})"


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
    """The options as a Markdown table: name, type, default, meaning."""
    rows = ["| Option | Type | Default | Meaning |", "|---|---|---|---|"]
    for option in options:
        kind = option.type.replace("|", "\\|") + (f" ({option.unit})" if option.unit else "")
        rows.append(f"| `{option.name}` | {kind} | `{option.default}` | {option.meaning} |")
    return "\n".join(rows) + "\n"
