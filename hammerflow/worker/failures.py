"""Failures: what went wrong as text that every database can hold."""

from __future__ import annotations

import signal
import traceback

from hammerflow.jobs.outcome import Failure
from hammerflow.text import storable

__all__ = ["failure_of", "hard_timeout", "lost_child", "no_attempt_left"]

_MESSAGE = 10_000
_TRACE = 50_000
#: Files whose frames at the top of a traceback are ours, not the user's.
_OWN = ("/hammerflow/worker/", "\\hammerflow\\worker\\", "/asyncio/")


def failure_of(error: BaseException, kind: str = "failed") -> Failure:
    """An exception as type, message and traceback; the worker's own frames are left out."""
    cls = type(error)
    return Failure(
        kind,
        storable(f"{cls.__module__}.{cls.__qualname__}", 500),
        storable(_message(error), _MESSAGE),
        storable(_traceback(error), _TRACE),
    )


def lost_child(pid: int | None, status: int | None) -> Failure:
    """The child that ran the job is gone; ``status`` is its wait status, if that is known."""
    text = f"the child that ran it (pid {pid}) {_end(status)}"
    return Failure("lost", "ChildLost", text, "")


def hard_timeout(seconds: float) -> Failure:
    """The hard timeout was over and the body was stopped."""
    text = f"it ran longer than its timeout of {seconds:g} s and was stopped"
    return Failure("timeout", "HardTimeout", text, "")


def no_attempt_left(attempt: int, max_attempts: int) -> Failure:
    """A job whose last attempt died with its host."""
    text = f"the last of {max_attempts} attempts was lost; this would be attempt {attempt}"
    return Failure("lost", "AttemptsExhausted", text, "")


def _end(status: int | None) -> str:
    if status is None:
        return "is gone"
    if status >= 0:
        return f"ended with exit code {status}"
    try:
        return f"was killed by {signal.Signals(-status).name}"
    except ValueError:
        return f"was killed by signal {-status}"


def _message(error: BaseException) -> str:
    try:
        return str(error)
    except Exception as broken:  # noqa: BLE001 - a border: users' __str__ runs in here
        return f"(its text cannot be had: {type(broken).__name__})"


def _traceback(error: BaseException) -> str:
    trace = error.__traceback__
    while trace is not None and any(own in trace.tb_frame.f_code.co_filename for own in _OWN):
        trace = trace.tb_next
    try:
        return "".join(traceback.format_exception(type(error), error, trace))
    except Exception as broken:  # noqa: BLE001 - a border, as above
        return f"(its traceback cannot be had: {type(broken).__name__})"
