"""Failures: what went wrong in an attempt, as text that every database can hold."""

from __future__ import annotations

import linecache
import os
import signal
import stat
import sys
import traceback
import types
from collections.abc import Callable, Iterator
from typing import Any

from hammerflow.jobs.outcome import Failure
from hammerflow.text import storable

__all__ = [
    "CLOSED_PIPES", "cause_of", "cpu_limit_exceeded", "dropped_job", "failure_of", "hard_timeout",
    "how_it_ended", "lost_child", "memory_limit_exceeded", "message_of", "no_attempt_left",
    "self_cancelled", "traceback_in_body", "traceback_of", "type_name", "uncharged",
]  # fmt: skip

#: The exit code of a child whose pipes a body has closed.
CLOSED_PIPES = 72
_MESSAGE = 10_000  # characters
_TRACE = 50_000
_SOURCE = 16 << 20  # bytes of a file that is read for the lines of a traceback
#: What Python itself knows of classes and exceptions, past what a class puts in its place.
_MODULE: Any = type.__dict__["__module__"]
_QUALNAME: Any = type.__dict__["__qualname__"]
_TRACEBACK: Any = BaseException.__dict__["__traceback__"]
_CAUSE: Any = BaseException.__dict__["__cause__"]
_CONTEXT: Any = BaseException.__dict__["__context__"]
_EXCEPTIONS: Any = BaseExceptionGroup.__dict__["exceptions"]
_HIDES_CONTEXT: Any = BaseException.__dict__["__suppress_context__"]
#: Frames of these files at the top of a traceback are the worker's, not the user's.
_OWN = ("/hammerflow/worker/", "\\hammerflow\\worker\\", "/asyncio/")


def failure_of(error: BaseException, kind: str = "failed") -> Failure:
    """An exception as type, message and traceback, without the worker's own frames.

    It never raises: the error's class may be the user's, and its code runs here.

    Args:
        error: what a body has raised.
        kind: "failed", "timeout" or "parked".
    """
    return Failure(kind, type_name(error), message_of(error), _formatted(error))


def type_name(error: BaseException) -> str:
    """The qualified name of an exception's class, read so that none of its code runs."""
    cls = type(error)
    text = str.__str__(_QUALNAME.__get__(cls))
    try:
        module = _MODULE.__get__(cls)
    except AttributeError:  # of a class that code without a module has made
        module = None
    if issubclass(type(module), str):  # it may have been overwritten with anything
        text = f"{str.__str__(module)}.{text}"
    return storable(text, 500)


def message_of(error: BaseException) -> str:
    """The text of an exception, or why there is none."""
    return _or_why_not(lambda: str(error), "message: its __str__", _MESSAGE)


def cause_of(error: BaseException, *, implied: bool = True) -> BaseException | None:
    """The exception that ``error`` was raised from.

    Args:
        implied: or else the one that was being handled, unless ``from None`` hides it.
    """
    cause: BaseException | None = _CAUSE.__get__(error)
    if cause is None and implied and not _HIDES_CONTEXT.__get__(error):
        cause = _CONTEXT.__get__(error)
    return cause


def traceback_of(error: BaseException) -> types.TracebackType | None:
    """The traceback of an exception, whatever its class says."""
    trace: types.TracebackType | None = _TRACEBACK.__get__(error)
    return trace


def traceback_in_body(error: BaseException) -> types.TracebackType | None:
    """Likewise, without the worker's own frames."""
    trace = traceback_of(error)
    while trace is not None and any(own in trace.tb_frame.f_code.co_filename for own in _OWN):
        trace = trace.tb_next
    return trace


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


def memory_limit_exceeded(limit: int, taken: int) -> Failure:
    """The body, with what it has started, took more memory than its limit; both in bytes."""
    mebibytes = f"{taken / (1 << 20):.4g} MiB of memory, more than the {limit / (1 << 20):.4g} MiB"
    text = f"it took {mebibytes} of its memory_limit, and was stopped"
    return Failure("failed", "MemoryLimitExceeded", text, "")


def cpu_limit_exceeded(limit: float, used: float) -> Failure:
    """The body, with what it has started, used more CPU time than its limit, in seconds."""
    text = f"it used {used:.1f} s of CPU time, more than its cpu_limit of {limit:g} s"
    return Failure("failed", "CpuLimitExceeded", f"{text}, and was stopped", "")


def self_cancelled() -> Failure:
    """The body was interrupted as by a cancel, but no supervisor has asked for it."""
    text = (
        "the body was interrupted by SIGUSR1, though nobody had cancelled it: a body must not send "
        "its own process this signal, by which a worker cancels jobs"
    )
    return Failure("failed", "SelfCancelled", text, "")


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


def uncharged(failure: Failure, others: int) -> Failure:
    """The end of a process that ran other jobs, too: it is charged to none of them."""
    jobs = "1 other job" if others == 1 else f"{others} other jobs"
    why = f"it ran {jobs}, too, so this is not charged, and each of them runs alone now"
    return failure._replace(kind="suspected", message=f"{failure.message}; {why}")


def _or_why_not(text: Callable[[], str], what: str, most: int) -> str:
    try:
        found = str.__str__(text())  # a plain one: subclasses may have other methods
    except BaseException as broken:  # noqa: BLE001 - a border: code of the user's classes runs
        found = f"(no {what} raised {type_name(broken)})"
    return storable(found, most)


def _formatted(error: BaseException) -> str:
    trace = traceback_in_body(error)

    def formatted() -> str:
        _skip_endless_sources(error)
        try:
            return "".join(traceback.format_exception(type(error), error, trace))
        except BaseException as broken:  # noqa: BLE001 - as above
            frames = "".join(traceback.format_tb(trace))
            return f"{frames}{type_name(error)} (formatting it raised {type_name(broken)})"

    return _or_why_not(formatted, "traceback: formatting it", _TRACE)


def _skip_endless_sources(error: BaseException) -> None:
    """Let tracebacks of this error be formatted without files that cannot be read to their end.

    Code may have any file name, and ``linecache`` opens what it names: a pipe blocks until somebody
    writes to it, and /dev/zero never ends.
    """
    for name in {*_files_of(error)}:
        if not name.startswith("<") and not _is_source(name):
            linecache.cache[name] = (0, None, [], name)  # None: it is not looked up again


def _files_of(error: BaseException) -> Iterator[str]:
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        one = waiting.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        trace = traceback_of(one)
        while trace is not None:
            yield trace.tb_frame.f_code.co_filename
            trace = trace.tb_next
        waiting += [_CAUSE.__get__(one), _CONTEXT.__get__(one)]
        if issubclass(type(one), BaseExceptionGroup):
            waiting += _EXCEPTIONS.__get__(one)


def _is_source(name: str) -> bool:
    """Whether what ``linecache`` finds under this name ends: a file, or none at all."""
    places = [name]
    if not os.path.isabs(name):
        places += [os.path.join(folder, name) for folder in sys.path if type(folder) is str]
    for place in places:
        try:
            found = os.stat(place)
        except (OSError, ValueError):
            continue
        return stat.S_ISREG(found.st_mode) and found.st_size <= _SOURCE
    return True
