"""Fork server: imports the user's app once, runs no thread, and forks children on request.

Started by the supervisor as ``python -m hammerflow.worker.forkserver``; see frames.py for what it
says. A request is 8 bytes with three descriptors: the child's ends of its pipes.
"""

from __future__ import annotations

import gc
import json
import logging
import os
import select
import signal
import socket
import sys
import threading
import traceback
from typing import Any

from hammerflow.app import Hammerflow
from hammerflow.errors import HammerflowError
from hammerflow.services.lease_clock import LeaseClock
from hammerflow.worker import preload
from hammerflow.worker.child.serial import ChildOptions, SerialChild, exit_now, ignore_stop_signals
from hammerflow.worker.loading import load_app
from hammerflow.worker.logs import configure
from hammerflow.worker.processes import die_with_parent, set_title
from hammerflow.worker.protocol import (
    APP_BROKEN,
    APP_LOADED,
    ASYNC,
    EXITED,
    FORK_REQUEST,
    FORKED,
    Pipes,
    pack,
)
from hammerflow.worker.run_options import TaskInfo

__all__ = ["main"]

log = logging.getLogger("hammerflow.forkserver")


def main(arguments: list[str]) -> int:
    """The whole life of the process.

    Args:
        arguments: descriptor of the control socket, pid of the supervisor, options as JSON.
    """
    control = socket.socket(fileno=int(arguments[0]))
    die_with_parent(int(arguments[1]))
    options = json.loads(arguments[2])
    configure(options["log_format"], options["log_level"])
    ignore_stop_signals()
    set_title("fork server")
    try:
        preload()
        app = load_app(options["app"])
        greeting = _greeting(app)
    except BaseException as error:  # noqa: BLE001 - a border: importing runs the user's code
        control.sendall(
            pack([APP_BROKEN, _sentence(error, options["app"]), traceback.format_exc()])
        )
        return 1
    if threading.active_count() > 1:
        names = [t.name for t in threading.enumerate() if t is not threading.main_thread()]
        log.warning("importing the app started threads, children lack them: %s", names)
    app.close()
    control.sendall(pack(greeting))
    gc.collect()
    gc.freeze()  # collections in children must not touch, and so copy, what they share
    ForkServer(app, control, options).run()
    return 0


def _greeting(app: Hammerflow) -> list[Any]:
    tasks = [TaskInfo.of(task).to_plain() for task in app.tasks.values()]
    files = [getattr(module, "__file__", None) for module in list(sys.modules.values())]
    folder = os.getcwd() + os.sep
    own = sorted(f for f in files if f and f.startswith(folder) and "site-packages" not in f)
    return [APP_LOADED, app.name, app.settings.to_dict(), tasks, own]


def _sentence(error: BaseException, spec: str) -> str:
    if isinstance(error, HammerflowError):
        return str(error)
    said = " ".join(f"{type(error).__name__}: {error}".split())
    return f"{spec}: importing the app failed with {said} (--debug shows where)"


class ForkServer:
    """One thread, one loop: forks, and tells of ends as soon as SIGCHLD comes."""

    def __init__(self, app: Hammerflow, control: socket.socket, options: dict[str, Any]) -> None:
        self._app = app
        self._control = control
        self._options = ChildOptions(
            options["max_jobs"], options["max_memory"], options["async_slots"]
        )
        self._lease_clock = LeaseClock(options["lease_clock"])
        self._children: set[int] = set()
        self._wake, self._woken = os.pipe()
        os.set_blocking(self._wake, False)
        os.set_blocking(self._woken, False)

    def run(self) -> None:
        """Serve until the supervisor is gone; its children die with this process."""
        signal.signal(signal.SIGCHLD, lambda number, frame: None)
        signal.set_wakeup_fd(self._woken, warn_on_full_buffer=False)
        poll = select.poll()
        poll.register(self._control, select.POLLIN)
        poll.register(self._wake, select.POLLIN)
        while True:
            ready = {fd for fd, _ in poll.poll()}
            if self._wake in ready:
                os.read(self._wake, 4096)
                self._reap()
            if self._control.fileno() in ready and not self._serve():
                return

    def _serve(self) -> bool:
        try:
            request, fds, _, _ = socket.recv_fds(self._control, FORK_REQUEST.size, 3)
        except ConnectionResetError:  # the supervisor was killed with a report of ours unread
            return False
        if not request:
            return False
        kind, serial = FORK_REQUEST.unpack(request)
        try:
            pid = self._fork(kind, Pipes(*fds))
        except OSError as error:  # no more processes: the supervisor sees the pipes end
            log.error("cannot fork: %s", error)
            return True
        finally:
            for fd in fds:
                os.close(fd)
        self._children.add(pid)
        self._control.sendall(pack([FORKED, serial, pid]))
        return True

    def _fork(self, kind: bytes, pipes: Pipes) -> int:
        parent = os.getpid()
        sys.stdout.flush()
        sys.stderr.flush()
        pid = os.fork()
        if pid:
            return pid
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            die_with_parent(parent)
            for fd in (self._control.detach(), self._wake, self._woken):
                os.close(fd)
            self._become(kind, pipes)
        except BaseException:  # a border: nothing may return into the fork server's loop
            log.exception("child failed")
            exit_now(1)
        exit_now(0)
        return 0

    def _become(self, kind: bytes, pipes: Pipes) -> None:
        set_title("child")
        if kind == ASYNC:
            from hammerflow.worker.child.async_ import AsyncChild

            AsyncChild(self._app, pipes, self._options, self._lease_clock).run()
        else:
            SerialChild(self._app, pipes, self._options, self._lease_clock).run()

    def _reap(self) -> None:
        for pid in list(self._children):
            try:
                ended, status = os.waitpid(pid, os.WNOHANG)
            except ChildProcessError:
                ended, status = pid, 0
            if ended:
                self._children.discard(pid)
                self._control.sendall(pack([EXITED, pid, os.waitstatus_to_exitcode(status)]))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
