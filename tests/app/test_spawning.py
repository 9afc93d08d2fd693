"""Spawning on every database: handlers, limits, dependencies among children, and whole canvases."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from hammerflow import (
    ConfigError,
    Hammerflow,
    JobFailed,
    JobState,
    Signature,
    SpawnConfig,
    SpawnContext,
    Workflow,
    WorkflowStatus,
    chain,
    chord,
    constant,
    current_job,
    group,
)
from hammerflow.testing import drain


@pytest.fixture
def s(app: Hammerflow, seen: list[Any]) -> SimpleNamespace:
    """A child that notes that it ran, and a fan-in."""

    @app.task
    def leaf(n: Any) -> Any:
        seen.append(n)
        return n

    @app.task
    def total(values: list[Any]) -> list[Any]:
        seen.append("total")
        return values

    @app.task(max_attempts=1)
    def fail() -> None:
        raise ValueError("a child that fails")

    return SimpleNamespace(leaf=leaf, total=total, fail=fail)


Make = Callable[..., Any]


@pytest.fixture
def spawner(app: Hammerflow) -> Callable[..., Any]:
    """Makes a spawner of a function that gives children."""

    def make(children: Make, **options: Any) -> Any:
        @app.spawner(name=f"spawner.{len(app.tasks)}", **options)
        def parent(*args: Any) -> Any:
            yield from children(*args)

        return parent

    return make


# -- handlers and configurations -------------------------------------------------------------------


def test_a_handler_gives_the_children_of_an_ordinary_task(
    app: Hammerflow, s: SimpleNamespace, seen: list[Any]
) -> None:
    contexts: list[SpawnContext] = []

    @app.spawn_handler("data_processor")
    def process(context: SpawnContext) -> Iterator[Signature]:
        contexts.append(context)
        for i in range(context.result["batches"]):
            yield s.leaf.s([context.args[0], i])

    @app.spawn_handler("listed")
    def listed(context: SpawnContext) -> list[Signature]:
        return [s.leaf.s("listed")]

    @app.spawn_handler("nothing")
    def nothing(context: SpawnContext) -> None: ...

    @app.task
    def dataset(path: str, size: int) -> dict[str, int]:
        return {"batches": size // 1000}

    config = SpawnConfig(handler="data_processor", operation_id="op-1", metadata={"k": 1})
    result = dataset.apply_async(("a.csv", 3000), spawn=config)
    by_options = dataset.options(spawn=SpawnConfig(handler="listed")).delay("b", 0)
    by_signature = dataset.s("c", 0).set(spawn=SpawnConfig(handler="nothing")).delay()
    drain(app)
    assert result.get(timeout=1) == {"batches": 3}
    assert [c.get(timeout=1) for c in result.children()] == [["a.csv", i] for i in range(3)]
    assert (contexts[0].job_id, contexts[0].config, contexts[0].depth) == (result.id, config, 0)
    assert [c.get(timeout=1) for c in by_options.children()] == ["listed"]
    assert by_signature.children() == []
    operation = app.store.jobs.spawn(result.id.bytes)
    assert operation is not None
    assert (operation["handler"], operation["operation_id"]) == ("data_processor", "op-1")
    assert operation["spawned"] == 3


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize("value", [[], (), {}, "", None, 0])
def test_an_ordinary_task_with_a_configuration_keeps_an_empty_result(
    app: Hammerflow, is_async: bool, value: Any
) -> None:
    def empty() -> Any:
        return value

    async def empty_async() -> Any:
        return value

    task = app.task(name="empty")(empty_async if is_async else empty)
    result = task.apply_async((), spawn=SpawnConfig(operation_id="op"))
    drain(app)
    assert result.get(timeout=1) == value
    assert result.children() == []


def test_a_handler_has_one_name(app: Hammerflow) -> None:
    @app.spawn_handler("h")
    def one(context: SpawnContext) -> None: ...

    with pytest.raises(ConfigError, match="handler name 'h'"):

        @app.spawn_handler("h")
        def two(context: SpawnContext) -> None: ...

    with pytest.raises(ConfigError, match="a spawn handler's name"):
        app.spawn_handler("")


@pytest.mark.parametrize("place", ["kwargs", "payload"])
def test_another_system_may_put_a_configuration_into_the_arguments(
    app: Hammerflow, s: SimpleNamespace, place: str
) -> None:
    @app.spawn_handler("split")
    def split(context: SpawnContext) -> Iterator[Signature]:
        for i in range(context.config.max_spawn_count):
            yield s.leaf.s(i)

    @app.task
    def large(payload: dict[str, Any]) -> list[str]:
        return sorted(payload)

    config = {
        "handler": "split", "max_spawn_count": 2, "operation_id": "op-dataset-123",
        "inherit_priority": True, "spawn_delay_ms": 200,
    }  # fmt: skip
    payload: dict[str, Any] = {"dataset_id": "ds-123"}
    if place == "payload":
        signature = app.signature(large.name, (payload | {"_spawn_config": config},))
    else:
        signature = Signature(large.name, (payload,), {"_spawn_config": config})
    other_process = Hammerflow("other", database=app.settings.database)
    result = app.result(other_process.enqueue(signature).id)
    other_process.close()
    drain(app)
    assert result.get(timeout=1) == ["dataset_id"]
    first, second = result.children()
    assert first.get(timeout=1) == 0
    assert second.state in (JobState.SCHEDULED, JobState.COMPLETED)
    operation = app.store.jobs.spawn(result.id.bytes)
    assert operation is not None
    assert (operation["operation_id"], operation["spawned"]) == ("op-dataset-123", 2)


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        ("text", "_spawn_config must be a mapping, not 'text'"),
        ({"handler": 3}, "_spawn_config: handler must be a text of up to 1000 characters, not 3"),
        ({"handler": "nobody"}, "no spawn handler named 'nobody' .*registered: split"),
        ({"max_spawn": 3}, "_spawn_config has no option 'max_spawn': did you mean max_spawn_count"),
        ({"max_spawn_count": "many"}, "max_spawn_count must be a whole number"),
        ({"spawn_delay_ms": -1}, "spawn_delay_ms must be a duration"),
        ({"inherit_queue": "yes"}, "inherit_queue must be true or false"),
        ({"batch_size": 0}, "batch_size must be a whole number from 1"),
        ({"metadata": [1]}, "metadata must be a mapping"),
        ({"handler": "split", "max_spawn_count": 1}, "more than max_spawn_count=1"),
    ],
)
def test_a_malformed_configuration_fails_the_attempt(
    app: Hammerflow, s: SimpleNamespace, config: Any, sentence: str
) -> None:
    @app.spawn_handler("split")
    def split(context: SpawnContext) -> Iterator[Signature]:
        yield from (s.leaf.s(i) for i in range(3))

    @app.task(max_attempts=1)
    def large(payload: dict[str, Any]) -> None: ...

    result = large.delay({"_spawn_config": config})
    drain(app)
    with pytest.raises(JobFailed, match=sentence) as caught:
        result.get(timeout=1)
    assert caught.value.error_type == "hammerflow.errors.SpawnInvalid"
    assert len(app.jobs()) == 1


def test_what_a_run_did_is_recorded_also_when_it_failed(
    app: Hammerflow, s: SimpleNamespace, spawner: Make
) -> None:
    def children(fails: bool) -> Iterator[Signature]:
        yield s.leaf.s(1)
        if fails and current_job().attempt < 3:
            raise ConnectionError("the bucket is gone")
        yield s.leaf.s(2)

    parent = spawner(children, backoff=constant(0), metadata={"bucket": "b"})
    result = parent.delay(True)
    drain(app)
    assert len(result.children()) == 2
    operations = app.store.spawns.operations()
    assert [o.spawned for o in operations] == [2, 0, 0]
    assert [o.requested for o in operations] == [2, 1, 1]
    assert operations[0].error is None
    assert "the bucket is gone" in str(operations[1].error)
    assert operations[2].metadata == {"bucket": "b"}


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"then": 3}, ConfigError),
        ({"batch_size": 0}, ConfigError),
        ({"max_spawn_count": -1}, ConfigError),
        ({"spawn_delay": -1}, ConfigError),
        ({"nonsense": 1}, TypeError),
    ],
)
def test_a_wrong_option_is_refused_when_it_is_declared(
    spawner: Make, options: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        spawner(lambda: (), **options)


def test_a_fan_in_is_one_plain_signature(s: SimpleNamespace, spawner: Make) -> None:
    for then in (s.total.s() | s.leaf.s(), group(s.total.s())):
        with pytest.raises(ConfigError, match="then must be a signature"):
            spawner(lambda: (), then=then)
    with pytest.raises(ConfigError, match="links"):
        spawner(lambda: (), then=s.total.s().on_error(s.leaf.s()))


# -- batch_size ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("size", "count"), [(1, 5), (3, 10), (20, 5)])
def test_no_more_than_a_batch_of_children_at_a_time(
    app: Hammerflow, s: SimpleNamespace, spawner: Make, seen: list[Any], size: int, count: int
) -> None:
    def children() -> Iterator[Signature]:
        yield from (s.leaf.s(i) if i != 2 else s.fail.s() for i in range(count))

    parent = spawner(children, batch_size=size)
    parent.delay()
    drain(app, limit=1)
    while ready := len(app.jobs(state="ready")):
        assert ready <= size
        drain(app, limit=1)
    assert sorted(seen) == [i for i in range(count) if i != 2]
    assert not app.jobs(state="waiting")


@pytest.mark.parametrize("size", [1, 2, 3])
def test_a_canvas_is_one_child_of_a_batch_of_children(
    app: Hammerflow, s: SimpleNamespace, spawner: Make, seen: list[Any], size: int
) -> None:
    def children() -> Iterator[Any]:
        yield chain(s.leaf.s("a1"), s.leaf.si("a2"))
        yield s.leaf.s("b1")
        yield chain(s.fail.s(), s.leaf.si("never"))
        yield group(s.leaf.s("d1"), s.leaf.s("d2"))
        yield Workflow("w").add(s.leaf.s("e1")).then(s.leaf.s("e2"))
        yield app.batch([s.leaf.s("f1"), s.leaf.s("f2")])
        yield group([])
        yield chord([s.leaf.s("h1")], s.leaf.si("h2")) | s.leaf.si("h3")

    spawner(children, batch_size=size).delay()
    drain(app)
    names = ["a1", "a2", "b1", "d1", "d2", "e1", "e2", "f1", "f2", "h1", "h2", "h3"]
    assert sorted(seen) == names
    for name in names:  # child n starts after the end of child n - size
        before = chr(ord(name[0]) - size)
        ends = [seen.index(other) for other in names if other[0] == before]
        assert seen.index(name) > max(ends, default=-1), seen
    assert not app.jobs(state="waiting")


# -- dependencies ----------------------------------------------------------------------------------


def test_children_may_depend_on_each_other_and_on_their_parent(
    app: Hammerflow, s: SimpleNamespace, spawner: Make, seen: list[Any]
) -> None:
    def children() -> Iterator[Signature]:
        first = s.leaf.s("extract").depends_on(current_job().id)
        second = s.leaf.s("transform").depends_on(first)
        yield from (first, second, s.leaf.s("load").depends_on(second, current_job().id))

    result = spawner(children, then=s.total.s()).delay()
    drain(app)
    assert seen == ["extract", "transform", "load", "total"]
    assert result.children()[-1].get(timeout=1) == ["extract", "transform", "load"]


def test_children_may_depend_on_canvases_and_on_jobs_elsewhere(
    app: Hammerflow, s: SimpleNamespace, spawner: Make, seen: list[Any]
) -> None:
    outside = s.leaf.apply_async(("outside",), countdown=0)

    def children() -> Iterator[Any]:
        line = s.leaf.s("a") | s.leaf.si("b")
        flow = Workflow("w").add(s.leaf.s("c"))
        yield from (line, flow)
        yield s.leaf.s("last").depends_on(line, flow, outside)
        inner = s.leaf.s("d")
        yield inner.depends_on(current_job().id) | s.leaf.si("e")

    spawner(children).delay()
    drain(app)
    assert seen.index("last") > max(map(seen.index, ["a", "b", "c", "outside"]))
    assert {"d", "e"} < set(seen)


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda s: s.leaf.s(1).depends_on(s.leaf.s(2)), "was not spawned before it"),
        (lambda s: s.leaf.s(1).depends_on("name"), "cannot depend on 'name'"),
        (lambda s: s.leaf.s(), r"leaf\(\)"),
        (lambda s: s.leaf.s(1) | s.leaf.s(1), r"leaf\(\)"),
        (lambda s: chord([s.leaf.s(1)]), "needs a body"),
        (lambda s: Workflow("x"), "has no nodes"),
        (lambda s: 3, "not int"),
        (lambda s: s.leaf, "not Task"),
    ],
)
def test_a_wrong_child_fails_the_attempt_with_nothing_inserted(
    app: Hammerflow, s: SimpleNamespace, spawner: Make, make: Any, sentence: str
) -> None:
    result = spawner(lambda: iter([s.leaf.s(0), make(s)]), max_attempts=1).delay()
    drain(app)
    with pytest.raises(JobFailed, match=sentence):
        result.get(timeout=1)
    assert len(app.jobs()) == 1


# -- canvases as children --------------------------------------------------------------------------


def several(app: Hammerflow, s: SimpleNamespace) -> Iterator[Any]:
    """One of each kind."""
    yield chain(s.leaf.s(1), s.leaf.si(2))
    yield group(s.leaf.s(3), s.leaf.s(4))
    yield chord([s.leaf.s(5), s.leaf.s(6)], s.leaf.s())
    yield Workflow("inner").add(s.leaf.s(7)).then(s.leaf.s(8))
    yield app.batch([s.leaf.s(9), s.leaf.s(10)], then=s.leaf.s())
    yield s.leaf.s(11).on_error(s.leaf.si("never"))
    yield group([])
    yield app.batch([])
    yield s.leaf.s(12)


@pytest.mark.parametrize("has_then", [False, True])
def test_a_spawner_yields_whole_canvases(
    app: Hammerflow, s: SimpleNamespace, spawner: Make, seen: list[Any], has_then: bool
) -> None:
    options = {"then": s.total.si([])} if has_then else {}
    result = spawner(lambda: several(app, s), **options).delay()
    drain(app)
    numbers = [n for n in seen if isinstance(n, int)]
    assert sorted(numbers) == [*range(1, 13)]
    assert [5, 6] in seen
    assert [9, 10] in seen
    assert (seen[-1] == "total") is has_then
    assert all(job.state.is_final for job in app.jobs())
    assert {flow.row().state.status for flow in app.workflows()} == {WorkflowStatus.COMPLETED}
    depths = {child.job().depth for child in result.children()}
    assert depths == {1}


def test_a_canvas_that_fails_keeps_the_fan_in_from_running(
    app: Hammerflow, s: SimpleNamespace, spawner: Make, seen: list[Any]
) -> None:
    result = spawner(lambda: iter([s.fail.s() | s.leaf.si(1)]), then=s.total.s()).delay()
    drain(app)
    assert result.children()[-1].state is JobState.SKIPPED
    assert seen == []


def test_an_ordinary_body_spawns_canvases_too(
    app: Hammerflow, s: SimpleNamespace, seen: list[Any]
) -> None:
    ids: list[Any] = []

    @app.task
    def parent() -> None:
        ids.append(current_job().spawn(s.leaf.s(1) | s.leaf.si(2)))
        ids.append(current_job().spawn(s.leaf.s(3)))

    parent.delay()
    drain(app)
    assert seen in ([1, 3, 2], [3, 1, 2], [1, 2, 3])
    assert app.workflow_result(ids[0]).status() is WorkflowStatus.COMPLETED
    assert app.job(ids[1]).state is JobState.COMPLETED


# -- in workflows ----------------------------------------------------------------------------------


@pytest.mark.parametrize("has_then", [False, True])
@pytest.mark.parametrize("wait_for_children", [False, True])
def test_children_hold_up_the_end_of_their_workflow_and_with_graft_what_follows(
    app: Hammerflow,
    s: SimpleNamespace,
    spawner: Make,
    seen: list[Any],
    wait_for_children: bool,
    has_then: bool,
) -> None:
    def children() -> Iterator[Any]:
        yield s.leaf.s(1).set(delay=600)
        yield s.leaf.s(2) | s.leaf.si(3)

    options = {"then": s.total.si([])} if has_then else {}
    parent = spawner(children, **options)
    flow = (
        Workflow("x")
        .add(parent.s(), name="parent", wait_for_children=wait_for_children)
        .then(s.leaf.s("after"))
    )
    result = flow.enqueue()
    drain(app)
    assert ("after" in seen) is not wait_for_children
    assert result.status() is WorkflowStatus.RUNNING
    [late] = app.jobs(state="scheduled")
    app.result(late.id).cancel()
    drain(app)
    assert result.status() is WorkflowStatus.FAILED
    assert result.stats().pending == 0


def test_a_grafted_spawner_feeds_what_follows_after_its_children(
    app: Hammerflow, s: SimpleNamespace, spawner: Make, seen: list[Any]
) -> None:
    parent = spawner(lambda: several(app, s))
    flow = (
        Workflow("x")
        .add(s.leaf.s("before"))
        .then(parent.s(), wait_for_children=True, name="parent")
    )
    empty = spawner(lambda: iter([]))
    flow.then(empty.s(), wait_for_children=True, name="empty").then(s.leaf.s("after"))
    result = flow.enqueue()
    drain(app)
    assert (seen[0], seen[-1]) == ("before", "after")
    assert result.status() is WorkflowStatus.COMPLETED
    assert result.stats().total > 12


# -- large and transactional -----------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("has_then", [False, True])
def test_more_children_than_travel_with_their_parent_depend_on_each_other(
    app: Hammerflow, s: SimpleNamespace, spawner: Make, has_then: bool
) -> None:
    ran: list[int] = []

    @app.task
    def link(n: int) -> int:
        ran.append(n)
        return n

    def children() -> Iterator[Any]:
        early: list[Signature] = []
        for n in range(5_200):
            child = link.s(n)
            if n % 100 == 50:
                child.depends_on(early[0] if n > 5_000 else early[-1], current_job().id)
            early.append(child)
            yield child
        yield link.s(6_000) | link.si(6_001)
        yield app.batch([])

    options = {"then": link.si(-1)} if has_then else {}
    parent = spawner(children, max_spawn_count=6_000, batch_size=None, **options)
    result = Workflow("large").add(parent.s(), name="parent").enqueue()
    drain(app)
    assert result.status() is WorkflowStatus.COMPLETED
    assert sorted(ran) == [*([-1] if has_then else []), *range(5_200), 6_000, 6_001]
    assert all(ran.index(n) > ran.index(n - 1) for n in range(50, 5_000, 100))
    if has_then:
        assert ran[-1] == -1


def test_a_spawner_in_a_transaction_brings_its_writes_and_its_children(
    app: Hammerflow, s: SimpleNamespace, spawner: Make, seen: list[Any]
) -> None:
    with app.transaction() as tx:
        tx.execute("CREATE TABLE albums (id INTEGER)")

    def children(fails: bool) -> Iterator[Any]:
        cursor = current_job().connection.cursor()
        cursor.execute("INSERT INTO albums VALUES (1)")
        yield s.leaf.s(1)
        yield s.leaf.s(2) | s.leaf.si(3)
        if fails:
            raise ValueError("no")

    parent = spawner(children, in_transaction=True, max_attempts=1, then=s.total.si([]))
    good, bad = parent.delay(False), parent.delay(True)
    drain(app)
    assert (good.state, bad.state) == (JobState.COMPLETED, JobState.FAILED)
    assert seen[-1] == "total"
    assert sorted(n for n in seen if n != "total") == [1, 2, 3]
    with app.transaction() as tx:
        assert len(tx.execute("SELECT id FROM albums").fetchall()) == 1
