"""Nasty values: wrong types, extremes, empty ones, and values whose own methods fail."""

from __future__ import annotations

import asyncio
import datetime as dt
import enum
import fractions
import pathlib
import uuid
from decimal import Decimal
from typing import Any
from unittest.mock import MagicMock

__all__ = ["NASTY"]


class Colour(enum.StrEnum):
    """A text that is a member of an enum."""

    RED = "red"


class Level(enum.IntEnum):
    """A number that is a member of an enum."""

    HIGH = 3


class Exploding:
    """Every special method that a check may call raises."""

    def _explode(self, *_: Any) -> Any:
        raise ZeroDivisionError("explodes")

    __repr__ = __str__ = __eq__ = __hash__ = _explode
    __float__ = __int__ = __index__ = __lt__ = __contains__ = _explode


class BadZone(dt.tzinfo):
    """A time zone that fails."""

    def utcoffset(self, _: dt.datetime | None) -> dt.timedelta:
        """Fail."""
        raise ZeroDivisionError("explodes")


async def _coroutine_function() -> None: ...


_CYCLE: list[Any] = []
_CYCLE.append(_CYCLE)
_DEEP: Any = []
for _ in range(5_000):
    _DEEP = [_DEEP]
_UTC = dt.UTC

#: Name to value.
NASTY: dict[str, Any] = {
    "None": None,
    "True": True,
    "False": False,
    "-1": -1,
    "0": 0,
    "1": 1,
    "7": 7,
    "10**30": 10**30,
    "10**5000": 10**5000,
    "0.5": 0.5,
    "2.0": 2.0,
    "-0.0": -0.0,
    "1e308": 1e308,
    "nan": float("nan"),
    "inf": float("inf"),
    "-inf": float("-inf"),
    "''": "",
    "'x'": "x",
    "'3'": "3",
    "'2026-01-01'": "2026-01-01",
    "'no'": "no",
    "megabyte": "x" * 10**6,
    "surrogate": "a\ud800b",
    "NUL": "a\0b",
    "newline": "a\nb\x1b[31m",
    "b'x'": b"x",
    "bytearray": bytearray(b"x"),
    "[]": [],
    "()": (),
    "{}": {},
    "set()": set(),
    "[1]": [1],
    "['x']": ["x"],
    "[None]": [None],
    "{'x': 1}": {"x": 1},
    "{1: 2}": {1: 2},
    "{'a': {1}}": {"a": {1}},
    "{'a': nan}": {"a": [float("nan")]},
    "{'a': date}": {"a": {"b": [dt.date(2026, 1, 1)]}},
    "{StrEnum: 1}": {Colour.RED: 1},
    "cycle": _CYCLE,
    "{'a': cycle}": {"a": _CYCLE},
    "deep": {"a": _DEEP},
    "range": range(3),
    "generator": lambda: iter(()),
    "object()": object(),
    "class": object,
    "exception class": ValueError,
    "exception": ValueError("x"),
    "lambda": lambda: None,
    "lambda x": lambda x: x,
    "coroutine function": _coroutine_function,
    "module": asyncio,
    "len": len,
    "datetime.max": dt.datetime.max.replace(tzinfo=_UTC),
    "datetime.min": dt.datetime.min.replace(tzinfo=_UTC),
    "naive datetime": dt.datetime(2030, 1, 1),  # noqa: DTZ001 - that is the point
    "bad zone": dt.datetime(2030, 1, 1, tzinfo=BadZone()),
    "date": dt.date(2030, 1, 1),
    "time": dt.time(1),
    "timedelta.max": dt.timedelta.max,
    "timedelta.min": dt.timedelta.min,
    "timedelta(0)": dt.timedelta(0),
    "Decimal": Decimal("1.5"),
    "Decimal nan": Decimal("sNaN"),
    "Fraction": fractions.Fraction(1, 3),
    "10**400/3": fractions.Fraction(10**400, 3),
    "complex": 1j,
    "uuid": uuid.UUID(int=5),
    "uuid text": str(uuid.UUID(int=5)),
    "Path": pathlib.Path("/tmp"),
    "StrEnum": Colour.RED,
    "IntEnum": Level.HIGH,
    "Exploding": Exploding(),
    "MagicMock": MagicMock(),
    "Mock of str": MagicMock(spec=str),
    "Mock of int": MagicMock(spec=int),
    "...": ...,
}
