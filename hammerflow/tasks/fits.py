"""Fits: whether a value of a call by name can be what the annotation of its parameter says."""

from __future__ import annotations

import ast
import functools
import uuid
from collections.abc import Mapping
from typing import Any

from hammerflow.introspection.kinds import is_a

__all__ = ["misfit"]

_NULL, _BOOL, _NUMBER, _TEXT, _LIST, _OBJECT = (
    "null", "true or false", "a number", "this text", "a list", "an object",
)  # fmt: skip
_SCALARS = frozenset({_BOOL, _NUMBER, _TEXT})
#: What each name of a type may be made of: a body may convert what it gets, or have that done by a
#: decorator that validates. A text for a number or an id is read, too.
_FITS: Mapping[str, frozenset[str]] = {
    **dict.fromkeys(("int", "float", "bool", "str"), _SCALARS),
    **dict.fromkeys(("list", "tuple", "set", "frozenset"), frozenset({_LIST})),
    **dict.fromkeys(("List", "Tuple", "Set", "FrozenSet"), frozenset({_LIST})),
    **dict.fromkeys(("dict", "Dict"), frozenset({_OBJECT})),
    **dict.fromkeys(("datetime", "date"), frozenset({_NUMBER, _TEXT})),
    "UUID": frozenset({_TEXT}),
    "None": frozenset({_NULL}),
}
#: Modules whose types these names are.
_MODULES = ("typing", "datetime", "uuid", "builtins")
_READ: Mapping[str, Any] = {"int": float, "float": float, "UUID": uuid.UUID}


def misfit(annotation: str, value: Any) -> str | None:
    """Why a value cannot be of a type, such as ``must be int, not a list``; None where it may be.

    Only what no conversion could make fit is refused: a type that is not known here takes anything,
    and a value of another kind than those of JSON fits everywhere.

    Args:
        annotation: as the code has it; empty without one.
    """
    kind, names = _kind(value), _names_of(annotation)
    if kind is None or names is None or any(_may_be(name, kind, value) for name in names):
        return None
    return f"must be {annotation}, not {kind}"


def _may_be(name: str, kind: str, value: Any) -> bool:
    if kind not in _FITS[name]:
        return False
    if kind == _TEXT and name in _READ:
        try:
            _READ[name](value)
        except ValueError:
            return False
    return True


def _kind(value: Any) -> str | None:
    if value is None:
        return _NULL
    if is_a(value, bool):
        return _BOOL
    if is_a(value, int | float):
        return _NUMBER
    if is_a(value, str):
        return _TEXT
    if is_a(value, list | tuple | set | frozenset):
        return _LIST
    return _OBJECT if is_a(value, dict) else None


@functools.lru_cache(maxsize=4_096)
def _names_of(annotation: str) -> frozenset[str] | None:
    """The names of the types of which one is to fit; None if one of them is not known."""
    try:
        return _names(ast.parse(annotation, mode="eval").body)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _names(node: ast.expr) -> frozenset[str] | None:
    match node:
        case ast.Constant(value=None):
            return frozenset({"None"})
        case ast.Constant(value=str(text)):
            return _names_of(text)
        case ast.Name(name) | ast.Attribute(ast.Name(_), name):
            is_other = isinstance(node, ast.Attribute) and _module(node) not in _MODULES
            return None if is_other or name not in _FITS else frozenset({name})
        case ast.BinOp(left, ast.BitOr(), right):
            return _either(left, right)
        case ast.Subscript(ast.Name(name) | ast.Attribute(_, name), inner):
            parts = inner.elts if isinstance(inner, ast.Tuple) else [inner]
            if name == "Annotated":
                return _names(parts[0])
            if name in ("Optional", "Union"):
                none = [ast.Constant(None)] if name == "Optional" else []
                return _either(*parts, *none)
            return _names(node.value)
    return None


def _module(node: ast.Attribute) -> str:
    return node.value.id if isinstance(node.value, ast.Name) else ""


def _either(*nodes: ast.expr) -> frozenset[str] | None:
    found: frozenset[str] = frozenset()
    for node in nodes:
        names = _names(node)
        if names is None:
            return None
        found |= names
    return found
