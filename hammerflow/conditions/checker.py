"""Checker: the names and types of a condition, that its text alone determines."""

from __future__ import annotations

import operator
from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from hammerflow.conditions.parser import SyntaxNode, condition_error
from hammerflow.errors import ConditionError

__all__ = [
    "KINDS",
    "METHODS",
    "NESTED",
    "NUMBERS",
    "ORDER",
    "UNORDERED",
    "ConditionChecker",
    "is_deps",
]

KINDS: dict[type, str] = {
    bool: "bool",
    int: "int",
    float: "double",
    str: "string",
    type(None): "null",
    list: "list",
    tuple: "list",
    dict: "map",
    bytes: "bytes",
    set: "set",
    frozenset: "set",
    Decimal: "decimal",
    datetime: "datetime",
    date: "date",
    time: "time",
    timedelta: "duration",
    UUID: "uuid",
}
NUMBERS = ("int", "double", "decimal")
NESTED = ("list", "map", "set")
UNORDERED = ("null", *NESTED)
ORDER: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
FUNCTIONS = ("size", "has", "int", "double", "string")
METHODS: dict[str, Callable[[str, str], bool]] = {
    "contains": operator.contains,
    "startsWith": str.startswith,
    "endsWith": str.endswith,
}


class ConditionChecker:
    """Static types: a kind where the text determines it, None where the data does.

    Each method returns the kind of a node, and raises ConditionError if no data can make it valid.
    """

    def __init__(self, source: str, dependencies: tuple[str, ...]) -> None:
        self.source, self.dependencies = source, dependencies
        self.names: set[str] = set()

    def error(self, node: SyntaxNode, reason: str) -> ConditionError:
        return condition_error(self.source, node.at, reason)

    def expect(self, node: SyntaxNode, *kinds: str, what: str) -> str | None:
        kind = self.kind(node)
        if kind is not None and kind not in kinds:
            raise self.error(node, f"{what} takes {' or '.join(kinds)}, not {kind}")
        return kind

    def kind(self, node: SyntaxNode) -> str | None:
        match node.op, node.args:
            case "literal", (value,):
                return KINDS[type(value)]
            case "name", (name,):
                self.name(node, name)
                return None
            case (("&&" | "||"), parts):
                for part in parts:
                    self.expect(part, "bool", what=node.op)
                return "bool"
            case "!", (inside, _):
                self.expect(inside, "bool", what="!")
                return "bool"
            case "negate", (inside, _):
                return self.expect(inside, "int", "double", what="unary -")
            case "?:", (test, then, other):
                self.expect(test, "bool", what="? :")
                kinds = {self.kind(then), self.kind(other)}
                return kinds.pop() if len(kinds) == 1 else None
            case _:
                return self.compound(node)

    def compound(self, node: SyntaxNode) -> str | None:
        match node.op, node.args:
            case "arithmetic", (first, rest):
                return self.arithmetic(first, rest)
            case "list", parts:
                for part in parts:
                    self.kind(part)
                return "list"
            case "map", pairs:
                for key, value in pairs:
                    self.expect(key, "string", "int", "bool", what="a map's key")
                    self.kind(value)
                return "map"
            case "function", (name, args):
                return self.function(node, name, args)
            case "path", (first, steps):
                return self.path(first, steps)
            case _:
                return self.comparison(node)

    def name(self, node: SyntaxNode, name: str) -> None:
        if name == "deps":
            raise self.error(node, "deps is read as deps['name of a dependency']")
        if name not in self.dependencies and len(self.dependencies) != 1:
            raise self.unknown(node, name)
        self.names.add(name)

    def unknown(self, node: SyntaxNode, name: str) -> ConditionError:
        known = ", ".join(map(repr, self.dependencies[:20])) or "none"
        return self.error(node, f"{name[:80]!r} is not a dependency; known are: {known}")

    def comparison(self, node: SyntaxNode) -> str:
        left, right = map(self.kind, node.args)
        if node.op == "in":
            if right not in (None, *NESTED):
                raise self.error(node, f"in takes a list or map on its right, not {right}")
            return "bool"
        if left is None or right is None or (left in NUMBERS and right in NUMBERS):
            return "bool"
        if node.op in ORDER and (left != right or left in UNORDERED):
            raise self.error(node, f"{left} {node.op} {right} is not defined")
        if left != right and "null" not in (left, right):
            raise self.error(node, f"{left} {node.op} {right} compares two types")
        return "bool"

    def arithmetic(self, first: SyntaxNode, rest: list[tuple[str, int, SyntaxNode]]) -> str | None:
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

    def function(self, node: SyntaxNode, name: str, args: tuple[SyntaxNode, ...]) -> str:
        if name not in FUNCTIONS:
            known = ", ".join([*FUNCTIONS, *METHODS])
            raise self.error(node, f"there is no function {name[:80]!r}; known are: {known}")
        if len(args) != 1:
            raise self.error(node, f"{name}() takes 1 argument, not {len(args)}")
        kind = self.kind(args[0])
        if name == "has":
            if args[0].op != "path" or args[0].args[1][-1].op != "select":
                raise self.error(node, "has() takes a field, as has(a.b)")
            return "bool"
        if name == "size":
            self.expect(args[0], "string", "bytes", *NESTED, what="size()")
            return "int"
        if kind in ("null", *NESTED):
            raise self.error(node, f"{name}() does not take {kind}")
        return name

    def path(self, first: SyntaxNode, steps: tuple[SyntaxNode, ...]) -> str | None:
        kind = None if self.dependency(first, steps) else self.kind(first)
        for step in steps:
            if step.op == "call":
                kind = self.method(step, kind)
                continue
            expected = ("map",) if step.op == "select" else ("map", "list")
            if kind is not None and kind not in expected:
                raise self.error(step, f"{kind} has no fields or elements")
            if step.op == "index" and not (step is steps[0] and is_deps(first)):
                self.kind(step.args[0])
            kind = None
        return kind

    def dependency(self, first: SyntaxNode, steps: tuple[SyntaxNode, ...]) -> bool:
        """Whether the path starts with ``deps["name"]``."""
        if not is_deps(first) or steps[0].op != "index":
            return False
        key = steps[0].args[0]
        if key.op != "literal" or type(key.args[0]) is not str:
            raise self.error(key, "deps takes a dependency's name in quotes")
        if key.args[0] not in self.dependencies:
            raise self.unknown(key, key.args[0])
        self.names.add(key.args[0])
        return True

    def method(self, step: SyntaxNode, kind: str | None) -> str:
        name, args = step.args
        if name not in METHODS:
            known = ", ".join(METHODS)
            raise self.error(step, f"there is no method {name[:80]!r}; known are: {known}")
        if len(args) != 1:
            raise self.error(step, f"{name}() takes 1 argument, not {len(args)}")
        if kind not in (None, "string"):
            raise self.error(step, f"{name}() is a method of strings, not of {kind}")
        self.expect(args[0], "string", what=f"{name}()")
        return "bool"


def is_deps(node: SyntaxNode) -> bool:
    return node.op == "name" and node.args[0] == "deps"
