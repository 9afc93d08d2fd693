"""Failpoints: named points in a job's life at which a process of a worker dies or freezes.

They test what a worker, and your tasks, do after a crash at the worst moment. Start the worker with
``HAMMERFLOW_PRELOAD=hammerflow.testing.failpoints`` and with ``HAMMERFLOW_FAILPOINTS`` set to an
existing folder. To arm a point, write what is to happen into a file and rename it into the folder
under the point's name::

    (folder / "next").write_text("kill")
    (folder / "next").rename(folder / "before-commit")

The first process that reaches the point removes the file, appends a line with the point, its pid
and the time on the monotonic clock to the file ``hits`` in the folder, and then does one of

- ``kill``: it sends SIGKILL to itself;
- ``freeze``: it sends SIGSTOP to all processes of its worker; whoever armed the point must send
  SIGCONT.

=================  =========  ======================================================================
point              process    a job is there when
=================  =========  ======================================================================
``claimed``        worker     it is claimed and committed, and no child has it
``received``       child      a child has it, and its body has not begun
``body``           child      its body runs (of a plain function)
``ended``          child      its body has ended, and the supervisor does not know it
``before-commit``  either     all that its end changes is written, and not committed
``commit``         either     the commit is under way
``after-commit``   either     it is committed, and nobody in this process has acted on it
=================  =========  ======================================================================

A worker imports this module only if it is told to, so failpoints cost nothing otherwise.
"""

from __future__ import annotations

import contextlib
import functools
import os
import random
import signal
import threading
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

from hammerflow.errors import ConfigError
from hammerflow.stores.claiming.claims import Claims
from hammerflow.stores.database import Database
from hammerflow.stores.jobs import Jobs
from hammerflow.worker.child.executor import Executor
from hammerflow.worker.processes import family

__all__ = ["POINTS", "install"]

#: In the order in which a job meets them.
POINTS: Final = (
    "claimed", "received", "body", "ended", "before-commit", "commit", "after-commit",
)  # fmt: skip
#: A point inside a body or a commit strikes after a random time up to this many seconds.
_BODY, _COMMIT = 0.02, 0.002


class _Failpoints:
    """The points of this process."""

    def __init__(self, folder: Path, worker: int) -> None:
        self._folder = folder
        self._worker = worker  # the supervisor's pid
        self._local = threading.local()  # is_settling: whether this thread settles jobs

    def hit(self, point: str) -> None:
        """Pass a point."""
        if action := self._disarm(point):
            self._strike(point, action)

    def during(self, point: str, most: float, work: Callable[[], Any]) -> Any:
        """Pass a point inside ``work``, after ``most`` seconds at the latest; it is armed again if
        the work ends before."""
        action = self._disarm(point)
        if not action:
            return work()
        over = threading.Event()

        def strike_or_rearm() -> None:
            if over.wait(random.uniform(0, most)):
                fresh = self._folder / f"{point}.{os.getpid()}"
                fresh.write_text(action)
                fresh.rename(self._folder / point)
            else:
                self._strike(point, action)

        threading.Thread(target=strike_or_rearm, daemon=True).start()
        try:
            return work()
        finally:
            over.set()

    def claim(self, claim: Callable[..., Any]) -> Callable[..., Any]:
        def wrapper(*args: Any, **values: Any) -> Any:
            jobs = claim(*args, **values)
            if jobs:
                self.hit("claimed")
            return jobs

        return wrapper

    def execute(self, execute: Callable[..., Any]) -> Callable[..., Any]:
        def wrapper(*args: Any, **values: Any) -> Any:
            self.hit("received")
            outcome = self.during("body", _BODY, lambda: execute(*args, **values))
            self.hit("ended")
            return outcome

        return wrapper

    def execute_async(self, execute: Callable[..., Awaitable[Any]]) -> Callable[..., Any]:
        async def wrapper(*args: Any, **values: Any) -> Any:
            self.hit("received")
            outcome = await execute(*args, **values)
            self.hit("ended")
            return outcome

        return wrapper

    def settle(self, settle: Callable[..., Any]) -> Callable[..., Any]:
        """Only the commits inside of ``settle`` are points."""

        def wrapper(*args: Any, **values: Any) -> Any:
            before = getattr(self._local, "is_settling", False)
            self._local.is_settling = True
            try:
                return settle(*args, **values)
            finally:
                self._local.is_settling = before

        return wrapper

    def commit(self, commit: Callable[..., Any]) -> Callable[..., Any]:
        """Around a COMMIT, or around a single statement, which commits with its end."""

        def wrapper(*args: Any, **values: Any) -> Any:
            if not getattr(self._local, "is_settling", False):
                return commit(*args, **values)
            self.hit("before-commit")
            value = self.during("commit", _COMMIT, lambda: commit(*args, **values))
            self.hit("after-commit")
            return value

        return wrapper

    def unit(self, unit: Callable[..., Any]) -> Callable[..., Any]:
        def wrapper(
            database: Database, work: Callable[..., Any], *, single: bool = False, **options: Any
        ) -> Any:
            return unit(database, self.commit(work) if single else work, single=single, **options)

        return wrapper

    def open_database(self, init: Callable[..., None]) -> Callable[..., None]:
        def wrapper(database: Database, dialect: Any, *args: Any, **kwargs: Any) -> None:
            init(database, _Committing(dialect, self), *args, **kwargs)

        return wrapper

    def _disarm(self, point: str) -> str:
        """Take a point's file; what to do there, "" if it is not armed. One process gets it."""
        taken = self._folder / f"{point}.{os.getpid()}.{threading.get_ident()}"
        try:
            os.rename(self._folder / point, taken)
        except FileNotFoundError:
            return ""
        action = taken.read_text()
        taken.unlink()
        return action

    def _strike(self, point: str, action: str) -> None:
        with open(self._folder / "hits", "a", encoding="ascii") as file:
            file.write(f"{point} {os.getpid()} {time.monotonic()}\n")
        if action == "freeze":
            members = {*family(self._worker)} - {os.getpid()}
            for pid in [*members, os.getpid()]:
                with contextlib.suppress(ProcessLookupError):  # that one has just ended
                    os.kill(pid, signal.SIGSTOP)
        else:
            os.kill(os.getpid(), signal.SIGKILL)


class _Committing:
    """A dialect whose commits are points."""

    def __init__(self, dialect: Any, failpoints: _Failpoints) -> None:
        self._dialect = dialect
        self.commit = failpoints.commit(dialect.commit)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._dialect, name)


def install(folder: str) -> None:
    """Put the points into this process, before it opens a store.

    Raises:
        ConfigError: the folder does not exist.
    """
    if not Path(folder).is_dir():
        raise ConfigError(f"HAMMERFLOW_FAILPOINTS must be an existing folder, not {folder!r}")
    # The supervisor comes first; the fork server inherits its environment.
    worker = os.environ.setdefault("_HAMMERFLOW_FAILPOINTS_WORKER", str(os.getpid()))
    failpoints = _Failpoints(Path(folder), int(worker))
    for owner, name, wrap in (
        (Claims, "claim", failpoints.claim),
        (Jobs, "settle", failpoints.settle),
        (Jobs, "settle_stream", failpoints.settle),
        (Executor, "_perform_in_transaction", failpoints.settle),
        (Executor, "execute", failpoints.execute),
        (Executor, "execute_async", failpoints.execute_async),
        (Database, "unit", failpoints.unit),
        (Database, "__init__", failpoints.open_database),
    ):
        original = getattr(owner, name)
        setattr(owner, name, functools.wraps(original)(wrap(original)))


if _folder := os.environ.get("HAMMERFLOW_FAILPOINTS"):
    install(_folder)
