"""Coroutines wait for ends without threads, in any number, and leave nothing behind."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable
from typing import Any

import pytest

from hammerflow import Hammerflow, JobFailed, JobNotFound, JobState, Workflow, chord, group
from hammerflow.results.ends import EndWatch
from hammerflow.testing import drain
from tests.support.waiting import until

Work = Callable[[Hammerflow], None]


@pytest.fixture
def add(app: Hammerflow) -> Any:
    @app.task
    def add(x: int, y: int = 0) -> int:
        return x + y

    return add


@pytest.fixture
def fail(app: Hammerflow) -> Any:
    @app.task(max_attempts=1)
    def fail(*args: Any) -> None:
        raise ValueError("no")

    return fail


def test_waits_leave_the_threads_of_the_loop_alone(app: Hammerflow, add: Any, work: Work) -> None:
    async def main() -> list[int]:
        results = list(app.enqueue_many(add.s(i) for i in range(1_000)))
        waits = [asyncio.create_task(result.aget(timeout=60)) for result in results]
        await asyncio.sleep(0)
        before = threading.active_count()
        assert await asyncio.wait_for(asyncio.to_thread(lambda: 7), 5) == 7
        last = await asyncio.wait_for(add.adelay(1_000), 5)
        assert threading.active_count() - before < 16
        work(app)
        return [*await asyncio.gather(*waits), await last.aget(timeout=60)]

    assert asyncio.run(main()) == list(range(1_001))


def test_calls_do_not_wait_for_the_users_threads(app: Hammerflow, add: Any, work: Work) -> None:
    release = threading.Event()

    async def main() -> int:
        loop = asyncio.get_running_loop()
        blocked = [loop.run_in_executor(None, release.wait) for _ in range(64)]
        try:
            result = await asyncio.wait_for(add.adelay(1, 2), 5)
            work(app)
            return await result.aget(timeout=30)  # type: ignore[no-any-return]
        finally:
            release.set()
            await asyncio.gather(*blocked)

    assert asyncio.run(main()) == 3


def test_a_ring_wakes_a_wait_before_the_poll(migrated_url: str, work: Work) -> None:
    app = Hammerflow("shop", database=migrated_url, poll=60)
    add = app.task(name="add")(lambda x: x)

    async def main() -> int:
        result = await add.adelay(1)
        wait = asyncio.create_task(result.aget())
        await asyncio.sleep(0.3)
        work(app)
        return await asyncio.wait_for(wait, 20)

    if app.settings.bell != "none":
        assert asyncio.run(main()) == 1
    app.close()


def is_idle(watch: EndWatch) -> bool:
    return not (watch._jobs or watch._workflows or watch._is_running)


def test_a_wait_that_is_given_up_is_over(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hammerflow.results.ends.LINGER", 0.2)
    app = Hammerflow("shop", database=sqlite_url, poll=0.2)
    add = app.task(name="add")(lambda x: x)
    handles: list[Any] = [
        add.delay(1), app.enqueue(group(add.s(1), add.s(2))), app.batch([add.s(1)]).enqueue()
    ]  # fmt: skip

    async def main() -> None:
        for handle in handles:
            for wait in (handle.aget, handle.await_):
                with pytest.raises(TimeoutError):
                    await asyncio.wait_for(wait(), 0.02)
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(0.02):
                        await wait()
                task = asyncio.create_task(wait())
                await asyncio.sleep(0.02)
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
                with pytest.raises(ExceptionGroup, match="unhandled"):
                    async with asyncio.TaskGroup() as tasks:
                        tasks.create_task(wait())
                        tasks.create_task(_fail())
        assert (app.async_calls.ends._jobs, app.async_calls.ends._workflows) == ({}, {})

    asyncio.run(main())

    until("the thread has ended", lambda: is_idle(app.async_calls.ends))
    app.close()


def test_a_closed_app_is_not_opened_again_by_a_cancelled_call(sqlite_url: str) -> None:
    app = Hammerflow("shop", database=sqlite_url)
    add = app.task(name="add")(lambda x: x)
    add.delay(0)
    calls, other = app.async_calls, sqlite3.connect(app.store.database.dialect.path)
    writers = calls._writers
    other.execute("BEGIN IMMEDIATE")

    async def main() -> None:
        task = asyncio.create_task(add.adelay(1))
        while writers._calls or not writers._threads:
            await asyncio.sleep(0.001)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    closing = threading.Thread(target=app.close)
    closing.start()
    other.rollback()
    closing.join(20)
    until("the call has ended", lambda: writers._idle == writers._threads)

    assert other.execute("SELECT count(*) FROM hammerflow_jobs").fetchone() == (2,)
    assert not {"store", "notifier"} & vars(app).keys()
    other.close()


def test_a_closed_app_is_not_opened_again_by_a_query_for_waits(
    sqlite_app: Hammerflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    app, asked, go_on = sqlite_app, threading.Event(), threading.Event()
    add = app.task(name="add")(lambda x: x)
    ends, hear = app.async_calls.ends, EndWatch._hear

    def held(self: EndWatch, *args: Any) -> None:
        asked.set()
        assert go_on.wait(20)
        hear(self, *args)

    monkeypatch.setattr(EndWatch, "_hear", held)

    async def main() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for((await add.adelay(1)).aget(), 0.05)

    asyncio.run(main())
    assert asked.wait(20)
    closing = threading.Thread(target=app.close)
    closing.start()
    go_on.set()
    closing.join(20)
    until("the query has ended", lambda: not ends._is_asking)

    assert not {"store", "notifier"} & vars(app).keys()


async def _fail() -> None:
    raise ValueError


GIVES_UP = """
import asyncio, sys
from hammerflow import Hammerflow

app = Hammerflow("shop", database=sys.argv[1])

@app.task(name="job")
def add(x: int) -> int:
    return x

async def main() -> None:
    results = [await add.adelay(i) for i in range(40)]
    try:
        await asyncio.wait_for(asyncio.gather(*(result.aget() for result in results)), 0.2)
    except TimeoutError:
        print("gave up")

asyncio.run(main())
"""


def test_a_script_that_gives_up_exits(sqlite_url: str) -> None:
    began = time.monotonic()
    run = subprocess.run(
        [sys.executable, "-c", GIVES_UP, sqlite_url],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert (run.stdout, run.stderr, run.returncode) == ("gave up\n", "", 0)
    assert time.monotonic() - began < 10


FORKS = """
import asyncio, os, sys
from hammerflow import Hammerflow
from hammerflow.testing import drain

app = Hammerflow("shop", database=sys.argv[1])

@app.task(name="job")
def add(x: int) -> int:
    return x

async def main() -> None:
    result = await add.adelay(7)
    try:
        await result.aget(timeout=0.2)
    except TimeoutError:
        pass

asyncio.run(main())
pid = os.fork()
if pid == 0:
    result = add.delay(8)
    drain(app)
    async def child() -> None:
        print(await result.aget(timeout=10), flush=True)
    asyncio.run(child())
    os._exit(0)
os.waitpid(pid, 0)
"""


def test_a_forked_child_waits_with_threads_of_its_own(sqlite_url: str) -> None:
    run = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FORKS, sqlite_url],
        check=False, capture_output=True, text=True, timeout=60,
    )  # fmt: skip

    assert (run.stdout, run.stderr) == ("8\n", "")


def test_what_a_wait_says_at_its_end(app: Hammerflow, add: Any, fail: Any, work: Work) -> None:
    async def main() -> None:
        result = await add.adelay(1)
        began = time.monotonic()
        for seconds in (0, 0.1):
            with pytest.raises(TimeoutError, match=rf"{result.id} has not ended within {seconds}"):
                await result.aget(timeout=seconds)
            with pytest.raises(TimeoutError, match="has not ended"):
                await result.await_(timeout=seconds)
        assert time.monotonic() - began < 5
        for handle in (app.result(uuid.uuid4()), type(workflow)(uuid.uuid4().bytes, app)):
            with pytest.raises(JobNotFound):
                await handle.aget()
        failed = await fail.adelay()
        waits = [asyncio.create_task(work()) for work in (result.aget, result.await_, failed.aget)]
        await asyncio.sleep(0)
        work(app)
        assert await waits[0] == 1 and await waits[1] is JobState.COMPLETED
        with pytest.raises(JobFailed, match="ValueError: no"):
            await waits[2]
        assert await result.aget(timeout=0) == 1

    workflow = Workflow("w", submit=app.enqueue)
    workflow.add(add.s(1), name="a")
    workflow = workflow.enqueue()
    asyncio.run(main())


def test_every_kind_of_handle_is_awaited(app: Hammerflow, add: Any, fail: Any, work: Work) -> None:
    async def main() -> list[Any]:
        flow = Workflow("w", submit=app.enqueue)
        flow.add(add.s(1, 2), name="a")
        handles = [
            app.enqueue(add.s(1) | add.s(2)),
            app.enqueue(group(add.s(1), group(add.s(2), add.s(3)))),
            app.enqueue(chord([add.s(1), add.s(2)], add.si(5))),
            app.batch([add.s(i) for i in range(3)]).enqueue(),
            flow.enqueue(),
        ]
        mixed = app.enqueue(group(fail.s(), add.s(2)))
        waits = [asyncio.create_task(handle.aget(timeout=60)) for handle in handles]
        kept = asyncio.create_task(mixed.aget(timeout=60, propagate=False))
        work(app)
        with pytest.raises(JobFailed):
            await mixed.aget(timeout=60)
        assert isinstance((await kept)[0], JobFailed) and (await kept)[1:] == [2]
        return await asyncio.gather(*waits)

    assert asyncio.run(main()) == [3, [1, [2, 3]], 5, [0, 1, 2], {"a": 3}]


def test_several_loops_wait_at_once_and_one_of_them_dies(app: Hammerflow, add: Any) -> None:

    results = [add.delay(i) for i in range(2)]
    loop = asyncio.new_event_loop()
    abandoned = loop.create_task(results[0].aget())
    loop.run_until_complete(asyncio.sleep(0.1))
    found: list[int] = []
    threads = [
        threading.Thread(target=lambda r=r: found.append(asyncio.run(r.aget(timeout=60))))
        for r in results
    ]
    for thread in threads:
        thread.start()
    loop.close()
    drain(app)
    for thread in threads:
        thread.join()

    assert sorted(found) == [0, 1]
    abandoned._log_destroy_pending = False  # type: ignore[attr-defined]
    abandoned.get_coro().close()  # type: ignore[union-attr]


def test_waits_raise_when_the_database_cannot_be_asked(sqlite_app: Hammerflow) -> None:
    app = sqlite_app
    add = app.task(name="add")(lambda x: x)

    async def main() -> None:
        result = await add.adelay(1)
        wait = asyncio.create_task(result.aget())
        await asyncio.sleep(0.1)
        with app.store.transaction() as tx:
            done = app.store.database.dialect.macros["done"]
            tx.connection.execute(f"ALTER TABLE {done} RENAME TO gone")
        with pytest.raises(Exception, match="no such table"):
            await asyncio.wait_for(wait, 10)

    asyncio.run(main())


def test_a_task_may_have_any_parameters(sqlite_app: Hammerflow, work: Work) -> None:
    def total(work: int, task: int, args: int) -> int:
        return work + task + args

    task = sqlite_app.task(name="total")(total)

    async def main() -> int:
        result = await task.adelay(work=1, task=2, args=3)
        result = await task.options(priority=3).adelay(work=1, task=2, args=3)
        work(sqlite_app)
        return await result.aget(timeout=30)

    assert asyncio.run(main()) == 6
