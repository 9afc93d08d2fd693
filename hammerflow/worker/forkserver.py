"""Fork server: imports the user's app once, runs no thread, and forks children on request.

The supervisor starts it as ``python -m hammerflow.worker.forkserver``; ``protocol.py`` lists their
messages.
"""

from __future__ import annotations

import contextlib
import errno
import faulthandler
import gc
import json
import logging
import os
import select
import signal
import socket
import sys
import threading
import warnings
from dataclasses import dataclass, field
from typing import Any, NoReturn

from hammerflow import __version__
from hammerflow.app import Hammerflow
from hammerflow.errors import HammerflowError
from hammerflow.process.streams import guard_streams, open_missing_streams
from hammerflow.services.lease_clock import LeaseClock
from hammerflow.tasks.builtin import BUILTIN
from hammerflow.worker.child.async_ import AsyncChild
from hammerflow.worker.child.base import ChildLimits
from hammerflow.worker.child.serial import SerialChild
from hammerflow.worker.descriptors import move_up
from hammerflow.worker.failures import CLOSED_PIPES, failure_of
from hammerflow.worker.fork_signals import STOP_SIGNALS, AppSignals, ignore_stop_signals
from hammerflow.worker.limits import limit_open_files, why_refused
from hammerflow.worker.loading import app_files, load_app, preload
from hammerflow.worker.logs import configure, configure_fallback, facts
from hammerflow.worker.options import WorkerOptions
from hammerflow.worker.processes import (
    die_with_parent,
    exit_now,
    flush_streams,
    kill_family,
    lead_group,
    outlive_parent,
    resident_mebibytes,
    set_title,
)
from hammerflow.worker.protocol import (
    APP_BROKEN,
    APP_LOADED,
    ASYNC,
    EXITED,
    FORK_REQUEST,
    FORKED,
    NOT_FORKED,
    VERSION,
    Pipes,
    pack,
)
from hammerflow.worker.run_options import TaskInfo

__all__ = ["main"]

log = logging.getLogger("hammerflow.forkserver")


def main(arguments: list[str]) -> int:
    """Load the app and serve until the supervisor is gone.

    Args:
        arguments: descriptor of the control socket, pid of the supervisor, descriptor of the lease
            clock, soft limit of open files, :class:`WorkerOptions` as JSON.
    """
    guard_streams()
    lead_group()  # who kills the supervisor's group leaves this process to clean up
    die_with_parent(int(arguments[1]))
    try:
        with socket.socket(fileno=move_up(int(arguments[0]))) as control:
            # Before anything that another version may not understand.
            control.sendall(pack([VERSION, __version__]))
            clock = LeaseClock(int(arguments[2]))
            limit_open_files(int(arguments[3]))
            del sys.modules["resource"]  # who changes limits loads it again: see ProcessState
            return _serve_app(control, WorkerOptions(**json.loads(arguments[4])), clock)
    except (BrokenPipeError, ConnectionResetError):  # the supervisor was killed, or has stopped
        return 0
    except OSError as error:
        if error.errno != errno.EBADF:
            raise
        return CLOSED_PIPES


def _serve_app(control: socket.socket, options: WorkerOptions, lease_clock: LeaseClock) -> int:
    configure_fallback(options.log_format)  # an app's own logging.basicConfig() still works
    ignore_stop_signals()
    set_title("fork server")
    app_signals = AppSignals()
    try:
        preload()
        app = load_app(options.app, database=options.database or None)
        greeting = _greeting(app)
    except BaseException as error:  # noqa: BLE001 - a border: importing runs the user's code
        failure = failure_of(error)
        said = failure.message
        if not isinstance(error, HammerflowError):
            said = f"importing {options.app} raised {failure.type}: {said}"
        control.sendall(pack([APP_BROKEN, said, failure.traceback]))
        return 1
    os.fstat(control.fileno())  # EBADF if the import has closed all descriptors
    handled = app_signals.set_aside()
    open_missing_streams()
    if options.configure_logging and app.settings.configure_logging:
        configure(options.log_format, options.log_level)
    # The warning below says it better, and an app may have made warnings errors.
    warnings.filterwarnings("ignore", message=".*use of fork", category=DeprecationWarning)
    if threading.active_count() > 1:
        names = [t.name for t in threading.enumerate() if t is not threading.main_thread()]
        log.warning("importing the app started threads, which children do not have: %s", names)
    if handled:
        text = "importing the app set signal handlers; the worker handles these signals itself"
        log.info(text, extra=facts(signals=",".join(handled)))
    _log_tasks(app, options)
    _check_memory(options)
    app.close()
    control.sendall(pack(greeting))
    faulthandler.cancel_dump_traceback_later()  # its thread is not forked
    gc.collect()
    gc.freeze()  # collections in children must not touch, and so copy, what they share
    limits = ChildLimits(options.max_jobs_per_child, options.max_memory_per_child)
    outlive_parent()
    ForkServer(app, control, limits, lease_clock, app_signals).run()
    return 0


def _log_tasks(app: Hammerflow, options: WorkerOptions) -> None:
    """Say which tasks there are: a module that nobody imports is missed in silence otherwise."""
    own = [task for task in app.tasks.values() if not task.name.startswith(BUILTIN)]
    if not own:
        log.warning(
            "%s has no tasks, so this worker runs no jobs: name the modules that define them with "
            "Hammerflow(..., include=['shop.mail']) or app.autodiscover('shop.*.tasks')",
            options.app,
        )
        return
    modules = sorted({task.fn.__module__ for task in own})
    log.info("imported the app", extra=facts(tasks=len(own), modules=",".join(modules)))


def _check_memory(options: WorkerOptions) -> None:
    """Warn of a limit that each child exceeds as soon as it is forked."""
    most, memory = options.max_memory_per_child, resident_mebibytes()
    if most is not None and memory > most:
        log.warning(
            "each child is replaced after one job: the app alone takes %.0f MiB of memory, and "
            "--max-memory-per-child is %d; raise it",
            memory,
            most,
        )


def _greeting(app: Hammerflow) -> list[Any]:
    tasks = [TaskInfo.of(task).to_plain() for task in app.tasks.values()]
    has_schedules = "schedules" in app.__dict__
    schedules = dict(app.schedules.definitions()) if has_schedules else {}
    sinks = dict(app.sinks.definitions()) if "sinks" in app.__dict__ else {}
    alerts = app.alerts.definitions() if "alerts" in app.__dict__ else []
    app_facts = [app.name, app.settings.to_dict(), tasks, app_files()]
    return [APP_LOADED, *app_facts, schedules, sinks, alerts]


@dataclass(eq=False)
class ForkServer:
    """Forks children on request, and reports their exits as soon as SIGCHLD arrives."""

    app: Hammerflow
    control: socket.socket
    limits: ChildLimits
    lease_clock: LeaseClock
    app_signals: AppSignals
    _children: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._wake, self._woken = os.pipe()
        os.set_blocking(self._wake, False)
        os.set_blocking(self._woken, False)

    def run(self) -> None:
        """Serve until the supervisor is gone; the children, and what they started, die with it."""
        try:
            self._serve_all()
        finally:
            for pid in self._children:
                kill_family(pid)

    def _serve_all(self) -> None:
        signal.signal(signal.SIGCHLD, lambda number, frame: None)
        signal.set_wakeup_fd(self._woken, warn_on_full_buffer=False)
        poll = select.poll()
        poll.register(self.control, select.POLLIN)
        poll.register(self._wake, select.POLLIN)
        while True:
            ready = {fd for fd, _ in poll.poll()}
            if self._wake in ready:
                os.read(self._wake, 4096)
                self._reap()
            if self.control.fileno() in ready and not self._serve():
                return

    def _serve(self) -> bool:
        """Fork one child; False once the supervisor has closed its end."""
        request, fds, _, _ = socket.recv_fds(self.control, FORK_REQUEST.size, 3)
        if not request:
            return False
        kind, serial = FORK_REQUEST.unpack(request)
        try:
            if len(fds) < len(Pipes._fields):  # recvmsg(2): MSG_CTRUNC
                raise OSError(errno.EMFILE, "too many open files")
            pid = self._fork(kind, Pipes(*fds))
        except (OSError, MemoryError) as error:
            self.control.sendall(pack([NOT_FORKED, serial, why_refused(error)]))
            return True
        finally:
            for fd in fds:
                os.close(fd)
        self._children.add(pid)
        self.control.sendall(pack([FORKED, serial, pid]))
        return True

    def _fork(self, kind: bytes, pipes: Pipes) -> int:
        parent = os.getpid()
        flush_streams()
        signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)  # until the child ignores them
        try:
            pid = os.fork()
            if pid == 0:
                self._become_child(parent, kind, pipes)
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)
        with contextlib.suppress(OSError):
            os.setpgid(pid, pid)  # as the child does: whoever is told its pid may kill its group
        return pid

    def _become_child(self, parent: int, kind: bytes, pipes: Pipes) -> NoReturn:
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            lead_group()
            die_with_parent(parent)
            self.app_signals.give_back()
            ignore_stop_signals()
            signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)
            for fd in (self.control.detach(), self._wake, self._woken):
                os.close(fd)
            pipes = Pipes(*map(move_up, pipes))
            set_title("child")
            child: type[SerialChild | AsyncChild] = AsyncChild if kind == ASYNC else SerialChild
            limits, clock = self.limits, self.lease_clock
            child(self.app, pipes, limits, clock, cancel_watchdog=True).run()
        except BaseException:  # noqa: BLE001 - a border: nothing may return into the fork server's loop
            try:
                log.exception("child failed")
            finally:  # a body may have closed what the log is written to
                exit_now(1)
        exit_now(0)

    def _reap(self) -> None:
        for pid in list(self._children):
            try:
                ended, status = os.waitpid(pid, os.WNOHANG)
            except ChildProcessError:
                ended, status = pid, 0
            if ended:
                self._children.discard(pid)
                self.control.sendall(pack([EXITED, pid, os.waitstatus_to_exitcode(status)]))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
