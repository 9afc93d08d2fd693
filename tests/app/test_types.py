"""Values through arguments and results on every database: what goes in comes out."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import Any

import pytest

from hammerflow import Hammerflow, JobState, chain
from hammerflow.testing import drain
from tests.codec.exact import exactly
from tests.codec.table import KEPT

EVERYTHING = [value for row in KEPT for value in row.values]


class Size(enum.Enum):
    SMALL = 1


@dataclass
class Order:
    number: int
    size: Size = Size.SMALL
    history: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.history.append(len(self.history) + 1)


@pytest.mark.parametrize("serializer", ["msgpack", "json"])
def test_every_type_of_the_table_travels(app: Hammerflow, serializer: str) -> None:
    seen: list[Any] = []

    @app.task(serializer=serializer)
    def echo(values: Any, *, named: Any) -> Any:
        seen.append((values, named))
        return values

    @app.task(serializer=serializer)
    async def echo_async(values: Any, *, named: Any) -> Any:
        seen.append((values, named))
        return values

    results = [task.delay(EVERYTHING, named=EVERYTHING) for task in (echo, echo_async)]
    drain(app)
    assert [exactly(result.get(timeout=5)) for result in results] == [exactly(EVERYTHING)] * 2
    assert exactly(seen) == exactly([(EVERYTHING, EVERYTHING)] * 2)


def test_an_annotated_class_travels_along_a_chain_and_is_never_constructed_again(
    app: Hammerflow,
) -> None:
    @app.task
    def first(order: Order) -> Order:
        return order

    @app.task
    async def second(order: Order, size: Size | None = None) -> list[Order]:
        return [order]

    result = app.enqueue(chain(first.s(Order(7)), second.s(size=Size.SMALL)))
    drain(app)
    (back,) = result.get(timeout=5)
    assert (back.number, back.size, back.history) == (7, Size.SMALL, [1])


def test_a_condition_reads_a_result_with_a_class_that_it_does_not_know(app: Hammerflow) -> None:
    @app.task
    def check() -> Any:
        return {"status": "ok", "order": Order(7)}

    @app.task
    def ship(order: Order | None = None) -> str:
        return "shipped"

    flow = app.workflow("w").add(check.s(), name="check")
    flow.add(ship.si(), name="ship", after="check", when="check.status == 'ok'")
    flow.add(ship.si(), name="big", after="check", when="check.order.number > 9")
    result = flow.enqueue()
    drain(app)
    found = result.get(timeout=5)
    assert (found["ship"], found["big"]) == ("shipped", None)


def test_a_worker_without_the_class_parks_the_job_with_a_sentence(
    app: Hammerflow, migrated_url: str
) -> None:
    def task(order: Any) -> Any:
        return order

    app.task(task, name="task")
    app.codec.register(Order)
    older = Hammerflow("older", database=migrated_url)
    older.task(task, name="task")
    older.codec.register(Size, "Order")
    result = app.tasks["task"].delay([Order(1)])
    drain(older)
    older.close()
    job = result.job()
    assert job.state is JobState.PARKED
    assert job.errors[-1].message.startswith("args[0][0]: there is no object named 'Order' in this")
