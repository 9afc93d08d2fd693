"""Failures: what went wrong in an attempt, as text that every database can hold."""

from __future__ import annotations

import signal
import traceback
from collections.abc import Callable

from hammerflow.jobs.outcome import Failure
from hammerflow.text import storable

__all__ = [
    "CLOSED_PIPES", "dropped_job", "failure_of", "hard_timeout", "how_it_ended", "lost_child",
    "no_attempt_left",
]  # fmt: skip

#: The exit code of a child whose pipes a body has closed.
CLOSED_PIPES = 72
_MESSAGE = 10_000  # characters
_TRACE = 50_000
#: Frames of these files at the top of a traceback are the worker's, not the user's.
_OWN = ("/hammerflow/worker/", "\\hammerflow\\worker\\", "/asyncio/")


def failure_of(error: BaseException, kind: str = "failed") -> Failure:
    """An exception as type, message and traceback, without the worker's own frames.

    Args:
        error: what a body has raised; its ``__str__`` may raise, too.
        kind: "failed", "timeout" or "parked".
    """
    cls = type(error)
    return Failure(
        kind,
        storable(f"{cls.__module__}.{cls.__qualname__}", 500),
        storable(_or_why_not(lambda: str(error), "message: its __str__"), _MESSAGE),
        storable(_or_why_not(lambda: _traceback(error), "traceback: formatting it"), _TRACE),
    )


def lost_child(pid: int | None, status: int | None) -> Failure:
    """The child that ran the job has died, with this exit status (negative: signal) if known."""
    text = f"child process {pid}, which ran this job, {how_it_ended(status)}"
    return Failure("lost", "ChildLost", text, "")


def dropped_job(pid: int | None) -> Failure:
    """A living child has reported no outcome of the job, and says that it does not run it."""
    text = f"child process {pid} runs this job no more, and has reported no outcome"
    return Failure("lost", "JobDropped", text, "")


def hard_timeout(seconds: float) -> Failure:
    """The body has run longer than its hard timeout and was stopped."""
    text = f"it ran longer than its timeout of {seconds:g} s and was stopped"
    return Failure("timeout", "HardTimeout", text, "")


def no_attempt_left(attempt: int, max_attempts: int) -> Failure:
    """The last attempt that the job had was lost with its host."""
    text = f"the last of {max_attempts} attempts was lost; this would be attempt {attempt}"
    return Failure("lost", "AttemptsExhausted", text, "")


def how_it_ended(status: int | None) -> str:
    """The end of a sentence about a process: "ended with exit code 3", "was killed by SIGKILL".

    Args:
        status: its exit code, or minus the signal that killed it; None: unknown.
    """
    if status is None:
        return "is gone"
    if status == CLOSED_PIPES:
        return "ended because its file descriptors had been closed"
    if status >= 0:
        return f"ended with exit code {status}"
    try:
        return f"was killed by {signal.Signals(-status).name}"
    except ValueError:
        return f"was killed by signal {-status}"


def _or_why_not(text: Callable[[], str], what: str) -> str:
    try:
        return text()
    except Exception as broken:  # noqa: BLE001 - a border: the user's __str__ runs
        return f"(no {what} raised {type(broken).__name__})"


def _traceback(error: BaseException) -> str:
    trace = error.__traceback__
    while trace is not None and any(own in trace.tb_frame.f_code.co_filename for own in _OWN):
        trace = trace.tb_next
    return "".join(traceback.format_exception(type(error), error, trace))
