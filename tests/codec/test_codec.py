"""The codec: what goes in comes out, or is refused at the call with its path."""

from __future__ import annotations

import json
import math
import os
import sys
import threading
import time as clock
from collections import Counter, OrderedDict, defaultdict, deque, namedtuple
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo
from decimal import Decimal
from pathlib import Path, PurePosixPath
from typing import Any
from uuid import UUID
from zoneinfo import TZPATH, ZoneInfo

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hammerflow.codec.codec import Codec
from hammerflow.codec.containers import CONTAINER_OF_TAG, CONTAINERS
from hammerflow.codec.scalars import SCALAR_OF_TAG, SCALARS
from hammerflow.errors import ConfigError, NotDecodable, NotEncodable
from tests.codec.exact import exactly
from tests.codec.table import TWICE

BOTH = pytest.mark.parametrize("serializer", ["msgpack", "json"])
CODEC = Codec()

ZONE_FILE = next(path for folder in TZPATH if (path := Path(folder, "Europe/Berlin")).exists())
OFFSETS = st.integers(-86_399, 86_399).map(lambda s: timezone(timedelta(seconds=s)))
ZONES = st.one_of(st.none(), st.just(UTC), OFFSETS)
ZONE_NAMES = st.sampled_from(["Europe/Berlin", "America/St_Johns", "Asia/Kathmandu"])
FOLDS = st.sampled_from([0, 1])


def folded(moment: Any, fold: int) -> Any:
    return moment.replace(fold=fold)


HASHABLE = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.integers(-(10**60), 10**60),
        st.floats(),
        st.text(st.characters(exclude_categories=["Cs"])),
        st.sampled_from(["", "\0", "$tuple", "$", "~", "é" * 200, "\U0001f600"]),
        st.binary(),
        st.builds(folded, st.datetimes(timezones=ZONES), FOLDS),
        st.dates(),
        st.builds(folded, st.times(timezones=ZONES), FOLDS),
        st.builds(folded, st.datetimes(timezones=ZONE_NAMES.map(ZoneInfo)), FOLDS),
        st.complex_numbers(),
        st.fractions(),
        st.ip_addresses(),
        st.builds(range, st.integers(), st.integers(), st.integers(1)),
        st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))).map(
            lambda parts: PurePosixPath(*parts)
        ),
        st.timedeltas(),
        st.uuids(),
        st.decimals().filter(lambda number: not number.is_snan()),  # has no hash
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4).map(tuple), st.frozensets(inner, max_size=4)
    ),
    max_leaves=6,
)
VALUES = st.recursive(
    HASHABLE | st.just(Decimal("sNaN123")) | st.binary().map(bytearray),
    lambda inner: st.one_of(
        st.lists(inner, max_size=5),
        st.lists(inner, max_size=5).map(tuple),
        st.lists(inner, max_size=5).map(deque),
        st.dictionaries(HASHABLE, inner, max_size=5),
        st.dictionaries(HASHABLE, inner, max_size=3).map(OrderedDict),
        st.dictionaries(HASHABLE, inner, max_size=3).map(lambda whole: defaultdict(list, whole)),
        st.dictionaries(st.sampled_from(["$tuple", "$dict", "$x", "a"]), inner, max_size=2),
    ),
    max_leaves=15,
) | st.sets(HASHABLE, max_size=5)


@BOTH
@given(value=VALUES)
def test_what_goes_in_comes_out_with_its_types(serializer: str, value: Any) -> None:
    data = CODEC.encode(value, serializer=serializer)
    assert exactly(CODEC.decode(data)) == exactly(value)


@BOTH
@given(args=st.lists(VALUES, max_size=3), kwargs=st.dictionaries(st.text("ab$_"), VALUES))
def test_a_call_comes_out_as_it_was_made(
    serializer: str, args: list[Any], kwargs: dict[str, Any]
) -> None:
    data = CODEC.encode_call(args, kwargs, serializer=serializer)
    assert exactly(CODEC.decode_call(data)) == exactly((tuple(args), kwargs))


@given(value=VALUES)
def test_both_serializers_give_the_same_value(value: Any) -> None:
    decoded = [CODEC.decode(CODEC.encode(value, serializer=name)) for name in ("msgpack", "json")]
    assert exactly(decoded[0]) == exactly(decoded[1])


@given(value=VALUES)
def test_json_is_strict_json_in_utf_8(value: Any) -> None:
    data = CODEC.encode(value, serializer="json")
    json.loads(data[1:].decode("utf-8"), parse_constant=pytest.fail)


def test_a_call_of_another_system_is_understood() -> None:
    assert CODEC.decode_call(b'J[[1,2],{"k":"v"}]') == ((1, 2), {"k": "v"})
    assert CODEC.decode_call("J [[1.5, null], {}]") == ((1.5, None), {})
    assert CODEC.decode_call(b"M" + msgpack.packb([[1, "x"], {"k": [True]}])) == (
        (1, "x"),
        {"k": [True]},
    )
    assert CODEC.decode_call(b'J[[{"$uuid":"01955c3a-0000-7000-8000-000000000000"}],{}]') == (
        (UUID("01955c3a-0000-7000-8000-000000000000"),),
        {},
    )


def test_a_standard_msgpack_timestamp_is_an_instant() -> None:
    moment = datetime(2025, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert CODEC.decode(b"M" + msgpack.packb(moment, datetime=True)) == moment


def test_a_bytearray_is_told_from_bytes_wherever_it_is() -> None:
    deep: Any = bytearray(b"x")
    for wrap in (lambda v: {"k": v}, lambda v: (v,), lambda v: deque([b"x", v]), lambda v: [v, v]):
        deep = wrap(deep)
        for serializer in ("msgpack", "json"):
            data = CODEC.encode_call((1,), {"deep": deep}, serializer=serializer)
            assert exactly(CODEC.decode_call(data)) == exactly(((1,), {"deep": deep}))


@dataclass(eq=False)
class Key:
    """Has a hash, whatever is in it."""

    data: bytearray


def test_a_bytearray_inside_a_key_is_kept_or_refused() -> None:
    codec = Codec()
    codec.register(Key)
    value = {Key(bytearray(b"x")): 1}
    (key,) = codec.decode(codec.encode(value, serializer="json"))
    assert exactly(key.data) == exactly(bytearray(b"x"))
    with pytest.raises(NotEncodable, match=r"^result: a bytearray inside a key of a dict cannot"):
        codec.encode(value)


class Opaque:
    """Something that no codec can know."""


class Liar:
    """A proxy that says it is a str, as lazy texts of web frameworks do."""

    @property  # type: ignore[misc]
    def __class__(self) -> type:
        return str


Point = namedtuple("Point", "x y")  # noqa: PYI024


class Ordered(OrderedDict[Any, Any]):
    """A subclass, which would come back as its base."""


class Wall(tzinfo):
    """A zone whose offset changes, of a class that no process can find by a key."""

    def utcoffset(self, moment: datetime | None) -> timedelta | None:
        return None if moment is None else timedelta(hours=1 + (3 < moment.month < 11))

    def dst(self, moment: datetime | None) -> timedelta:
        return timedelta(0)

    def tzname(self, moment: datetime | None) -> str:
        return "wall"


WALL = Wall()
with Path(ZONE_FILE).open("rb") as file:
    NAMELESS = ZoneInfo.from_file(file)
OPAQUE = f"type {__name__}.Opaque cannot be encoded"


@BOTH
@pytest.mark.parametrize(
    ("args", "kwargs", "message"),
    [
        ((1, {"when": Opaque()}), {}, f"args[1]['when']: {OPAQUE}; pass plain data"),
        ((), {"k": [(1, Opaque())]}, f"kwargs['k'][0][1]: {OPAQUE}"),
        (({1, Opaque},), {}, "args[0] (an element): type type cannot be encoded"),
        (({(1, Opaque()): 2},), {}, f"args[0] (a key)[1]: {OPAQUE}"),
        (({(1, 2): Opaque()},), {}, f"args[0][<tuple>]: {OPAQUE}"),
        (("a\ud800",), {}, "args[0]: the text holds a lone surrogate at index 1"),
        (({"a\udfff": 1},), {}, "args[0] (a key): the text holds a lone surrogate"),
        (([10**4300],), {}, "args[0][0]: an int of more than 4300 digits"),
        ((-(10**4300),), {}, "args[0]: an int of more than 4300 digits"),
        ((Point(1, 2),), {}, f"args[0]: type {__name__}.Point cannot be encoded; name it in an"),
        ((Ordered(a=1),), {}, "convert it to OrderedDict first"),
        ((deque([1, Opaque()]),), {}, f"args[0][1]: {OPAQUE}"),
        ((OrderedDict(a=Opaque()),), {}, f"args[0]['a']: {OPAQUE}"),
        ((defaultdict(None, {Opaque: 1}),), {}, "args[0] (a key): type type cannot be encoded"),
        (
            (datetime(2025, 7, 1, tzinfo=WALL),),
            {},
            "args[0]: its time zone, a tests.codec",
        ),
        (
            (time(12, tzinfo=WALL),),
            {},
            "would be lost except for the offset at that moment; use",
        ),
        (
            (datetime(2025, 7, 1, tzinfo=NAMELESS),),
            {},
            "the key None cannot be looked up",
        ),
        ((Path("a\udcff"),), {}, "args[0]: the text holds a lone surrogate at index 1"),
        (
            (time(12, tzinfo=timezone(timedelta(microseconds=1))),),
            {},
            "a whole number of seconds",
        ),
        (
            ([bytearray(b"x"), memoryview(b"x")],),
            {},
            "args[0][1]: type memoryview cannot",
        ),
        ((Liar(),), {}, f"args[0]: type {__name__}.Liar cannot be encoded"),
        ((len,), {}, "args[0]: type builtin_function_or_method cannot be encoded"),
    ],
)
def test_what_cannot_travel_is_refused_with_its_path(
    serializer: str, args: tuple[Any, ...], kwargs: dict[str, Any], message: str
) -> None:
    with pytest.raises(NotEncodable) as caught:
        CODEC.encode_call(args, kwargs, serializer=serializer)
    assert message in str(caught.value)
    assert isinstance(caught.value, TypeError)


@BOTH
def test_a_result_is_named_as_the_caller_says(serializer: str) -> None:
    with pytest.raises(NotEncodable, match=r"^result\[0\]: type "):
        CODEC.encode([Opaque()], serializer=serializer)
    with pytest.raises(NotEncodable, match=r"^progress: type "):
        CODEC.encode(Opaque(), "progress", serializer=serializer)


@BOTH
def test_an_error_of_a_users_time_zone_is_a_refusal(serializer: str) -> None:
    class Broken(tzinfo):
        def utcoffset(self, moment: datetime | None) -> timedelta:
            raise RuntimeError("no\0 zone")

        def dst(self, moment: datetime | None) -> None:
            return None

        def tzname(self, moment: datetime | None) -> None:
            return None

    with pytest.raises(NotEncodable, match=r"^result: .*RuntimeError: no\\0 zone$"):
        CODEC.encode(datetime(2025, 1, 1, tzinfo=Broken()), serializer=serializer)


@BOTH
@pytest.mark.parametrize("size", [99, 100, 101, 5_000])
def test_the_limit_counts_all_bytes(serializer: str, size: int) -> None:
    codec = Codec(serializer, max_bytes=100)
    overhead = len(codec.encode("")) + (1 if size > 31 and serializer == "msgpack" else 0)
    text = "x" * (size - overhead)
    if size <= 100:
        assert len(codec.encode(text)) == size
    else:
        with pytest.raises(NotEncodable, match=r"^arguments: .*bytes exceed the limit of 100;"):
            codec.encode_call((text,), {})
        with pytest.raises(NotEncodable, match="limit of 100; store the data elsewhere"):
            codec.encode(text)


@BOTH
@pytest.mark.parametrize(
    "doubled",
    [
        lambda v: [v, v],
        lambda v: {"a": v, "b": v},
        lambda v: (v, v),
        lambda v: [deque([v] * 100)] * 100,
        lambda v: [v, 1, "x" * 10_000] * 40,
    ],
)
def test_what_is_shared_many_times_is_refused_before_it_is_written_out(
    serializer: str, doubled: Callable[[Any], Any]
) -> None:
    value = nested(24, doubled)
    began = clock.process_time()
    with pytest.raises(NotEncodable, match=r"^arguments: the encoded bytes exceed the limit"):
        CODEC.encode_call((1, [0] * 50 + [value]), {}, serializer=serializer)
    assert clock.process_time() - began < 4
    assert all(sys.getsizeof(packer) < 1 << 22 for packer in CODEC._packers)


def test_a_cycle_with_many_arms_is_refused_quickly() -> None:
    arms: list[Any] = []
    arms += [arms] * 10
    with pytest.raises(NotEncodable, match="contains itself"):
        CODEC.encode(arms)


def test_a_packer_that_grew_huge_is_not_kept() -> None:
    codec = Codec(max_bytes=1000)
    with pytest.raises(NotEncodable):
        codec.encode("x" * 5_000_000)
    assert codec._packers == []


def nested(depth: int, wrap: Callable[[Any], Any]) -> Any:
    value: Any = 7
    for _ in range(depth):
        value = wrap(value)
    return value


WRAPS = [
    lambda v: [v],
    lambda v: (v,),
    lambda v: {"k": v},
    lambda v: {1: v, "k": 2},
    lambda v: {"$x": v},
]


@BOTH
@pytest.mark.parametrize("wrap", [*WRAPS, lambda v: frozenset([v])])
def test_the_depth_limit_is_the_same_everywhere(
    serializer: str, wrap: Callable[[Any], Any]
) -> None:
    deepest = nested(100, wrap)
    assert CODEC.decode(CODEC.encode(deepest, serializer=serializer)) == deepest
    data = CODEC.encode_call((deepest,), {"k": deepest}, serializer=serializer)
    assert CODEC.decode_call(data) == ((deepest,), {"k": deepest})
    for deeper in (nested(101, wrap), nested(5_000, wrap) if wrap in WRAPS else nested(101, wrap)):
        with pytest.raises(NotEncodable, match="nested too deep"):
            CODEC.encode(deeper, serializer=serializer)
        with pytest.raises(NotEncodable, match=r"^args\[0\].*\.\.\.: containers are nested"):
            CODEC.encode_call((deeper,), {}, serializer=serializer)


@BOTH
@given(value=VALUES, depth=st.integers(1, 12))
def test_a_depth_limit_is_kept_by_any_value(serializer: str, value: Any, depth: int) -> None:
    codec = Codec(serializer, max_depth=depth)
    if depth_of(value) > depth:
        with pytest.raises(NotEncodable, match="nested too deep"):
            codec.encode(value)
    else:
        assert exactly(codec.decode(codec.encode(value))) == exactly(value)


def depth_of(value: Any) -> int:
    match value:
        case dict():
            return 1 + max(map(depth_of, (*value, *value.values())), default=0)
        case list() | tuple() | set() | frozenset() | deque():
            return 1 + max(map(depth_of, value), default=0)
        case _:
            return 0


@BOTH
def test_a_cycle_is_refused_with_a_sentence(serializer: str) -> None:
    in_list: list[Any] = [1]
    in_list.append((2, in_list))
    in_dict: dict[str, Any] = {}
    in_dict["self"] = [in_dict]
    for value in (in_list, in_dict):
        with pytest.raises(NotEncodable, match="contains itself") as caught:
            CODEC.encode(value, serializer=serializer)
        assert len(str(caught.value)) < 200


@BOTH
def test_long_texts_and_lists_are_not_taken_for_depth(serializer: str) -> None:
    for value in ("\u0100" * 5_000, [[0, {"k": ()}]] * 1_000, b"\x90" * 5_000, [-1.5e-100] * 500):
        assert CODEC.decode(CODEC.encode(value, serializer=serializer)) == value


@given(data=st.binary(max_size=200))
def test_any_bytes_decode_or_are_refused(data: bytes) -> None:
    said = []
    for head in (b"", b"M", b"J"):
        for decode in (CODEC.decode, CODEC.decode_call):
            try:
                decode(head + data)
            except NotDecodable as error:
                said.append(str(error))
    assert all(len(text) < 500 for text in said)


#: Bytes that steer the decoder, so that random data gets past its first branch.
HEADS = st.sampled_from([bytes([n]) for n in range(0x80, 0x100)])
MARKS = st.integers(0, 23).map(lambda code: b"\xc7\x00" + bytes([code]))
STEERED = st.lists(st.one_of(HEADS, MARKS, st.binary(max_size=3)), max_size=40).map(b"".join)


@given(data=STEERED)
def test_crafted_msgpack_decodes_to_known_types_or_is_refused(data: bytes) -> None:
    try:
        value = CODEC.decode(b"M" + data)
    except NotDecodable:
        return
    assert not strangers(value)


TAGS = st.sampled_from(
    [
        *SCALAR_OF_TAG, *CONTAINER_OF_TAG,
        "$dict", "$bytes", "$float", "$enum", "$object", "$", "a",
    ]
)  # fmt: skip
TREES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TAGS, inner, max_size=2),
    max_leaves=12,
)


@given(tree=TREES)
def test_crafted_json_decodes_to_known_types_or_is_refused(tree: Any) -> None:
    try:
        value = CODEC.decode("J" + json.dumps(tree))
    except NotDecodable:
        return
    assert not strangers(value)
    CODEC.encode(value, serializer="json")  # refuses a lone surrogate


def strangers(value: Any) -> set[type]:
    """Types in a decoded value that are none of the table's."""
    known = {
        *SCALARS,
        int,
        Decimal,
        datetime,
        date,
        time,
        timedelta,
        UUID,
        bool,
        float,
        str,
        bytes,
        type(None),
    }
    match value:
        case dict() if type(value) is dict:
            return set().union(*map(strangers, (*value, *value.values())))
        case OrderedDict() | defaultdict() | Counter():
            return set().union(*map(strangers, (*value, *value.values())))
        case list() | tuple() | set() | frozenset() | deque() if type(value) in (
            list,
            *CONTAINERS,
        ):
            return set().union(*map(strangers, value))
        case _:
            return {type(value)} - known


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"X",
        b"M",
        b"J",
        b"\x80\x04N.",  # a pickle
        b"M\xc7\x00\x01",  # a mark alone
        b"M\x92\x01\xc7\x00\x01",  # a mark that is not first
        b"M\x92\xc7\x00\x01\xc7\x00\x01",  # a mark in a tuple
        b"M\x81\xc7\x00\x01\x01",  # a mark as key
        b"M\xc8\x00\x00\x01",  # a mark in a longer spelling
        b"M\x92\xc7\x00\x02\x90",  # a list in a set
        b"M\x81\x90\x01",  # a list as key
        b"M\x93\xc7\x00\x04\x01\x02",  # an enum without a name
        b"M\xc7\x03\x10abc",  # an int of letters
        b"M\xc7\x01\x63x",  # an unknown extension
        b"M\xa1\xff",  # no UTF-8
        b"M\x01\x02",  # more than one value
        b"M\xd6\xff\xff\xff\xff",  # a timestamp cut short
        b"M" + b"\x91" * 100_000 + b"\x01",
        b"M" + b"\xc7\x00\x01".join([b"\x92"] * 50_000),
        b"M\xdd\xff\xff\xff\xff",
        b"M\xdf\xff\xff\xff\xff",
        b"M\xc6\xff\xff\xff\xff",
        b"M" + b"\xdd\x00\x0f\xff\xff" * 200_000,  # lists that claim a million items each
        b"J" + b"[" * 100_000,
        b"J" + b"[" * 100_000 + b"]" * 100_000,
        b'J{"$tuple":' * 1 + b'[{"$tuple":' * 50_000,
        b"J" + b"9" * 5_000,
        b"JNaN",
        b"J[1e5,Infinity]",
        b'J"\\ud800"',
        b'J{"\\udfff":1}',
        b'J"\xff"',
        b"J\xef\xbb\xbf1",  # a byte order mark
        b'J{"$tuple":1}',
        b'J{"$tuple":{"a":1}}',
        b'J{"$set":[[]]}',
        b'J{"$dict":["ab"]}',
        b'J{"$dict":[[[],1]]}',
        b'J{"$bytes":"a"}',
        b'J{"$float":"1e5"}',
        b'J{"$decimal":"x"}',
        b'J{"$decimal":1}',
        b'J{"$timedelta":"99999999999999999999999999"}',
        b'J{"$uuid":"x"}',
        b'J{"$enum":["Nobody","X"]}',
        b'J{"$object":["os.system",{"command":"true"}]}',
        b'J{"$object":[{},{}]}',
        b'J{"$new":1}',
        b'J{"$range":"0 1 0"}',
        b'J{"$fraction":"1/0"}',
        b'J{"$zone":"Europe.Berlin"}',
        b'J{"$zone":"../../etc/passwd"}',
        b'J{"$datetime":"2025-01-01[No/Where]"}',
        b'J{"$datetime":"2025-01-01[=no offset]"}',
        b'J{"$deque":[-1]}',
        b'J{"$deque":[]}',
        b'J{"$counter":[1]}',
        b'J{"$defaultdict":["eval"]}',
        b'J{"$ordereddict":[[],1]}',
        b"M\x92\xc7\x00\x06\xa1x",  # a deque whose maxlen is a text
    ],
    ids=lambda data: repr(data[:20]),
)
def test_hostile_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(NotDecodable):
        CODEC.decode(data)


@pytest.mark.parametrize(
    "data",
    [
        b"J[[1]]",
        b"J[[1],{},3]",
        b'J[{"a":1},{}]',
        b"J[[],[]]",
        b"J1",
        b'J{"args":[]}',
        b'J[[],{"$dict":[[1,2]]}]',
        b'J[{"$tuple":[1]},{}]',
        b"M\x92\x90\x81\x01\x02",
    ],
)
def test_what_is_no_call_is_refused(data: bytes) -> None:
    with pytest.raises(NotDecodable, match="must be a list and an object"):
        CODEC.decode_call(data)


def test_a_valid_surrogate_pair_in_json_is_one_character() -> None:
    assert CODEC.decode(rb'J"\ud83d\ude00 \\ud800"') == "\U0001f600 \\ud800"


def test_threads_share_a_codec() -> None:
    codec = Codec()
    values = [[n, (n, {n}), {"k": [n] * n}] for n in range(50)]
    wrong: list[Any] = []

    def work() -> None:
        wrong.extend(v for v in values * 20 if codec.decode(codec.encode(v)) != v)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_a_forked_child_uses_the_same_codec() -> None:
    data = CODEC.encode((1, {2}))
    child = os.fork()
    if child == 0:
        os._exit(0 if CODEC.encode((1, {2})) == data else 1)
    assert os.waitpid(child, 0)[1] == 0


@pytest.mark.parametrize("wrong", ["pickle", "", "MSGPACK"])
def test_an_unknown_serializer_is_refused(wrong: str) -> None:
    with pytest.raises(ConfigError, match='must be "msgpack" or "json"'):
        Codec(wrong)
    if wrong:
        with pytest.raises(ConfigError, match='must be "msgpack" or "json"'):
            CODEC.encode(1, serializer=wrong)


@pytest.mark.parametrize("depth", [0, -1, 201])
def test_an_impossible_depth_limit_is_refused(depth: int) -> None:
    with pytest.raises(ConfigError, match="max_depth"):
        Codec(max_depth=depth)


@BOTH
def test_a_zone_that_the_worker_lacks_is_named_with_its_path(serializer: str) -> None:
    data = CODEC.encode_call((1,), {"at": [TWICE]}, serializer=serializer)
    foreign = data.replace(b"Europe/Berlin", b"Europe/Nowher")
    with pytest.raises(NotDecodable, match=r"^kwargs\['at'\]\[0\]: the time zone 'Europe/N"):
        CODEC.decode_call(foreign)


@BOTH
def test_a_date_of_a_frozen_clock_is_accepted_by_value(serializer: str) -> None:
    for plain, fake in ((TWICE, FrozenDatetime), (date(2025, 1, 2), FrozenDate)):
        value = fake(*plain.timetuple()[: 5 if fake is FrozenDatetime else 3])
        back = CODEC.decode(CODEC.encode({"k": [value]}, serializer=serializer))["k"][0]
        assert back == value
        assert type(back) is type(plain)


class _Frozen(type):
    """As freezegun's: plain dates are instances of the class that stands in for theirs."""

    def __instancecheck__(cls, value: object) -> bool:
        return isinstance(value, cls.__mro__[1])


class FrozenDatetime(datetime, metaclass=_Frozen):
    pass


class FrozenDate(date, metaclass=_Frozen):
    pass


def test_nan_and_signed_zero_keep_their_ways() -> None:
    for serializer in ("msgpack", "json"):
        back = CODEC.decode(CODEC.encode([math.nan, -0.0, -math.inf], serializer=serializer))
        assert math.isnan(back[0])
        assert (math.copysign(1, back[1]), back[2]) == (-1, -math.inf)
