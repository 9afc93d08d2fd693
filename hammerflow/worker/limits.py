"""Limits of the host: open files, processes and memory, and which one an error has met."""

from __future__ import annotations

import contextlib
import errno
import resource
from collections.abc import Iterator

from hammerflow.errors import ConfigError

__all__ = ["cannot_hold", "limit_open_files", "naming_limits", "raise_open_files", "why_refused"]

#: Descriptors of a supervisor for each child: its ends of the pipes.
_PER_CHILD = 4
#: Those of connections, logs, the doorbell, and of children that are just being forked.
_OWN = 40
_UNLIMITED = "unlimited"


def raise_open_files(children: int) -> int:
    """Raise the soft limit of open files of this process, which holds the pipes of ``children``, as
    far as it needs and may: old and new ones meet at a reload.

    Returns:
        The soft limit before. Processes that run the user's code get it back.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 2 * _needed(children)
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        limit_open_files(wanted)
    return soft


def limit_open_files(number: int) -> None:
    """Set the soft limit of open files of this process."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (number, hard))


def cannot_hold(children: int) -> str | None:
    """Why this process cannot have this number of children; None if it can."""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if most == resource.RLIM_INFINITY or _needed(children) <= most:
        return None
    return (
        f"{children} children need {_needed(children)} open files, and the limit of this process "
        f"is {most}: start fewer children (-c), or raise the limit (ulimit -n)"
    )


def why_refused(error: BaseException) -> str:
    """What an error of the host says, with the limit that was met if it is one."""
    code = error.errno if isinstance(error, OSError) else None
    if code == errno.EMFILE:
        most = _shown(resource.RLIMIT_NOFILE)
        return f"this process may open no more files than {most}: raise the limit (ulimit -n)"
    if code == errno.ENFILE:
        return "the host may open no more files: raise its limit (sysctl fs.file-max)"
    if code == errno.EAGAIN or _is_of_thread(error):
        most = _shown(resource.RLIMIT_NPROC)
        said = (
            "no more processes and threads may be started: raise the user's limit, which is "
            f"{most} (ulimit -u), or that of the container (pids.max)"
        )
        memory = _shown(resource.RLIMIT_AS)  # of which each thread takes some for its stack
        return said if memory == _UNLIMITED else f"{said}, or of memory, {memory} bytes (ulimit -v)"
    if code == errno.ENOMEM or isinstance(error, MemoryError):
        most = _shown(resource.RLIMIT_AS)
        return f"there is not enough memory; the limit of a process is {most} bytes (ulimit -v)"
    return str(error) or type(error).__name__


@contextlib.contextmanager
def naming_limits() -> Iterator[None]:
    """End the start of a worker where the host refuses what it needs.

    Raises:
        ConfigError: names the limit that was met.
    """
    try:
        yield
    except (OSError, MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and not _is_of_thread(error):
            raise
        raise ConfigError(f"the worker cannot start: {why_refused(error)}") from error


def _is_of_thread(error: BaseException) -> bool:
    return "start new thread" in str(error)  # a RuntimeError without a code


def _needed(children: int) -> int:
    return _OWN + _PER_CHILD * children


def _shown(limit: int) -> str:
    most = resource.getrlimit(limit)[0]
    return _UNLIMITED if most == resource.RLIM_INFINITY else str(most)
