"""Calls the hooks of an app; what they raise is logged and changes no job."""

from __future__ import annotations

import logging
import uuid

from hammerflow.jobs.hooks import HookedJob, JobHooks
from hammerflow.jobs.outcome import Completed, Failed, Failure, Outcome, Retrying, Settled
from hammerflow.worker.child.execution import JobExecution
from hammerflow.worker.failures import failure_of

__all__ = ["call_ended", "call_hooks", "call_starts"]

log = logging.getLogger("hammerflow.child")


def call_starts(hooks: JobHooks) -> None:
    """Call the hooks for the start of this child."""
    for hook in hooks.child_starts:
        try:
            hook()
        except BaseException as raised:  # noqa: BLE001 - a border: a hook may raise anything
            log.error("a child_started hook failed\n%s", failure_of(raised).traceback)


def call_ended(hooks: JobHooks, execution: JobExecution, outcome: Outcome) -> None:
    """Call the hooks for the end of an attempt."""
    if isinstance(outcome, Failed | Retrying):
        if outcome.failure.kind == "timeout":
            call_hooks(hooks, "timed_out", execution, outcome.failure)
        moment = "failed" if isinstance(outcome, Failed) else "retried"
        call_hooks(hooks, moment, execution, outcome.failure)
    elif isinstance(outcome, Completed) or outcome == Settled(False):
        call_hooks(hooks, "completed", execution)


def call_hooks(
    hooks: JobHooks, moment: str, execution: JobExecution, failure: Failure | None = None
) -> None:
    """Call the hooks for this moment, in the order in which they were declared."""
    some = hooks.known.get(moment)
    if some is None:
        return
    job, error = execution.job, () if failure is None else (failure.type, failure.message)
    told = HookedJob(
        uuid.UUID(bytes=job.id), execution.task.name, execution.queue, job.attempt, *error
    )
    for hook in some:
        try:
            hook(told)
        except BaseException as raised:  # noqa: BLE001 - a border: a hook may raise anything
            text = failure_of(raised).traceback
            log.error("a job_%s hook failed for %s\n%s", moment, execution.task.name, text)
