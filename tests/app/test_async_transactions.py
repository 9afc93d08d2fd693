"""Transactions of coroutines: one commit for all, and an event loop that never stands still."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from hammerflow import Hammerflow, HammerflowError, JobNotFound, Workflow, group
from hammerflow.testing import drain
from tests.support.servers import Postgres


class Rolled(Exception):
    """Rolls a transaction back."""


def written(app: Hammerflow) -> tuple[int, int]:
    """How many markers and jobs there are."""
    with app.transaction() as tx:
        markers = int(tx.execute("SELECT count(*) FROM marker").fetchone()[0])
    return markers, len(app.jobs(limit=1_000))


@contextlib.asynccontextmanager
async def a_loop_that_goes_on(longest: float = 1.0) -> AsyncIterator[None]:
    """Fails if the event loop stands still for longer than so many seconds."""
    gaps: list[float] = []

    async def tick() -> None:
        while True:
            before = time.monotonic()
            await asyncio.sleep(0.01)
            gaps.append(time.monotonic() - before)

    ticking = asyncio.create_task(tick())
    yield
    ticking.cancel()
    assert max(gaps, default=0.0) < longest


def test_all_that_is_enqueued_commits_with_the_blocks_own_sql(app: Hammerflow, note: Any) -> None:
    async def main() -> None:
        async with a_loop_that_goes_on(), app.transaction() as tx:
            await tx.execute("INSERT INTO marker VALUES (1)")
            cursor = await tx.execute("SELECT x FROM marker")
            assert cursor.fetchone()[0] == 1
            note.delay(1)
            await note.adelay(2)
            await note.options(priority=3).adelay(3)
            note.apply_async((4,), countdown=5)
            app.enqueue(note.s(5) | note.s())
            app.enqueue_many(note.s(i) for i in range(2))
            await app.aenqueue(group(note.s(6), note.s(7)))
            await app.aenqueue_many([note.s(8)])
            Workflow("w", submit=app.enqueue).add(note.s(9)).enqueue()
            app.batch([note.s(10)]).enqueue()
            await asyncio.gather(*(note.adelay(i) for i in range(3)))
            await asyncio.to_thread(note.delay, 11)
            async with app.transaction() as inner:
                await inner.execute("INSERT INTO marker VALUES (2)")
                await note.adelay(12)
            assert await asyncio.to_thread(_count_outside, app) == 0

    asyncio.run(main())

    assert written(app) == (2, 18)


def _count_outside(app: Hammerflow) -> int:
    return len(app.jobs())


@pytest.mark.parametrize("way", ["error", "cancel", "timeout", "sibling"])
def test_a_block_that_does_not_end_well_is_rolled_back(
    app: Hammerflow, note: Any, way: str
) -> None:
    async def block(entered: asyncio.Event) -> None:
        async with app.transaction() as tx:
            await tx.execute("INSERT INTO marker VALUES (1)")
            await note.adelay(1)
            note.delay(2)
            entered.set()
            if way == "error":
                raise Rolled
            await asyncio.sleep(60)

    async def main() -> None:
        entered = asyncio.Event()
        if way == "error":
            await block(entered)
        elif way == "cancel":
            task = asyncio.create_task(block(entered))
            await entered.wait()
            task.cancel()
            await task
        elif way == "timeout":
            await asyncio.wait_for(block(entered), 0.5)
        else:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(block(entered))
                await entered.wait()
                raise Rolled

    with pytest.raises((Rolled, asyncio.CancelledError, TimeoutError, ExceptionGroup)):
        asyncio.run(main())

    assert written(app) == (0, 0)


def test_a_block_whose_loop_was_closed_holds_no_lock(app: Hammerflow, note: Any) -> None:
    async def block(entered: asyncio.Event) -> None:
        async with app.transaction() as tx:
            await tx.execute("INSERT INTO marker VALUES (1)")
            await note.options(unique_key="one").adelay(1)
            entered.set()
            await asyncio.sleep(60)

    async def main() -> None:
        entered = asyncio.Event()
        unended.append(loop.create_task(block(entered)))
        await entered.wait()

    unended: list[asyncio.Task[None]] = []
    loop = asyncio.new_event_loop()
    loop.run_until_complete(main())
    loop.close()

    before = time.monotonic()
    note.options(unique_key="one").delay(2)
    assert time.monotonic() - before < 8
    assert written(app) == (0, 1)
    unended[0].get_coro().close()  # as the interpreter does at its end


def test_requests_at_the_same_time_all_commit(app: Hammerflow, note: Any) -> None:
    async def request(number: int) -> None:
        async with app.transaction() as tx:
            await tx.execute(f"INSERT INTO marker VALUES ({number})")
            await note.adelay(number)
            await asyncio.sleep(0.01)
            await note.options(unique_key="one for all").adelay(7)

    async def main() -> None:
        async with a_loop_that_goes_on():
            await asyncio.wait_for(asyncio.gather(*(request(i) for i in range(20))), 25)

    asyncio.run(main())

    assert written(app) == (20, 21)


def test_a_cancelled_wait_for_a_lock_ends_at_once(app: Hammerflow, note: Any) -> None:
    unique = note.options(unique_key="k")

    async def second() -> None:
        async with app.transaction():
            await note.adelay(2)
            await unique.adelay(2)

    async def main() -> None:
        async with a_loop_that_goes_on():
            async with app.transaction():
                await unique.adelay(1)
                task = asyncio.create_task(second(), context=_fresh())
                await asyncio.sleep(0.3)
                assert not task.done()
                began = time.monotonic()
                task.cancel()
                await asyncio.wait((task,), timeout=5)
                assert task.cancelled() and time.monotonic() - began < 2
            await asyncio.wait_for(second(), 5)

    asyncio.run(main())

    assert written(app) == (0, 2)


def _fresh() -> Any:
    import contextvars

    return contextvars.Context()


def test_a_plain_call_that_would_stop_the_loop_is_refused(
    app: Hammerflow, note: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hammerflow.enqueue.transaction.PATIENCE", 0.3)
    unique = note.options(unique_key="k")
    one_writer = app.store.database.dialect.one_writer

    async def main() -> None:
        with pytest.raises(HammerflowError, match="async with"), app.transaction():
            pass
        async with app.transaction():
            await unique.adelay(1)
            if one_writer:  # outside of the transaction, in a context of its own
                with pytest.raises(HammerflowError, match="adelay"):
                    _fresh().run(note.delay, 2)
            else:
                async with _Outside(app):
                    with pytest.raises(HammerflowError, match="adelay"):
                        unique.delay(2)

    began = time.monotonic()
    if one_writer:
        asyncio.run(main())
    else:
        with pytest.raises(HammerflowError, match="rolled back"):
            asyncio.run(main())

    assert time.monotonic() - began < 5
    note.delay(3)


class _Outside:
    """A transaction apart from the open one of this context."""

    def __init__(self, app: Hammerflow) -> None:
        self._app = app

    async def __aenter__(self) -> None:
        self._token = self._app.open_transaction.set(None)
        self._block = self._app.transaction()
        await self._block.__aenter__()

    async def __aexit__(self, *error: object) -> None:
        await self._block.__aexit__(*error)
        self._app.open_transaction.reset(self._token)


def test_who_inherits_a_transaction_cannot_write_after_its_end(app: Hammerflow, note: Any) -> None:
    def chain() -> Any:
        return note.s(1) | note.s()

    async def late(over: asyncio.Event) -> None:
        await over.wait()
        for call in (note.adelay, note.options(queue="q").adelay):
            with pytest.raises(HammerflowError, match="transaction that has ended"):
                await call(1)
        for plain in (note.s(1).delay, lambda: note.delay(1), lambda: app.enqueue(chain())):
            with pytest.raises(HammerflowError, match="transaction that has ended"):
                plain()
        async with app.transaction():  # but it may open one of its own
            await note.adelay(2)

    async def main() -> None:
        over = asyncio.Event()
        async with app.transaction() as tx:
            task = asyncio.create_task(late(over))
            await note.adelay(1)
        over.set()
        await task
        with pytest.raises(HammerflowError, match="has ended"):
            await tx.execute("INSERT INTO marker VALUES (1)")

    asyncio.run(main())

    assert written(app) == (0, 2)


def test_a_wait_inside_that_cannot_end_is_refused(app: Hammerflow, note: Any) -> None:
    older = note.delay(0)
    one_writer = app.store.database.dialect.one_writer

    async def main() -> None:
        async with app.transaction():
            result = await note.adelay(1)
            for wait in (result.aget, result.await_, app.enqueue(group(note.s(1))).await_):
                with pytest.raises(JobNotFound, match="transaction that is open here"):
                    await wait()
            error = HammerflowError if one_writer else TimeoutError
            for wait in (older.aget, older.await_):
                with pytest.raises(error, match="inside a transaction|has not ended"):
                    await wait(timeout=0.05)
            with pytest.raises(TimeoutError):
                await older.aget(timeout=0)

    asyncio.run(main())

    with app.transaction():
        result = note.delay(1)
        with pytest.raises(JobNotFound, match="transaction that is open here"):
            result.get()


def test_a_swallowed_error_of_the_database_loses_nothing_silently(
    app: Hammerflow, note: Any
) -> None:
    async def main() -> None:
        async with app.transaction() as tx:
            await note.adelay(1)
            with contextlib.suppress(Exception):
                await tx.execute("INSERT INTO nowhere VALUES (1)")

    def plain() -> None:
        with app.transaction() as tx:
            note.delay(1)
            with contextlib.suppress(Exception):
                tx.execute("INSERT INTO nowhere VALUES (1)")

    for run in (lambda: asyncio.run(main()), plain):
        if app.store.dialect == "postgres":
            with pytest.raises(HammerflowError, match="nothing was committed"):
                run()
        else:
            run()

    assert written(app) == (0, 0 if app.store.dialect == "postgres" else 2)


def test_async_bodies_use_transactions(app: Hammerflow, note: Any) -> None:
    @app.task(max_attempts=1)
    async def body(number: int) -> int:
        async with app.transaction() as tx:
            await tx.execute(f"INSERT INTO marker VALUES ({number})")
            await note.adelay(number)
            await asyncio.sleep(0)
            if number == 3:
                raise Rolled
        return number

    results = list(app.enqueue_many(body.s(i) for i in range(5)))
    drain(app, limit=5)

    assert [r.state for r in results].count("completed") == 4
    assert written(app) == (4, 9)


@pytest.mark.slow
def test_a_database_that_does_not_answer_keeps_no_coroutine(
    own_postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hammerflow.enqueue.transaction.PATIENCE", 0.5)
    app = Hammerflow("shop", database=own_postgres.url())
    app.migrate()
    note = app.task(name="note")(lambda x: x)

    async def block() -> None:
        async with app.transaction():
            await note.adelay(1)
            own_postgres.pause()
            await note.adelay(2)

    async def main() -> None:
        older = await note.adelay(0)
        for wait in (block(), older.aget(), note.adelay(3), block()):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(wait, 0.5)

    began = time.monotonic()
    asyncio.run(main())
    assert time.monotonic() - began < 10

    own_postgres.resume()
    assert len(app.jobs()) in (1, 2)  # the call that was given up may have been written
    app.close()
