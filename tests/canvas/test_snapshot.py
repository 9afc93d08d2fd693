"""Snapshots: a call has what it was given when it was given."""

from __future__ import annotations

import asyncio
import collections
import dataclasses
import enum
from pathlib import Path
from typing import Any

import pytest

from hammerflow import Hammerflow, Signature, SpawnConfig, Workflow, chain, chord, group
from hammerflow.canvas.snapshot import snapshot
from hammerflow.testing import drain


@dataclasses.dataclass
class Order:
    lines: list[int]


class Size(enum.Enum):
    SMALL = "small"


class Odd:
    def __deepcopy__(self, memo: Any) -> Any:
        raise RuntimeError("no copies of this")


@pytest.fixture
def app() -> Hammerflow:
    return Hammerflow("shop", database="sqlite:///never-opened.db")


BUFFERS: list[tuple[Any, Any]] = [
    ([1, [2, {"a": [3]}]], lambda value: value[1][1]["a"].append(9)),
    ({"k": {"n": [1]}}, lambda value: value["k"]["n"].clear()),
    ({1, 2}, lambda value: value.add(3)),
    (bytearray(b"ab"), lambda value: value.extend(b"c")),
    ((1, [2]), lambda value: value[1].append(3)),
    (Order([1]), lambda value: value.lines.append(2)),
    ([Order([1])], lambda value: value[0].lines.append(2)),
    (collections.OrderedDict(a=[1]), lambda value: value["a"].append(2)),
    (collections.deque([1]), lambda value: value.append(2)),
]


@pytest.mark.parametrize(("buffer", "change"), BUFFERS, ids=lambda v: type(v).__name__)
def test_each_way_to_write_a_call_down_keeps_its_arguments(
    app: Hammerflow, buffer: Any, change: Any
) -> None:
    @app.task
    def add(*args: Any, **kwargs: Any) -> None: ...

    given = snapshot(buffer)
    kwargs = {"x": buffer}
    signatures = [
        add.s(buffer),
        add.si(buffer),
        add.s(x=buffer),
        add.options(queue="q").s(buffer),
        add.options(queue="q").si(buffer),
        app.signature("add", (buffer,)),
        app.signature("add", (), kwargs),
        Signature("add", (buffer,)),
        add.s().clone((buffer,)),
        add.s().clone((), {"x": buffer}),
        *group(add.s()).clone((buffer,)).tasks,
        *chain(add.s(buffer), add.s(buffer)).tasks,
        *chord([add.s(buffer)], add.s(buffer)).leaves(),
    ]
    mapped = [add.map([buffer]), add.starmap([[buffer]]), *add.chunks([[buffer]], 1).tasks]
    flow = Workflow("w").add(add.s(buffer))
    before = [*signatures, flow.nodes[0].content]
    change(buffer)
    kwargs["x"] = None
    assert buffer != given
    for signature in before:
        assert [*signature.args, *signature.kwargs.values()] == [given]
        assert type([*signature.args, *signature.kwargs.values()][0]) is type(given)
    assert [signature.args for signature in mapped] == [([[given]],)] * 3


def test_a_batch_keeps_the_calls_of_a_list(app: Hammerflow) -> None:
    @app.task
    def add(n: int) -> None: ...

    calls = [add.s(1)]
    batch = app.batch(calls)
    calls.append(add.s(2))
    assert [call.args for call in batch.calls()] == [(1,)]


def test_what_cannot_change_is_not_copied() -> None:
    for value in (1, "a", b"a", None, 1.5, Size.SMALL, Order, len):
        assert snapshot(value) is value
    args = (1, "a", None)
    assert Signature("add", args).args is args


def test_what_cannot_be_copied_is_left_to_the_codec(app: Hammerflow) -> None:
    endless: list[Any] = []
    endless.append(endless)
    for value in (Odd(), (n for n in ()), endless, [Odd()], {"x": endless}):
        assert Signature("add", (value,)).args[0] is value


def test_options_are_kept_as_they_were_given(app: Hammerflow) -> None:
    @app.task
    def add(n: int) -> None: ...

    headers: dict[str, Any] = {"trace": ["a"]}
    metadata: dict[str, Any] = {"by": ["b"]}
    config = SpawnConfig(metadata=metadata)
    calls = [
        add.options(headers=headers, spawn=config).s(1),
        add.s(1).set(headers=headers, spawn=config),
        app.signature("add", (1,), headers=headers, spawn=config),
        *group(add.s(1)).set(headers=headers, spawn=config).tasks,
    ]
    headers["trace"].append("z")
    metadata["by"].append("z")
    for call in calls:
        assert call.options["headers"] == {"trace": ["a"]}
        assert call.options["spawn"].metadata == {"by": ["b"]}


def test_a_coroutine_that_sends_a_call_keeps_its_arguments(tmp_path: Path) -> None:
    app = Hammerflow("shop", database=f"sqlite:///{tmp_path}/jobs.db")

    @app.task
    def echo(*args: Any, **kwargs: Any) -> Any:
        return [*args, *kwargs.values()]

    async def send() -> list[Any]:
        sent, buffer = [], list[int]()
        for n in range(3):
            buffer.append(n)
            sent += [echo.adelay(buffer), echo.options(priority=1).adelay(x=buffer)]
        return await asyncio.gather(*sent)

    results = asyncio.run(send())
    drain(app)
    kept = [result.get(timeout=1) for result in results]
    assert kept == [[[0]]] * 2 + [[[0, 1]]] * 2 + [[[0, 1, 2]]] * 2
    app.close()
