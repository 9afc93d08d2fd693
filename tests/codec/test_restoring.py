"""Objects are restored, not constructed: their state is kept, and none of their code runs."""

from __future__ import annotations

import enum
import importlib
import sys
import threading
from collections.abc import Callable
from dataclasses import InitVar, dataclass, field, make_dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Generic, NamedTuple, TypeVar

import attrs
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hammerflow.codec.codec import Codec
from hammerflow.errors import ConfigError, NotDecodable, NotEncodable
from tests.codec.exact import exactly

T = TypeVar("T")
BOTH = pytest.mark.parametrize("serializer", ["msgpack", "json"])
RUNS: list[str] = []


@dataclass
class Grows:
    history: list[int]

    def __post_init__(self) -> None:
        RUNS.append("Grows")
        self.history.append(len(self.history) + 1)


@dataclass
class Parses:
    words: Any

    def __post_init__(self) -> None:
        self.words = self.words.split()  # a list has no split


@dataclass(frozen=True, slots=True)
class Frozen:
    x: int
    doubled: int = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "doubled", 2 * self.x)


@dataclass
class Started:
    x: int
    start: InitVar[int]
    total: int = field(init=False, default=0)

    def __post_init__(self, start: int) -> None:
        self.total = self.x + start

    @cached_property
    def shown(self) -> object:
        return object()


@dataclass(kw_only=True)
class Derived(Started):
    y: int = 0

    def __setattr__(self, name: str, value: Any) -> None:
        RUNS.append(name)
        super().__setattr__(name, value)


@dataclass
class Hidden:
    amount: int

    @property
    def amount(self) -> int:
        return self._amount

    @amount.setter
    def amount(self, value: int) -> None:
        self._amount = value * 10


@dataclass
class Box(Generic[T]):
    item: T


@attrs.define(cache_hash=True, frozen=True)
class Money:
    amount: int = attrs.field(converter=lambda amount: amount * 100)
    _unit: str = "EUR"


@attrs.define(slots=False)
class Basket:
    items: list[Money] = attrs.Factory(list)
    most: int = 3

    def __attrs_post_init__(self) -> None:
        self.items.append(Money(1))


class Patch(pydantic.BaseModel):
    name: str | None = None
    age: int = 0


class Taxed(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="allow", validate_assignment=True)
    price: int
    _seen: int = pydantic.PrivateAttr(default=0)
    _late: str

    @pydantic.field_validator("price", mode="before")
    @classmethod
    def add_tax(cls, price: int) -> int:
        return price * 120 // 100

    def model_post_init(self, _: Any, /) -> None:
        self._seen += 1

    @cached_property
    def shown(self) -> object:
        return object()


class PathAliased(pydantic.BaseModel):
    x: int = pydantic.Field(validation_alias=pydantic.AliasPath("a", 0))


class Named(NamedTuple):
    x: Any
    y: int = 3


class Dotted(Named):
    """A subclass with a ``__dict__``."""


class Rights(enum.Flag):
    READ = 1
    WRITE = 4


class Whole(enum.IntFlag):
    ALL = 3


CLASSES = (
    Grows, Parses, Frozen, Started, Derived, Hidden, Box, Money, Basket, Patch, Taxed, PathAliased,
    Named, Dotted, Rights, Whole,
)  # fmt: skip


def codec_of(serializer: str = "msgpack", **classes: type) -> Codec:
    codec = Codec(serializer)
    for cls in CLASSES if not classes else ():
        codec.register(cls)
    for name, cls in classes.items():
        codec.register(cls, name)
    return codec


def started(cls: type[Any] = Started, **more: Any) -> Any:
    value = cls(1, start=2, **more)
    assert value.shown is value.shown
    value.note = ("not", "a", "field")
    return value


def taxed() -> Taxed:
    value = Taxed(price=100, note=[1])  # type: ignore[call-arg]
    value._seen, value._late = 7, "late"
    assert value.shown is value.shown
    return value


def dotted() -> Dotted:
    value = Dotted((1, 2))
    value.note = "x"  # type: ignore[attr-defined]
    return value


OBJECTS: list[Callable[[], Any]] = [
    lambda: Grows([5]),
    lambda: Parses("a b"),
    lambda: Frozen(2),
    started,
    lambda: started(Derived, y=5),
    lambda: Hidden(2),
    lambda: Box[int](1),
    lambda: Box(Box((1,))),
    lambda: Money(3, "USD"),
    lambda: Basket([Money(2)]),
    lambda: Patch(age=3),
    lambda: Patch.model_construct(age="not a number"),
    taxed,
    lambda: PathAliased(a=[3]),
    lambda: Named(b"x"),
    dotted,
    lambda: Rights.READ | Rights.WRITE,
    lambda: Whole(3) | Whole(8),
    lambda: Whole(0),
]


@BOTH
@pytest.mark.parametrize("make", OBJECTS)
def test_an_object_has_the_state_it_had_after_any_number_of_hops(
    serializer: str, make: Callable[[], Any]
) -> None:
    codec = codec_of(serializer)
    before, back = make(), make()
    hash_of = before.__class__.__hash__
    RUNS.clear()
    for _ in range(3):
        back = codec.decode(codec.encode([back]))[0]
    assert RUNS == []
    assert type(back) is type(before)
    assert back == before
    assert hash_of is None or hash(back) == hash(before)
    for value in (before, back):
        getattr(value, "__dict__", {}).pop("shown", None)
        getattr(value, "__dict__", {}).pop("__orig_class__", None)
    assert exactly(_known(back)) == exactly(_known(before))


def _known(value: Any) -> Any:
    """The value without a cached hash, which depends on the process."""
    if type(value) is Money:
        return value.amount, value._unit
    if type(value) is Basket:
        return [_known(item) for item in value.items]
    return value


def test_a_cached_hash_is_computed_again() -> None:
    codec = codec_of()
    data = codec.encode({Money(1): 2})
    assert codec.decode(data)[Money(1)] == 2
    used = Money(1)
    hash(used)
    assert str(hash(used)).encode() not in codec.encode(used, serializer="json")


@BOTH
def test_what_an_object_lacks_or_cannot_send_is_refused_with_its_path(serializer: str) -> None:
    codec = codec_of(serializer)
    with pytest.raises(
        NotEncodable, match=r"^args\[0\]: .*Taxed cannot .*: its field 'price' has no"
    ):
        codec.encode_call((Taxed.model_construct(),), {})
    with_lock, secret = started(), taxed()
    with_lock.lock = secret._late = threading.Lock()  # type: ignore[assignment]
    for value, name in ((with_lock, "lock"), (secret, "_late")):
        with pytest.raises(
            NotEncodable, match=rf"^args\[0\]\[1\]\.{name}: type _thread.lock cannot be"
        ):
            codec.encode_call(([1, value],), {})
    deep = started()
    deep.lock = [[[[[[1]]]]]]
    flat = Codec(serializer, max_depth=2)
    flat.register(Started)
    with pytest.raises(NotEncodable, match=r"^result\.note: containers are nested too deep"):
        flat.encode(deep)


@BOTH
def test_an_attribute_that_the_worker_lacks_has_its_path(serializer: str) -> None:
    value = started()
    value.size = Box(1)
    worker = Codec(serializer)
    worker.register(Started)
    with pytest.raises(NotDecodable, match=r"^args\[0\]\.size: there is no object named 'Box' in"):
        worker.decode_call(codec_of(serializer).encode_call((value,), {}))


def test_an_object_of_a_database_session_is_not_registered() -> None:
    @dataclass
    class User:
        __mapper__: ClassVar[Any] = None
        id: int

    with pytest.raises(ConfigError, match="only an Enum"):
        Codec().register(User)
    with pytest.raises(NotEncodable, match="pass its primary key"):
        Codec().encode(User(1))


@dataclass
class Older:
    sku: str


@dataclass
class Newer:
    sku: str
    color: str = "red"
    tags: list[str] = field(default_factory=lambda: ["new"])


@dataclass
class Stricter:
    sku: str
    color: str


class Red(enum.Enum):
    RED = 1


class Blue(enum.Enum):
    BLUE = 1


@attrs.define
class AttrsNewer:
    sku: str
    n: int = 1
    tags: list[str] = attrs.Factory(list)


class ModelNewer(pydantic.BaseModel):
    sku: str
    n: int = 1
    tags: list[str] = pydantic.Field(default_factory=list)
    _seen: int = 3


class ModelPublic(pydantic.BaseModel):
    sku: str
    n: int = 1
    tags: list[str] = pydantic.Field(default_factory=list)


class ModelStricter(pydantic.BaseModel):
    n: int


class NamedNewer(NamedTuple):
    sku: str
    n: int = 1


@BOTH
@pytest.mark.parametrize(
    ("now", "expected"),
    [
        (Newer, Newer("a", "red", ["new"])),
        (AttrsNewer, AttrsNewer("a")),
        (ModelNewer, ModelNewer(sku="a")),
        (NamedNewer, NamedNewer("a")),
    ],
)
def test_a_field_that_was_added_has_its_default(serializer: str, now: type, expected: Any) -> None:
    data = codec_of(serializer, item=Older).encode(Older("a"))
    assert exactly(codec_of(serializer, item=now).decode(data)) == exactly(expected)


@BOTH
@pytest.mark.parametrize(
    ("then", "value", "now", "said"),
    [
        (Red, Red.RED, Blue, r"\.Blue has no member 'RED' in this process"),
        (Rights, Rights.WRITE, Whole, r"\.Whole has no member 'WRITE'"),
        (Newer, Newer("a"), Older, r"\.Older has no field 'color'"),
        (
            Older,
            Older("a"),
            Stricter,
            r"Stricter was stored without its field 'color', which has no",
        ),
        (Older, Older("a"), ModelStricter, r"ModelStricter was stored without its field 'n'"),
        (Patch, Patch(), ModelNewer, r"ModelNewer was stored without its field 'sku'"),
        (
            ModelNewer,
            ModelNewer(sku="a"),
            ModelPublic,
            r"ModelPublic has no private attribute '_se",
        ),
        (Named, Named(1), NamedNewer, r"NamedNewer was stored without its field 'sku'"),
        (NamedNewer, NamedNewer("a"), Named, r"Named was stored without its field 'x'"),
        (Older, Older("a"), Red, r"there is no object named 'thing' in this process"),
    ],
)
def test_a_class_that_has_changed_is_named_with_its_part_and_its_path(
    serializer: str, then: type, value: Any, now: type, said: str
) -> None:
    old = codec_of(serializer, thing=then, box=Box)
    new = codec_of(serializer, thing=now, box=Box)
    data = old.encode_call((1, {"k": [Box(value)]}), {})
    with pytest.raises(NotDecodable, match=r"^args\[1\]\['k'\]\[0\]\.item: .*" + said):
        new.decode_call(data)
    with pytest.raises(NotDecodable, match=r"^result\[0\]: .*" + said):
        new.decode(old.encode([value]))


def test_the_bits_of_a_flag_may_be_renumbered() -> None:
    renumbered = enum.Flag("Rights", {"WRITE": 1, "READ": 2, "NEW": 4})
    data = codec_of(rights=Rights).encode([Rights.READ, Rights(0), Rights.READ | Rights.WRITE])
    back = codec_of(rights=renumbered).decode(data)
    assert back == [renumbered["READ"], renumbered(0), renumbered["READ"] | renumbered["WRITE"]]


def currency(unit: str) -> type:
    @dataclass
    class Amount:
        value: int

        def __str__(self) -> str:
            return f"{self.value} {unit}"

    return Amount


@pytest.mark.parametrize(
    "make",
    [
        currency,
        lambda unit: make_dataclass("Amount", ["value"]),
        lambda unit: pydantic.create_model("Amount", value=(int, ...)),
        lambda unit: enum.Enum("Amount", [unit]),
    ],
)
def test_two_classes_of_one_name_are_told_apart(make: Callable[[str], Any]) -> None:
    codec, eur, usd = Codec(), make("EUR"), make("USD")
    codec.register(eur)
    with pytest.raises(ConfigError, match=r"Amount' is taken by .*Amount.*: register .*Amount"):
        codec.register(usd)
    codec.register(usd, "usd")
    value = usd.USD if issubclass(usd, enum.Enum) else usd(value=10)
    assert type(codec.decode(codec.encode(value))) is usd


@pytest.mark.parametrize("by_annotation", [False, True])
def test_a_module_that_is_reloaded_replaces_its_classes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, by_annotation: bool
) -> None:
    (tmp_path / "reloaded_shop.py").write_text(
        "from dataclasses import dataclass\n@dataclass\nclass Item:\n    sku: str\n"
        "def task(item: Item): ...\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    codec, asked = Codec(), Codec()
    versions = []
    for _ in range(3):
        module = sys.modules.get("reloaded_shop")
        if len(versions) == 2:
            del sys.modules["reloaded_shop"]
            module = None
        module = importlib.reload(module) if module else importlib.import_module("reloaded_shop")
        versions.append(module.Item)
        for each in (codec, asked):
            if by_annotation:
                each.register_annotations(module.task)
            else:
                each.register(module.Item)
        asked.encode(module.Item("a"))
    full_name = 'J{"$object":["reloaded_shop.Item",{"sku":"a"}]}'
    assert type(asked.decode(full_name)) is type(codec.decode(full_name)) is versions[-1]
    for cls in versions:
        assert type(asked.decode(asked.encode(cls("a")))) is versions[-1]
    assert type(codec.decode(codec.encode(versions[-1]("a")))) is versions[-1]
    monkeypatch.delitem(sys.modules, "reloaded_shop")


KEYS = st.sampled_from(["a", "$set", "b"])
OF_CLASSES = st.recursive(
    st.integers() | st.sampled_from([Rights.READ, Whole(3), Named(1), Frozen(1)]),
    lambda inner: st.one_of(
        st.builds(Box, inner),
        st.builds(Named, inner),
        st.builds(lambda item: Patch.model_construct(name=item), inner),
        st.builds(lambda key, item: Taxed.model_construct(price=1, **{key: item}), KEYS, inner),
        st.lists(inner, max_size=3),
        st.dictionaries(KEYS, inner),
    ),
    max_leaves=12,
)


@BOTH
@given(value=OF_CLASSES)
def test_any_mixture_of_objects_comes_out_as_it_went_in(serializer: str, value: Any) -> None:
    codec = codec_of(serializer)
    assert exactly(codec.decode(codec.encode(value))) == exactly(value)
