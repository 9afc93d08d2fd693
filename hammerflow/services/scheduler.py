"""Scheduler: makes the ticks of schedules that are due, and has the rows follow the app's code."""

from __future__ import annotations

import contextlib
import logging
import random
from collections.abc import Callable, Iterable, Mapping
from dataclasses import KW_ONLY, dataclass, field

from hammerflow.errors import JobNotFound
from hammerflow.ids import name_id
from hammerflow.jobs.job import JobState
from hammerflow.jobs.settlement import Settlement
from hammerflow.stores.schedules import Made
from hammerflow.stores.store import Store
from hammerflow.text import counted

__all__ = ["Scheduler", "version_of"]

log = logging.getLogger("hammerflow.scheduler")
_SHORTEST = 0.001  # seconds
_NEXT = "the next run of its schedule is due"
#: Seconds between two queries after which this worker was frozen, or the database down, so that it
#: has missed what was due.
_GAP = 60.0
#: Seconds between two tries to have an older version's schedules hold, and between two purges.
_RETRY, _PURGE = 30.0, 600.0
#: Parts of what is due, of which each of several workers takes another one, and seconds that one
#: waits at most which has met another.
_PARTS, _CROWDED = 16, 0.02


def version_of(definitions: Mapping[str, str]) -> int:
    """The number of these definitions, which all workers with the same code have; 0 for none."""
    return name_id("\0".join(f"{n}\0{d}" for n, d in sorted(definitions.items()))) or 1


@dataclass(eq=False)
class Scheduler:
    """Ticks at least once a poll interval, and sooner when it knows of a tick that is due sooner.

    Any number of workers may do so at once, whichever tasks they serve: the key of a tick's row
    makes it happen once.
    """

    store: Store
    _: KW_ONLY
    namespace: str
    poll: float  # seconds
    fresh: float  # seconds since the last heartbeat of a worker that lives
    definitions: Callable[[], Mapping[str, str]]  # of the app's code
    on_ready: Callable[[Iterable[str]], None]  # called with the queues that have new work
    on_settled: Callable[[Settlement], None]  # called with what a cancelled run has ended
    on_cancel: Callable[[], None]  # called when workers are to stop a running job
    _declare_at: float | None = field(init=False, default=0.0)
    _looked_at: float = field(init=False, default=float("-inf"))
    _since: float = field(init=False, default=0.0)
    _purge_at: float = field(init=False, default=0.0)
    _has_any: bool = field(init=False, default=False)
    _part: int = field(init=False, default=0)

    def declare(self) -> None:
        """The code may be another one: declare its schedules at the next tick."""
        self._declare_at = 0.0

    def tick(self, now: float) -> float:
        """Make the ticks that are due."""
        if self._declare_at is not None and now >= self._declare_at:
            self._declare(now)
        next_in = self.store.schedules.due_in()  # all that an idle worker asks
        if now - self._looked_at > _GAP:
            self._since = now - (self._watched() if next_in is not None else 0.0)
        self._looked_at = now
        if next_in is None:
            return self.poll
        if next_in <= 0:
            made = self._make(now)
            if made.is_more:
                return random.uniform(0, _CROWDED) if made.is_crowded else 0.0
            next_in = self.store.schedules.due_in()
            if next_in is not None and next_in <= 0:
                return min(self.poll, 0.1)  # another worker makes it just now
        if now >= self._purge_at:
            self._purge_at = now + _PURGE * random.uniform(0.8, 1.2)
            while self.store.schedules.purge():
                pass
        return self.poll if next_in is None else max(_SHORTEST, min(next_in, self.poll))

    def _make(self, now: float) -> Made:
        """Make ticks, in a part of those that are due that other workers leave alone."""
        made = self.store.schedules.make(now - self._since, self._cancel, part=self._part)
        if made.is_crowded or not made.is_more:
            self._part = random.randrange(_PARTS) if made.is_more else 0
        if made.queues:
            self.on_ready(made.queues)
        for name, count in made.ticks.missed.items():
            ticks = counted(count, "tick")
            log.warning("schedule %s: %s passed while no worker lived", name, ticks)
        for name, why in made.ticks.troubles.items():
            log.error("schedule %s is set aside: %s", name, why)
        return made

    def _cancel(self, run: bytes) -> None:
        """Cancel an earlier run: a job or a workflow."""
        state = self.store.jobs.cancel(run, _NEXT, then=self.on_settled)
        if state is None:
            with contextlib.suppress(JobNotFound):
                self.on_settled(self.store.workflows.cancel(run, _NEXT))
        if state in (None, JobState.RUNNING):
            self.on_cancel()

    def _watched(self) -> float:
        """For how many seconds a worker that lives now has looked for ticks."""
        clock, workers = self.store.clock(), self.store.workers.list()
        ages = [
            clock - worker["started_at"].timestamp()
            for worker in workers
            if worker["silent_for"] < self.fresh
        ]
        return max(0.0, *ages) if ages else 0.0

    def _declare(self, now: float) -> None:
        definitions = self.definitions()
        version = version_of(definitions)
        found = self.store.schedules.declare(self.namespace, version, definitions, self._is_live)
        self._declare_at = None if found.holds else now + _RETRY
        for what, names in (
            ("added", found.added), ("changed", found.changed), ("disabled", found.disabled),
        ):  # fmt: skip
            if names:
                log.info("schedules %s by the code: %s", what, ", ".join(names))
        if found.edited:
            log.warning(
                "the code has changed schedules that an operator has edited, whose edit holds: %s "
                "(hammerflow schedule show NAME; schedule update NAME --reset)",
                ", ".join(found.edited),
            )
        if found.circles:
            log.error(
                "schedules are set aside because they come after themselves: %s (hammerflow "
                "schedule update NAME --no-after)", ", ".join(found.circles),
            )  # fmt: skip
        if found.foreign:
            log.error(
                "another app of this database has schedules of these names, which hold: %s; give "
                "one of them another name", ", ".join(found.foreign),
            )  # fmt: skip

    def _is_live(self, version: int) -> bool:
        """Whether a worker of this app with this version of its schedules lives."""
        return any(
            worker["info"].get("schedules") == version
            and worker["info"].get("namespace") == self.namespace
            and worker["silent_for"] < self.fresh
            for worker in self.store.workers.list()
        )
