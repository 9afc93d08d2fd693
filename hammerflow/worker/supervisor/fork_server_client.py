"""Forker: the supervisor's side of a fork server."""

from __future__ import annotations

import json
import os
import select
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from hammerflow.errors import ConfigError
from hammerflow.services.lease_clock import LeaseClock
from hammerflow.settings import Settings
from hammerflow.worker.protocol import APP_BROKEN, APP_LOADED, FORK_REQUEST, Pipes, Unpacker
from hammerflow.worker.run_options import TaskCatalog, TaskInfo

__all__ = ["ForkServerClient", "Greeting"]


class Greeting(NamedTuple):
    """What a fork server knows after it has imported the app."""

    name: str
    settings: Settings
    manifest: TaskCatalog
    files: list[Path]  # of the user's modules, for --reload


class ForkServerClient:
    """A fork server process. Start it from the main thread: it dies with the thread that did.

    Args:
        options: app, log_format, log_level, configure_logging, max_jobs, max_memory.
        pulse: what its children look at before each body.
    """

    def __init__(self, options: dict[str, Any], pulse: LeaseClock) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "hammerflow.worker.forkserver",
                    str(theirs.fileno()),
                    str(os.getpid()),
                    json.dumps({**options, "lease_clock": pulse.fd}),
                ],
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno(), pulse.fd],
            )
        self.control = ours
        self.is_lost = False
        self._unpacker = Unpacker()

    @property
    def pid(self) -> int:
        """Of the fork server."""
        return self._process.pid

    def greeting(self, *, wake: int, is_over: Any, timeout: float = 120.0) -> Greeting | None:
        """Wait until the app is imported.

        Args:
            wake: a descriptor that becomes readable when ``is_over`` may have changed.
            is_over: gives True when nobody wants to know any more: None is returned.

        Raises:
            ConfigError: the import failed; the message says how.
        """
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            ready, _, _ = select.select([self.control.fileno(), wake], [], [], 1.0)
            if is_over():
                return None
            if self.control.fileno() in ready:
                for frame in self.frames():
                    return _read_greeting(frame)
            if self.is_lost:
                raise ConfigError(f"the fork server ended with code {self._process.wait()}")
        raise ConfigError(f"importing the app took longer than {timeout:g} s")

    def request(self, kind: bytes, serial: int, pipes: Pipes) -> None:
        """Ask for a child."""
        try:
            socket.send_fds(self.control, [FORK_REQUEST.pack(kind, serial)], list(pipes))
        except OSError:
            self.is_lost = True

    def frames(self) -> list[Any]:
        """What it has said; sets ``is_lost`` at its end."""
        try:
            data = self.control.recv(1 << 16)
        except OSError:
            data = b""
        if not data:
            self.is_lost = True
        return self._unpacker.frames(data)

    def close(self) -> None:
        """Let it go; its children, if there are any, die with it."""
        self.control.close()
        try:
            self._process.wait(2.0)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def _read_greeting(frame: Sequence[Any]) -> Greeting:
    if frame[0] == APP_BROKEN:
        error = ConfigError(frame[1])
        error.add_note(frame[2])
        raise error
    if frame[0] != APP_LOADED:
        raise ConfigError("the fork server speaks another language: is it another version?")
    _, name, settings, tasks, files = frame
    facts = [TaskInfo.from_plain(task) for task in tasks]
    return Greeting(
        name, Settings.from_dict(settings), TaskCatalog(facts), [Path(f) for f in files]
    )
