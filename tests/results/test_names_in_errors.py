"""Errors of results name the job and its task, and leave the other results readable."""

from __future__ import annotations

import asyncio
import copy
import pickle
import re
from collections.abc import Callable
from dataclasses import dataclass, make_dataclass
from typing import Any

import pytest

from hammerflow import Hammerflow, JobFailed, NotDecodable, Workflow, chain, chord, group
from hammerflow.testing import drain


@dataclass
class Order:
    number: int


@pytest.fixture
def t(app: Hammerflow) -> Any:
    class Tasks:
        @staticmethod
        @app.task(name="shop.add")
        def add(*numbers: Any) -> int:
            return 1

        @staticmethod
        @app.task(name="shop.order")
        def order(*args: Any) -> Any:
            return Order(7)

        @staticmethod
        @app.task(name="shop.pay", max_attempts=1)
        def pay(*args: Any) -> None:
            raise ValueError("no money")

    return Tasks


def flow(app: Hammerflow, *jobs: Any) -> Any:
    workflow = Workflow("w", submit=app.enqueue)
    for number, job in enumerate(jobs):
        workflow.add(job, name=f"node{number}")
    return workflow


SHAPES: dict[str, Callable[[Hammerflow, Any], Any]] = {
    "job": lambda app, bad: bad(),
    "chain that ends with it": lambda app, bad: chain(bad(), bad()),
    "group": lambda app, bad: group(bad()),
    "group in a group": lambda app, bad: group(group(bad())),
    "batch": lambda app, bad: app.batch([bad()], on_failure="fail_fast"),
    "workflow": lambda app, bad: flow(app, bad()),
    "batch in a workflow": lambda app, bad: flow(app, app.batch([bad()], on_failure="fail_fast")),
}


@pytest.mark.parametrize("shape", [*SHAPES, "chain", "chord header", "chord body"])
def test_a_failure_names_the_job_and_its_task(app: Hammerflow, t: Any, shape: str) -> None:
    more = {
        "chain": lambda app, bad: chain(bad(), t.add.s(), t.add.s()),
        "chord header": lambda app, bad: chord([t.add.s(), bad()], t.add.s()),
        "chord body": lambda app, bad: chord([t.add.s()], bad()),
    }
    result = app.enqueue({**SHAPES, **more}[shape](app, t.pay.s))
    drain(app)

    with pytest.raises(JobFailed, match="no money") as caught:
        result.get(timeout=0)
    with pytest.raises(JobFailed) as awaited:
        asyncio.run(result.aget(timeout=10))

    failed = app.jobs(state="failed", task="shop.pay")[-1]
    error = caught.value
    assert (error.job_id, error.task) == (failed.id, "shop.pay")
    assert "shop.pay" in str(error) and str(failed.id) in str(error)
    assert str(awaited.value) == str(error)
    for other in (pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error)):
        assert (str(other), other.__dict__) == (str(error), error.__dict__)


READERS: dict[str, Callable[[Any], Any]] = {
    "get": lambda result: result.get(timeout=0),
    "aget": lambda result: asyncio.run(result.aget(timeout=10)),
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("change", ["missing", "changed"])
def test_a_result_that_cannot_be_made_again_is_named(
    app: Hammerflow, t: Any, shape: str, change: str
) -> None:
    app.codec.register(Order)
    result = app.enqueue(SHAPES[shape](app, t.order.s))
    drain(app)
    reader = Hammerflow("shop", database=app.settings.database)
    if change == "changed":
        reader.codec.register(make_dataclass("Order", ["number", "customer"]), "Order")
    result = _of(reader, result)

    for read in READERS.values():
        with pytest.raises(NotDecodable, match=r"job .* of task shop\.order .*Order") as caught:
            read(result)
        assert any(str(job.id) in str(caught.value) for job in app.jobs())
    reader.close()


def test_the_other_results_stay_readable(app: Hammerflow, t: Any) -> None:
    app.codec.register(Order)
    calls = [t.add.s(), t.order.s(), t.pay.s()]
    found = [
        app.enqueue(group(calls)),
        app.batch(calls).enqueue(),
        flow(app, *calls).enqueue(),
        flow(app, group(calls)).enqueue(),
        flow(app, app.batch(calls)).enqueue(),
    ]
    drain(app)
    reader = Hammerflow("shop", database=app.settings.database)

    for result in (_of(reader, one) for one in found):
        for values in (
            result.get(timeout=0, propagate=False),
            asyncio.run(result.aget(timeout=10, propagate=False)),
        ):
            first, second, third = _flat(values)
            assert first == 1
            assert isinstance(second, NotDecodable), second
            assert isinstance(third, JobFailed), third
    reader.close()


def _flat(values: Any) -> list[Any]:
    if isinstance(values, dict):
        values = [*values.values()]
    return _flat(values[0]) if len(values) == 1 else list(values)


def _of(app: Hammerflow, result: Any) -> Any:
    """The same handle in another process."""
    found = copy.copy(result)
    if hasattr(found, "results"):
        return type(found)([_of(app, r) for r in found.results], _of(app, found.workflow))
    found._backend = app
    return found


def test_the_children_of_a_job_are_read_one_by_one(app: Hammerflow, t: Any) -> None:
    app.codec.register(Order)

    @app.spawner(name="shop.many")
    def many() -> Any:
        yield t.add.s()
        yield t.order.s()

    parent = many.delay()
    drain(app)
    reader = Hammerflow("shop", database=app.settings.database)
    first, second = reader.result(parent.id).children()

    assert first.get(timeout=0) == 1
    with pytest.raises(NotDecodable, match=rf"job {second.id} of task shop\.order .*Order"):
        second.get(timeout=0)
    reader.close()


@pytest.mark.parametrize("shape", ["chain", "chord", "fan-in", "workflow"])
def test_a_job_that_cannot_read_its_input_names_the_job_it_comes_from(
    app: Hammerflow, t: Any, shape: str
) -> None:
    app.codec.register(Order)
    late = t.add.s().set(queue="late")

    @app.spawner(name="shop.many", then=late)
    def many() -> Any:
        yield t.order.s()
        yield t.order.s()

    shapes: dict[str, Any] = {
        "chain": chain(t.order.s(), late),
        "chord": chord([t.order.s(), t.order.s()], late),
        "fan-in": many.s(),
        "workflow": flow(app, t.order.s() | late),
    }
    app.enqueue(shapes[shape])
    drain(app, queues=["default"])
    other = Hammerflow("shop", database=app.settings.database)
    other.task(name="shop.add")(lambda *numbers: 1)
    drain(other, queues=["late"])

    (parked,) = app.jobs(state="parked")
    message = app.job(parked.id).errors[-1].message
    assert re.search(r"job .* of task shop\.order .*Order", message), message
    assert any(str(job.id) in message for job in app.jobs(task="shop.order"))
    other.close()


def test_an_errback_is_told_which_job_has_failed(app: Hammerflow, t: Any) -> None:
    told: list[str] = []

    @app.task(name="shop.tell")
    def tell(request: Any, error: JobFailed, traceback: str) -> None:
        told.append(f"{error} {error.job_id} {error.task}")

    canvas = t.pay.s()
    canvas.link_error(tell.s())
    app.enqueue(canvas)
    drain(app)

    (failed,) = app.jobs(state="failed")
    assert f"{failed.id} shop.pay" in told[0] and f"job {failed.id})" in told[0]


def test_handles_are_pickled_and_copied_by_their_ids(app: Hammerflow, t: Any) -> None:
    single = app.enqueue(t.add.s())
    batch = app.batch([t.add.s()]).enqueue()
    whole = app.enqueue(group(t.add.s(), t.add.s()))
    many = app.enqueue_many([t.add.s()])
    drain(app)

    for make in (copy.copy, copy.deepcopy, lambda handle: pickle.loads(pickle.dumps(handle))):
        assert make(single) == single and make(single).get(timeout=0) == 1
        assert make(batch) == batch and make(batch).get(timeout=0) == [1]
        assert make(whole).id == whole.id and make(whole).get(timeout=0) == [1, 1]
        assert make(many)[0] == many[0]
