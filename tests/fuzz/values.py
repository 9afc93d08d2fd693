"""Nasty values: wrong types, extremes, empty ones, and values whose own methods fail."""

from __future__ import annotations

import asyncio
import collections
import datetime as dt
import enum
import fractions
import pathlib
import uuid
from decimal import Decimal
from typing import Any
from unittest.mock import MagicMock

__all__ = ["FOR_SERVERS", "NASTY"]


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


def _lying(base: type, *methods: str, error: type[BaseException] = ZeroDivisionError) -> type:
    """A subclass that looks right and fails as soon as one of these methods is called."""

    def explode(*_: Any, **__: Any) -> Any:
        raise error("explodes")

    return type(f"Lying{base.__name__.title()}", (base,), dict.fromkeys(methods, explode))


def _of_false_class(*_: Any) -> Any:
    raise ZeroDivisionError("explodes")


#: A class that only `__class__` of its instances is asked for.
_FalseClass = type("FalseClass", (), {"__class__": property(_of_false_class)})
_Says = {
    kind: type(f"Says{kind.__name__.title()}", (), {"__class__": property(lambda _, k=kind: k)})
    for kind in (str, int, float, list, dict, type, dt.datetime, dt.timedelta)
}
_TEXT = ("__str__", "__repr__", "__hash__", "__eq__", "__len__", "__iter__", "__format__")
_TEXT += ("__contains__", "__getitem__", "encode", "strip", "lower", "split", "isprintable")
_NUMBER = ("__index__", "__int__", "__float__", "__str__", "__repr__", "__hash__", "__bool__")
_NUMBER += ("__lt__", "__le__", "__gt__", "__ge__", "__eq__", "__add__", "__sub__", "__mul__")
_ITEMS = ("__iter__", "__len__", "__getitem__", "__contains__", "__repr__", "__eq__", "__bool__")
_TABLE = (*_ITEMS, "keys", "items", "values", "get", "copy")
_TIME = ("utcoffset", "astimezone", "date", "time", "isoformat", "timestamp", *_NUMBER[3:])
_SPAN = ("total_seconds", *_NUMBER[3:])
_META = _lying(type, "__instancecheck__", "__subclasscheck__", "__hash__", "__eq__", "__repr__")


_LYING_ENUM = enum.StrEnum("_LYING_ENUM", {"RED": "red"})
_LYING_ENUM.__str__ = _LYING_ENUM.__format__ = _of_false_class  # type: ignore[method-assign]


def _named_badly(*names: str) -> Any:
    """What can be called, and fails when it is asked for one of these."""
    parts: dict[str, Any] = {name: property(_of_false_class) for name in names}
    return type("NamedBadly", (), {"__call__": lambda self, *args: 1, **parts})()


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
    "2**31": 2**31,
    "2**63 - 1": 2**63 - 1,
    "2**63": 2**63,
    "-2**63 - 1": -(2**63) - 1,
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
    "crabs": "\U0001f980" * 64,
    "255 letters": "k" * 255,
    "256 letters": "k" * 256,
    "accents": "\u00c4rger \u00e9 ",
    "65,536 letters": "k" * 65_536,
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
    "year 1": dt.datetime(1, 1, 2, tzinfo=_UTC),
    "year 1969": dt.datetime(1969, 12, 31, tzinfo=_UTC),
    "year 5000": dt.datetime(5000, 1, 1, tzinfo=_UTC),
    "naive datetime": dt.datetime(2030, 1, 1),  # noqa: DTZ001 - that is the point
    "bad zone": dt.datetime(2030, 1, 1, tzinfo=BadZone()),
    "date": dt.date(2030, 1, 1),
    "time": dt.time(1),
    "timedelta.max": dt.timedelta.max,
    "timedelta.min": dt.timedelta.min,
    "10**5 days": dt.timedelta(days=10**5),
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
    "lying str": _lying(str, *_TEXT)("x"),
    "lying name": _lying(str, "__eq__", "__hash__")("default"),
    "lying uuid text": _lying(str, *_TEXT)(uuid.UUID(int=5)),
    "lying int": _lying(int, *_NUMBER)(3),
    "lying float": _lying(float, *_NUMBER)(1.5),
    "lying list": _lying(list, *_ITEMS)([1]),
    "lying tuple": _lying(tuple, *_ITEMS)((1,)),
    "lying set": _lying(set, *_ITEMS)({1}),
    "lying dict": _lying(dict, *_TABLE)(x=1),
    "lying mapping": _lying(collections.UserDict, *_TABLE[:-1])(),
    "lying bytes": _lying(bytes, *_TEXT[:6])(b"x"),
    "lying datetime": _lying(dt.datetime, *_TIME)(2030, 1, 1, tzinfo=_UTC),
    "lying timedelta": _lying(dt.timedelta, *_SPAN)(1),
    "lying uuid": _lying(uuid.UUID, "bytes", "__eq__", "__hash__", "__str__", "__repr__")(int=5),
    "lying enum": _LYING_ENUM.RED,
    "lying path": _lying(pathlib.PurePosixPath, "__fspath__", "__str__", "__repr__")("x"),
    "no module": _named_badly("__module__"),
    "no name": _named_badly("__name__"),
    "no signature": _named_badly("__signature__", "__wrapped__", "__annotations__"),
    **{
        f"no {name}": _named_badly(name) for name in ("__doc__", "__dict__", "__code__", "__func__")
    },
    "no length": _lying(list, "__len__", "__bool__")([1]),
    "lying exception": _lying(ValueError, "__str__", "__repr__", "__eq__", "__hash__")("x"),
    "lying class": _META("LyingClass", (Exception,), {}),
    "lying callable": _lying(object, "__call__", "__getattribute__", "__repr__")(),
    "exiting str": _lying(str, *_TEXT, error=SystemExit)("x"),
    "exiting int": _lying(int, *_NUMBER, error=SystemExit)(3),
    "exiting dict": _lying(dict, *_TABLE, error=SystemExit)(x=1),
    "no class": _FalseClass(),
    **{f"says {kind.__name__}": cls() for kind, cls in _Says.items()},
    "[lying str]": [_lying(str, *_TEXT)("x")],
    "[lying int]": [_lying(int, *_NUMBER)(1)],
    "[no class]": [_FalseClass()],
    "(lying class,)": (_META("LyingClass", (Exception,), {}),),
    "{lying str: 1}": {_lying(str, *_TEXT[:2], "__len__", "encode")("x"): 1},
    "{'a': lying int}": {"a": _lying(int, *_NUMBER)(1)},
    "{'a': lying dict}": {"a": _lying(dict, *_TABLE)(x=1)},
    "{'a': no class}": {"a": [_FalseClass()]},
}

#: What a server may refuse, or keep as something else, though Python and SQLite do not.
FOR_SERVERS = (
    "2**31", "2**63 - 1", "2**63", "-2**63 - 1", "10**30", "1e308", "nan", "inf", "megabyte",
    "surrogate", "NUL", "crabs", "255 letters", "256 letters", "accents", "65,536 letters",
    "bytearray", "{'a': nan}", "datetime.max", "datetime.min", "year 1", "year 1969", "year 5000",
    "10**5 days", "timedelta.max", "Decimal nan", "Fraction", "uuid text", "StrEnum", "IntEnum",
)  # fmt: skip
