"""Opaque: what takes the place of a stored value that this process cannot make."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from hammerflow.codec.classes import Registered
from hammerflow.codec.containers import CONTAINERS
from hammerflow.codec.types import OBJECT, NotMade, short

__all__ = ["Opaque", "path_to"]


class Opaque:
    """An enum member, object or time of a class or zone that this process does not know.

    Attributes:
        kind: the name of its class.
        fields: what is stored of an object; None for another value.
        error: why it could not be made.
    """

    __slots__ = ("error", "fields", "kind")

    def __init__(self, kind: str, fields: Mapping[str, Any] | None, error: NotMade) -> None:
        self.kind, self.fields, self.error = kind, fields, error

    def __repr__(self) -> str:
        return f"<{self.kind}>"


def path_to(target: Opaque, value: Any, classes: Mapping[type, Registered]) -> str:
    """Where an opaque value is inside a decoded one, as a path like ``[1]['when'].zone``."""
    steps = _steps_to(target, value, classes)
    return "".join(steps or ())


def _steps_to(target: Opaque, value: Any, classes: Mapping[type, Registered]) -> list[str] | None:
    if value is target:
        return []
    for step, part in _parts(value, classes):
        below = _steps_to(target, part, classes)
        if below is not None:
            return [step, *below]
    return None


def _parts(value: Any, classes: Mapping[type, Registered]) -> Iterator[tuple[str, Any]]:
    kind = type(value)
    if kind is list:
        for index, item in enumerate(value):
            yield f"[{index}]", item
    elif kind is dict:
        for key, item in value.items():
            yield " (a key)", key
            yield f"[{short(key)}]", item
    elif kind in CONTAINERS:
        elements = list(CONTAINERS[kind].take(value))
        for number, element in enumerate(elements):
            yield CONTAINERS[kind].step_to(number, elements), element
    else:
        yield from _fields(value, classes.get(kind))


def _fields(value: Any, entry: Registered | None) -> Iterator[tuple[str, Any]]:
    """The steps to the fields of an object, or of an opaque one."""
    fields: Mapping[str, Any] = {}
    if type(value) is Opaque:
        fields = value.fields or {}
    elif entry is not None and entry.type_tag is OBJECT:
        fields = entry.take(value)
    for name, item in fields.items():
        if name[0] != "$":
            yield f".{name}", item
        elif isinstance(item, dict):  # attributes are fields to the caller
            yield from ((f".{key}", each) for key, each in item.items())
