"""The types of arguments and results: the list that the tests prove and the page shows.

``python -m tests.codec.table`` writes the tables of ``docs/reference/types.md``.
"""

from __future__ import annotations

import array
import asyncio
import io
import itertools
import math
import re
import threading
import types
from collections import Counter, OrderedDict, UserDict, UserList, defaultdict, deque
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from fractions import Fraction
from ipaddress import ip_address, ip_interface, ip_network
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

import pydantic

from hammerflow import Hammerflow, chain

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "types.md"
BERLIN = ZoneInfo("Europe/Berlin")
EAST = timezone(timedelta(hours=5, minutes=30, seconds=1))
EAST_ENDS = (
    datetime(1, 1, 1, tzinfo=EAST),
    datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=EAST),
)
NAMED = timezone(timedelta(hours=1), "[CET]~=")
TWICE = datetime(2025, 10, 26, 2, 30, tzinfo=BERLIN)


class Kept(NamedTuple):
    """Types that come out as they went in."""

    types: str
    values: tuple[Any, ...]
    note: str = ""


class Refused(NamedTuple):
    """Types that are refused at the call, with what the message advises."""

    types: str
    make: Callable[[], Any]
    advice: str


class Stamped(pydantic.BaseModel):
    """pydantic gives the times that it parses a zone of a class of its own."""

    at: datetime


KEPT = [
    Kept("`None`, `bool`", (None, True, False)),
    Kept("`int`", (0, -1, 2**63, -(2**64), 10**4299, -(10**4299)), "4300 digits at most"),
    Kept(
        "`float`, `complex`",
        (1.5, -0.0, math.nan, math.inf, -math.inf, 5e-324, 1 + 2j, complex(-0.0, math.nan)),
        "with NaN, infinities and the sign of zero",
    ),
    Kept("`str`", ("", "\0", "Zoë \U0001f600", "$tuple", "~"), "without lone surrogates"),
    Kept("`bytes`, `bytearray`", (b"", b"\0\xff", bytearray(), bytearray(b"y"), [bytearray(1)])),
    Kept(
        "`list`, `tuple`, `set`, `frozenset`",
        ([], [1, (2, [3])], (), (1, [2]), set(), {1, "a"}, frozenset({(1, frozenset({2}))})),
        "a list that is used twice arrives as two lists",
    ),
    Kept(
        "`dict`",
        ({}, {"b": 1, "a": 2}, {"$tuple": [1]}, {1: 2, None: 3, (4, 5): 6}, {"k": {"$x": 1}}),
        "with its order; a key may be any hashable type of this table",
    ),
    Kept(
        "`collections.deque`, `OrderedDict`, `Counter`",
        (
            deque(), deque([1, (2,)], maxlen=3), deque(maxlen=0),
            OrderedDict(), OrderedDict(b=1, a=[2]), OrderedDict({1: {"$x": 2}}),
            Counter(), Counter("abca"), Counter({(1, 2): -3}),
        ),
        "with `maxlen`",
    ),
    Kept(
        "`collections.defaultdict`",
        (defaultdict(list, {"a": [1]}), defaultdict(None, {1: 2}), defaultdict(int)),
        "of `None`, `list`, `dict`, `set`, `int`, `float`, `str`, `bytes`, `bool`, `tuple`, "
        "`frozenset`",
    ),
    Kept("`range`", (range(0), range(5), range(10, -3, -2), range(10**30))),
    Kept(
        "`datetime.datetime`, `datetime.time`",
        (
            EAST_ENDS[0].replace(tzinfo=None), EAST_ENDS[1].replace(tzinfo=None), *EAST_ENDS,
            datetime(2025, 1, 2, 3, 4, 5, 6, tzinfo=UTC),
            datetime(2025, 1, 2, tzinfo=EAST), TWICE, TWICE.replace(fold=1),
            datetime(2025, 3, 30, 2, 30, tzinfo=BERLIN),
            datetime(2025, 1, 1, tzinfo=ZoneInfo("UTC")),
            datetime(1900, 1, 1, tzinfo=ZoneInfo("Asia/Kathmandu")), time(2, 30, fold=1),
            datetime(2025, 1, 2, tzinfo=NAMED),
            time(12, tzinfo=timezone(timedelta(0), "G"), fold=1),
            time(12, tzinfo=EAST), time(12, tzinfo=BERLIN),
            time(12, tzinfo=ZoneInfo("UTC")), {TWICE: [TWICE]},
        ),
        "with `fold`, and with the key of a `ZoneInfo`; of another time zone with a fixed offset "
        "only the offset is kept",
    ),
    Kept(
        "`datetime.date`, `datetime.timedelta`",
        (date.min, date.max, timedelta.min, timedelta.max, timedelta(microseconds=-1)),
    ),
    Kept("`zoneinfo.ZoneInfo`", (BERLIN, ZoneInfo("Etc/GMT+5")), "the worker must know the zone"),
    Kept(
        "`decimal.Decimal`, `fractions.Fraction`",
        (
            Decimal("1.50"), Decimal("-0"), Decimal("1E+999999"), Decimal("Infinity"),
            Decimal("NaN123"), Decimal("sNaN7"), Fraction(-1, 3), Fraction(10**30, 7),
        ),
    ),
    Kept("`uuid.UUID`", (UUID(int=0), UUID(int=2**128 - 1))),
    Kept(
        "`pathlib.Path`, `PurePosixPath`, `PureWindowsPath`",
        (
            Path("a/b c"), Path("/"), Path(), PurePosixPath("../ä"), PureWindowsPath("C:/x"),
            PureWindowsPath("//host/share/x"),
        ),
        "of names in Unicode",
    ),
    Kept(
        "`ipaddress`: addresses, networks, interfaces",
        tuple(
            make(text)
            for make, texts in [
                (ip_address, ["127.0.0.1", "::1", "fe80::1%eth0"]),
                (ip_network, ["10.0.0.0/8", "2001:db8::/32"]),
                (ip_interface, ["10.1.2.3/8", "2001:db8::1/32"]),
            ]
            for text in texts
        ),
    ),
]  # fmt: skip


async def _stream() -> Any:
    yield 1


def _unsent() -> Any:
    coroutine = asyncio.sleep(0)
    coroutine.close()
    return coroutine


def _app() -> Any:
    return Hammerflow("table", database="sqlite:///nowhere.db")


def _add() -> Any:
    return _app().task(_plain, name="add")


def _plain(x: int) -> int:
    return x


class Name(str):
    __slots__ = ()


REFUSED = [
    Refused("a generator", lambda: (x for x in ()), "pass list(value)"),
    Refused("`map`, `zip`, an iterator", lambda: map(str, ()), "pass list(value)"),
    Refused("an iterator of `itertools`", itertools.count, "pass list(value)"),
    Refused("`dict.keys()`, `values()`, `items()`", {}.items, "pass list(value)"),
    Refused("an async generator", _stream, "pass [item async for item in value]"),
    Refused("`types.MappingProxyType`", lambda: types.MappingProxyType({}), "pass dict(value)"),
    Refused("`collections.UserDict`", UserDict, "pass dict(value)"),
    Refused("`collections.UserList`", UserList, "pass list(value)"),
    Refused("`types.SimpleNamespace`", types.SimpleNamespace, "pass vars(value)"),
    Refused("`memoryview`", lambda: memoryview(b"x"), "pass bytes(value)"),
    Refused("`array.array`", lambda: array.array("i"), "pass value.tolist()"),
    Refused("`re.Pattern`", lambda: re.compile("x"), "pass value.pattern"),
    Refused("`datetime.timezone`", lambda: UTC, "pass zoneinfo.ZoneInfo(key) or the zone's name"),
    Refused(
        "a subclass of a type above",
        lambda: Name("x"),
        "it would come back as another type: convert it to str first",
    ),
    Refused(
        "a `defaultdict` of another class",
        lambda: defaultdict(deque),
        "with the default_factory collections.deque cannot be encoded; pass dict(value)",
    ),
    Refused(
        "a function, method, class or module",
        lambda: len,
        "pass its name, or a value from which the task can choose",
    ),
    Refused("an exception", lambda: ValueError("x"), "pass str(value), or repr(value)"),
    Refused("a coroutine, an `asyncio` future", _unsent, "await it, and pass its result"),
    Refused("an open file", io.BytesIO, "pass the file's path, or what value.read() returns"),
    Refused(
        "a lock, thread, socket or connection",
        threading.Lock,
        "it belongs to this process; create it in the task",
    ),
    Refused("a `Result`", lambda: _app().result(UUID(int=7)), "pass its id, value.id"),
    Refused(
        "a signature, canvas, workflow or batch",
        lambda: chain(_add().s(1), _add().s()),
        "enqueue or yield it, and pass the id of its result",
    ),
    Refused("a task", _add, "pass value.name, or a value from which the task can choose"),
    Refused(
        "any other object",
        object,
        "pass plain data instead, for instance an id or a path",
    ),
]


def tables() -> str:
    """Both tables in Markdown, as the page has them."""
    kept = [f"| {row.types} | {row.note} |" for row in KEPT]
    refused = [f"| {row.types} | {row.advice} |" for row in REFUSED]
    return "\n".join(
        [
            "| type | what is kept |", "|---|---|", *kept, "",
            "Everything else is refused at the call, and the message says what to do:", "",
            "| type | advice |", "|---|---|", *refused, "",
        ]
    )  # fmt: skip


BEGIN, END = "<!-- written by tests/codec/table.py -->\n", "<!-- end -->"


def written(text: str) -> str:
    """The text of the page, with its tables as they must be."""
    before, _, rest = text.partition(BEGIN)
    return before + BEGIN + tables() + END + rest.partition(END)[2]


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
