"""Signals that reach a child: what the supervisor means by one, and what a body may not mean."""

from __future__ import annotations

import asyncio
import faulthandler
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from hammerflow import Hammerflow
from hammerflow.jobs.outcome import Completed, Failed, Released, Retrying
from hammerflow.worker.child.async_ import AsyncChild
from hammerflow.worker.child.base import ChildLimits
from hammerflow.worker.child.interrupts import CancelAsked
from hammerflow.worker.child.serial import SerialChild
from tests.support.waiting import until
from tests.worker.kit import Bench, claimed

#: What no process can handle, what stops it, and what the kernel reports a crash with.
CRASHES = {
    signal.SIGKILL, signal.SIGSTOP, signal.SIGTTIN, signal.SIGTTOU, signal.SIGABRT, signal.SIGBUS,
    signal.SIGFPE, signal.SIGILL, signal.SIGSEGV, signal.SIGSYS, signal.SIGTRAP,
}  # fmt: skip
OTHERS = sorted(signal.valid_signals() - CRASHES)

cancels_itself: dict[str, Callable[[], Any]] = {
    "signal": lambda: signal.raise_signal(signal.SIGUSR1),
    "kill": lambda: os.kill(os.getpid(), signal.SIGUSR1),
    "exception": lambda: (_ for _ in ()).throw(CancelAsked),
}


@pytest.fixture
def app(sqlite_url: str, tmp_path: Path) -> Hammerflow:
    app = Hammerflow("signals", database=sqlite_url, doorbell="none")

    @app.task(name="cancels-itself", max_attempts=2)
    def cancel_itself(how: str) -> None:
        cancels_itself[how]()

    @app.task(name="hold")
    def hold() -> None:
        (tmp_path / "held").touch()
        time.sleep(30)

    @app.task(name="alarms-itself")
    def alarm_itself() -> None:
        signal.raise_signal(signal.SIGALRM)  # it has no soft timeout
        hold()

    @app.task(name="return")
    def return_() -> None:
        pass

    @app.task(name="neighbour", max_attempts=1)
    async def neighbour() -> str:
        while not (tmp_path / "sent").exists():
            await asyncio.sleep(0.01)
        return "done"

    @app.task(name="sends", max_attempts=1)
    async def send() -> None:
        for number in OTHERS:
            os.kill(os.getpid(), number)
            await asyncio.sleep(0)
        await asyncio.to_thread(lambda: [signal.raise_signal(number) for number in OTHERS])
        (tmp_path / "sent").touch()

    @app.task(name="asks", max_attempts=1)
    async def ask() -> None:
        raise CancelAsked

    return app


@pytest.fixture
def bench(app: Hammerflow) -> Iterator[Callable[..., Bench]]:
    benches: list[Bench] = []

    def make(kind: type[Any]) -> Bench:
        faulthandler.cancel_dump_traceback_later()  # pytest's, whose thread is not forked
        benches.append(Bench(app, ChildLimits(), kind, cancel_watchdog=True))
        return benches[-1]

    yield make
    for made in benches:
        made.close()


@pytest.mark.parametrize("how", cancels_itself)
def test_a_body_that_cancels_itself_is_charged_for_it(
    bench: Callable[..., Bench], how: str
) -> None:
    child = bench(SerialChild)

    first, last, after = child.run(
        claimed("cancels-itself", how), claimed("cancels-itself", how, attempt=2), claimed("return")
    )

    assert isinstance(first, Retrying), first
    assert isinstance(last, Failed), last
    assert "nobody had cancelled it" in last.failure.message
    assert isinstance(after, Completed)


def test_a_cancel_that_comes_too_late_charges_no_other_job(
    bench: Callable[..., Bench], tmp_path: Path
) -> None:
    child = bench(SerialChild)
    cancelled, hit = claimed("return"), claimed("hold")
    child.give(cancelled, hit)
    until("the second job runs", (tmp_path / "held").exists)

    child.handle.kill_at[cancelled.id] = time.monotonic() + 60  # its end has not arrived yet
    child.handle.cancel(cancelled.id)
    child.listen_until(lambda: len(child.ended) == 2)
    [own_doing] = child.run(claimed("cancels-itself", "signal", attempt=2))

    assert [type(outcome) for _, outcome in child.results.ended[7]][:2] == [Completed, Released]
    assert isinstance(own_doing, Failed)  # one signal excuses one job


def test_an_alarm_of_the_body_leaves_it_open_to_a_cancel(
    bench: Callable[..., Bench], tmp_path: Path
) -> None:
    child, job = bench(SerialChild), claimed("alarms-itself")
    child.give(job)
    until("it sleeps", (tmp_path / "held").exists)

    child.handle.kill_at[job.id] = time.monotonic() + 60
    child.handle.cancel(job.id)
    child.listen_until(lambda: child.ended == [job.id])

    assert [type(outcome) for _, outcome in child.results.ended[7]] == [Released]


def test_no_signal_that_an_async_body_sends_ends_its_neighbours(
    bench: Callable[..., Bench],
) -> None:
    child = bench(AsyncChild)

    outcomes = child.run(claimed("neighbour"), claimed("sends"), claimed("neighbour"))

    assert [type(outcome) for outcome in outcomes] == [Completed] * 3, outcomes


def test_an_async_body_cannot_release_itself(bench: Callable[..., Bench]) -> None:
    [outcome] = bench(AsyncChild).run(claimed("asks"))

    assert isinstance(outcome, Failed), outcome
