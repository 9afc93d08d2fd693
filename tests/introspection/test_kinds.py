"""Kinds: classes and metaclasses that lie cannot raise out of a call."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from hammerflow import Hammerflow, Workflow, chain, chord, group
from hammerflow.errors import ConfigError, WorkflowInvalid

ENDS = [SystemExit, AttributeError, ValueError]
CALLS: dict[str, Callable[[Hammerflow, Any, Any], Any]] = {
    "delay": lambda _, task, value: task.delay(value),
    "keyword": lambda _, task, value: task.delay(x=[value]),
    "signature": lambda _, task, value: task.s(value).delay(),
    "clone": lambda _, task, value: task.s().clone((value,)).delay(),
    "apply_async": lambda _, task, value: task.apply_async(value),
    "link": lambda _, task, value: task.apply_async(link=value),
    "pipe": lambda _, task, value: task.s() | value,
    "chain": lambda _, task, value: chain(task.s(), value),
    "one chain": lambda _, task, value: chain(value),
    "group": lambda _, task, value: group([value]),
    "chord": lambda _, task, value: chord(value, task.s()),
    "map": lambda _, task, value: task.map(value),
    "enqueue": lambda app, _, value: app.enqueue(value),
    "enqueue_many": lambda app, _, value: app.enqueue_many([value]),
    "batch": lambda app, _, value: app.batch([value]).enqueue(),
    "workflow": lambda _, task, value: Workflow("x").add(value),
}


def lies(kind: str, end: type[BaseException]) -> Any:
    def lie(*_: Any) -> Any:
        raise end("a lie")

    if kind == "__class__":
        return type("Liar", (), {"__class__": property(lie)})()
    if kind == "attributes":
        return type("Liar", (), {"__getattribute__": lie})()
    names: dict[str, Any] = {"__getattribute__": lie}
    if kind == "metaclass":
        names = dict.fromkeys(("__name__", "__module__", "__mro__"), property(lie))
        names |= {"__hash__": lie, "__eq__": lie, "__subclasscheck__": lie}
    return type("Meta", (type,), names)("Liar", (), {})()


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("kind", ["__class__", "attributes", "metaclass", "metaclass attributes"])
def test_values_that_lie_about_their_class_are_refused_with_a_sentence(
    sqlite_url: str, kind: str, end: type[BaseException]
) -> None:
    app = Hammerflow("lies", database=sqlite_url, doorbell="none")

    @app.task(name="take", check_arguments=False)
    def take(x: Any = None) -> None: ...

    value = lies(kind, end)
    for name, call in CALLS.items():
        with pytest.raises((TypeError, ConfigError, WorkflowInvalid)) as caught:
            call(app, take, value)
        assert str(caught.value) != "a lie", name
    app.close()
