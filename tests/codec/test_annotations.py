"""Classes that a task's annotations name are allowed by the declaration of the task alone."""

from __future__ import annotations

import enum
import functools
import importlib
import re
import subprocess
import sys
import typing
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    Generic,
    Literal,
    NamedTuple,
    NewType,
    Optional,
    TypedDict,
    TypeVar,
    Union,
)

import attrs
import pydantic
import pytest

from hammerflow.codec.annotations import classes_named
from hammerflow.codec.codec import Codec
from hammerflow.errors import NotDecodable, NotEncodable

if TYPE_CHECKING:
    from nowhere import Gone

T = TypeVar("T")
BOTH = pytest.mark.parametrize("serializer", ["msgpack", "json"])


class Size(enum.Enum):
    SMALL = 1


class Color(enum.Enum):
    RED = 1


@dataclass
class Item:
    size: Size
    made_by: Gone | None = None
    part_of: Optional[Order] = None  # noqa: UP045


@dataclass
class Order:
    items: list[Item]


@dataclass
class Stamp:
    size: Size


@attrs.define
class Address:
    kind: Color


class Customer(pydantic.BaseModel):
    address: Any = None
    sizes: list[Size] = []


class Page(pydantic.BaseModel, Generic[T]):
    items: list[T]


@dataclass
class Box(Generic[T]):
    item: T


class Pair(NamedTuple):
    left: Order
    right: int = 0


class Form(TypedDict, total=False):
    pair: Pair


Key = NewType("Key", Pair)
Ordered = TypeVar("Ordered", bound="Order")


class Text(str):
    __slots__ = ()


ORDER = Order([Item(Size.SMALL)])


def plain(order: Order) -> None: ...
def optional(order: Order | None = None) -> None: ...
def old_union(order: Optional["Order"], size: Union[Size, "Color"]) -> None: ...  # noqa: UP007, UP037, UP045
def nested(orders: dict[str, list[tuple[Order, ...]]]) -> None: ...
def annotated(order: Annotated[Order, "note"]) -> None: ...
def alias(order: typing.List[Order]) -> None: ...  # noqa: UP006
def star(*orders: Order, **sizes: Size) -> None: ...
def returned() -> list[Order]: ...  # type: ignore[empty-body]
def bound(order: Ordered) -> Ordered: ...  # type: ignore[empty-body]
def of_new_type(key: Key) -> None: ...
def of_form(form: Form) -> None: ...
def beside_what_is_gone(a: Gone, b: Gone | Order, c: list[Gone], d: Order) -> None: ...
async def in_async(order: Order) -> None: ...
def spawns(order: Order) -> Iterator[Any]: ...  # type: ignore[empty-body]
async def async_spawns(order: Order) -> AsyncIterator[Any]: ...  # type: ignore[empty-body, misc]
def callback(fn: Callable[[Order], Size]) -> None: ...
def literal(color: Literal[Color.RED]) -> None: ...
def attrs_class(address: Address) -> None: ...
def model(customer: Customer) -> None: ...
def page(page: Page[Stamp]) -> None: ...
def box(box: Box[Order]) -> None: ...


class Methods:
    @staticmethod
    def static(order: Order) -> None: ...
    @classmethod
    def of_class(cls, order: Order) -> None: ...
    def bound(self, order: Order) -> None: ...
    def __call__(self, order: Order) -> None: ...


def decorated(fn: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(fn)
    def call(*args: Any) -> Any:
        return fn(*args)

    return call


CALLABLES = [Methods.static, Methods.of_class, Methods().bound, Methods()]
CALLABLES += [
    decorated(plain),
    functools.partial(decorated(plain)),
    decorated(functools.partial(plain)),
]


FUNCTIONS: list[tuple[Callable[..., Any], Any]] = [
    *((fn, ORDER) for fn in (plain, optional, old_union, nested, annotated, alias, star, returned)),
    *((fn, ORDER) for fn in (bound, of_new_type, of_form, beside_what_is_gone, in_async, spawns)),
    *((fn, ORDER) for fn in (async_spawns, callback, box, *CALLABLES)),
    (old_union, Color.RED),
    (star, Size.SMALL),
    (of_new_type, Pair(ORDER)),
    (literal, Color.RED),
    (attrs_class, Address(Color.RED)),
    (model, Customer(sizes=[Size.SMALL])),
    (page, Page[Stamp](items=[Stamp(Size.SMALL)])),
    (page, Stamp(Size.SMALL)),
    (box, Box(ORDER)),
]


@BOTH
@pytest.mark.parametrize(("fn", "value"), FUNCTIONS)
def test_a_class_that_an_annotation_names_may_travel(
    serializer: str, fn: Callable[..., Any], value: Any
) -> None:
    caller, worker = Codec(serializer), Codec(serializer)
    with pytest.raises(
        NotEncodable, match=rf"name it in an .*\.register\({re.escape(type(value).__name__)}\)$"
    ):
        caller.encode_call(([value],), {})
    for codec in (caller, worker):
        codec.register_annotations(fn)
    data = caller.encode_call(([value],), {"k": bytearray(b"x")})
    assert worker.decode_call(data) == (([value],), {"k": bytearray(b"x")})
    with pytest.raises(NotDecodable, match="in this process: name its class"):
        Codec().decode_call(data)


def test_what_no_annotation_names_is_refused() -> None:
    codec = Codec()
    codec.register_annotations(plain)
    for value in (Color.RED, Text("x"), Address(Color.RED)):
        with pytest.raises(NotEncodable):
            codec.encode(value)


def test_an_object_without_annotations_is_declared_without_harm() -> None:
    codec = Codec()
    for fn in (len, SimpleNamespace(), lambda x: x):
        codec.register_annotations(fn)  # type: ignore[arg-type]
    with pytest.raises(NotEncodable):
        codec.encode(Color.RED)


@pytest.mark.skipif(sys.version_info < (3, 14), reason="annotations are evaluated at once")
def test_an_annotation_that_is_evaluated_late_is_read_past_what_is_missing() -> None:
    module: dict[str, Any] = {"Order": Order, "__name__": __name__}
    code = "def task(a: list[Order] | Missing, b: 'Order | Missing'): ...\ndef bad(a: 1 / 0): ..."
    exec(compile(code, "late", "exec", dont_inherit=True), module)

    named, bad = (classes_named(module[name], {}) for name in ("task", "bad"))

    assert Order in named.classes
    assert not named.is_complete
    assert bad.classes == []


def test_a_class_inside_a_function_is_known_by_the_text_of_an_annotation() -> None:
    @dataclass
    class Local:
        x: int

    def task(local: list[Local]) -> None: ...

    codec = Codec()
    codec.register_annotations(task)
    assert codec.decode(codec.encode(Local(1))) == Local(1)


def test_a_class_defined_after_its_task_is_known_at_the_first_call() -> None:
    names: dict[str, Any] = {"__name__": "later"}
    exec("def task(order: 'Later | None') -> None: ...", names)
    codec = Codec()
    codec.register_annotations(names["task"])
    with pytest.raises(NotEncodable):
        codec.encode(Color.RED)
    names["Later"] = later = dataclass(type("Later", (), {"__annotations__": {"x": int}}))
    assert codec.decode(codec.encode(later(x=1))) == later(x=1)


def module_of(name: str) -> Any:
    """A module with a class ``Order`` and a task that names it."""
    names: dict[str, Any] = {"__name__": name}
    text = (
        "import dataclasses\n@dataclasses.dataclass\nclass Order:\n    x: int\n"
        "def task(order: Order) -> None: ...\n"
    )
    exec(compile(text, "<shop>", "exec", dont_inherit=True), names)
    return SimpleNamespace(**names)


@pytest.mark.skipif(sys.version_info < (3, 12), reason="the syntax of Python 3.12")
@pytest.mark.parametrize("future", ["", "from __future__ import annotations\n"])
def test_the_type_parameters_and_aliases_of_python_3_12_are_read(future: str) -> None:
    names: dict[str, Any] = {"__name__": "shop", "Order": Order, "Color": Color}
    text = (
        f"{future}type Orders = list[Order]\n"
        "def task[T: Order](order: T) -> None: ...\n"
        "def aliased(orders: Orders | Color) -> None: ...\n"
    )
    exec(compile(text, "<shop>", "exec", dont_inherit=True), names)
    for task in ("task", "aliased"):
        codec = Codec()
        codec.register_annotations(names[task])
        assert codec.decode(codec.encode(ORDER)) == ORDER


def test_two_modules_may_have_a_class_of_one_name() -> None:
    caller, worker = Codec(), Codec()
    shop, depot = module_of("shop"), module_of("depot")
    for codec, modules in ((caller, (shop, depot)), (worker, (depot, shop))):
        for module in modules:
            codec.register_annotations(module.task)
    back = worker.decode(caller.encode([shop.Order(1), depot.Order(2)]))
    assert [type(each) for each in back] == [shop.Order, depot.Order]


def test_the_main_program_is_the_module_that_the_worker_imports(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (
        "import dataclasses\nfrom hammerflow.codec.codec import Codec\n"
        "@dataclasses.dataclass\nclass Order:\n    x: int\n"
        "def task(order: Order) -> None: ...\ncodec = Codec()\ncodec.register_annotations(task)\n"
        "if __name__ == '__main__':\n"
        "    print(codec.encode(Order(1), serializer='json').decode())\n"
    )
    tmp_path.joinpath("shop_of_orders.py").write_text(text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    run = [sys.executable, "shop_of_orders.py"]
    data = subprocess.run(run, capture_output=True, text=True, check=True).stdout.strip()
    imported = importlib.import_module("shop_of_orders")
    assert imported.codec.decode(data) == imported.Order(1)


def test_two_annotated_classes_of_one_name_are_both_refused_until_one_is_named() -> None:
    codec = Codec()
    eur, usd = module_of("money"), module_of("money")
    for module in (eur, usd):
        codec.register_annotations(module.task)
    for module in (eur, usd):
        with pytest.raises(
            NotEncodable, match=r"two classes that are called money\.Order: register"
        ):
            codec.encode(module.Order(1))
    with pytest.raises(NotDecodable, match=r"no object named 'money\.Order'"):
        codec.decode('J{"$object":["money.Order",{"x":1}]}')
    codec.register(usd.Order, "usd")
    assert type(codec.decode(codec.encode(usd.Order(1)))) is usd.Order


def test_a_class_registered_by_hand_keeps_its_name() -> None:
    caller, worker = Codec(), Codec()
    for codec in (caller, worker):
        codec.register_annotations(plain)
        codec.register(Order, "order")
    data = caller.encode(ORDER, serializer="json")
    assert data.startswith(b'J{"$object":["order",')
    assert worker.decode(data) == ORDER
    by_annotation = Codec()
    by_annotation.register_annotations(plain)
    assert worker.decode(by_annotation.encode(ORDER)) == ORDER


def test_nothing_is_resolved_before_a_class_is_needed() -> None:
    codec = Codec()
    codec.register_annotations(plain)
    codec.encode_call((1, [2]), {"k": {}})
    assert codec._classes.by_type == {}
