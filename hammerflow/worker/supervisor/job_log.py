"""Reports: one log line for each job that did not simply complete."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Sequence

from hammerflow.jobs.job import Claimed
from hammerflow.jobs.outcome import Failed, Failure, Lost, Outcome, Parked, Retrying
from hammerflow.worker.logs import facts
from hammerflow.worker.run_options import TaskCatalog

__all__ = ["report"]

log = logging.getLogger("hammerflow.jobs")


def report(pairs: Sequence[tuple[Claimed, Outcome]], manifest: TaskCatalog) -> None:
    """Log what went wrong among these ends."""
    for job, outcome in pairs:
        match outcome:
            case Failed(failure):
                _warn("job failed", manifest, job, failure)
            case Retrying(delay, failure):
                _warn(f"job failed, next attempt in {delay:.1f} s", manifest, job, failure)
            case Lost(failure):
                _warn("job was lost", manifest, job, failure)
            case Parked(why, failure):
                _warn(f"job is parked ({why})", manifest, job, failure)
            case _:
                pass


def _warn(what: str, manifest: TaskCatalog, job: Claimed, failure: Failure) -> None:
    named = facts(
        job=uuid.UUID(bytes=job.id),
        task=manifest.name(job),
        attempt=job.attempt,
        kind=failure.kind,
        error=f"{failure.type}: {failure.message}",
    )
    log.warning(what, extra=named)
