"""Async generators with a transaction: whoever iterates over them is outside it."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import gc
import threading
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from hammerflow import Hammerflow, HammerflowError
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


class LoopInC(asyncio.SelectorEventLoop):
    """Keeps its generators as uvloop does: where only the garbage collector sees them."""

    __slots__ = ("_kept",)

    def __init__(self) -> None:
        super().__init__()
        self._kept = self._asyncgens  # type: ignore[has-type]
        del self._asyncgens

    def _asyncgen_firstiter_hook(self, agen: Any) -> None:
        self._kept.add(agen)

    def _asyncgen_finalizer_hook(self, agen: Any) -> None:
        self._kept.discard(agen)
        self.call_soon_threadsafe(self.create_task, agen.aclose())

    async def shutdown_asyncgens(self) -> None:
        await asyncio.gather(*(agen.aclose() for agen in self._kept))


def ran(
    app: Hammerflow, main: Callable[[], Any], loop: type[asyncio.AbstractEventLoop] | None = None
) -> list[Any]:
    """Run it, and then the jobs that were committed: their arguments. Nothing complains."""

    async def watched() -> None:
        asyncio.get_running_loop().set_exception_handler(
            lambda _, context: complaints.append(str(context.get("exception")))
        )
        await main()

    complaints: list[str] = []
    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(watched())
    drain(app)
    # Python's own, where it closes a user's @asynccontextmanager before the generator around it
    assert [text for text in complaints if "didn't stop after athrow" not in text] == []
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


async def _left_in_a_cycle_inside_others(rows: Rows) -> None:
    """Python closes all of them at once, though one of them closes the others, too."""

    @contextlib.asynccontextmanager
    async def around() -> AsyncIterator[None]:
        yield

    async def outer() -> AsyncIterator[int]:
        async with around(), contextlib.aclosing(rows()) as inner:
            async for item in inner:
                yield item

    cycle: list[Any] = [outer(), rows()]
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
    [
        _left_by_break, _left_after_one, _left_in_a_cycle, _left_in_a_cycle_inside_others, _closed,
        _closed_in_another_task,
    ],
)  # fmt: skip
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


@pytest.mark.parametrize("leave", [_left_by_break, _left_in_a_cycle_inside_others])
def test_generators_of_another_event_loop_are_found(
    app: Hammerflow, note: Any, rows: Rows, leave: Callable[[Rows], Any]
) -> None:
    async def main() -> None:
        await leave(rows)
        await note.adelay(OUTSIDE)
        async with app.transaction():
            await note.adelay(OUTSIDE)

    assert ran(app, main, LoopInC) == [OUTSIDE] * 2


def test_a_generator_that_ends_commits(app: Hammerflow, note: Any, rows: Rows) -> None:
    async def main() -> None:
        assert [item async for item in rows()] == [1, 2]
        await note.adelay(OUTSIDE)

    assert sorted(ran(app, main)) == [INSIDE, INSIDE, OUTSIDE]


#: What a consumer may do with an item.
CALLS: dict[str, Callable[[Any], Any]] = {
    "in the task": lambda note: note.adelay(OUTSIDE),
    "in a thread": lambda note: asyncio.to_thread(note.delay, OUTSIDE),
    "in another task": lambda note: asyncio.create_task(note.adelay(OUTSIDE)),
    "in several tasks": lambda note: asyncio.gather(note.adelay(OUTSIDE)),
}


@pytest.mark.parametrize("call", CALLS)
def test_between_two_items_the_consumer_is_outside(
    app: Hammerflow, note: Any, rows: Rows, call: str
) -> None:
    is_refused = app.store.database.dialect.one_writer

    async def main() -> None:
        generator: Any = rows()
        await anext(generator)
        refusal = pytest.raises(HammerflowError, match="after the loop")
        with refusal if is_refused else contextlib.nullcontext():
            await CALLS[call](note)
        await generator.aclose()

    assert ran(app, main) == [OUTSIDE] * (not is_refused)


def test_what_a_generator_starts_and_awaits_is_inside(app: Hammerflow, note: Any) -> None:
    async def made() -> AsyncIterator[int]:
        async with app.transaction():
            await asyncio.to_thread(note.delay, INSIDE)
            await asyncio.create_task(note.adelay(INSIDE))
            yield 1
            await asyncio.gather(note.adelay(INSIDE))

    async def main() -> None:
        async for _ in made():
            pass
        generator: Any = made()
        await anext(generator)
        await generator.aclose()

    assert ran(app, main) == [INSIDE] * 3


def test_who_goes_on_after_the_task_that_opened_a_generator_is_inside(
    app: Hammerflow, note: Any, rows: Rows
) -> None:
    """As a test does whose fixture has the transaction."""
    context = contextvars.copy_context()

    async def main() -> None:
        generator: Any = rows()
        loop = asyncio.get_running_loop()
        await loop.create_task(anext(generator), context=context)
        await loop.create_task(note.adelay(OUTSIDE), context=context)
        await loop.create_task(generator.aclose(), context=context)

    assert ran(app, main) == []


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
