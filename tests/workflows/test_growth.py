"""Enqueueing a workflow of four times the size takes four times the work, whatever its shape."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import pytest

from hammerflow import Hammerflow, Workflow, chain, chord, group


def star(w: Workflow, signature: Any, n: int) -> None:
    w.add(signature, name="first")
    for i in range(n):
        w.add(signature, name=f"n{i}", after="first")


def fan_in(w: Workflow, signature: Any, n: int) -> None:
    for i in range(n):
        w.add(signature, name=f"n{i}")
    w.add(signature, name="last", after=[f"n{i}" for i in range(n)])


def line(w: Workflow, signature: Any, n: int) -> None:
    w.add(signature)
    for _ in range(n):
        w.then(signature)


def parallel(w: Workflow, signature: Any, n: int) -> None:
    w.add(signature).add_parallel([signature] * n).then(signature)


def chosen(w: Workflow, signature: Any, n: int) -> None:
    w.add(signature, name="first")
    for i in range(n):
        w.add(signature, name=f"n{i}", after="first", when="first == 1")


def inner(w: Workflow, signature: Any, n: int) -> None:
    w.add(signature, name="first")
    for i in range(n // 4):
        w.add(Workflow(f"w{i}").add(signature).then(signature), name=f"n{i}", after="first")


SHAPES: dict[str, Callable[[Any, int], Any]] = {
    "chain": lambda s, n: chain(*[s] * n),
    "group": lambda s, n: group([s] * n),
    "chord": lambda s, n: chord([s] * n, s),
    "group and group": lambda s, n: group([s] * n) | s | group([s] * n),
}


def drawn(draw: Callable[[Workflow, Any, int], None]) -> Callable[[Any, int], Workflow]:
    def make(signature: Any, n: int) -> Workflow:
        workflow = Workflow("w")
        draw(workflow, signature, n)
        return workflow

    return make


SHAPES |= {draw.__name__: drawn(draw) for draw in (star, fan_in, line, parallel, chosen, inner)}


@pytest.mark.parametrize("shape", SHAPES)
def test_the_work_grows_with_the_size(sqlite_url: str, shape: str) -> None:
    app = Hammerflow("growth", database=sqlite_url, doorbell="none")

    @app.task(name="t")
    def t(*results: Any) -> None: ...

    def calls(n: int) -> int:
        count = 0

        def note(frame: Any, event: str, arg: Any) -> None:
            nonlocal count
            count += event == "call"

        sys.setprofile(note)
        try:
            app.enqueue(SHAPES[shape](t.si(), n))
        finally:
            sys.setprofile(None)
        return count

    calls(10)
    few, many = calls(300), calls(1200)
    app.close()
    assert many < 5 * few
