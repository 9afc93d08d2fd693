"""The supervisor's side of a fork server."""

from __future__ import annotations

import json
import os
import select
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, NamedTuple

from hammerflow.early_signals import signals_held
from hammerflow.errors import ConfigError
from hammerflow.services.lease_clock import LeaseClock
from hammerflow.settings import Settings
from hammerflow.worker.failures import how_it_ended
from hammerflow.worker.interpreter import fork_server_command
from hammerflow.worker.loading import project_folder
from hammerflow.worker.options import WorkerOptions
from hammerflow.worker.processes import keep_from_reaping
from hammerflow.worker.protocol import APP_BROKEN, APP_LOADED, FORK_REQUEST, Pipes, Unpacker
from hammerflow.worker.run_options import TaskCatalog, TaskInfo

__all__ = ["ForkServerClient", "Greeting"]

_IMPORT_TIMEOUT = 120.0  # seconds


class Greeting(NamedTuple):
    """What a fork server reports after it has imported the app."""

    name: str
    settings: Settings
    catalog: TaskCatalog
    files: list[Path]  # of the user's modules, for --reload


class ForkServerClient:
    """A fork server process. Start it from the main thread: it dies with the thread that did.

    Args:
        lease_clock: what its children check before each body.
    """

    def __init__(self, options: WorkerOptions, lease_clock: LeaseClock) -> None:
        self.control, theirs = socket.socketpair()
        plain = json.dumps(asdict(replace(options, queues=None)))  # queues: any Mapping, not needed
        with theirs, signals_held():
            self._process = subprocess.Popen(
                [
                    *fork_server_command(),
                    *(str(number) for number in (theirs.fileno(), os.getpid(), lease_clock.fd)),
                    plain,
                ],
                stdin=subprocess.DEVNULL,
                cwd=project_folder(),
                pass_fds=[theirs.fileno(), lease_clock.fd],
            )
        keep_from_reaping(self._process)
        self.is_lost = False
        self._app = options.app
        self._unpacker = Unpacker()

    @property
    def pid(self) -> int:
        """Of the fork server."""
        return self._process.pid

    def greeting(self, *, wake: int, is_over: Callable[[], bool]) -> Greeting | None:
        """Wait until the app is imported; None if ``is_over`` has ended the wait.

        Args:
            wake: a descriptor that becomes readable when ``is_over`` may have changed.

        Raises:
            ConfigError: the import failed or took too long.
        """
        deadline = time.monotonic() + _IMPORT_TIMEOUT
        while time.monotonic() < deadline:
            ready, _, _ = select.select([self.control.fileno(), wake], [], [], 1.0)
            if is_over():
                return None
            if self.control.fileno() in ready:
                for message in self.messages():
                    return _read_greeting(message)
            if self.is_lost:
                raise ConfigError(self._why_lost())
        raise ConfigError(f"importing the app took longer than {_IMPORT_TIMEOUT:g} s")

    def _why_lost(self) -> str:
        how = how_it_ended(self._status())
        return f"{self._app}: the process that imported it {how}: find out what its import does"

    def _status(self) -> int:
        """The exit status; kills a process that only seems to have ended."""
        try:
            return self._process.wait(2.0)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()

    def request(self, kind: bytes, serial: int, pipes: Pipes) -> None:
        """Ask for a child."""
        try:
            socket.send_fds(self.control, [FORK_REQUEST.pack(kind, serial)], list(pipes))
        except OSError:
            self.is_lost = True

    def messages(self) -> list[Any]:
        """The messages that have arrived; sets ``is_lost`` if it has ended."""
        try:
            data = self.control.recv(1 << 16)
        except OSError:
            data = b""
        if not data:
            self.is_lost = True
        return self._unpacker.frames(data)

    def close(self) -> None:
        """End the process; its children, if it still has any, die with it."""
        self.control.close()
        self._status()


def _read_greeting(message: Sequence[Any]) -> Greeting:
    if message[0] == APP_BROKEN:
        error = ConfigError(message[1])
        error.add_note(message[2])
        raise error
    if message[0] != APP_LOADED:
        raise ConfigError("the fork server sent an unknown message: is it another version?")
    _, name, settings, tasks, files = message
    catalog = TaskCatalog([TaskInfo.from_plain(task) for task in tasks])
    return Greeting(name, Settings.from_dict(settings), catalog, [Path(file) for file in files])
