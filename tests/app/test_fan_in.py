"""What a fan-in, a chord's body and inputs receive of each kind of canvas, on every database."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from hammerflow import (
    Hammerflow,
    JobFailed,
    JobState,
    Signature,
    Workflow,
    WorkflowInvalid,
    chain,
    chord,
    current_job,
    group,
)
from hammerflow.testing import drain
from hammerflow.workflows.batch import Batch

Kinds = list[tuple[Any, Any]]


@pytest.fixture
def f(app: Hammerflow) -> SimpleNamespace:
    @app.task
    def leaf(n: Any) -> Any:
        return n

    @app.task
    def total(values: Any) -> Any:
        return values

    @app.task(max_attempts=1)
    def fail() -> None:
        raise ValueError("a child that fails")

    @app.spawner
    def nested(n: int) -> Any:
        yield leaf.s("a grandchild")
        return n

    @app.task
    def heir(n: int) -> None:
        current_job().replace(group(leaf.s(n), leaf.s(n + 1)))

    return SimpleNamespace(leaf=leaf, total=total, fail=fail, nested=nested, heir=heir)


def canvases(f: SimpleNamespace) -> Kinds:
    """Each kind of canvas, and the entry that it is in the list of results."""
    leaf, total = f.leaf, f.total
    return [
        (leaf.s(1), 1),
        (chain(leaf.s(2), leaf.s()), 2),
        (group(leaf.s(3), chain(leaf.s(4), leaf.s()), group(leaf.s(5))), [3, 4, [5]]),
        (leaf.s(0) | group(leaf.s(), leaf.si(6)), [0, 6]),
        (chord([leaf.s(7), group(leaf.s(8))], total.s()), [7, [8]]),
        (chord([], total.s()), []),
        (group([]), []),
        (leaf.map([9, 10]), [9, 10]),
        (leaf.starmap([[11]]), [11]),
        (leaf.chunks([[12], [13], [14]], 2), [[12, 13], [14]]),
        (leaf.s(15).on_error(leaf.si("never")), 15),
        (f.nested.s(16), 16),
        (f.heir.s(17), [17, 18]),
        (group(leaf.s(i) for i in range(40)), [*range(40)]),
        (leaf.s(19), 19),
    ]


def flows(f: SimpleNamespace) -> Kinds:
    """Batches and workflows, and their entries."""
    leaf, total = f.leaf, f.total
    inner = Workflow("inner").add(leaf.s(5), name="x")
    flow = (
        Workflow("w")
        .add(leaf.s(4), name="a")
        .add(leaf.s(0) | leaf.s(), name="line")
        .add(group(leaf.s(1), leaf.s(2)), name="both")
        .add(Batch([leaf.s(3)], then=total.s()), name="many")
        .add(inner, name="inner")
        .add(leaf.s("never"), name="not", after="a", when="a > 100")
    )
    values = {"a": 4, "line": 0, "both": [1, 2], "many": [3], "inner": {"x": 5}, "not": None}
    return [
        (flow, values),
        (Batch([leaf.s(7), leaf.s(8)]), [7, 8]),
        (Batch(leaf.s(i) for i in range(30)), [*range(30)]),
        (Batch([leaf.s(9), f.fail.s()], on_failure="collect", then=total.s()), [9, None]),
        (Batch([]), []),
    ]


def mixed(f: SimpleNamespace) -> tuple[list[Any], list[Any]]:
    """All of them between plain calls, and their entries."""
    kinds = canvases(f) + flows(f) + canvases(f)[:3]
    return [kind for kind, _ in kinds], [value for _, value in kinds]


@pytest.mark.parametrize("how", ["sync", "async", "in_transaction", "spooled", "by spawn()"])
def test_each_child_is_one_entry_of_the_fan_in(
    app: Hammerflow, f: SimpleNamespace, how: str
) -> None:
    padding = 5_200 if how == "spooled" else 0
    children, expected = mixed(f)
    options: dict[str, Any] = {"then": f.total.s(), "max_spawn_count": 10_000}

    def all_children() -> Iterator[Any]:
        yield from children
        yield from (f.leaf.s(i) for i in range(padding))

    if how == "async":

        @app.spawner(name="parent", **options)
        async def parent() -> AsyncIterator[Any]:
            for child in all_children():
                yield child

    elif how == "by spawn()":

        @app.spawner(name="parent", **options)
        def parent() -> Any:
            for child in all_children():
                current_job().spawn(child)

    else:

        @app.spawner(name="parent", in_transaction=how == "in_transaction", **options)
        def parent() -> Any:
            yield from all_children()

    result = parent.delay()
    drain(app)
    result.wait(timeout=1)
    got = result.children()[-1].get(timeout=1)
    assert got == [*expected, *range(padding)]


def test_each_part_of_a_header_and_each_input_is_one_entry(
    app: Hammerflow, f: SimpleNamespace
) -> None:
    header, expected = zip(*canvases(f), strict=True)

    @app.task
    def gather() -> dict[str, Any]:
        inputs = current_job().inputs
        return {n: v if isinstance(v, dict | int) else [*v] for n, v in inputs.items()}

    nodes = canvases(f) + flows(f)
    flow = Workflow("all kinds")
    for number, (kind, _) in enumerate(nodes):
        flow.add(kind, name=f"n{number}")
    flow.add(gather.s(), name="gather", after=[f"n{n}" for n in range(len(nodes))])
    body, inputs = chord(header, f.total.s()).delay(), flow.enqueue()
    parts = group(header).delay()
    drain(app)
    assert body.get(timeout=1) == [*expected]
    assert parts.get(timeout=1) == [*expected]
    values = {f"n{number}": value for number, (_, value) in enumerate(nodes)}
    assert inputs.get(timeout=1) == values | {"gather": values}


def test_the_failure_of_any_child_skips_the_fan_in(app: Hammerflow, f: SimpleNamespace) -> None:
    makes: list[Any] = [
        f.fail.s,
        lambda: chain(f.leaf.s(1), f.fail.si()),
        lambda: group(f.leaf.s(1), f.fail.s()),
        lambda: chord([f.fail.s()], f.leaf.si(1)),
        lambda: Workflow("w").add(f.fail.s()),
        lambda: Batch([f.leaf.s(1), f.fail.s()]),
    ]

    @app.spawner(then=f.total.s())
    def parent(kind: int) -> Any:
        yield from (f.leaf.s(0), makes[kind](), f.leaf.s(2))

    results = [parent.delay(kind) for kind in range(len(makes))]
    drain(app)
    assert [r.children()[-1].state for r in results] == [JobState.SKIPPED] * len(makes)


def test_names_of_nodes_are_not_taken_for_parts_of_others(
    app: Hammerflow, f: SimpleNamespace
) -> None:
    flow = Workflow("names").add(f.leaf.s(1), name="v1").add(f.leaf.s(2), name="v1.2")
    flow.add(f.leaf.s(3), name="v1[0]").add(group(f.leaf.s(4)), name="v2.1").add(
        f.leaf.s(5) | f.leaf.s(), name="v2.2"
    )
    result = flow.enqueue()
    drain(app)
    assert result.get(timeout=1) == {"v1": 1, "v1.2": 2, "v1[0]": 3, "v2.1": [4], "v2.2": 5}
    clash = Workflow("clash").add(group(f.leaf.s(1)), name="x").add(f.leaf.s(2), name="x[0]")
    with pytest.raises(WorkflowInvalid, match=r"'x\[0\]' is that of a job of node 'x'"):
        clash.enqueue()


def test_a_child_may_wait_for_an_empty_sibling(app: Hammerflow, f: SimpleNamespace) -> None:
    @app.spawner(then=f.total.s())
    def parent() -> Any:
        empty = group([])
        yield empty
        yield f.leaf.s(1).depends_on(empty)

    result = parent.delay()
    drain(app)
    assert result.children()[-1].get(timeout=1) == [[], 1]


# -- results that are not stored


@pytest.mark.parametrize("where", ["declared", "per call"])
def test_a_result_that_is_not_stored_cannot_be_taken(
    app: Hammerflow, f: SimpleNamespace, where: str
) -> None:
    @app.task(store_result=where != "declared")
    def quiet(n: int = 0) -> int:
        return n

    def q() -> Signature:
        return quiet.si() if where == "declared" else quiet.options(store_result=False).si()

    work = [
        q() | f.total.s(),
        f.leaf.s(1) | q() | f.leaf.s(),
        chord([f.leaf.s(1), q()], f.total.s()),
        chord([chain(f.leaf.s(1), q())], f.total.s()),
        group(f.leaf.s(1), q()) | f.total.s(),
        app.batch([f.leaf.s(1), q()], then=f.total.s()),
        Workflow("w").add(q() | f.total.s()),
        Workflow("w").add(app.batch([q()], then=f.total.s())),
        Workflow("w").add(q(), name="a").add(f.leaf.s(1), after="a", when="a > 0"),
        Workflow("w").add(app.batch([q()]), name="a").then(f.leaf.s(1), when="size(a) > 0"),
    ]
    for one in work:
        with pytest.raises(WorkflowInvalid, match="not stored .store_result=False"):
            app.enqueue(one)
    with pytest.raises(WorkflowInvalid, match=r"leaf takes the result of .*quiet, which is not"):
        q().apply_async(link=f.leaf.s())
    assert not app.jobs()
    allowed = [q() | f.leaf.si(2), chord([q()], f.leaf.si(3)), app.batch([q()], then=f.leaf.si(4))]
    results = [app.enqueue(one) for one in [*allowed, q().on_error(f.leaf.s())]]
    drain(app)
    assert [results[0].get(timeout=1), results[1].get(timeout=1)] == [2, 3]
    assert results[3].get(timeout=1) is None


def test_a_spawner_and_inputs_refuse_a_result_that_is_not_stored(
    app: Hammerflow, f: SimpleNamespace
) -> None:
    quiet = f.leaf.options(store_result=False)

    @app.spawner(name="takes", then=f.total.s(), max_attempts=1)
    def takes(kind: str) -> Any:
        yield f.leaf.s(0)
        yield quiet.s(1) if kind == "call" else chain(f.leaf.s(1), quiet.s())

    @app.spawner(name="leaves", then=f.total.si("then"))
    def leaves() -> Any:
        yield from (quiet.s(1), f.leaf.s(1) | quiet.s())

    @app.task(max_attempts=1)
    def reads() -> Any:
        return current_job().inputs["a"]

    flow = Workflow("w").add(quiet.s(1), name="a").then(f.leaf.s(2), name="b")
    results = [takes.delay("call"), takes.delay("chain"), flow.then(reads.s(), name="c").enqueue()]
    left, ordered = (
        leaves.delay(),
        Workflow("x").add(quiet.s(1), name="a").then(reads.s()).enqueue(),
    )
    drain(app)
    for result in results[:2]:
        with pytest.raises(JobFailed, match="total takes the results of all children, and that of"):
            result.get(timeout=1)
        assert not result.children()
    with pytest.raises(JobFailed, match="this job depends on b"):
        results[2].get(timeout=1)
    with pytest.raises(JobFailed, match="'a': its result is not stored"):
        ordered.get(timeout=1)
    assert left.children()[-1].get(timeout=1) == "then"


def test_a_call_that_replaces_a_job_gives_its_result(app: Hammerflow, f: SimpleNamespace) -> None:
    @app.task(store_result=False)
    def quiet(n: Any) -> Any:
        return n

    @app.task
    def replaced(how: str) -> None:
        with_group = chord([f.leaf.s(1)], quiet.s())
        by = {"call": quiet.s(1), "chain": f.leaf.s(1) | quiet.s(), "chord": with_group}
        current_job().replace(by[how])

    results = [(replaced.s(how) | f.total.s()).delay() for how in ("call", "chain", "chord")]
    unstored = replaced.options(store_result=False).delay("call")
    drain(app)
    assert [r.get(timeout=1) for r in results] == [1, 1, [1]]
    assert unstored.get(timeout=1) is None


@pytest.mark.parametrize("batch_size", [None, 1])
def test_a_sibling_that_a_child_names_twice_is_waited_for_once(
    app: Hammerflow, batch_size: int | None
) -> None:
    @app.task
    def leaf(n: int) -> int:
        return n

    @app.spawner(max_attempts=1, batch_size=batch_size)
    def spawn() -> Iterator[Signature]:
        first = leaf.s(1)
        yield first
        yield leaf.s(2).depends_on(first, first)

    result = spawn.delay()
    drain(app)
    assert [child.get(timeout=5) for child in result.children()] == [1, 2]
