"""Async generators with a transaction: whoever iterates over them is outside it."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import threading
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from hammerflow import Hammerflow
from hammerflow.testing import drain
from tests.support.waiting import until

Rows = Callable[[], AsyncIterator[int]]
INSIDE, OUTSIDE = -1, 1


@pytest.fixture(params=["its own", "of a context manager"])
def rows(request: pytest.FixtureRequest, app: Hammerflow, note: Any) -> Rows:
    """An async generator that enqueues in its transaction and yields twice."""

    @contextlib.asynccontextmanager
    async def managed() -> AsyncIterator[None]:
        async with app.transaction():
            yield

    async def made() -> AsyncIterator[int]:
        async with app.transaction() if request.param == "its own" else managed():
            await note.adelay(INSIDE)
            yield 1
            await note.adelay(INSIDE)
            yield 2

    return made


def ran(app: Hammerflow, main: Callable[[], Any]) -> list[Any]:
    """Run it, and then the jobs that were committed: their arguments. Nothing complains."""

    async def watched() -> None:
        asyncio.get_running_loop().set_exception_handler(
            lambda _, context: complaints.append(str(context.get("exception")))
        )
        await main()

    complaints: list[str] = []
    asyncio.run(watched())
    drain(app)
    # Python closes all generators of a cycle at once, though one of them closes the others, too
    assert [text for text in complaints if "is already running" not in text] == []
    until("the connections are back", lambda: not _threads_of_transactions())
    return [app.result(job.id).get(timeout=5) for job in reversed(app.jobs(limit=100))]


def _threads_of_transactions() -> list[str]:
    return [t.name for t in threading.enumerate() if t.name == "hammerflow-tx"]


async def _left_by_break(rows: Rows) -> None:
    async for _ in rows():
        break


async def _left_after_one(rows: Rows) -> None:
    generator = rows()
    await anext(generator)
    del generator
    gc.collect()


async def _left_in_a_cycle(rows: Rows) -> None:
    cycle: list[Any] = [rows()]
    cycle.append(cycle)
    await anext(cycle[0])
    del cycle
    gc.collect()


async def _closed(rows: Rows) -> None:
    generator: Any = rows()
    await anext(generator)
    await generator.aclose()


async def _closed_in_another_task(rows: Rows) -> None:
    generator: Any = rows()
    await anext(generator)
    await asyncio.create_task(generator.aclose())


@pytest.mark.parametrize(
    "leave",
    [_left_by_break, _left_after_one, _left_in_a_cycle, _closed, _closed_in_another_task],
)
def test_a_left_generator_is_rolled_back_and_later_calls_are_outside(
    app: Hammerflow, note: Any, rows: Rows, leave: Callable[[Rows], Any]
) -> None:
    async def main() -> None:
        await leave(rows)
        await note.adelay(OUTSIDE)
        async with app.transaction():
            await note.adelay(OUTSIDE)
        await leave(rows)
        async with app.transaction() as tx:  # at once
            await tx.execute("INSERT INTO marker VALUES (1)")
            await note.adelay(OUTSIDE)
        await asyncio.create_task(note.adelay(OUTSIDE))
        await note.adelay(OUTSIDE)
        assert app.open_transaction.get() is None

    assert ran(app, main) == [OUTSIDE] * 5
    with app.transaction() as tx:
        assert tx.execute("SELECT count(*) FROM marker").fetchone()[0] == 1


def test_a_generator_that_ends_commits(app: Hammerflow, note: Any, rows: Rows) -> None:
    async def main() -> None:
        assert [item async for item in rows()] == [1, 2]
        await note.adelay(OUTSIDE)

    assert sorted(ran(app, main)) == [INSIDE, INSIDE, OUTSIDE]


def test_between_two_items_the_consumer_is_outside(app: Hammerflow, note: Any, rows: Rows) -> None:
    async def main() -> None:
        generator: Any = rows()
        await anext(generator)
        assert app.store.database.dialect.one_writer or await note.adelay(OUTSIDE)
        await generator.aclose()

    wanted = [] if app.store.database.dialect.one_writer else [OUTSIDE]
    assert ran(app, main) == wanted


def test_who_uses_a_context_manager_is_inside(app: Hammerflow, note: Any) -> None:
    @contextlib.asynccontextmanager
    async def unit() -> AsyncIterator[None]:
        async with app.transaction():
            yield

    async def main() -> None:
        with contextlib.suppress(ZeroDivisionError):
            async with unit():
                await note.adelay(INSIDE)
                note.delay(INSIDE)
                raise ZeroDivisionError
        async with unit(), contextlib.AsyncExitStack() as stack:
            await stack.enter_async_context(unit())
            await note.adelay(OUTSIDE)

    assert ran(app, main) == [OUTSIDE]
