"""The shape of a task: what others need to call it, and what is wrong with a call."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable
from typing import Any

import pytest

from hammerflow import Hammerflow, UniqueKey
from hammerflow.tasks.functions import arguments_check
from hammerflow.tasks.shape import ArgumentFault, TaskKeys, TaskShape


def plain(a: int, b: str = "x") -> None: ...
def by_position(a: int, /, b: int) -> None: ...
def by_name(a: int, *, b: int, c: int = 1) -> None: ...
def rest(a: int, *more: int, b: int = 1) -> None: ...
def anything(a: int, **more: int) -> None: ...
def both(a: int, /, **more: int) -> None: ...
def nothing() -> None: ...


@functools.wraps(plain)
def wrapper(*args: Any, **kwargs: Any) -> None: ...


FUNCTIONS = (plain, by_position, by_name, rest, anything, both, nothing, wrapper)


def _shape(fn: Callable[..., Any], **options: Any) -> TaskShape:
    app = Hammerflow("shapes", database="sqlite:///nowhere.db")
    text = TaskShape.of(app.task(name="t", **options)(fn)).to_text()
    assert text is not None
    return TaskShape.from_text(text)


@pytest.mark.parametrize("fn", FUNCTIONS, ids=lambda fn: str(fn.__name__))
def test_a_call_has_faults_where_python_refuses_it(fn: Callable[..., Any]) -> None:
    shape, check = _shape(fn), arguments_check(fn)
    for count, size in itertools.product(range(4), range(4)):
        for names in itertools.combinations("abcd", size):
            faults = shape.faults(count, names)
            try:
                check(*range(count), **dict.fromkeys(names))
            except TypeError:
                assert faults, (count, names)
            else:
                assert not faults, (count, names)


def test_each_argument_has_its_fault() -> None:
    assert _shape(plain).faults(3, ["bb", "a"]) == [
        ArgumentFault(
            "args[2]", "is too many: it takes 2 positional arguments but 3 were given"
        ),
        ArgumentFault("a", "is given twice, by position and by name"),
        ArgumentFault("bb", "is unknown: did you mean b?"),
    ]  # fmt: skip
    assert _shape(by_name).faults(0, []) == [
        ArgumentFault("a", "is missing"), ArgumentFault("b", "is missing")
    ]  # fmt: skip


def test_what_the_options_say_is_told() -> None:
    shape = _shape(plain, queue="mail", priority=4, expires=60)
    assert shape[1:] == ("mail", 4, 60, TaskKeys())
    assert [parameter[1:] for parameter in shape.parameters or ()] == [
        ("any", True, "int", None), ("any", False, "str", None),
    ]  # fmt: skip
    keyed = _shape(plain, unique=UniqueKey(by=("args",)))
    assert [parameter.default for parameter in keyed.parameters or ()] == [None, '"x"']
    assert keyed.keys is not None
    assert keyed.keys.unique == [["args"], "until_done", None, "reject", None]
    assert _shape(plain, check_arguments=False).faults(9, []) == []


def test_what_is_too_long_for_the_database_is_not_told() -> None:
    parameters = ", ".join(f"parameter_{n}: int" for n in range(250))
    scope: dict[str, Any] = {}
    exec(f"def long({parameters}): ...", scope)
    app = Hammerflow("shapes", database="sqlite:///nowhere.db")
    assert TaskShape.of(app.task(name="t")(scope["long"])).to_text() is None
