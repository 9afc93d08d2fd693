"""The codec and users' classes: enums, dataclasses and pydantic models, once registered."""

from __future__ import annotations

import contextlib
import enum
import subprocess
import sys
from dataclasses import dataclass, field, make_dataclass
from datetime import UTC, datetime
from typing import Any, ClassVar, NamedTuple
from uuid import UUID

import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hammerflow.codec.codec import Codec
from hammerflow.errors import ConfigError, NotDecodable, NotEncodable

BOTH = pytest.mark.parametrize("serializer", ["msgpack", "json"])


class Color(enum.Enum):
    RED = "r"
    GREEN = ("g", 1)
    ROT = "r"  # noqa: PIE796  an alias


class Size(enum.IntEnum):
    SMALL = 1
    LARGE = 2


class Mood(enum.StrEnum):
    GOOD = "good"


class Right(enum.Flag):
    READ = 1
    WRITE = 2


class Bits(enum.IntFlag):
    A = 1


@dataclass(frozen=True)
class Item:
    sku: str
    color: Color = Color.RED


@dataclass(slots=True)
class Order:
    id: UUID
    items: list[Item]
    tags: frozenset[str] = frozenset()
    total: int = field(init=False, default=0)
    kind: ClassVar[str] = "order"

    def __post_init__(self) -> None:
        self.total += len(self.items)


class Customer(pydantic.BaseModel):
    name: str
    since: datetime
    orders: tuple[Item, ...] = ()


class Aliased(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="allow", frozen=True)
    user_id: int = pydantic.Field(alias="userId")
    mail: str = pydantic.Field("x", validation_alias=pydantic.AliasChoices("eMail", "mail"))


class Numbers(pydantic.RootModel[list[int]]):
    pass


class Point(NamedTuple):
    x: int
    y: float = -0.0


ALL = (Color, Size, Mood, Right, Bits, Item, Order, Customer, Aliased, Numbers, Point)


@pytest.fixture
def codec() -> Codec:
    codec = Codec()
    for cls in ALL:
        codec.register(cls)
    return codec


def order() -> Order:
    return Order(UUID(int=7), [Item("a"), Item("b", Color.GREEN)], frozenset({"x"}))


VALUES: list[Any] = [
    Color.RED,
    Color.GREEN,
    Color.ROT,
    Size.LARGE,
    Mood.GOOD,
    Right.READ,
    Right.READ | Right.WRITE,
    Right(0),
    Bits(9),
    Item("a"),
    Point(1),
    order(),
    Customer(name="Zoë", since=datetime(2025, 1, 1, tzinfo=UTC), orders=(Item("a"),)),
    Aliased(userId=1, eMail="a@b", extra=[1, (2,)]),  # type: ignore[call-arg]
    Numbers([1, 2]),
    [{Size.SMALL: {Mood.GOOD}}, (Item("a"), {Item("b"): Color.RED})],
]


@BOTH
@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_registered_classes_go_round(codec: Codec, serializer: str, value: Any) -> None:
    back = codec.decode(codec.encode(value, serializer=serializer))
    assert back == value
    assert type(back) is type(value)
    assert repr(back) == repr(value)


def test_a_member_comes_back_as_itself(codec: Codec) -> None:
    assert codec.decode(codec.encode(Color.GREEN)) is Color.GREEN


@BOTH
def test_an_enum_says_its_own_name_and_value_whatever_its_properties_say(serializer: str) -> None:
    class Odd(enum.Flag):
        READ = 1
        WRITE = 2

        @property
        def value(self) -> str:
            return "odd"

        @property
        def name(self) -> str:
            return "odd"

    codec = Codec(serializer)
    codec.register(Odd)
    assert codec.decode(codec.encode([Odd.READ | Odd.WRITE, Odd.READ])) == [Odd(3), Odd.READ]


@BOTH
def test_what_an_enum_makes_of_an_unknown_value_is_refused(serializer: str) -> None:
    class Code(enum.Enum):
        OK = 200

        @classmethod
        def _missing_(cls, value: object) -> Code:
            made = object.__new__(cls)
            made._name_, made._value_ = "OK" if value == 201 else f"CODE_{value}", value
            return made

    codec = Codec(serializer)
    codec.register(Code)
    for code in (418, 201):
        with pytest.raises(NotEncodable, match=r"^args\[0\]\[1\]: .*Code is not a listed member"):
            codec.encode_call(([Code.OK, Code(code)],), {})


@BOTH
def test_a_field_outside_the_constructor_is_kept(codec: Codec, serializer: str) -> None:
    value = order()
    value.total = 99
    assert codec.decode(codec.encode(value, serializer=serializer)).total == 99


@BOTH
@pytest.mark.parametrize("value", VALUES[:14], ids=repr)
def test_unregistered_classes_are_refused_with_advice(serializer: str, value: Any) -> None:
    with pytest.raises(NotEncodable, match=rf"register\({type(value).__name__}\)$"):
        Codec(serializer).encode_call((1, [value]), {})


@BOTH
def test_a_path_goes_through_fields(codec: Codec, serializer: str) -> None:
    value = order()
    value.items.append(Item(sku=object()))  # type: ignore[arg-type]
    with pytest.raises(NotEncodable, match=r"^args\[0\]\.items\[2\]\.sku: type object cannot"):
        codec.encode_call((value,), {}, serializer=serializer)


@BOTH
def test_a_subclass_is_not_its_base(codec: Codec, serializer: str) -> None:
    class Special(Item):
        pass

    with pytest.raises(NotEncodable, match="Special"):
        codec.encode(Special("a"), serializer=serializer)


@BOTH
def test_fields_may_hold_what_looks_like_a_tag(codec: Codec, serializer: str) -> None:
    value = Aliased(userId=1, **{"$tuple": [1]})  # type: ignore[arg-type]
    assert codec.decode(codec.encode(value, serializer=serializer)) == value
    sole = make_dataclass("Sole", [("x", dict)])
    codec.register(sole)
    assert codec.decode(codec.encode(sole({"$x": 1}), serializer=serializer)) == sole({"$x": 1})


@BOTH
def test_nested_objects_count_one_level_each(serializer: str) -> None:
    node = make_dataclass("Node", [("next", object)])
    codec = Codec(serializer)
    codec.register(node)
    value: Any = None
    for _ in range(100):
        value = node(value)
    assert codec.decode(codec.encode(value)) == value
    with pytest.raises(NotEncodable, match="nested too deep"):
        codec.encode(node(value))
    value = node(None)
    value.next = [value]
    with pytest.raises(NotEncodable, match="contains itself"):
        codec.encode(value)


@BOTH
def test_a_field_that_was_never_set_is_a_refusal(serializer: str) -> None:
    codec = Codec(serializer)
    codec.register(Item)
    broken = object.__new__(Item)
    with pytest.raises(
        NotEncodable, match=r"^args\[0\]: .*Item cannot .*: its field 'sku' has no value"
    ):
        codec.encode_call((broken,), {})


@BOTH
def test_a_producer_may_be_older_but_not_newer(serializer: str) -> None:
    old, new = Codec(serializer), Codec(serializer)
    older = make_dataclass("Older", [("sku", str)])
    old.register(older, "item")
    new.register(Item, "item")
    for codec in (old, new):
        codec.register(Color)
    assert new.decode(old.encode(older("a"))) == Item("a")
    with pytest.raises(NotDecodable, match="color"):
        old.decode(new.encode(Item("a")))


@pytest.mark.parametrize(
    "data",
    [
        b'J{"$enum":["Color","BLUE"]}',
        b'J{"$enum":["Color",[]]}',
        b'J{"$enum":["Item","a"]}',
        b'J{"$enum":["Item",{"sku":"a"}]}',
        b'J{"$object":["Color",{}]}',
        b'J{"$object":["Numbers",{}]}',
        b'J{"$object":["Item",{"nope":1}]}',
        b'J{"$object":["Item",{"sku":"a","$attributes":[1]}]}',
        b'J{"$object":["Order",{"id":1,"items":[],"$attributes":{"more":1}}]}',
        b'J{"$object":["Customer",{"name":"x","since":1,"$set":1}]}',
        b'J{"$object":["Customer",{"name":"x","since":1,"$extra":{"a":1}}]}',
        b'J{"$object":["Customer",{"name":"x","since":1,"$private":{"_a":1}}]}',
        b'J{"$enum":["Right",["READ","OTHER"]]}',
        b'J{"$enum":["Right",[4]]}',
        b'J{"$enum":["Right",[[]]]}',
        b'J{"$object":["Item",{"sku":"a","__class__":1}]}',
        b"M\x92\xc7\x00\x05\xa4Item",
        b"M\x94\xc7\x00\x05\xa4Item\xa3sku",
        b"M\x93\xc7\x00\x04\xa5Color\xc7\x00\x01",
    ],
)
def test_hostile_objects_are_refused(codec: Codec, data: bytes) -> None:
    with pytest.raises(NotDecodable):
        codec.decode(data)


def test_another_process_must_know_the_class(codec: Codec) -> None:
    other = Codec()
    other.register(Color)
    with pytest.raises(NotDecodable, match=r"^result: there is no object named 'Item' .*: name"):
        other.decode(codec.encode(Item("a")))


@BOTH
def test_a_keyword_that_is_a_member_of_an_enum_of_texts_is_its_text(serializer: str) -> None:
    data = Codec(serializer).encode_call((), {Mood.GOOD: 1})
    assert data == Codec(serializer).encode_call((), {"good": 1})
    ((_, kwargs)) = Codec().decode_call(data)
    assert set(map(type, kwargs)) == {str}


def test_register_is_a_decorator_and_may_be_repeated() -> None:
    codec = Codec()

    @codec.register
    @dataclass
    class Local:
        x: int

    assert codec.register(Local) is Local
    assert codec.decode(codec.encode(Local(1))) == Local(1)


def test_a_name_is_taken_once() -> None:
    codec = Codec()
    codec.register(Color, "color")
    with pytest.raises(
        ConfigError,
        match=r"'color' is taken by .*Color \(RED, GREEN, .*\): register .*Mood \(GOOD\) u",
    ):
        codec.register(Mood, "color")
    codec.register(Mood, "mood")


class Fault(ValueError):
    pass


@pytest.mark.parametrize(
    ("cls", "said"),
    [
        (int, "only an Enum, dataclass, attrs class, NamedTuple or pydantic"),
        (dict, "only an Enum, dataclass, attrs class, NamedTuple or pydantic"),
        (dataclass(Fault), "it is a ValueError, too, whose own state cannot be restored"),
        (make_dataclass("Keyed", ["x"], bases=(dict,)), "it is a dict, too"),
    ],
)
def test_what_could_not_be_made_again_is_not_registered(cls: type, said: str) -> None:
    codec = Codec()
    with pytest.raises(ConfigError, match=said):
        codec.register(cls)
    assert codec._classes.by_type == {}


@pytest.mark.parametrize("name", ["a\0", "x" * 256, "\ud800"])
def test_an_unclean_name_is_not_registered(name: str) -> None:
    with pytest.raises(ConfigError, match="codec's name of"):
        Codec().register(Color, name)


@given(data=st.binary(max_size=60))
def test_any_fields_make_an_object_or_are_refused(data: bytes) -> None:
    codec = Codec()
    codec.register(Item)
    codec.register(Color)
    for head in (b"M\x94\xc7\x00\x05\xa4Item\xa3sku", b'J{"$object":["Item",'):
        with contextlib.suppress(NotDecodable):
            codec.decode(head + data)


def test_pydantic_is_not_imported_by_the_codec() -> None:
    code = "import hammerflow.codec.codec, sys; assert 'pydantic' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
