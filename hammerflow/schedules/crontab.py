"""crontab: a cron expression by keywords, with the names that Celery gives them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, TypeAlias

from hammerflow.errors import ConfigError
from hammerflow.introspection.kinds import is_a
from hammerflow.options.checks import Unfit, ValueCheck
from hammerflow.text import plain_text

__all__ = ["crontab"]

#: One field: text, a number, or several numbers.
Field: TypeAlias = str | int | Iterable[int]
_LONGEST = 200  # characters of a field, and values
#: Days and months by their whole names, which Celery takes and cron does not.
_NAMES = re.compile(
    r"(?i)\b(monday|tuesday|wednesday|thursday|friday|saturday|sunday|january|february|march|april|"
    r"june|july|august|september|october|november|december)\b"
)


class crontab:  # noqa: N801 - Celery's name
    """When a schedule is due, by keywords: ``crontab(minute=30, hour="7-9", day_of_week="mon")``.

    Each may be text as in a cron expression, a number, or a set of numbers. Celery runs where both
    a day of the month and a day of the week match, cron where either does; so only one of them may
    be given.

    Raises:
        ConfigError: a field is of another type, or both kinds of days are given.
    """

    def __init__(
        self, minute: Field = "*", hour: Field = "*", day_of_week: Field = "*",
        day_of_month: Field = "*", month_of_year: Field = "*",
    ) -> None:  # fmt: skip
        day, weekday = _text(day_of_month, "day_of_month"), _text(day_of_week, "day_of_week")
        if day != "*" and weekday != "*":
            raise ConfigError(
                f"crontab(): day_of_month={day!r} with day_of_week={weekday!r} means both in "
                "Celery and either in cron: give one of them; '1#2' is the second Monday, 'L5' the "
                "last Friday of a month"
            )
        times = _text(minute, "minute"), _text(hour, "hour")
        self.text = " ".join((*times, day, _text(month_of_year, "month_of_year"), weekday))

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return f"crontab({self.text!r})"

    def __eq__(self, other: object) -> bool:
        return is_a(other, crontab) and self.text == other.text

    def __hash__(self) -> int:
        return hash(self.text)


def _field(value: object) -> str:
    field = _one(value)
    if field is None and is_a(value, list | tuple | set | frozenset | range):
        several: Any = value
        parts = [_one(part) for part in [*several][:_LONGEST]]
        if parts and None not in parts:
            field = ",".join(sorted(filter(None, parts)))
    if field is None:
        raise Unfit
    return field


def _one(value: object) -> str | None:
    if is_a(value, int) and not is_a(value, bool):
        number = int.__index__(value)
        return str(number) if abs(number) < 1_000 else None
    plain = plain_text(value)
    field = "" if plain is None or len(plain) > _LONGEST else "".join(plain.split())
    return _NAMES.sub(lambda name: name[0][:3], field) or None


_FIELD = ValueCheck("str | int | set", "text such as '*/5', a number or a set of numbers", _field)


def _text(value: object, name: str) -> str:
    text: str = _FIELD(value, f"crontab(): {name}")
    return text
