"""Checker: the names and types of a condition, that its text alone determines."""

from __future__ import annotations

import operator
import re
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from hammerflow.conditions.parser import SyntaxNode, condition_error
from hammerflow.errors import ConditionError

__all__ = [
    "KINDS", "METHODS", "NESTED", "NUMBERS", "ORDER", "UNORDERED", "ConditionChecker", "is_deps",
]  # fmt: skip

KINDS: dict[type, str] = {
    type(None): "null", bool: "bool", int: "int", float: "double", Decimal: "decimal",
    str: "string", bytes: "bytes", bytearray: "bytes", UUID: "uuid",
    datetime: "datetime", date: "date", time: "time", timedelta: "duration",
    list: "list", tuple: "list", deque: "list", set: "set", frozenset: "set",
    dict: "map", OrderedDict: "map", defaultdict: "map", Counter: "map",
}  # fmt: skip
NUMBERS = ("int", "double", "decimal")
NESTED = ("list", "map", "set")
UNORDERED = ("null", *NESTED)
ORDER: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}  # fmt: skip
#: Read by people as the result of the only dependency, and not as a field of it.
_MISTAKEN = ("result", "results", "inputs")
_IDENTIFIER = re.compile("[A-Za-z_][A-Za-z0-9_]*")
FUNCTIONS = ("size", "has", "int", "double", "string")
METHODS: dict[str, Callable[[str, str], bool]] = {
    "contains": operator.contains, "startsWith": str.startswith, "endsWith": str.endswith,
}  # fmt: skip


class ConditionChecker:
    """Static types: a kind where the text determines it, None where the data does."""

    def __init__(self, source: str, dependencies: tuple[str, ...]) -> None:
        self.source, self.dependencies = source, dependencies
        self.names: set[str] = set()  # what the condition reads, known after kind()

    def _error(self, node: SyntaxNode, reason: str) -> ConditionError:
        return condition_error(self.source, node.at, reason)

    def _expect(self, node: SyntaxNode, *kinds: str, what: str) -> str | None:
        kind = self.kind(node)
        if kind is not None and kind not in kinds:
            raise self._error(node, f"{what} takes {' or '.join(kinds)}, not {kind}")
        return kind

    def kind(self, node: SyntaxNode) -> str | None:
        """The kind of a node, after all below it; a ConditionError if no data can make it valid."""
        match node.op, node.args:
            case "literal", (value,):
                return KINDS[type(value)]
            case "name", (name,):
                self._name(node, name)
                return None
            case "&&" | "||" | "!" | "list" | "map", parts:
                return self._parts(node.op, parts)
            case "negate", (inside, _):
                return self._expect(inside, "int", "double", what="unary -")
            case "?:", (test, then, other):
                self._expect(test, "bool", what="? :")
                kinds = {self.kind(then), self.kind(other)}
                return kinds.pop() if len(kinds) == 1 else None
            case "arithmetic", (first, rest):
                return self._arithmetic(first, rest)
            case "function", (name, args):
                return self._function(node, name, args)
            case "path", (first, steps):
                return self._path(first, steps)
            case _:
                return self._comparison(node)

    def _parts(self, op: str, parts: tuple[Any, ...]) -> str:
        match op:
            case "list":
                for part in parts:
                    self.kind(part)
                return "list"
            case "map":
                for key, value in parts:
                    self._expect(key, "string", "int", "bool", what="a map's key")
                    self.kind(value)
                return "map"
        for part in parts if op != "!" else parts[:1]:
            self._expect(part, "bool", what=op)
        return "bool"

    def _name(self, node: SyntaxNode, name: str, *, is_field: bool = True) -> None:
        """Note what is read; without ``is_field`` not a field of the only dependency."""
        if name == "deps" and is_field:
            raise self._error(node, "deps is read as deps['name of a dependency']")
        if name in _MISTAKEN and name not in self.dependencies and len(self.dependencies) == 1:
            only = self.dependencies[0]
            path = only if _IDENTIFIER.fullmatch(only) else f"deps[{only!r}]"
            raise self._error(
                node, f"the result of {only!r} is read as {path}, and its field {name!r} as "
                f"{path}.{name}"
            )  # fmt: skip
        if name not in self.dependencies and not (is_field and len(self.dependencies) == 1):
            known = ", ".join(map(repr, self.dependencies[:20])) or "none"
            raise self._error(node, f"{name[:80]!r} is not a dependency; known are: {known}")
        self.names.add(name)

    def _comparison(self, node: SyntaxNode) -> str:
        left, right = map(self.kind, node.args)
        if node.op == "in":
            if right not in (None, *NESTED):
                raise self._error(node, f"in takes a list or map on its right, not {right}")
            return "bool"
        if left is None or right is None or (left in NUMBERS and right in NUMBERS):
            return "bool"
        if node.op in ORDER and (left != right or left in UNORDERED):
            raise self._error(node, f"{left} {node.op} {right} is not defined")
        if left != right and "null" not in (left, right):
            raise self._error(node, f"{left} {node.op} {right} compares two types")
        return "bool"

    def _arithmetic(self, first: SyntaxNode, rest: list[tuple[str, int, SyntaxNode]]) -> str | None:
        left = self.kind(first)
        for sign, at, operand in rest:
            right = self.kind(operand)
            known = [kind for kind in (left, right) if kind is not None]
            plus = sign == "+" and len(set(known)) < 2 and set(known) <= {"string", "list"}
            if known and not plus and not set(known) <= {"int", "double"}:
                raise condition_error(self.source, at, f"{f' {sign} '.join(known)} is not defined")
            if len(known) < 2:
                left = None
            elif left != right:
                left = "double"
        return left

    def _check_call(self, node: SyntaxNode, what: str, known: Iterable[str]) -> None:
        name, args = node.args
        if name not in known:
            names = ", ".join(dict.fromkeys([*known, *METHODS]))
            raise self._error(node, f"there is no {what} {name[:80]!r}; known are: {names}")
        if len(args) != 1:
            raise self._error(node, f"{name}() takes 1 argument, not {len(args)}")

    def _function(self, node: SyntaxNode, name: str, args: tuple[SyntaxNode, ...]) -> str:
        self._check_call(node, "function", FUNCTIONS)
        kind = self.kind(args[0])
        if name == "has":
            if args[0].op != "path" or args[0].args[1][-1].op != "select":
                raise self._error(node, "has() takes a field, as has(a.b)")
            return "bool"
        if name == "size":
            self._expect(args[0], "string", "bytes", *NESTED, what="size()")
            return "int"
        if kind in ("null", *NESTED):
            raise self._error(node, f"{name}() does not take {kind}")
        return name

    def _path(self, first: SyntaxNode, steps: tuple[SyntaxNode, ...]) -> str | None:
        kind = None if self._dependency(first, steps) else self.kind(first)
        for step in steps:
            if step.op == "call":
                kind = self._method(step, kind)
                continue
            expected = ("map",) if step.op == "select" else ("map", "list")
            if kind is not None and kind not in expected:
                raise self._error(step, f"{kind} has no fields or elements")
            if step.op == "index" and not (step is steps[0] and is_deps(first)):
                self.kind(step.args[0])
            kind = None
        return kind

    def _dependency(self, first: SyntaxNode, steps: tuple[SyntaxNode, ...]) -> bool:
        """Whether the path starts with ``deps["name"]``."""
        if not is_deps(first) or steps[0].op != "index":
            return False
        key = steps[0].args[0]
        if key.op != "literal" or type(key.args[0]) is not str:
            raise self._error(key, "deps takes a dependency's name in quotes")
        self._name(key, key.args[0], is_field=False)
        return True

    def _method(self, step: SyntaxNode, kind: str | None) -> str:
        self._check_call(step, "method", METHODS)
        name, args = step.args
        if kind not in (None, "string"):
            raise self._error(step, f"{name}() is a method of strings, not of {kind}")
        self._expect(args[0], "string", what=f"{name}()")
        return "bool"


def is_deps(node: SyntaxNode) -> bool:
    """Whether a node is the name ``deps``."""
    return node.op == "name" and node.args[0] == "deps"
