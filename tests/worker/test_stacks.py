"""The stack of a running body: it is told whatever the body is busy with, and disturbs nothing."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from hammerflow import Hammerflow
from hammerflow.jobs.outcome import Completed
from hammerflow.worker.child.async_ import AsyncChild
from hammerflow.worker.child.serial import SerialChild
from hammerflow.worker.stacks import ask_for_stack, shown_stack
from tests.support.waiting import until
from tests.worker.kit import Bench, claimed

SECONDS = 60.0


def sleeps(path: str) -> None:
    Path(path).touch()
    time.sleep(SECONDS)


def computes(path: str) -> None:
    Path(path).touch()
    while Path(path).exists():
        sum(range(1000))


def is_in_c(path: str) -> None:
    Path(path).touch()
    pow(7, 10**9)  # in C, with the GIL


def closes_all(path: str) -> None:
    os.closerange(3, 4096)
    Path(path).touch()
    time.sleep(SECONDS)


async def waits(path: str) -> None:
    Path(path).touch()
    await _deeper()


async def _deeper() -> None:
    await asyncio.sleep(SECONDS)


async def blocks(path: str) -> None:
    Path(path).touch()
    time.sleep(SECONDS)


Start = Callable[..., Bench]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start a child, with a body in it that has begun."""
    benches: list[Bench] = []

    def begin(body: Callable[..., Any], kind: type[SerialChild | AsyncChild]) -> Bench:
        app = Hammerflow("shop", database=f"sqlite:///{tmp_path}/x.db")
        app.task(name="task")(body)
        bench = Bench(app, child=kind)
        benches.append(bench)
        bench.listen_until(lambda: bool(bench.handle.is_ready))
        mark = tmp_path / "begun"
        bench.give(claimed("task", str(mark)))
        until("the body runs", mark.exists)
        return bench

    yield begin
    for bench in benches:
        bench.close()


def stack(bench: Bench) -> str | None:
    frames = ask_for_stack(bench.pid, bench.handle.stack)
    return None if frames is None else shown_stack(frames)


@pytest.mark.parametrize(
    ("body", "line"),
    [(sleeps, "time.sleep(SECONDS)"), (computes, "in computes"), (is_in_c, "pow(7, 10**9)")],
)
def test_a_busy_body_tells_where_it_is(start: Start, body: Callable[..., Any], line: str) -> None:
    bench = start(body, SerialChild)
    until("it is there", lambda: line in (stack(bench) or ""))

    for text in [stack(bench) for _ in range(2)]:
        assert text is not None and line in text
        assert text.startswith('  File "') and "hammerflow/worker" not in text


def test_a_body_goes_on_after_it_was_asked(start: Start, tmp_path: Path) -> None:
    bench = start(computes, SerialChild)

    assert all(stack(bench) for _ in range(20))
    (tmp_path / "begun").unlink()

    bench.listen_until(lambda: bool(bench.ended))
    ((_, outcome),) = bench.results.ended[7]
    assert type(outcome) is Completed


def test_a_blocked_event_loop_tells_what_holds_it_up(start: Start) -> None:
    text = stack(start(blocks, AsyncChild))

    assert text is not None and text.endswith("in blocks\n    time.sleep(SECONDS)")
    assert "hammerflow/worker" not in text


def test_a_coroutine_tells_what_it_awaits(start: Start) -> None:
    bench = start(waits, AsyncChild)
    (job,) = bench.handle.running()

    bench.handle.ask_for_stack(job.job.id)
    bench.listen_until(lambda: not bench.handle.stacks.empty())

    told_of, frames = bench.handle.stacks.get()
    names = [function.rpartition(".")[2] for _, _, function in frames]
    assert told_of == job.job.id and names[-3:] == ["waits", "_deeper", "sleep"]
    assert shown_stack(frames).splitlines()[1].strip() == "await _deeper()"


def test_a_stopped_process_does_not_hold_up_who_asks(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hammerflow.worker.stacks._PATIENCE", 0.2)
    bench = start(sleeps, SerialChild)
    os.kill(bench.pid, signal.SIGSTOP)

    assert stack(bench) is None


def test_nothing_is_written_to_a_file_of_the_body(start: Start) -> None:
    assert stack(start(closes_all, SerialChild)) is None
