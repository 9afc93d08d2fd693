"""Begins and ends the watches of a run; what a watcher raises is logged and changes no job."""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence

from hammerflow.jobs.job import RowFlags
from hammerflow.jobs.outcome import Failed, Outcome, Retrying
from hammerflow.telemetry.trace_context import MOST_LINKS, TraceContext
from hammerflow.telemetry.watchers import RunWatch, Watcher
from hammerflow.worker.child.execution import JobExecution
from hammerflow.worker.failures import failure_of

__all__ = [
    "begin_watches", "end_watches", "flush", "has_parents", "read_parents", "trace_for_dependents",
]  # fmt: skip

log = logging.getLogger("hammerflow.child")

#: Seconds that watchers get to send what waits as a child ends.
_LAST_EXPORTS = 2.0


def has_parents(execution: JobExecution) -> bool:
    """Whether the contexts of other jobs are to be read before the watch begins."""
    return execution.job.trace is not None and TraceContext.read(execution.job.trace).waits


def read_parents(execution: JobExecution) -> Sequence[str]:
    """The contexts of the jobs that a job has waited for."""
    job = execution.job
    try:
        return execution.app.store.dependencies.traces(
            job.id, workflow_id=job.workflow_id, parent_id=job.parent_id, limit=MOST_LINKS
        )
    except Exception as error:  # noqa: BLE001 - a border: without links a span is worth having
        log.warning("cannot read whose spans to link: %s", error)
        return ()


def begin_watches(watchers: Collection[Watcher], execution: JobExecution) -> list[RunWatch]:
    """Begin the watches of a run in this context."""
    begun: list[RunWatch] = []
    for watcher in watchers:
        try:
            begun.append(watcher.began(execution))
        except Exception as error:  # noqa: BLE001 - a border: exporters and samplers of the user's
            log.error("cannot watch a job\n%s", failure_of(error).traceback)
    return begun


def end_watches(begun: list[RunWatch], execution: JobExecution, outcome: Outcome) -> Outcome:
    """End them in the opposite order; the outcome, with what the row is to keep of the trace."""
    for watch in reversed(begun):
        try:
            watch.end(outcome)
        except Exception as error:  # noqa: BLE001 - a border, as above
            log.error("cannot end the watch of a job\n%s", failure_of(error).traceback)
    execution.error = None  # its traceback refers to the execution
    if execution.span_trace is None:
        return outcome
    if isinstance(outcome, Retrying):
        return outcome._replace(trace=execution.span_trace)
    if isinstance(outcome, Failed):
        return outcome._replace(trace=trace_for_dependents(execution))
    return outcome


def trace_for_dependents(execution: JobExecution) -> str | None:
    """What the row keeps of the trace once a job has ended: nothing that no dependent reads."""
    job = execution.job
    is_read = job.flags & RowFlags.HAS_EDGES or job.dependent_id not in (None, job.workflow_id)
    may_be_linked = job.spawn_index is None or job.spawn_index < MOST_LINKS
    return execution.span_trace if is_read and may_be_linked else None


def flush(watchers: Collection[Watcher]) -> None:
    """Have all watchers send what waits."""
    for watcher in watchers:
        try:
            watcher.flush(_LAST_EXPORTS)
        except Exception as error:  # noqa: BLE001 - a border, as above
            log.warning("cannot flush spans or errors: %s", error)
