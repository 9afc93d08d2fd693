"""AsyncCalls: how coroutines and background threads use an app's database."""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from hammerflow.results.ends import EndWatch
from hammerflow.results.threads import BackgroundThreads, ThreadPool

if TYPE_CHECKING:
    from hammerflow.results.waiting import ResultBackend

__all__ = ["AsyncCalls"]

T = TypeVar("T")

#: Threads for reads, and for writes: a write may wait for a lock, and no read waits behind it.
READERS = 4
WRITERS = 8
#: Seconds for which an app that is closed waits for the calls that are under way.
PATIENCE = 5.0


class AsyncCalls:
    """Threads and waits of one app; a forked child makes its own.

    Attributes:
        ends: tells waiting coroutines of ends.
    """

    def __init__(self, backend: ResultBackend) -> None:
        self._backend = backend
        self._start()
        found = weakref.ref(self)

        def reset() -> None:
            if (calls := found()) is not None:
                calls._start()

        os.register_at_fork(after_in_child=reset)

    def _start(self) -> None:
        self.ends = EndWatch(self._backend)
        self._readers = ThreadPool(READERS, "hammerflow-read")
        self._writers = ThreadPool(WRITERS, "hammerflow-write")
        self._background = BackgroundThreads()

    async def read(self, work: Callable[[], T]) -> T:
        """Run ``work``, which only reads, in a thread."""
        return await self._readers.run(work)

    async def write(self, work: Callable[[], T]) -> T:
        """Run ``work``, which may wait for locks of the database, in a thread.

        If the coroutine is cancelled, work that has begun goes on.
        """
        return await self._writers.run(work)

    def start(self, work: Callable[[], object], name: str) -> threading.Thread:
        """Run ``work`` in a thread of this name, which nobody awaits."""
        return self._background.start(work, name)

    def close(self) -> None:
        """Wait for what is under way, ``PATIENCE`` seconds at most. Calls whose coroutines were
        cancelled and threads that nobody awaits would open the closed app again."""
        end = time.monotonic() + PATIENCE
        for each in (self._readers, self._writers, self.ends, self._background):
            each.finish(max(0.0, end - time.monotonic()))
