"""Fleet: a worker's processes, started again when they end, as a service manager does."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

__all__ = ["RESTART", "Fleet"]

#: A command that has ended is started again after so many seconds.
RESTART = 1.0
_MARK = "CHAOS_UNIT"


class Fleet:
    """Commands that are kept running; whatever they fork is known by its environment."""

    def __init__(
        self, commands: Sequence[Sequence[str]], environment: Mapping[str, str], folder: Path
    ) -> None:
        self._units = [
            _Unit(command, {**environment, _MARK: f"{folder}:{n}"}, folder)
            for n, command in enumerate(commands)
        ]
        self.restarts = 0

    def keep(self) -> None:
        """Start what is not there and due; to be called often."""
        for unit in self._units:
            self.restarts += unit.keep()

    def family(self) -> set[int]:
        """All living processes."""
        return {pid for unit in self._units for pid in unit.family()}

    def kill(self) -> frozenset[int]:
        """kill -9 of all of it; the pids."""
        killed: set[int] = set()
        for unit in self._units:
            killed |= unit.kill()
        return frozenset(killed)


class _Unit:
    def __init__(self, command: Sequence[str], environment: dict[str, str], folder: Path) -> None:
        self._command = command
        self._environment = environment
        self._mark = f"{_MARK}={environment[_MARK]}".encode()
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self._due = 0.0

    def keep(self) -> bool:
        """Whether it has been started, and not for the first time."""
        if self._process is not None:
            if self._process.poll() is None:
                return False
            self.kill()  # what its main process has left behind
        if time.monotonic() < self._due:
            return False
        with open(self._folder / "worker.log", "ab") as log:
            self._process = subprocess.Popen(
                self._command,
                cwd=self._folder,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        return self._due > 0

    def kill(self) -> set[int]:
        killed: set[int] = set()
        if self._process is None:
            return killed
        while found := self.family():
            for pid in found:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            killed |= found
            self._process.wait()
        self._process.wait()
        self._process = None
        self._due = time.monotonic() + RESTART
        return killed

    def family(self) -> set[int]:
        """Its session, and whoever has left it but carries the mark; a title may hide the mark."""
        found: set[int] = set()
        if self._process is None:
            return found
        for entry in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                state, _, _, session = (entry / "stat").read_text().rpartition(")")[2].split()[:4]
                if state not in "ZX" and (
                    int(session) == self._process.pid
                    or self._mark in (entry / "environ").read_bytes().split(b"\0")
                ):
                    found.add(int(entry.name))
        return found
