"""Body stacks: where the body of a job is at this moment."""

from __future__ import annotations

import time
import uuid
from queue import Empty

from hammerflow.worker.stacks import Frame, ask_for_stack, shown_stack
from hammerflow.worker.supervisor.async_handle import AsyncChildHandle
from hammerflow.worker.supervisor.child_group import Handle
from hammerflow.worker.supervisor.pool import Pool

__all__ = ["stack_of"]

#: Seconds that an event loop may take to answer; a body that does not let it holds it up.
_LOOP_PATIENCE = 1.0
_NO_ANSWER = (
    "the child {pid} does not answer: it is stopped, waits in the kernel where no signal reaches "
    "it, or its body has taken the signal or closed the worker's files"
)


def stack_of(pool: Pool, job_id: bytes) -> dict[str, str]:
    """What a body does: ``says`` is a sentence, ``stack`` its frames as a traceback has them."""
    child, runs = pool.place_of(job_id)
    if child is None or child.pid is None:
        return _says("no child of the worker runs the job now: it has ended, or waits for a child")
    if runs != job_id:
        behind = f" behind job {uuid.UUID(bytes=runs)}" if runs else ""
        return _says(f"the job waits in child {child.pid}{behind}")
    if isinstance(child, AsyncChildHandle):
        says, frames = _async_stack(pool, child, job_id)
    else:
        says, frames = "the body is here", ask_for_stack(child.pid, child.stack)
    if pool.place_of(job_id) != (child, job_id):
        return _says("the job has just ended")
    if frames is None:
        return _says(_NO_ANSWER.format(pid=child.pid))
    return _says(f"{says}, in child {child.pid}", shown_stack(frames))


def _async_stack(
    pool: Pool, child: AsyncChildHandle, job_id: bytes
) -> tuple[str, list[Frame] | None]:
    """The chain of what a coroutine awaits; where its loop is stuck, what holds it up."""
    pool.ask_for_stack(child, job_id)
    ends_at = time.monotonic() + _LOOP_PATIENCE
    while (left := ends_at - time.monotonic()) > 0:
        try:
            told_of, frames = child.stacks.get(timeout=left)
        except Empty:
            break
        if told_of == job_id:
            return "the coroutine waits here", frames
    return "the event loop, which runs nothing else meanwhile, is here", _of_process(child)


def _of_process(child: Handle) -> list[Frame] | None:
    return ask_for_stack(child.pid, child.stack) if child.pid is not None else None


def _says(sentence: str, stack: str = "") -> dict[str, str]:
    return {"says": sentence, "stack": stack}
