"""Containers: built-in collections other than list and dict, encoded as one flat list."""

from __future__ import annotations

from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterable, Mapping
from itertools import chain
from typing import Any, NamedTuple

from hammerflow.codec.types import CONTAINER_TAGS, EncodeError, TypeTag, full_name, short
from hammerflow.errors import NotDecodable

__all__ = ["CONTAINERS", "Container"]

#: What a defaultdict may make: the classes of this list, found by name.
_FACTORIES = {
    None if cls is None else cls.__name__: cls
    for cls in (None, list, dict, set, int, float, str, bytes, bool, tuple, frozenset)
}
_INDEX = "[{}]".format


def _as_element(_: int) -> str:
    return " (an element)"


class Container(NamedTuple):
    """A type of collection.

    Attributes:
        take: its elements; keys and values by turns, and before them what else it has.
        make: the inverse.
        step: from an element's number to its step in a path; None for keys and values by turns.
        head: how many elements come before the values.
    """

    type_tag: TypeTag
    take: Callable[[Any], Iterable[Any]]
    make: Callable[[list[Any]], Any]
    step: Callable[[int], str] | None = None
    head: int = 0

    def to_msgpack(self, value: Any) -> list[Any]:
        """The elements as an array with a tag."""
        return [self.type_tag.ext, *self.take(value)]

    def step_to(self, number: int, elements: list[Any]) -> str:
        """The step of a path that leads to an element."""
        if self.step is not None:
            return self.step(number - self.head)
        is_key = (number - self.head) % 2 == 0
        return " (a key)" if is_key else f"[{short(elements[number - 1])}]"


def _flat(value: Mapping[Any, Any]) -> Iterable[Any]:
    return chain.from_iterable(value.items())


def _pairs(elements: list[Any]) -> dict[Any, Any]:
    return dict(zip(elements[::2], elements[1::2], strict=True))


def _take_defaultdict(value: defaultdict[Any, Any]) -> Iterable[Any]:
    factory = value.default_factory
    if factory not in _FACTORIES.values():
        named = factory if isinstance(factory, type) else type(factory)
        raise EncodeError(
            f"a defaultdict with the default_factory {full_name(named)} cannot be encoded; "
            "pass dict(value)"
        )
    return (None if factory is None else factory.__name__, *_flat(value))


def _make_defaultdict(elements: list[Any]) -> defaultdict[Any, Any]:
    name = elements[0]
    if not (name is None or type(name) is str) or name not in _FACTORIES:
        raise NotDecodable(f"a defaultdict has the unknown default_factory {short(name)}")
    return defaultdict(_FACTORIES[name], _pairs(elements[1:]))


_TAGS = {tag.name: tag for tag in CONTAINER_TAGS}

#: By type; a list and a plain dict need no tag.
CONTAINERS: Mapping[type, Container] = {
    tuple: Container(_TAGS["$tuple"], list, tuple, _INDEX),
    set: Container(_TAGS["$set"], list, set, _as_element),
    frozenset: Container(_TAGS["$frozenset"], list, frozenset, _as_element),
    deque: Container(
        _TAGS["$deque"],
        lambda value: (value.maxlen, *value),
        lambda elements: deque(elements[1:], elements[0]),
        _INDEX,
        head=1,
    ),
    OrderedDict: Container(
        _TAGS["$ordereddict"], _flat, lambda elements: OrderedDict(_pairs(elements))
    ),
    defaultdict: Container(_TAGS["$defaultdict"], _take_defaultdict, _make_defaultdict, head=1),
    Counter: Container(_TAGS["$counter"], _flat, lambda elements: Counter(_pairs(elements))),
}
CONTAINER_OF_TAG = {container.type_tag.name: container for container in CONTAINERS.values()}
