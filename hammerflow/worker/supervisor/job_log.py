"""One log line for each job that ended."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from hammerflow.jobs.job import Claimed
from hammerflow.jobs.outcome import Lost, Outcome, Parked, Retrying, Settled, Snoozed, Suspected
from hammerflow.worker.logs import facts
from hammerflow.worker.run_options import TaskCatalog
from hammerflow.worker.supervisor.round_results import EndedJob

__all__ = ["JobLog"]

log = logging.getLogger("hammerflow.jobs")


@dataclass(frozen=True)
class JobLog:
    """Failures, losses and parks are warnings; all other ends have a level of their own.

    Attributes:
        level: of those, as a number of :mod:`logging`.
        queues: names of the queues by their numbers; the pool fills it.
    """

    level: int
    queues: Mapping[int, str]

    @property
    def is_complete(self) -> bool:
        """Whether completed jobs get a line, too."""
        return log.isEnabledFor(self.level)

    def write(self, ends: Iterable[EndedJob], catalog: TaskCatalog) -> None:
        """Write the lines of jobs that ended."""
        for job, outcome, child, seconds in ends:
            failure = getattr(outcome, "failure", None)
            level = self.level if failure is None else logging.WARNING
            if not log.isEnabledFor(level):
                continue
            values = self.fields(job, catalog) | {"outcome": _name(outcome)}
            if seconds is not None:
                values["duration"] = round(seconds, 6)
            if child is not None:
                values["child"] = child
            if failure is not None:
                values |= {"kind": failure.kind, "error": f"{failure.type}: {failure.message}"}
            log.log(level, _sentence(outcome), extra=facts(**values))

    def fields(self, job: Claimed, catalog: TaskCatalog) -> dict[str, Any]:
        """What every line about a job says of it."""
        return {
            "job": uuid.UUID(bytes=job.id),
            "task": catalog.name(job),
            "queue": self.queues.get(job.queue_id, job.queue_id),
            "attempt": job.attempt,
        }


def _name(outcome: Outcome) -> str:
    is_completed = isinstance(outcome, Settled) and not outcome.stale
    return "completed" if is_completed else type(outcome).__name__.lower()


def _sentence(outcome: Outcome) -> str:
    match outcome:
        case Settled(stale=True):
            return "job ended, but its lease had been taken over"
        case Retrying(delay):
            return f"job failed, next attempt in {delay:.1f} s"
        case Suspected():
            return "child died while it ran this job and others: each runs alone now"
        case Lost(failure) if failure.type == "JobDropped":
            return "job was dropped by its child"
        case Lost():  # what follows is logged by the settler, once the database has decided it
            return "child died while it ran this job"
        case Parked(why):
            return f"job is parked ({why})"
        case Snoozed(delay):
            return f"job is snoozed for {delay:.1f} s"
        case _:
            return f"job {_name(outcome)}"  # completed, failed, cancelled ...
