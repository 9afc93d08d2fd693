"""Process state: what a body may change for its whole process, put back after each job.

``docs/reference/bodies.md`` lists the state that is put back, and the rest. The choice follows the
cost: ``python -m benchmarks.state`` measures it, 3 to 5 µs, as much as all else that a child does
for a job without work. So a task is trusted once its bodies have left the process as it was a
thousand times: it is then compared once a millisecond, and before its child waits for jobs.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]
import builtins
import faulthandler
import gc
import io
import os
import re
import signal
import socket
import sys
import threading
import time
import warnings
from collections.abc import Callable
from operator import itemgetter
from pathlib import Path
from typing import Any

from hammerflow.process.streams import Output
from hammerflow.worker.child.kept_output import KeptOutput, layers
from hammerflow.worker.failures import message_of

__all__ = ["ProcessState"]

#: Signals that the worker handles, or that bodies are likely to handle. As plain numbers for the
#: functions of ``_signal``: those of ``signal`` look up enums, 0.5 µs for each.
_SIGNALS = tuple(
    int(number)
    for number in (
        signal.SIGALRM, signal.SIGUSR1, signal.SIGUSR2, signal.SIGINT, signal.SIGTERM,
        signal.SIGHUP, signal.SIGQUIT, signal.SIGCHLD, signal.SIGPIPE, signal.SIGPROF,
        signal.SIGVTALRM,
    )
)  # fmt: skip
#: Resource limits that kill a later body, or fail it.
_LIMITS = ("RLIMIT_CPU", "RLIMIT_AS", "RLIMIT_NOFILE", "RLIMIT_FSIZE")
#: Functions that bodies replace, as to silence them or to stop a clock, and what this worker needs.
_REPLACED: dict[Any, tuple[str, ...]] = {
    builtins: (
        "__import__", "dict", "getattr", "input", "int", "isinstance", "len", "list", "map", "open",
        "print", "range", "repr", "str", "tuple", "type", "zip",
    ),
    time: ("monotonic", "sleep", "time", "time_ns"),
    threading: ("Thread", "excepthook"),
}  # fmt: skip
_CAP_SYS_CHROOT = 18
#: Bodies of a task, one after another in one child, that must change nothing before it is trusted.
_TRUSTED = 1_000
#: Seconds for which bodies of trusted tasks may run between two comparisons.
_UNCHECKED = 0.001
_READERS = [(itemgetter(*names), vars(module)) for module, names in _REPLACED.items()]


class ProcessState:
    """The state of a child before its first job. Make and use it in the main thread.

    Args:
        cancel_watchdog: cancel a pending ``faulthandler.dump_traceback_later``, too. Only for a
            process that was forked while none was pending: the fork copies no thread, and a cancel
            would wait for it forever.
    """

    def __init__(self, *, cancel_watchdog: bool = False) -> None:
        self._cancel_watchdog = cancel_watchdog
        self._clean_runs: dict[int, int] = {}  # by task, since a body has last changed something
        self._check_at = 0.0
        self._is_changed = False
        self._umask = os.umask(0o077)
        os.umask(self._umask)
        self._folder = _current_folder()
        self._user = os.geteuid()
        self._inheritable = _inheritable()
        self._parent = os.getppid()
        self._limits: list[tuple[int, int]] | None = None
        if sys.platform != "linux" or "resource" in sys.modules:
            self._limits = _limits()
        self._handlers = [*map(_signal.getsignal, _SIGNALS)]
        self._wakeup_fd = signal.set_wakeup_fd(-1)
        signal.set_wakeup_fd(self._wakeup_fd)
        self._mask = {int(number) for number in signal.pthread_sigmask(signal.SIG_BLOCK, ())}
        self._streams = sys.stdin, sys.stdout, sys.stderr
        self._reopeners = [
            (each, _reopener(fd, each))
            for fd, stream in enumerate(self._streams)
            for each in layers(stream)
            if isinstance(each, io.TextIOWrapper)
        ]
        self._environ, self._raw = os.environ, _raw(os.environ)
        self._variables = dict(self._raw)
        self._argv, self._arguments = sys.argv, [*sys.argv]
        self._filters = [*warnings.filters]
        self._interpreter = _interpreter()
        self._functions, self._root = _functions(), _root()
        # A new root is seen by the folder, which has another name in it, or is one that all have.
        self._asks_for_root = self._folder == "/" and _may_change_root()

    def restore_after(self, task_id: int, now: float) -> str | None:
        """As :meth:`restore`, after a body of this task that another one follows at once. It does
        nothing while the task is trusted and the last comparison is not a millisecond old.

        Args:
            now: seconds of ``time.perf_counter()``.
        """
        runs = self._clean_runs.get(task_id, 0)
        if runs >= _TRUSTED and now < self._check_at:
            return None
        reason = self.restore()
        if not self._is_changed:
            self._clean_runs[task_id] = runs + 1
            self._check_at = now + _UNCHECKED
        return reason

    def restore(self) -> str | None:
        """Put back what bodies have changed since the last call.

        Returns:
            Why that failed: this process must run no other body then. Otherwise None.
        """
        self._is_changed = False
        try:
            if _functions() != self._functions:  # first, as all below needs them
                self._restore_functions()
                self._is_changed = True
            self._restore_signals()
            self._restore_system()
            self._restore_python()
        except BaseException as error:  # noqa: BLE001 - a border: a body's handler may run in it
            return f"what a body has changed cannot be put back ({message_of(error)})"
        if self._is_changed:
            self._clean_runs.clear()
        return None

    def _restore_signals(self) -> None:
        # The handlers first: a signal that was blocked arrives as soon as the mask is back.
        if [*map(_signal.getsignal, _SIGNALS)] != self._handlers:
            for number, handler in zip(_SIGNALS, self._handlers, strict=True):
                if handler is not None:  # None: it was not installed from Python
                    signal.signal(number, handler)
            signal.setitimer(signal.ITIMER_PROF, 0)  # they would kill without their handlers
            signal.setitimer(signal.ITIMER_VIRTUAL, 0)
            self._is_changed = True
        # Before a timer's signal is written to the descriptor of a loop that may be closed by now.
        _signal.set_wakeup_fd(self._wakeup_fd)
        if _signal.alarm(0):  # ITIMER_REAL, too
            self._is_changed = True
        if _signal.pthread_sigmask(_signal.SIG_SETMASK, self._mask) != self._mask:
            self._is_changed = True
        if self._cancel_watchdog:
            faulthandler.cancel_dump_traceback_later()

    def _restore_system(self) -> None:
        if os.umask(self._umask) != self._umask:
            self._is_changed = True
        if os.geteuid() != self._user:
            raise PermissionError("the user of its process")
        if _inheritable() != self._inheritable:
            raise OSError("closed or reopened descriptors 0, 1 or 2")
        if "resource" in sys.modules:  # else no body has changed a limit: four system calls less
            self._restore_limits()
        try:
            is_elsewhere = os.getcwd() != self._folder
        except OSError:  # the folder was deleted
            is_elsewhere = True
        if (is_elsewhere or self._asks_for_root) and _root() != self._root:
            raise PermissionError("the root folder of its process")
        if is_elsewhere and self._folder is not None:
            os.chdir(self._folder)
            self._is_changed = True
        if os.environ is not self._environ or self._raw != self._variables:
            self._restore_environment()
            self._is_changed = True

    def _restore_limits(self) -> None:
        import resource

        kinds = [getattr(resource, name) for name in _LIMITS]
        if self._limits is None:  # a body has loaded the module: the fork server has our first ones
            self._limits = [resource.prlimit(self._parent, kind) for kind in kinds]
        if _limits() != self._limits:
            for kind, limits in zip(kinds, self._limits, strict=True):
                resource.setrlimit(kind, limits)
            self._is_changed = True

    def _restore_environment(self) -> None:
        os.environ = self._environ  # noqa: B003 - the object itself, if a body has replaced it
        had = self._environ.get("TZ")
        for name in list(self._environ):
            if self._environ.encodekey(name) not in self._variables:
                del self._environ[name]
        for key, value in self._variables.items():
            self._environ[os.fsdecode(key)] = os.fsdecode(value)
        if self._environ.get("TZ") != had:
            time.tzset()

    def _restore_python(self) -> None:
        streams = self._streams
        if (sys.stdin, sys.stdout, sys.stderr) != streams:
            sys.stdin, sys.stdout, sys.stderr = streams
            self._is_changed = True
        for stream, reopen in self._reopeners:
            if stream.closed:
                reopen()
                self._is_changed = True
        if sys.argv is not self._argv or sys.argv != self._arguments:
            sys.argv = self._argv
            sys.argv[:] = self._arguments
            self._is_changed = True
        if warnings.filters != self._filters:
            warnings.resetwarnings()  # empties the list, and the caches of earlier decisions
            warnings.filters.extend(self._filters)  # type: ignore[attr-defined]
            self._is_changed = True
        if _interpreter() != self._interpreter:
            self._restore_interpreter()
            self._is_changed = True

    def _restore_interpreter(self) -> None:
        recursion, timeout, collects = self._interpreter
        sys.setrecursionlimit(recursion)
        socket.setdefaulttimeout(timeout)
        (gc.enable if collects else gc.disable)()

    def _restore_functions(self) -> None:
        for (module, names), functions in zip(_REPLACED.items(), self._functions, strict=True):
            vars(module).update(zip(names, functions, strict=True))


def _functions() -> list[Any]:
    try:
        return [read(variables) for read, variables in _READERS]
    except KeyError:  # one was deleted
        return []


def _root() -> tuple[int, int]:
    root = os.stat("/")
    return root.st_dev, root.st_ino


def _may_change_root() -> bool:
    """Whether this process has the capability CAP_SYS_CHROOT (see capabilities(7)): to ask for the
    root costs more than any other comparison."""
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
    except OSError:  # not Linux
        return True
    found = re.search(r"^CapPrm:\s*([0-9a-f]+)$", status, re.MULTILINE)
    return found is None or bool(int(found[1], 16) >> _CAP_SYS_CHROOT & 1)


def _inheritable() -> tuple[bool, ...] | None:
    """Whether programs inherit the standard descriptors. They do not inherit what Python opens, so
    this shows at a third of the cost of fstat() that a number has changed hands."""
    try:
        return os.get_inheritable(0), os.get_inheritable(1), os.get_inheritable(2)
    except OSError:  # one is closed
        return None


def _limits() -> list[tuple[int, int]]:
    import resource

    return [resource.getrlimit(getattr(resource, name)) for name in _LIMITS]


def _interpreter() -> tuple[int, float | None, bool]:
    return sys.getrecursionlimit(), socket.getdefaulttimeout(), gc.isenabled()


def _current_folder() -> str | None:
    """None if it was deleted."""
    try:
        return os.getcwd()
    except OSError:
        return None


def _raw(environ: Any) -> dict[Any, Any]:
    """The encoded variables, which compare ten times as fast as the mapping does."""
    return environ._data  # type: ignore[no-any-return]


def _reopener(fd: int, stream: io.TextIOWrapper) -> Callable[[], None]:
    """How to open a standard stream again that a body has closed. It stays the same object, so
    that log handlers and others that hold it can write again."""
    encoding, errors = stream.encoding, stream.errors
    line_buffering, write_through = stream.line_buffering, stream.write_through
    kept = stream.buffer if isinstance(stream.buffer, KeptOutput) else None

    def reopen() -> None:
        buffer: io.BufferedReader | io.BufferedWriter | KeptOutput
        if kept is not None:
            buffer = kept.again()
        elif fd:
            buffer = io.BufferedWriter(Output(fd))
        else:
            buffer = io.BufferedReader(io.FileIO(fd, closefd=False))
        stream.__init__(  # type: ignore[misc]
            buffer, encoding=encoding, errors=errors, line_buffering=line_buffering,
            write_through=write_through,
        )  # fmt: skip

    return reopen
