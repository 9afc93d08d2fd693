"""The supervisor's side of a fork server."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, NamedTuple

from hammerflow import __version__
from hammerflow.errors import ConfigError, HammerflowError
from hammerflow.process.early_signals import signals_held
from hammerflow.services.lease_clock import LeaseClock
from hammerflow.settings import Settings
from hammerflow.worker.failures import how_it_ended
from hammerflow.worker.interpreter import fork_server_command
from hammerflow.worker.limits import why_refused
from hammerflow.worker.loading import project_folder
from hammerflow.worker.options import WorkerOptions
from hammerflow.worker.processes import keep_from_reaping, kill_family
from hammerflow.worker.protocol import (
    APP_BROKEN,
    APP_LOADED,
    FORK_REQUEST,
    VERSION,
    Pipes,
    Unpacker,
)
from hammerflow.worker.run_options import TaskCatalog, TaskInfo

__all__ = ["ForkServerClient", "Greeting"]

#: Seconds without an answer to a request after which a fork server counts as stopped.
_ANSWER_WAIT = 10.0
#: Requests without an answer, at most: neither end can fill the socket, and so block, while the
#: other one writes, too.
_MOST_REQUESTS = 16
#: Seconds that it gets to end once its socket is closed, and again once it was killed.
_END_WAIT = 2.0


class Greeting(NamedTuple):
    """What a fork server reports after it has imported the app."""

    name: str
    settings: Settings
    catalog: TaskCatalog
    files: list[Path]  # of the user's modules, for --reload
    schedules: Mapping[str, str]  # definitions by name, as JSON
    sinks: Mapping[str, str]  # likewise
    alerts: Sequence[str]  # rules and targets, as JSON


class ForkServerClient:
    """A fork server process. Start it from the main thread: it dies with the thread that did.

    Nothing here waits for it, but for :meth:`close`, which has an end.

    Args:
        lease_clock: what its children check before each body.
        open_files: the soft limit of open files that users' code gets.

    Raises:
        ConfigError: the process cannot be started.
    """

    def __init__(self, options: WorkerOptions, lease_clock: LeaseClock, open_files: int) -> None:
        plain = json.dumps(asdict(replace(options, queues=None)))  # queues: any Mapping, not needed
        with contextlib.ExitStack() as stack:
            try:
                self.control, theirs = socket.socketpair()
                stack.callback(self.control.close)
                self.control.setblocking(False)
                with theirs, signals_held():
                    numbers = (theirs.fileno(), os.getpid(), lease_clock.fd, open_files)
                    self._process = subprocess.Popen(
                        [
                            *fork_server_command(),
                            *map(str, numbers),
                            plain,
                        ],
                        stdin=subprocess.DEVNULL,
                        cwd=project_folder(),
                        pass_fds=[theirs.fileno(), lease_clock.fd],
                    )
            except (OSError, MemoryError) as error:
                raise ConfigError(f"cannot start a fork server: {why_refused(error)}") from error
            stack.pop_all()
        keep_from_reaping(self._process)
        self.is_lost = False
        self._app = options.app
        self._import_timeout = options.import_timeout
        self._started_at = time.monotonic()
        self._unpacker = Unpacker()
        self._asked_at: dict[int, float] = {}  # requests without an answer
        self._answered_at = 0.0

    @property
    def pid(self) -> int:
        """Of the fork server."""
        return self._process.pid

    def greet(self) -> Greeting | None:
        """What it reports of the app, once that is imported; None before.

        Raises:
            ConfigError: the import failed or took too long, or it is of another version.
        """
        for message in self.messages():
            if message[0] != VERSION:
                return _read_greeting(message)
            if message[1] != __version__:
                raise ConfigError(
                    f"hammerflow {message[1]} has taken the place of {__version__}, which this "
                    "worker runs: restart the worker"
                )
        if self.is_lost:
            how = how_it_ended(self._end())
            raise ConfigError(
                f"{self._app}: the process that imported it {how}: check what its import does"
            )
        if time.monotonic() >= self._started_at + self._import_timeout:
            raise ConfigError(
                f"importing {self._app} took longer than {self._import_timeout:g} s: see "
                "--import-timeout"
            )
        return None

    @property
    def may_be_asked(self) -> bool:
        """Whether it has answered enough of the requests that it got."""
        return not self.is_lost and len(self._asked_at) < _MOST_REQUESTS

    def request(self, kind: bytes, serial: int, pipes: Pipes) -> bool:
        """Ask for a child; False if it takes no request now.

        Raises:
            OSError: the host has no room for the descriptors.
        """
        try:
            message = [FORK_REQUEST.pack(kind, serial)]
            socket.send_fds(self.control, message, list(pipes), socket.MSG_DONTWAIT)
        except (BrokenPipeError, ConnectionResetError):
            self.is_lost = True
            return False
        except BlockingIOError:
            return False
        self._asked_at[serial] = time.monotonic()
        return True

    def note_answer(self, serial: int, now: float) -> None:
        """It has answered this request."""
        self._asked_at.pop(serial, None)
        self._answered_at = now

    @property
    def answer_due(self) -> float | None:
        """When it counts as stopped, or as stuck in a hook of :func:`os.register_at_fork`, unless
        it answers; None if no request is open."""
        if not self._asked_at:
            return None
        return max(self._answered_at, min(self._asked_at.values())) + _ANSWER_WAIT

    def messages(self) -> list[Any]:
        """The messages that have arrived; sets ``is_lost`` if it has ended."""
        try:
            data = self.control.recv(1 << 16)
        except BlockingIOError:
            return []
        except OSError:
            data = b""
        if not data:
            self.is_lost = True
        return self._unpacker.frames(data)

    def begin_end(self) -> None:
        """Tell it to end, by the end of its socket; its children die with it."""
        self.control.close()

    def has_ended(self) -> bool:
        """Whether it has; then :attr:`status` is known."""
        return self._process.poll() is not None

    @property
    def status(self) -> int | None:
        """Its exit code, or minus the signal that killed it; None while it runs."""
        return self._process.returncode

    def kill(self) -> None:
        """Kill it with all that it has started, stopped or not."""
        if not self.has_ended():
            kill_family(self.pid)

    def close(self) -> None:
        """End the process; its children, if it still has any, die with it."""
        self.begin_end()
        self._end()

    def _end(self) -> int | None:
        for _ in range(2):
            with contextlib.suppress(subprocess.TimeoutExpired):
                return self._process.wait(_END_WAIT)
            self.kill()
        return None  # it sleeps in the kernel: nothing more can be done


def _read_greeting(message: Sequence[Any]) -> Greeting:
    if message[0] == APP_BROKEN:
        error = ConfigError(message[1])
        error.add_note(message[2])
        raise error
    try:
        if message[0] != APP_LOADED:
            raise ValueError(f"an unknown message, {message[0]}")
        _, name, settings, tasks, files, schedules, sinks, alerts = message
        catalog = TaskCatalog([TaskInfo.from_plain(task) for task in tasks])
        paths = [Path(file) for file in files]
        own = Settings.from_dict(settings)
        return Greeting(name, own, catalog, paths, schedules, sinks, alerts)
    except (LookupError, TypeError, ValueError, HammerflowError) as error:
        raise ConfigError(
            f"the files of hammerflow have changed since this worker started, so that it does not "
            f"understand its fork server ({error}): restart the worker"
        ) from error
