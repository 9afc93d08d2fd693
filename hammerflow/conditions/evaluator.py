"""Evaluator: a condition over the results of a node's dependencies, compiled once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import chain, islice
from math import isfinite
from operator import add, mul, sub
from typing import Any

from hammerflow.codec.opaque import Opaque
from hammerflow.conditions.checker import (
    KINDS,
    METHODS,
    NESTED,
    NUMBERS,
    ORDER,
    UNORDERED,
    ConditionChecker,
    is_deps,
)
from hammerflow.conditions.parser import MAX_INT, SyntaxNode, condition_error, parse
from hammerflow.errors import ConditionError

__all__ = ["Condition", "compile_condition"]

MAX_STEPS = 1_000_000  # operations and elements of one evaluation
MAX_TEXT = 1_000_000  # characters or elements of a string or list that ``+`` makes
_SHOWN = 200  # characters of a value in a message
_SIGNS: Mapping[str, Callable[[Any, Any], Any]] = {"+": add, "-": sub, "*": mul}


class EvaluationError(Exception):
    """An operation has no value."""


class BudgetExceeded(EvaluationError):
    """The evaluation takes too many steps; unlike other errors, no ``||`` absorbs it."""


@dataclass(frozen=True, slots=True)
class Condition:
    """A compiled condition, made by :func:`compile_condition`."""

    source: str
    names: frozenset[str]  # what it reads: dependencies, or fields of the only one
    _tree: SyntaxNode = field(repr=False, compare=False)
    _dependencies: tuple[str, ...] = field(repr=False)

    def evaluate(self, results: Mapping[str, Any]) -> bool:
        """Whether the node runs, given the decoded results by name of the dependency.

        Raises:
            ConditionError: a field is missing, a type does not fit, or the value is not a bool.
        """
        run = _Evaluation(results, self._dependencies)
        try:
            return run.truth(self._tree)
        except (EvaluationError, ArithmeticError, TypeError, ValueError, RecursionError) as error:
            shown = ", ".join(f"{name} = {run.shown(name)}" for name in sorted(self.names))
            where = f" (with {shown})" if shown else ""
            raise ConditionError(
                f"the condition {_show(self.source)} failed: {error}{where}"
            ) from error


def compile_condition(source: str, dependencies: Sequence[str]) -> Condition:
    """Parse and check the condition of a node.

    Args:
        source: an expression in the supported subset of CEL.
        dependencies: the names of the nodes whose results it may read.

    Raises:
        ConditionError: a syntax error, an unknown name, or a type other than bool.
    """
    try:
        tree = parse(source)
        check = ConditionChecker(source, tuple(dependencies))
        kind = check.kind(tree)
    except RecursionError as error:
        raise ConditionError("the condition is nested too deep for this stack") from error
    if kind not in ("bool", None):
        raise condition_error(source, tree.at, f"a condition must be a bool, not {kind}")
    return Condition(source, frozenset(check.names), tree, check.dependencies)


class _Evaluation:
    """One evaluation: the results, and the steps taken so far."""

    def __init__(self, results: Mapping[str, Any], dependencies: tuple[str, ...]) -> None:
        self.results, self.dependencies, self.steps = results, dependencies, 0

    def step(self, count: int = 1) -> None:
        self.steps += count
        if self.steps > MAX_STEPS:
            raise BudgetExceeded(f"it reads more than {MAX_STEPS} values")

    def shown(self, name: str) -> str:
        try:
            return _show(self.named(name))
        except EvaluationError:
            return "missing"

    def named(self, name: str) -> Any:
        if name in self.dependencies:
            return self.result(name)
        return self.field(self.result(self.dependencies[0]), name)

    def result(self, name: str) -> Any:
        if name not in self.results:
            raise EvaluationError(f"there is no result of {name!r}")
        return self.results[name]

    def field(self, value: Any, name: str) -> Any:
        value = _fields_of(value)
        if _kind(value) != "map":
            raise EvaluationError(f"{_kind(value)} has no field {name!r}")
        return self.item(value, name)

    def item(self, value: dict[Any, Any], key: Any) -> Any:
        found = self.found(value, key)
        if not found:
            raise EvaluationError(f"there is no field {_show(key)}")
        return found[0]

    def found(self, value: dict[Any, Any], key: Any) -> list[Any]:
        """The value of a key, as a list of none or one; calls no ``__eq__`` of a user's class."""
        if type(key) is str and set(map(type, value)) <= {str}:
            return [value[key]] if key in value else []
        for other in value:
            self.step()
            if type(other) is type(key) and _kind(other) and other == key:
                return [value[other]]
        return []

    def truth(self, node: SyntaxNode) -> bool:
        value = self.value(node)
        if type(value) is not bool:
            raise EvaluationError(f"expected a bool, got {_kind(value)}")
        return value

    def value(self, node: SyntaxNode) -> Any:
        self.step()
        if operation := _OPERATIONS.get(node.op):
            return operation(self, *node.args)
        return self.compared(node.op, *map(self.value, node.args))

    def joined(self, *parts: SyntaxNode, until: bool) -> bool:
        """``||`` ends at true and ``&&`` at false, whatever errors the parts before have.

        That is CEL's rule: https://github.com/google/cel-spec/blob/master/doc/langdef.md
        """
        fault: Exception | None = None
        for part in parts:
            try:
                if self.truth(part) is until:
                    return until
            except BudgetExceeded:
                raise
            except (EvaluationError, ArithmeticError, TypeError, ValueError) as error:
                fault = fault or error
        if fault:
            raise fault
        return not until

    def path(self, first: SyntaxNode, steps: Iterable[SyntaxNode]) -> Any:
        rest = iter(steps)
        read_deps = is_deps(first)
        value = self.result(next(rest).args[0].args[0]) if read_deps else self.value(first)
        for step in rest:
            self.step()
            value = self.stepped(value, step)
        return value

    def stepped(self, value: Any, step: SyntaxNode) -> Any:
        match step.op, step.args:
            case "select", (name,):
                return self.field(value, name)
            case "index", (inside,):
                return self.indexed(value, self.value(inside))
            case _, (name, (arg,)):
                other = self.value(arg)
                if type(value) is not str or type(other) is not str:
                    raise EvaluationError(
                        f"{name}() takes strings, not {_kind(value)} and {_kind(other)}"
                    )
                return METHODS[name](value, other)
        raise AssertionError(step)

    def indexed(self, value: Any, key: Any) -> Any:
        value = _fields_of(value)
        if _kind(value) == "map":
            return self.item(value, _key(key))
        if _kind(value) != "list" or type(key) is not int:
            raise EvaluationError(f"{_kind(value)} has no element {_show(key)}")
        if not 0 <= key < len(value):
            raise EvaluationError(f"the index {_show(key)} is outside a list of {len(value)}")
        return value[key]

    def function(self, name: str, args: tuple[SyntaxNode]) -> Any:
        (arg,) = args
        if name == "has":
            first, steps = arg.args
            before = _fields_of(self.path(first, steps[:-1]))
            if _kind(before) != "map":
                raise EvaluationError(f"{_kind(before)} has no fields")
            return bool(self.found(before, steps[-1].args[0]))
        value = self.value(arg)
        kind = _kind(value)
        if name == "size":
            if kind not in ("string", "bytes", *NESTED):
                raise EvaluationError(f"size() does not take {kind}")
            return len(value)
        return _converted(name, value, kind)

    def arithmetic(self, first: SyntaxNode, rest: list[tuple[str, int, SyntaxNode]]) -> Any:
        value = self.value(first)
        for sign, _, operand in rest:
            value = self.combined(sign, value, self.value(operand))
        return value

    def combined(self, sign: str, left: Any, right: Any) -> Any:
        kinds = (_kind(left), _kind(right))
        if sign == "+" and kinds in (("string", "string"), ("list", "list"), ("bytes", "bytes")):
            self.step((len(left) + len(right)) // 100)
            if len(left) + len(right) > MAX_TEXT:
                raise EvaluationError(f"+ would make more than {MAX_TEXT} characters or elements")
            return [*left, *right] if kinds[0] == "list" else left + right
        left, right = _number(left), _number(right)
        if sign in _SIGNS:
            return _bounded(_SIGNS[sign](left, right))
        if right == 0:
            raise EvaluationError("division by zero")
        return _divided(sign, left, right)

    def compared(self, op: str, left: Any, right: Any) -> bool:
        if op == "in":
            return self.contained(left, right)
        if op in ORDER:
            a, b = _kind(left), _kind(right)
            if (a != b or a in UNORDERED) and not (a in NUMBERS and b in NUMBERS):
                raise EvaluationError(f"{a} {op} {b} is not defined")
            return bool(ORDER[op](left, right))
        return self.equal(left, right) is (op == "==")

    def contained(self, value: Any, inside: Any) -> bool:
        kind = _kind(inside)
        if kind == "map":
            return bool(self.found(inside, _key(value)))
        if kind not in ("list", "set"):
            raise EvaluationError(f"in takes a list or map on its right, not {kind}")
        return any(self.equal(value, other) for other in inside)

    def equal(self, left: Any, right: Any) -> bool:
        """Equality as in CEL, false for two types; without recursion or copies."""
        pairs: list[Iterator[tuple[Any, Any]]] = [iter([(left, right)])]
        while pairs:
            for a, b in pairs[-1]:
                self.step()
                inner = self.unlike(a, b)
                if inner is False:
                    return False
                if inner is not True:
                    pairs.append(inner)
                    break
            else:
                pairs.pop()
        return True

    def unlike(self, a: Any, b: Any) -> bool | Iterator[tuple[Any, Any]]:
        """Whether two values are equal, or the pairs of elements that decide it."""
        kind, other = _kind(a), _kind(b)
        if kind not in NESTED or kind != other:
            same = kind == other or (kind in NUMBERS and other in NUMBERS)
            return same and bool(a == b)
        if len(a) != len(b):
            return False
        if kind == "list":
            return zip(a, b, strict=True)
        if kind == "set":
            self.step(len(a))
            for value in chain(a, b):
                if _kind(value) in NESTED:
                    raise EvaluationError("sets of lists or maps are not compared")
            return bool(a == b)
        return self.of_maps(a, b)

    def of_maps(self, a: dict[Any, Any], b: dict[Any, Any]) -> Iterator[tuple[Any, Any]]:
        for key in a:
            found = self.found(b, key)
            yield (a[key], found[0]) if found else (True, False)


#: What gives the value of a node; the other nodes are comparisons.
_OPERATIONS: Mapping[str, Callable[..., Any]] = {
    "literal": lambda _, value: value,
    "name": _Evaluation.named,
    "||": partial(_Evaluation.joined, until=True),
    "&&": partial(_Evaluation.joined, until=False),
    "!": lambda run, inside, count: run.truth(inside) ^ bool(count % 2),
    "?:": lambda run, test, then, other: run.value(then if run.truth(test) else other),
    "negate": lambda run, inside, count: _bounded((-1) ** count * _number(run.value(inside))),
    "arithmetic": _Evaluation.arithmetic,
    "list": lambda run, *parts: [run.value(part) for part in parts],
    "map": lambda run, *pairs: {_key(run.value(key)): run.value(value) for key, value in pairs},
    "path": _Evaluation.path,
    "function": _Evaluation.function,
}


def _kind(value: Any) -> str:
    kind = KINDS.get(type(value))
    if kind is None:
        raise EvaluationError(
            f"a condition cannot compare values of class {_class_of(value)!r}: compare a field of "
            "it, or return plain data"
        )
    return kind


def _class_of(value: Any) -> str:
    return (value.kind if type(value) is Opaque else type(value).__name__)[:80]


def _fields_of(value: Any) -> Any:
    """The stored fields of an object whose class is not known here; any other value itself."""
    return value.fields if type(value) is Opaque and value.fields is not None else value


def _key(value: Any) -> Any:
    if type(value) not in (str, int, bool):
        raise EvaluationError(f"the key of a map must be a string, int or bool, not {_kind(value)}")
    return value


def _number(value: Any) -> Any:
    if type(value) not in (int, float):
        raise EvaluationError(f"arithmetic takes numbers, not {_kind(value)}")
    return value


def _bounded(value: Any) -> Any:
    if type(value) is int and not -MAX_INT - 1 <= value <= MAX_INT:
        raise EvaluationError("an int has at most 64 bits here")
    return value


def _divided(sign: str, left: Any, right: Any) -> Any:
    """Division as in CEL and C: ints round towards zero, the remainder has the dividend's sign."""
    if type(left) is float or type(right) is float:
        if sign == "%":
            raise EvaluationError("% takes ints")
        return left / right
    whole = abs(left) // abs(right)
    whole = whole if (left < 0) is (right < 0) else -whole
    return _bounded(whole if sign == "/" else left - right * whole)


def _converted(name: str, value: Any, kind: str) -> Any:
    if name == "string" and kind in ("string", "int", "double", "bool"):
        return str(_bounded(value)) if kind != "bool" else str(value).lower()
    if kind not in ("int", "double", "string") or (kind == "string" and len(value) > 40):
        raise EvaluationError(f"{name}() does not take {_show(value)}")
    if name == "double":
        return float(value)
    if kind == "double" and not isfinite(value):
        raise EvaluationError("int() does not take an infinity or NaN")
    return _bounded(int(value))


def _show(value: Any, depth: int = 0) -> str:
    """A value for a message: short, and without calling a user's ``__repr__``."""
    kind = KINDS.get(type(value))
    if kind is None:
        return f"<{_class_of(value)}>"
    if kind in ("string", "bytes"):
        text = repr(value[:_SHOWN])
    elif kind == "int" and value.bit_length() > 600:
        text = f"<an int of {value.bit_length()} bits>"
    elif kind in NESTED and depth > 3:
        text = "..."
    elif kind == "map":
        pairs = islice(value.items(), 20)
        text = ", ".join(f"{_show(k, depth + 1)}: {_show(v, depth + 1)}" for k, v in pairs)
        text = f"{{{text}}}"
    elif kind in ("list", "set"):
        text = f"[{', '.join(_show(item, depth + 1) for item in islice(value, 20))}]"
    else:
        text = repr(value)
    return text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "..."
