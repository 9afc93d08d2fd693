"""Job tasks: asyncio tasks of jobs that share a loop, safe from each other."""

from __future__ import annotations

import asyncio
from typing import Any

from hammerflow.context import RUNNING
from hammerflow.worker.child.execution import JobExecution
from hammerflow.worker.failures import traceback_of

__all__ = ["JobTask", "owner_of"]


class JobTask(asyncio.Task[None]):
    """The task of one job. Only its child and its own body can cancel it: a body that cancels
    ``asyncio.all_tasks()`` ends itself, not its neighbours.

    Attributes:
        execution: set once its body is about to begin; nobody can cancel it before.
    """

    execution: JobExecution | None = None

    def cancel(self, msg: Any | None = None) -> bool:
        """As of each task; False if the caller may not cancel it."""
        execution = self.execution
        if execution is None:
            return False
        caller = RUNNING.get()
        if execution.is_stopped or caller is execution:
            return super().cancel(msg)
        if caller is not None:
            execution.is_disturbed = True  # tasks of its body may have been cancelled as well
        return False


def owner_of(error: BaseException) -> JobExecution | None:
    """The job whose task or callback has let an exception out of the event loop.

    The callback was run by an ``asyncio.Handle``, in the context of the job that has scheduled it.
    None for loops that leave no such frame (uvloop), and for what a handler of exceptions raises:
    a body may have set it for all.
    """
    owner = None
    trace = traceback_of(error)
    while trace is not None:
        frame, trace = trace.tb_frame, trace.tb_next
        if frame.f_code.co_name == "call_exception_handler":
            return None
        handle = frame.f_locals.get("self") if owner is None else None
        if isinstance(handle, asyncio.Handle):
            owner = handle._context.get(RUNNING)  # type: ignore[attr-defined]
    return owner if isinstance(owner, JobExecution) else None
