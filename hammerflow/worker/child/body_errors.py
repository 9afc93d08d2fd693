"""Body errors: the outcome of a job whose body an exception has left."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Callable
from typing import Any

from hammerflow.canvas.chain import Canvas, Chain, Chord, Group
from hammerflow.canvas.signature import Signature
from hammerflow.durations import seconds
from hammerflow.errors import HammerflowError, SoftTimeout, SpawnInvalid
from hammerflow.ids import new_id
from hammerflow.jobs.job import CONDITIONAL
from hammerflow.jobs.outcome import (
    Cancel,
    Cancelled,
    Failed,
    Failure,
    Outcome,
    Released,
    Replaced,
    Retry,
    Retrying,
    Snooze,
    Snoozed,
)
from hammerflow.text import storable
from hammerflow.worker.child.execution import JobExecution, ReplaceAsked
from hammerflow.worker.child.interrupts import CancelAsked
from hammerflow.worker.failures import failure_of, hard_timeout
from hammerflow.worker.run_options import wants_retry
from hammerflow.workflows.plan import Plan

__all__ = ["outcome_of"]

#: Options that belong to a job's place in a workflow, kept by the call that replaces it.
_PLACE = ("wait_for_children", "rule", "when")


def outcome_of(error: BaseException, execution: JobExecution) -> Outcome:
    """The outcome of a job whose body has raised ``error``; never raises."""
    job, options = execution.job, execution.run_options
    match error:
        case asyncio.CancelledError() if execution.stop_reason == "timeout":
            failure = hard_timeout(options.timeout or 0.0)
            return _retried(execution, failure, may_retry=options.retries_timeouts)
        case asyncio.CancelledError() if execution.stop_reason is not None:
            return Released()  # as for CancelAsked
        case CancelAsked():
            return Released()  # the lease says that it was cancelled: settling makes that its end
        case ReplaceAsked():
            return _replaced(execution, error)
        case Cancel():
            return Cancelled(storable(str(error) or "cancelled", 2_000))
        case Snooze():
            return _after(error, Snoozed)
        case Retry() if error.after is not None and job.attempt < options.max_attempts:
            failure = failure_of(error)
            return _after(error, lambda delay: Retrying(delay, failure))
        case _:
            may_retry = isinstance(error, Retry) or wants_retry(execution.task.defaults, error)
            kind = "timeout" if isinstance(error, SoftTimeout) else "failed"
            return _retried(execution, failure_of(error, kind), may_retry=may_retry)


def _retried(execution: JobExecution, failure: Failure, *, may_retry: bool) -> Outcome:
    """Another attempt after the backoff, or the end if none is left or allowed."""
    delay = execution.run_options.delay_after(execution.job.attempt, random.random())
    operation = execution.operation()
    if delay is None or not may_retry:
        return Failed(failure, operation)
    return Retrying(delay, failure, operation)


def _after(error: Retry | Snooze, outcome: Callable[[float], Outcome]) -> Outcome:
    """The outcome with the delay that the body has given; an invalid delay fails the job."""
    try:
        return outcome(0 if error.after is None else seconds(error.after, type(error).__name__))
    except (HammerflowError, ValueError, TypeError) as invalid:
        return Failed(failure_of(invalid))


def _replaced(execution: JobExecution, asked: ReplaceAsked) -> Outcome:
    """The job goes on as the last call of a canvas, as ``current_job().replace(canvas)`` asks."""
    try:
        if execution.spawn_buffer is not None and execution.spawn_buffer.count:
            raise SpawnInvalid(
                f"{execution.task.name} has spawned and cannot be replaced any more: put the "
                "children into the canvas that replaces it; nothing was inserted"
            )
        return _replacement(execution, asked.canvas)
    except Exception as error:  # noqa: BLE001 - a border: wrong arguments fail every attempt
        return Failed(failure_of(error))


def _replacement(execution: JobExecution, canvas: Any) -> Replaced:
    """The canvas as jobs. Its last call takes the job's id, so that dependents, unique key and
    result stay where they are; calls before it become jobs of the same workflow."""
    job, options = execution.job, execution.job_options
    if not isinstance(canvas, Canvas):
        raise TypeError(f"a job is replaced by a signature or canvas, not {canvas!r}")
    if _is_several(canvas):
        canvas = Chain([canvas, Signature("hammerflow.collect")])
    plan = Plan(new_id)
    plan.add_canvas(canvas, None, last_id=job.id)
    rows = execution.app.new_rows(plan)
    call = next(row for row in rows.jobs if row.id == job.id)
    merged = {name: options[name] for name in _PLACE if name in options}
    merged |= json.loads(call.options) if call.options else {}
    place = {name: getattr(job, name) for name in ("workflow_id", "parent_id", "depth", "trace")}
    place["root_id"] = job.root_id or job.id
    before = [row._replace(**place) for row in rows.jobs if row.id != job.id]
    call = call._replace(
        options=json.dumps(merged) if merged else None, rule=call.rule & ~CONDITIONAL
    )
    return Replaced(call, before, [])


def _is_several(canvas: Canvas | None) -> bool:
    """Whether it ends in a group."""
    match canvas:
        case Chain():
            return _is_several(canvas.tasks[-1])
        case Chord():
            return _is_several(canvas.body)
        case _:
            return isinstance(canvas, Group)
