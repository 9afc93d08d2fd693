"""AsyncCalls: how coroutines use an app's database without blocking their event loop."""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from hammerflow.results.ends import EndWatch
from hammerflow.results.threads import ThreadPool

if TYPE_CHECKING:
    from hammerflow.results.waiting import ResultBackend

__all__ = ["AsyncCalls"]

T = TypeVar("T")

#: Threads for reads, and for writes: a write may wait for a lock, and no read waits behind it.
READERS = 4
WRITERS = 8


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

    async def read(self, work: Callable[[], T]) -> T:
        """Run ``work``, which only reads, in a thread."""
        return await self._readers.run(work)

    async def write(self, work: Callable[[], T]) -> T:
        """Run ``work``, which may wait for locks of the database, in a thread.

        If the coroutine is cancelled, work that has begun goes on.
        """
        return await self._writers.run(work)
