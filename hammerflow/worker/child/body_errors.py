"""Body errors: the border around a body. Whatever exception leaves it becomes an outcome."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Callable
from typing import Any

from hammerflow.canvas.chain import Canvas, Chain, Chord, Group
from hammerflow.canvas.signature import Signature
from hammerflow.durations import seconds
from hammerflow.errors import (
    CpuLimitExceeded,
    MemoryLimitExceeded,
    SoftTimeout,
    SpawnInvalid,
)
from hammerflow.ids import new_id
from hammerflow.jobs.job import CONDITIONAL
from hammerflow.jobs.outcome import (
    NO_REASON,
    Cancel,
    Cancelled,
    Failed,
    Failure,
    Operation,
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
from hammerflow.worker.failures import cause_of, failure_of, hard_timeout, message_of, type_name
from hammerflow.worker.run_options import RunOptions, wants_retry
from hammerflow.workflows.plan import Plan

__all__ = ["outcome_of"]

#: Options that belong to a job's place in a workflow, kept by the call that replaces it.
_PLACE = ("wait_for_children", "rule", "when")
#: How far the cause of a retry is searched: causes may form a circle.
_LONGEST_CHAIN = 100
_CHANCES = random.SystemRandom()


def outcome_of(error: BaseException, execution: JobExecution) -> Outcome:
    """The outcome of a job whose body, or the user's code around it, has raised ``error``.

    It never raises, whatever the user's classes do here: exceptions with properties and a
    ``__str__`` of their own, metaclasses that answer for ``retry_on``, numbers and texts that are
    subclasses. The class of an exception is asked for with ``type()``, because ``isinstance``
    believes its ``__class__``.
    """
    if execution.stray_error is not None and issubclass(type(error), asyncio.CancelledError):
        error = execution.stray_error
    try:
        asked = _asked_outcome(error, execution)
        return _failed_or_retried(error, execution) if asked is None else asked
    except BaseException as broken:  # noqa: BLE001 - the border itself
        failure = failure_of(error)
        why = f" (not tried again: deciding on that raised {type_name(broken)})"
        return Failed(failure._replace(message=failure.message + why), _operation(execution))


def _asked_outcome(error: BaseException, execution: JobExecution) -> Outcome | None:
    """The end that the body, the supervisor or a neighbour has chosen; None for an error."""
    kind, reason = type(error), execution.stop_reason
    if issubclass(kind, asyncio.CancelledError):
        if reason == "timeout":
            options = execution.run_options
            failure = hard_timeout(options.timeout or 0.0)
            return _retried(execution, failure, may_retry=failure.type not in options.unretried)
        if reason is not None or execution.is_disturbed:
            return Released()  # as for CancelAsked, or a neighbour has cancelled it: no charge
    if issubclass(kind, CancelAsked) and not execution.task.defaults.is_async:
        return Released()  # if it was cancelled, settling makes that its end
    if issubclass(kind, ReplaceAsked):
        return _replaced(execution, error)  # type: ignore[arg-type]
    if issubclass(kind, Cancel):
        return Cancelled(storable(message_of(error) or "cancelled", 2_000))
    if issubclass(kind, Snooze):
        return _after(error, Snoozed)
    return None


def _failed_or_retried(error: BaseException, execution: JobExecution) -> Outcome:
    kind, options = type(error), execution.run_options
    if issubclass(kind, SpawnInvalid):  # another attempt would end the same way
        return Failed(failure_of(error), _operation(execution))
    if issubclass(kind, Retry):
        failure = _failure_of_retry(error)
        if error.after is None or execution.job.attempt >= options.max_attempts:  # type: ignore[attr-defined]
            return _retried(execution, failure, may_retry=True)
        operation = _operation(execution)
        return _after(error, lambda delay: Retrying(delay, failure, operation))
    failure = failure_of(error, "timeout" if issubclass(kind, SoftTimeout) else "failed")
    exceeded = _exceeded(kind, options)
    if exceeded is not None:
        may_retry = exceeded not in options.unretried
        return _retried(execution, failure._replace(type=exceeded), may_retry=may_retry)
    may_retry = wants_retry(execution.task.defaults, error)
    return _retried(execution, failure, may_retry=may_retry)


def _exceeded(kind: type[BaseException], options: RunOptions) -> str | None:
    """The limit that an error tells of: what asks for more memory than the host gives has asked
    for more than its limit, too."""
    if options.cpu_limit is not None and issubclass(kind, CpuLimitExceeded):
        return CpuLimitExceeded.__name__
    if options.memory_limit is not None and issubclass(kind, MemoryError):
        return MemoryLimitExceeded.__name__
    return None


def _failure_of_retry(error: BaseException) -> Failure:
    """What made the body ask for a retry if there was something, else the reason that it gave."""
    failure = failure_of(error)
    has_reason = failure.message != NO_REASON
    cause = cause_of(error, implied=not has_reason)
    for _ in range(_LONGEST_CHAIN):
        if cause is None or not issubclass(type(cause), Retry):
            break
        cause = cause_of(cause)
    if cause is None or issubclass(type(cause), Retry):
        return failure
    message = message_of(cause) + (f" ({failure.message})" if has_reason else "")
    return failure._replace(type=type_name(cause), message=message)


def _retried(execution: JobExecution, failure: Failure, *, may_retry: bool) -> Outcome:
    """Another attempt after the backoff, or the end if none is left or allowed."""
    operation = _operation(execution)
    # Not from the generator of ``random``, which a body may have seeded.
    delay = execution.run_options.delay_after(execution.job.attempt, _CHANCES.random())
    if delay is None or not may_retry:
        return Failed(failure, operation)
    return Retrying(delay, failure, operation)


def _operation(execution: JobExecution) -> Operation | None:
    """The record of a spawner's run; None if it cannot be made, which must not hide the error."""
    try:
        return execution.operation()
    except BaseException:  # noqa: BLE001 - a border: it is made of options and of the payload
        return None


def _after(error: BaseException, outcome: Callable[[float], Outcome]) -> Outcome:
    """The outcome with the delay that the body has given; an invalid delay fails the job."""
    name = type_name(error)
    try:
        return outcome(seconds(error.after, f"after of {name}"))  # type: ignore[attr-defined]
    except BaseException as invalid:  # noqa: BLE001 - a border: properties, missing super().__init__
        failure = failure_of(error)
        message = f"{name} was raised without a usable delay: {message_of(invalid)}"
        return Failed(failure._replace(message=message))


def _replaced(execution: JobExecution, asked: ReplaceAsked) -> Outcome:
    """The job goes on as the last call of a canvas, as ``current_job().replace(canvas)`` asks."""
    try:
        if execution.spawn_buffer is not None and execution.spawn_buffer.count:
            raise SpawnInvalid(
                f"{execution.task.name} has spawned and cannot be replaced any more: put the "
                "children into the canvas that replaces it; nothing was inserted"
            )
        return _replacement(execution, asked.canvas)
    except BaseException as error:  # noqa: BLE001 - a border: wrong arguments fail every attempt
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
    if execution.run_options.store_result and not execution.app.stores_result(_last(canvas)):
        merged["store_result"] = True  # whoever takes the result of this job gets it
    place = {name: getattr(job, name) for name in ("workflow_id", "parent_id", "depth", "trace")}
    place["root_id"] = job.root_id or job.id
    before = [row._replace(**place) for row in rows.jobs if row.id != job.id]
    call = call._replace(
        options=json.dumps(merged) if merged else None, rule=call.rule & ~CONDITIONAL
    )
    return Replaced(call, before, [])


def _last(canvas: Any) -> Signature:
    """The call that gives the result of a canvas which does not end in a group."""
    while not isinstance(canvas, Signature):
        canvas = canvas.body if isinstance(canvas, Chord) else canvas.tasks[-1]
    return canvas


def _is_several(canvas: Canvas | None) -> bool:
    """Whether it ends in a group."""
    match canvas:
        case Chain():
            return _is_several(canvas.tasks[-1])
        case Chord():
            return _is_several(canvas.body)
        case _:
            return isinstance(canvas, Group)
