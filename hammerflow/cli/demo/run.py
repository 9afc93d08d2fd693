"""What the demo does: count the library by jobs, count it again directly, then measure."""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from hammerflow.cli.demo import line_count
from hammerflow.cli.demo.app import count_library, count_workflow, spawn_empty_jobs, started_at
from hammerflow.cli.demo.environment import DemoEnvironment
from hammerflow.errors import HammerflowError
from hammerflow.jobs.job import JobState
from hammerflow.results.result import Result

__all__ = [
    "DemoCount", "DemoMeasurement", "DemoProgress", "count_again", "count_by_jobs",
    "count_directly", "measure",
]  # fmt: skip

_UPDATE_INTERVAL = 0.1  # seconds between two updates of the progress
_STALL_TIMEOUT = 60.0  # seconds without progress after which the demo fails
_PAUSE = 5.0  # seconds between two counts for the dashboard
_EMPTY_JOBS = 2_000
_CALLS = 50  # whose latency is measured


@dataclass(frozen=True, slots=True)
class DemoProgress:
    """The states of the spawner, its batches and its fan-in."""

    spawner: str = JobState.READY
    batches: int = 0
    states: dict[str, int] = field(default_factory=dict)
    fan_in: str = JobState.WAITING

    @property
    def ended(self) -> int:
        """How many batches have ended."""
        return sum(n for state, n in self.states.items() if JobState(state).is_final)


@dataclass(frozen=True, slots=True)
class DemoCount:
    """What was counted, in how many seconds, by how many jobs."""

    lines: line_count.LineCount
    seconds: float
    batches: int = 0


@dataclass(frozen=True, slots=True)
class DemoMeasurement:
    """The speed of empty jobs: how many ran in ``seconds``, and how fast single ones start."""

    jobs: int
    seconds: float
    latencies: list[float]  # seconds from delay() to the body, one for each call


def count_by_jobs(
    demo: DemoEnvironment, root: Path, size: int, show: Callable[[DemoProgress], None]
) -> DemoCount:
    """Count the files below ``root``, ``size`` in a job, and show the progress."""
    begun = time.monotonic()
    spawner = count_library.delay(str(root), size)
    _watch(demo, lambda: DemoProgress(spawner.state), show, until=spawner)
    batches, fan_in = _children(demo, spawner)
    _watch(demo, lambda: _progress(demo, spawner, batches, fan_in), show, until=fan_in)
    seconds = time.monotonic() - begun
    return DemoCount(fan_in.get(), seconds, batches)


def count_again(demo: DemoEnvironment, root: Path, size: int) -> None:
    """Count the files below ``root`` as a workflow, one package after the other, then pause."""
    flow = count_workflow(root, size).enqueue()
    _until(demo, lambda: flow.status().is_final, _STALL_TIMEOUT)
    _until(demo, lambda: False, _PAUSE)


def _until(demo: DemoEnvironment, is_over: Callable[[], bool], seconds: float) -> None:
    """Wait for something, or this number of seconds."""
    end = time.monotonic() + seconds
    while time.monotonic() < end and not is_over():
        demo.check()
        time.sleep(_UPDATE_INTERVAL)


def count_directly(demo: DemoEnvironment, root: Path, size: int) -> DemoCount:
    """Count the same files in this process, without jobs."""

    def count(paths: list[str]) -> line_count.LineCount:
        demo.check()
        return line_count.count(root, paths)

    begun = time.monotonic()
    counted = line_count.merge(map(count, line_count.batches(line_count.source_files(root), size)))
    return DemoCount(counted, time.monotonic() - begun)


def measure(demo: DemoEnvironment) -> DemoMeasurement:
    """Run many empty jobs at once, then single calls of an idle worker."""
    spawner = spawn_empty_jobs.delay(_EMPTY_JOBS)
    _get(demo, spawner)
    _, fan_in = _children(demo, spawner)
    _get(demo, fan_in)
    begun, ended = spawner.job().finished_at, fan_in.job().finished_at
    assert begun is not None and ended is not None  # they have ended
    latencies = []
    for _ in range(_CALLS):
        called = time.monotonic()
        latencies.append(_get(demo, started_at.delay()) - called)
    return DemoMeasurement(_EMPTY_JOBS, (ended - begun) / timedelta(seconds=1), latencies)


def _children(demo: DemoEnvironment, spawner: Result[Any]) -> tuple[int, Result[Any]]:
    """The number of a completed spawner's children but the fan-in; and the fan-in, the last."""
    spawner.get(timeout=0)
    jobs = demo.app.store.jobs
    recorded = jobs.spawn(spawner.id.bytes)
    count = 0 if recorded is None else int(recorded["spawned"])
    (fan_in,) = jobs.children(spawner.id.bytes, after=count - 1, limit=1)
    return count, demo.app.result(fan_in.id)


def _get(demo: DemoEnvironment, job: Result[Any]) -> Any:
    """The result of a job that takes moments."""
    for _ in range(int(_STALL_TIMEOUT / _UPDATE_INTERVAL)):
        demo.check()
        with contextlib.suppress(TimeoutError):
            return job.get(timeout=_UPDATE_INTERVAL)
    raise _stalled(demo)


def _stalled(demo: DemoEnvironment) -> HammerflowError:
    return HammerflowError(
        f"no job has moved for {_STALL_TIMEOUT:.0f} s; the worker's log ends:\n{demo.tail}"
    )


def _progress(
    demo: DemoEnvironment, spawner: Result[Any], batches: int, fan_in: Result[Any]
) -> DemoProgress:
    states: Counter[str] = Counter()
    for state, task, count in demo.app.store.jobs.children_states(spawner.id.bytes):
        if task == "count_files":
            states[state] += count
    return DemoProgress(JobState.COMPLETED, batches, dict(states), fan_in.state)


def _watch(
    demo: DemoEnvironment, read: Callable[[], DemoProgress], show: Callable[[DemoProgress], None],
    *, until: Result[Any],
) -> None:  # fmt: skip
    """Show the progress a few times a second, until a job has ended."""
    last, moved_at = DemoProgress(), time.monotonic()
    while not until.ready():
        demo.check()
        now = read()
        show(now)
        if now != last:
            last, moved_at = now, time.monotonic()
        elif time.monotonic() - moved_at > _STALL_TIMEOUT:
            raise _stalled(demo)
        with contextlib.suppress(TimeoutError):
            until.wait(timeout=_UPDATE_INTERVAL)
    show(read())
