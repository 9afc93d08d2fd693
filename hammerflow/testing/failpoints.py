"""Failpoints: named points at which a process of a worker dies or freezes on demand.

They prove that a worker recovers. Run it with ``HAMMERFLOW_PRELOAD=hammerflow.testing.failpoints``
and ``HAMMERFLOW_FAILPOINTS`` set to an existing folder. A file named after a point, moved into the
folder by a rename, arms the point: the first process that reaches it removes the file, appends the
point, its pid and the monotonic clock as a line to the file ``hits``, and does what the file says:

- ``kill``: sends SIGKILL to itself;
- ``freeze``: sends SIGSTOP to its whole process group, which whoever armed the point must thaw.

The worker never imports this module unless it is told to, so failpoints cost nothing.
"""

from __future__ import annotations

import functools
import os
import random
import signal
import threading
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

from hammerflow.stores.claims import Claims
from hammerflow.stores.database import Database
from hammerflow.stores.jobs import Jobs
from hammerflow.worker.child.executor import Executor

__all__ = ["POINTS", "install"]

#: In the order in which a job meets them. The second, third and fourth are met by a child.
POINTS: Final = (
    "claimed",  # claimed and committed; no child has it
    "received",  # a child has it; its body has not begun
    "body",  # in the middle of its body
    "ended",  # the body is over; nobody has been told
    "before-commit",  # everything that its end changes is written, and not committed
    "commit",  # the commit is under way
    "after-commit",  # committed; nobody in this process has heard of it
)
#: How deep into a body or a commit, in seconds.
_BODY, _COMMIT = 0.02, 0.002


class _Failpoints:
    """The points of this process."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._armed = {point: str(folder / point) for point in POINTS}
        self._here = threading.local()

    def hit(self, point: str) -> None:
        """Pass a point."""
        if action := self._take(point):
            self._do(point, action)

    def during(self, point: str, most: float, work: Callable[[], Any]) -> Any:
        """Pass a point that lies somewhere in this work; armed again if the work was quicker."""
        action = self._take(point)
        if not action:
            return work()
        over = threading.Event()

        def strike() -> None:
            if over.wait(random.uniform(0, most)):
                back = Path(f"{self._armed[point]}.{os.getpid()}")
                back.write_text(action)
                back.rename(self._armed[point])
            else:
                self._do(point, action)

        threading.Thread(target=strike, daemon=True).start()
        try:
            return work()
        finally:
            over.set()

    # -- where the points lie

    def claim(self, claim: Callable[..., Any]) -> Callable[..., Any]:
        """Around a claim."""

        def wrapper(*args: Any, **values: Any) -> Any:
            jobs = claim(*args, **values)
            if jobs:
                self.hit("claimed")
            return jobs

        return wrapper

    def execute(self, execute: Callable[..., Any]) -> Callable[..., Any]:
        """Around a job in a child."""

        def wrapper(*args: Any, **values: Any) -> Any:
            self.hit("received")
            outcome = self.during("body", _BODY, lambda: execute(*args, **values))
            self.hit("ended")
            return outcome

        return wrapper

    def execute_async(self, execute: Callable[..., Awaitable[Any]]) -> Callable[..., Any]:
        """Around a job on an event loop."""

        async def wrapper(*args: Any, **values: Any) -> Any:
            self.hit("received")
            outcome = await execute(*args, **values)
            self.hit("ended")
            return outcome

        return wrapper

    def settle(self, settle: Callable[..., Any]) -> Callable[..., Any]:
        """Around what commits how jobs ended."""

        def wrapper(*args: Any, **values: Any) -> Any:
            before = getattr(self._here, "settles", False)
            self._here.settles = True
            try:
                return settle(*args, **values)
            finally:
                self._here.settles = before

        return wrapper

    def commit(self, commit: Callable[..., Any]) -> Callable[..., Any]:
        """Around a COMMIT, or a statement that is a transaction by itself."""

        def wrapper(*args: Any, **values: Any) -> Any:
            if not getattr(self._here, "settles", False):
                return commit(*args, **values)
            self.hit("before-commit")
            value = self.during("commit", _COMMIT, lambda: commit(*args, **values))
            self.hit("after-commit")
            return value

        return wrapper

    def unit(self, unit: Callable[..., Any]) -> Callable[..., Any]:
        """Around a unit that may be one statement."""

        def wrapper(database: Database, work: Callable[..., Any], *, single: bool = False) -> Any:
            return unit(database, self.commit(work) if single else work, single=single)

        return wrapper

    # -- inside

    def _take(self, point: str) -> str:
        """Disarm a point; what is to be done there, or nothing. One process has it."""
        mine = f"{self._armed[point]}.{os.getpid()}.{threading.get_ident()}"
        try:
            os.rename(self._armed[point], mine)
        except FileNotFoundError:
            return ""
        action = Path(mine).read_text()
        os.unlink(mine)
        return action

    def _do(self, point: str, action: str) -> None:
        with open(self._folder / "hits", "a", encoding="ascii") as file:
            file.write(f"{point} {os.getpid()} {time.monotonic()}\n")
        if action == "freeze":
            os.killpg(0, signal.SIGSTOP)
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

    Args:
        folder: where points are armed; it exists.
    """
    failpoints = _Failpoints(Path(folder))
    for owner, name, wrap in (
        (Claims, "claim", failpoints.claim),
        (Jobs, "settle", failpoints.settle),
        (Jobs, "settle_stream", failpoints.settle),
        (Executor, "_perform_in_transaction", failpoints.settle),
        (Executor, "execute", failpoints.execute),
        (Executor, "execute_async", failpoints.execute_async),
        (Database, "unit", failpoints.unit),
    ):
        original = getattr(owner, name)
        setattr(owner, name, functools.wraps(original)(wrap(original)))
    opened = Database.__init__

    def init(database: Database, dialect: Any, label: str) -> None:
        opened(database, _Committing(dialect, failpoints), label)

    Database.__init__ = init  # type: ignore[method-assign, assignment]


if _folder := os.environ.get("HAMMERFLOW_FAILPOINTS"):
    install(_folder)
