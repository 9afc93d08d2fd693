"""Tree: a value as JSON has it, made step by step, so that a refusal has its path."""

from __future__ import annotations

import base64
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from hammerflow.codec.advice import no_such_type
from hammerflow.codec.classes import Registered
from hammerflow.codec.containers import CONTAINERS
from hammerflow.codec.scalars import SCALARS, scalar_by_value
from hammerflow.codec.types import (
    BIG,
    OBJECT,
    TOO_DEEP,
    EncodeError,
    TooLarge,
    guarded,
    int_text,
    short,
    whole_text,
)

__all__ = ["TreeMaker"]

_TEXT = frozenset({str})


class TreeMaker:
    """Makes one tree, and gives up as soon as it is certainly too large.

    Args:
        classes: the users' classes, by type.
        limit: how many bytes the encoded value may have; each of its parts takes one at least.
        most: how many of them are made before it gives up.
    """

    def __init__(self, classes: Mapping[type, Registered], limit: int, most: int) -> None:
        self._classes = classes
        self._limit = limit
        self._left = most

    def tree(self, value: Any, room: int) -> Any:
        """The value as JSON has it; ``room`` is how many levels of containers may nest.

        Raises:
            EncodeError: a part cannot be encoded.
        """
        kind = type(value)
        if kind is str:
            self._spend(len(value))
            return value if value.isascii() else whole_text(value)
        self._spend(1)
        if kind is int:
            return value if -BIG < value < BIG else int_text(value)
        if kind is float:
            return value if math.isfinite(value) else {"$float": repr(value)}
        if value is None or kind is bool:
            return value
        if kind is list or kind is dict or kind in CONTAINERS:
            return self._container(value, kind, room)
        if kind in SCALARS:
            return {SCALARS[kind].tag: guarded(SCALARS[kind].write, value)}
        if kind in self._classes:
            entry = self._classes[kind]
            if entry.type_tag is OBJECT:
                return self._container(value, kind, room)
            return {entry.type_tag.name: [entry.name, guarded(entry.take, value)]}
        return self._other(value, kind)

    def _other(self, value: Any, kind: type) -> Any:
        if kind is bytes:
            self._spend(len(value))
            return {"$bytes": base64.b64encode(value).decode()}
        scalar = guarded(lambda _: scalar_by_value(kind), value)
        if scalar is None:
            raise EncodeError(no_such_type(kind))
        return {scalar.tag: guarded(scalar.write, value)}

    def _spend(self, size: int) -> None:
        self._left -= size
        if self._left < 0:
            raise TooLarge(f"the encoded bytes exceed the limit of {self._limit:,}")

    def _container(self, value: Any, kind: type, room: int) -> Any:
        try:
            if room == 0:
                raise EncodeError(TOO_DEEP)
            if kind is dict:
                return self._dict(value, room - 1, lambda key: f"[{short(key)}]")
            if kind is list:
                return self._each(value, room - 1, "[{}]".format)
            if kind in CONTAINERS:
                container = CONTAINERS[kind]
                elements = list(container.take(value))
                step = lambda number: container.step_to(number, elements)  # noqa: E731
                return {container.type_tag.name: self._each(elements, room - 1, step)}
            return self._object(value, self._classes[kind], room)
        except EncodeError as error:
            error.inside.append(id(value))
            raise

    def _object(self, value: Any, entry: Registered, room: int) -> Any:
        fields = guarded(entry.take, value)
        try:
            return {entry.type_tag.name: [entry.name, self._dict(fields, room - 1, ".{}".format)]}
        except EncodeError as error:
            inner = error.path[-2:-1]
            if error.path[-1].startswith(".$") and inner and inner[0].startswith("['"):
                error.path[-2:] = [f".{inner[0][2:-2]}"]  # attributes are fields to the caller
            raise

    def _dict(self, value: dict[Any, Any], room: int, step: Callable[[Any], str]) -> Any:
        names = list(value)
        keys = self._each(names, room, " (a key)".format)
        items = self._each(value.values(), room, lambda number: step(names[number]))
        if not are_texts(names) or (len(names) == 1 and names[0][:1] == "$"):
            return {"$dict": [list(pair) for pair in zip(keys, items, strict=True)]}
        return dict(zip(keys, items, strict=True))

    def _each(self, values: Iterable[Any], room: int, step: Callable[[int], str]) -> list[Any]:
        items: list[Any] = []
        try:
            for value in values:
                items.append(self.tree(value, room))  # noqa: PERF401  the path needs its length
        except EncodeError as error:
            error.path.append(step(len(items)))
            raise
        return items


def are_texts(names: Iterable[Any]) -> bool:
    """Whether all names are of type str itself."""
    return set(map(type, names)) <= _TEXT
