"""Programs: what each job of an async child has started, so that it ends with a timeout."""

from __future__ import annotations

import functools
import subprocess
from typing import Any

from hammerflow.context import RUNNING
from hammerflow.worker.processes import has_ended, kill_family

__all__ = ["Programs"]


class Programs:
    """The programs that the running bodies have started with ``subprocess`` or ``asyncio``.

    A plain body that exceeds its timeout is killed, and its process group with it. An async body is
    cancelled: its process goes on with other jobs, so what it has started must be known by job.
    """

    def __init__(self) -> None:
        self._by_job: dict[object, list[subprocess.Popen[Any]]] = {}

    def install(self) -> None:
        """Note every program of this process from now on; asyncio starts them by ``Popen``, too."""
        start: Any = subprocess.Popen.__init__

        @functools.wraps(start)
        def start_and_note(popen: subprocess.Popen[Any], *args: Any, **kwargs: Any) -> None:
            start(popen, *args, **kwargs)
            if (started := self._by_job.get(RUNNING.get())) is not None:
                started.append(popen)

        setattr(subprocess.Popen, "__init__", start_and_note)  # noqa: B010 - mypy forbids the other

    def begin(self, job: object) -> None:
        """A body begins; ``job`` is what ``RUNNING`` holds in it."""
        self._by_job[job] = []

    def end(self, job: object, *, kill: bool) -> None:
        """Forget the programs of a job that has ended, and kill those that still run."""
        for popen in self._by_job.pop(job, ()):
            if kill and popen.returncode is None and not has_ended(popen.pid):
                kill_family(popen.pid)
