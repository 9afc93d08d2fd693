"""Canvases, batches and spawners without anything to do, on every database."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from hammerflow import (
    ConfigError,
    Hammerflow,
    HammerflowError,
    JobState,
    Workflow,
    WorkflowInvalid,
    WorkflowStatus,
    chain,
    chord,
    group,
)
from hammerflow.testing import drain


def test_an_empty_group_or_batch_is_done_at_once(app: Hammerflow, t: SimpleNamespace) -> None:
    makes: list[tuple[Callable[[], Any], list[Any]]] = [
        (lambda: group([]).delay(), []),
        (lambda: group(task for task in ()).apply_async(countdown=9), []),
        (group([]).skew(1).set(queue="q"), []),
        (lambda: chain(group([])).delay(), []),
        (lambda: group(group([]), chain(group([]), group([]))).delay(), [[], []]),
        (lambda: app.enqueue(group([])), []),
        (lambda: app.enqueue(group(group([]), group([]))), [[], []]),
        (lambda: t.add.chunks([], 2).delay(), []),
        (lambda: t.add.chunks([], 2).group().delay(), []),
        (lambda: app.batch([]).enqueue(), []),
    ]
    for make, expected in makes:
        result = make()
        assert result.get(timeout=0) == expected
        assert asyncio.run(result.aget(timeout=0)) == expected
        assert result.wait(timeout=0) is WorkflowStatus.COMPLETED
        assert asyncio.run(result.await_(timeout=0)) is WorkflowStatus.COMPLETED
        result.cancel()
        assert result.get(timeout=0) == expected
        if hasattr(result, "results"):
            assert (result.ready(), result.successful(), result.failed()) == (True, True, False)
            assert (result.waiting(), result.completed_count()) == (False, 0)
            assert repr(result).startswith("<GroupResult")
    assert not app.jobs()


def test_what_follows_something_empty_runs_with_an_empty_list(
    app: Hammerflow, t: SimpleNamespace
) -> None:
    @app.spawner(then=t.echo.s("then"))
    def nothing(how: str) -> Any:
        if how == "yields":
            yield from ()

    @app.spawner(then=t.echo.s("then"))
    def returns() -> Iterator[Any]:
        return iter(())

    @app.spawner(then=t.echo.s("then"))
    async def later() -> AsyncIterator[Any]:
        for nothing in ():
            yield nothing

    @app.spawner(then=t.echo.s("then"), in_transaction=True)
    def together() -> list[Any]:
        return []

    then = [
        chord([], t.echo.s("then")).delay(),
        chord(group([]))(t.echo.s("then")),
        (group([]) | t.echo.s("then")).delay(),
        (t.add.s(1) | group([]) | t.echo.s("then")).delay(),
        (t.add.chunks([], 2) | t.echo.s("then")).delay(),
        (t.add.map([]) | t.echo.s("then")).delay(),
        chord([group([])], t.echo.s("then")).delay(),
    ]
    linked = group([]).apply_async(link=t.note.s())
    batch = app.batch([], then=t.echo.s("then")).enqueue()
    flow = (
        Workflow("w").add(group([]), name="g").add(app.batch([]), name="b").add(t.add.map([]))
        .add(t.note.s("x"), name="last", after=["g", "b"], when="size(g) == 0 && size(b) == 0")
    ).enqueue()  # fmt: skip
    spawners = [nothing.delay("yields"), nothing.delay("ends"), returns.delay()]
    spawners += [later.delay(), together.delay()]
    drain(app)
    got = [[], "then"]
    assert [r.get(timeout=1)[0] for r in then] == [*[got] * 6, [[[]], "then"]]
    assert batch.then.get(timeout=1)[0] == got
    assert batch.get(timeout=1) == []
    assert linked.get(timeout=1) == []
    assert flow.get(timeout=1) == {"g": [], "b": [], "add": [], "last": "x"}
    for result in spawners:
        [last] = result.children()
        assert last.get(timeout=1)[0] == got
    assert {job.state for job in app.jobs()} == {JobState.COMPLETED}
    assert {flow.row().state.status for flow in app.workflows()} == {WorkflowStatus.COMPLETED}


def test_what_makes_no_sense_is_refused(app: Hammerflow, t: SimpleNamespace) -> None:
    wrong: list[tuple[Callable[[], Any], type[Exception], str]] = [
        (chain, ConfigError, "a chain needs at least one task"),
        (lambda: chain([]), ConfigError, "a chain needs at least one task"),
        (lambda: chord([]).delay(), WorkflowInvalid, "a chord needs a body"),
        (lambda: group(chord([])).delay(), WorkflowInvalid, "a chord needs a body"),
        (lambda: chord([t.add.s(1)]).delay(), WorkflowInvalid, "a chord needs a body"),
        (lambda: Workflow("w").enqueue(), WorkflowInvalid, "workflow w has no nodes"),
        (lambda: app.workflow("w").enqueue(), WorkflowInvalid, "workflow w has no nodes"),
        (lambda: app.enqueue(Workflow("w").add_parallel([])), WorkflowInvalid, "has no nodes"),
        (lambda: app.enqueue(Workflow("w").add(Workflow("x"))), WorkflowInvalid, "x has no nodes"),
        (lambda: group([]).delay().id, HammerflowError, "has no id"),
    ]
    for call, error, sentence in wrong:
        with pytest.raises(error, match=sentence):
            call()
    assert not app.jobs()
