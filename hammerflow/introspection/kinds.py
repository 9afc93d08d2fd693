"""Kinds: what a value is, by its class alone, so that no code of the value's class runs."""

from __future__ import annotations

from types import UnionType
from typing import Any, TypeGuard, TypeVar, overload

__all__ = ["is_a", "kind_name", "module_name"]

T = TypeVar("T")


@overload
def is_a(value: object, kinds: type[T]) -> TypeGuard[T]: ...
@overload
def is_a(value: object, kinds: UnionType) -> bool: ...


def is_a(value: object, kinds: Any) -> Any:
    """As ``isinstance``, which would ask the value for its ``__class__``: that may raise anything.

    Args:
        kinds: a class, or several as ``A | B``. Of an abstract one, a class whose metaclass raises
            is not a kind.
    """
    kind = type(value)
    if kind is kinds:
        return True
    try:
        return issubclass(kind, kinds)
    except (Exception, SystemExit):  # noqa: BLE001 - a border: metaclasses hash and compare
        return False


def kind_name(value: object) -> str:
    """The name of a value's class, whatever its metaclass says."""
    name: str = type.__dict__["__name__"].__get__(type(value))
    return name


def module_name(cls: type) -> str:
    """The name of the module of a class; empty if the class has something else in its place."""
    name: object = type.__dict__["__module__"].__get__(cls)
    return name if type(name) is str else ""
