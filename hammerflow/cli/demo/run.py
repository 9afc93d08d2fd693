"""The demo's play: count the library through jobs, count it again directly, then measure."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from hammerflow.cli.demo import line_count
from hammerflow.cli.demo.app import count_library, flood, started_at
from hammerflow.cli.demo.environment import DemoEnvironment
from hammerflow.errors import HammerflowError
from hammerflow.jobs.job import JobState
from hammerflow.results.result import Result

__all__ = ["Counted", "DemoProgress", "Measured", "count_by_jobs", "count_directly", "measure"]

_GLANCE = 0.1
_PATIENCE = 60.0
_TINY = 2_000
_CALLS = 50


@dataclass(frozen=True, slots=True)
class DemoProgress:
    """The spawner, its batches and its fan-in, as they stand."""

    spawner: str = JobState.READY
    batches: int = 0
    states: dict[str, int] = field(default_factory=dict)
    fan_in: str = JobState.WAITING

    @property
    def ended(self) -> int:
        """How many batches have ended."""
        return sum(n for state, n in self.states.items() if JobState(state).is_final)


@dataclass(frozen=True, slots=True)
class Counted:
    """A census, and how it came about."""

    census: line_count.LineCount
    seconds: float
    batches: int = 0


@dataclass(frozen=True, slots=True)
class Measured:
    """How fast jobs are that do nothing. Latencies in seconds, from delay() to the body."""

    jobs: int
    seconds: float
    latencies: list[float]

    def latency(self, share: float) -> float:
        """The latency that this share of the calls stays below."""
        return sorted(self.latencies)[min(int(share * len(self.latencies)), _CALLS - 1)]


def count_by_jobs(
    stage: DemoEnvironment, root: Path, size: int, show: Callable[[DemoProgress], None]
) -> Counted:
    """Count the files below ``root``, ``size`` in a job, and show how it goes.

    Raises:
        HammerflowError: the worker died, a job failed, or nothing moves any more.
    """
    begun = time.monotonic()
    spawner = count_library.delay(str(root), size)
    _watch(stage, lambda: DemoProgress(spawner.state), show, until=spawner)
    batches, fan_in = _children(stage, spawner)
    _watch(stage, lambda: _progress(stage, spawner, batches, fan_in), show, until=fan_in)
    seconds = time.monotonic() - begun
    return Counted(fan_in.get(), seconds, batches)


def count_directly(root: Path) -> Counted:
    """The same census in this process, with no job in sight."""
    begun = time.monotonic()
    counted = line_count.count(root, line_count.source_files(root))
    return Counted(counted, time.monotonic() - begun)


def measure(stage: DemoEnvironment) -> Measured:
    """Many empty jobs at once, then single calls of an idle worker."""
    spawner = flood.delay(_TINY)
    spawner.get(timeout=_PATIENCE)
    _, landed = _children(stage, spawner)
    landed.get(timeout=_PATIENCE)
    begun, ended = spawner.job().finished_at, landed.job().finished_at
    if begun is None or ended is None:
        raise HammerflowError("the empty jobs have no end")
    stage.check()
    latencies = []
    for _ in range(_CALLS):
        called = time.monotonic()
        latencies.append(started_at.delay().get(timeout=_PATIENCE) - called)
    return Measured(_TINY, (ended - begun) / timedelta(seconds=1), latencies)


def _children(stage: DemoEnvironment, spawner: Result[Any]) -> tuple[int, Result[Any]]:
    """How many a completed spawner has, without the fan-in; and the fan-in, which comes last."""
    spawner.get(timeout=0)
    recorded = stage.app.store.jobs.spawn(spawner.id.bytes)
    count = 0 if recorded is None else int(recorded["spawned"])
    last = stage.app.store.jobs.children(spawner.id.bytes, after=count - 1, limit=1)
    if not last:
        raise HammerflowError("the spawner completed without its fan-in")
    return count, stage.app.result(last[-1].id)


def _progress(
    stage: DemoEnvironment, spawner: Result[Any], batches: int, fan_in: Result[Any]
) -> DemoProgress:
    states: Counter[str] = Counter()
    for state, task, count in stage.app.store.jobs.children_states(spawner.id.bytes):
        if task == "count_files":
            states[state] += count
    return DemoProgress(JobState.COMPLETED, batches, dict(states), fan_in.state)


def _watch(
    stage: DemoEnvironment, look: Callable[[], DemoProgress], show: Callable[[DemoProgress], None],
    *, until: Result[Any],
) -> None:  # fmt: skip
    """Show the progress a few times a second, until a job has ended."""
    seen, moved = DemoProgress(), time.monotonic()
    while not until.ready():
        stage.check()
        now = look()
        show(now)
        if now != seen:
            seen, moved = now, time.monotonic()
        elif time.monotonic() - moved > _PATIENCE:
            raise HammerflowError(
                f"nothing has moved for {_PATIENCE:.0f} s; the worker's log ends:\n{stage.tail}"
            )
        try:
            until.wait(timeout=_GLANCE)
        except TimeoutError:
            continue
    show(look())
