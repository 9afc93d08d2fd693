"""Deaths: how a job ended whose child died while it ran."""

from __future__ import annotations

import random

from hammerflow.jobs.job import Claimed
from hammerflow.jobs.outcome import Failed, Lost, Outcome, Released, Retrying
from hammerflow.worker.failures import hard_timeout, lost_child
from hammerflow.worker.supervisor.child_handle import ChildHandle

__all__ = ["end_of"]


def end_of(seat: ChildHandle, job: Claimed) -> Outcome:
    """The outcome of a job that ``seat`` ran: lost, timed out, or given back if the supervisor
    killed the child for no fault of this job."""
    policy, doom = seat.manifest.run_options(job), seat.doom
    if doom is None:
        delay = 0.0 if job.attempt < policy.max_attempts else None
        return Lost(lost_child(seat.pid, seat.status), delay)
    if doom.why != "timeout" or doom.job_id != job.id:
        return Released()
    retry_in = policy.delay_after(job.attempt, random.random())
    if retry_in is None or not policy.retries_timeouts:
        return Failed(hard_timeout(doom.timeout))
    return Retrying(retry_in, hard_timeout(doom.timeout))
