"""An async child: what one body does to the loop that it shares never counts for its neighbours."""

from __future__ import annotations

import asyncio
import faulthandler
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest

from hammerflow import Hammerflow
from hammerflow.jobs.outcome import Completed, Failed, Released
from hammerflow.worker.child.async_ import AsyncChild
from hammerflow.worker.child.base import ChildLimits
from tests.worker.kit import Bench, claimed


async def exit_soon() -> NoReturn:
    raise SystemExit(3)


async def interrupt_soon() -> NoReturn:
    raise KeyboardInterrupt


async def exits_in_a_task() -> None:
    asyncio.create_task(exit_soon())  # noqa: RUF006 - a body that forgets it
    await asyncio.sleep(30)


async def exits_in_an_awaited_task() -> None:
    await asyncio.create_task(exit_soon())


async def interrupts_in_a_group() -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(interrupt_soon())
        await asyncio.sleep(30)


async def exits_in_a_callback() -> None:
    asyncio.get_running_loop().call_soon(os.sys.exit, 4)  # type: ignore[attr-defined]
    await asyncio.sleep(30)


async def exits_in_a_later_callback() -> None:
    asyncio.get_running_loop().call_later(0.01, os.sys.exit, 5)  # type: ignore[attr-defined]
    await asyncio.sleep(30)


async def cancels_all() -> None:
    for task in asyncio.all_tasks():
        task.cancel()
    await asyncio.sleep(30)


async def stops_the_loop() -> None:
    asyncio.get_running_loop().stop()
    await asyncio.sleep(0.01)
    raise ValueError("it goes on after that")


async def closes_the_loop() -> None:
    asyncio.get_running_loop().close()


async def shuts_the_threads() -> None:
    await asyncio.get_running_loop().shutdown_default_executor()
    raise ValueError("as above")


async def exits_in_the_handler_of_others() -> None:
    """Whatever goes wrong in callbacks, of anybody, ends the program."""

    def handle(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        raise SystemExit(6)

    loop = asyncio.get_running_loop()
    loop.set_exception_handler(handle)
    loop.call_soon(lambda: 1 / 0)
    await asyncio.sleep(0.01)
    loop.set_exception_handler(None)
    raise ValueError("as above")


#: What a body does, and the class that its failure names.
DOES: dict[str, tuple[Callable[[], Any], str]] = {
    "exit in a task": (exits_in_a_task, "SystemExit"),
    "exit in an awaited task": (exits_in_an_awaited_task, "SystemExit"),
    "interrupt in a group": (interrupts_in_a_group, "KeyboardInterrupt"),
    "exit in a callback": (exits_in_a_callback, "SystemExit"),
    "exit in a later callback": (exits_in_a_later_callback, "SystemExit"),
    "cancel all tasks": (cancels_all, "CancelledError"),
    "stop the loop": (stops_the_loop, "ValueError"),
    "close the loop": (closes_the_loop, "RuntimeError"),
    "shut the threads": (shuts_the_threads, "ValueError"),
    "exit in the handler": (exits_in_the_handler_of_others, "ValueError"),
}


@pytest.fixture
def app(sqlite_url: str) -> Hammerflow:
    app = Hammerflow("neighbours", database=sqlite_url, doorbell="none")

    @app.task(name="guilty", max_attempts=1)
    async def guilty(what: str) -> None:
        await DOES[what][0]()

    @app.task(name="wait")
    async def wait_for(path: str) -> str:
        while not Path(path).exists():
            await asyncio.sleep(0.002)
        return path

    @app.task(name="wait_in_task")
    async def wait_in_task(path: str) -> str:
        return await asyncio.create_task(wait_for.fn(path))  # type: ignore[no-any-return]

    @app.task(name="spawns")
    async def spawns(path: str) -> str:
        from hammerflow import current_job

        current_job().spawn(app.tasks["wait"].s(path))  # it is completed in a thread
        return await wait_for.fn(path)  # type: ignore[no-any-return]

    @app.task(name="huge", max_attempts=1)
    async def huge(size: int) -> str:
        return "x" * size

    @app.task(name="plain_huge", max_attempts=1)
    def plain_huge(size: int) -> str:
        return "x" * size

    return app


@pytest.fixture
def bench(app: Hammerflow) -> Iterator[Callable[..., Bench]]:
    benches: list[Bench] = []

    def make(**values: Any) -> Bench:
        faulthandler.cancel_dump_traceback_later()  # pytest's, whose thread is not forked
        benches.append(Bench(app, ChildLimits(), **values))
        return benches[-1]

    yield make
    for made in benches:
        made.close()


def test_what_one_body_does_to_the_loop_counts_for_no_neighbour(
    bench: Callable[..., Bench], tmp_path: Path
) -> None:
    child = bench(child=AsyncChild)
    for number, (what, (_, named)) in enumerate(DOES.items()):
        gate = tmp_path / str(number)
        neighbours = [claimed(name, str(gate)) for name in ("wait", "spawns", "wait_in_task")]
        child.give(*neighbours)
        [ended] = child.run(claimed("guilty", what))
        gate.touch()
        child.listen_until(lambda: not child.handle.is_busy)
        ends = {job.id: outcome for job, outcome in child.results.ended[7]}
        waited, spawned, in_task = (ends[job.id] for job in neighbours)

        assert isinstance(ended, Failed), (what, ended)
        assert ended.failure.type.rpartition(".")[2] == named, what
        assert isinstance(waited, Completed), (what, waited)
        assert isinstance(spawned, Completed), (what, spawned)
        # The task that a neighbour has made can be cancelled: it is not charged for that.
        assert isinstance(in_task, Released if what == "cancel all tasks" else Completed), what


@pytest.mark.parametrize("task", ["huge", "plain_huge"])
def test_an_outcome_that_no_message_can_hold_fails_its_job(
    bench: Callable[..., Bench], task: str
) -> None:
    kind = {"child": AsyncChild} if task == "huge" else {}
    child = bench(**kind, largest_outcome=1_000)

    too_large, small = child.run(claimed(task, 2_000), claimed(task, 1))

    assert isinstance(too_large, Failed)
    assert "more than the 1000" in too_large.failure.message
    assert isinstance(small, Completed)
