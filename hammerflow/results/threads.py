"""Threads of an app: a pool for what coroutines await, and one each for what nobody awaits."""

from __future__ import annotations

import asyncio
import contextvars
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

__all__ = ["BackgroundThreads", "Call", "ThreadPool"]

T = TypeVar("T")

#: Seconds that a thread is kept with nothing to do.
LINGER = 5.0


class Call:
    """One call for another thread, in a copy of the caller's context.

    Attributes:
        future: how it ended; once cancelled, the call does not begin.
    """

    __slots__ = ("_context", "_work", "future")

    def __init__(self, work: Callable[[], Any]) -> None:
        self.future: Future[Any] = Future()
        self._work = work
        self._context = contextvars.copy_context()

    def perform(self) -> None:
        """Run it in the current thread."""
        if not self.future.set_running_or_notify_cancel():
            return
        try:
            value = self._context.run(self._work)
        except BaseException as error:  # noqa: BLE001 - a border: the caller gets it
            self.future.set_exception(error)
        else:
            self.future.set_result(value)


class ThreadPool:
    """Threads apart from asyncio's own, so that neither hammerflow's calls wait for the user's
    ``to_thread``, nor those for hammerflow's.

    They are daemons: a process that ends does not wait for a call that nobody awaits any more.
    (``ThreadPoolExecutor`` would: its threads are joined at the exit.)

    Args:
        most: the most threads; they start when they are needed.
        name: of the threads.
    """

    def __init__(self, most: int, name: str) -> None:
        self._most = most
        self._name = name
        self._calls: deque[Call] = deque()
        lock = threading.Lock()
        self._changed = threading.Condition(lock)
        self._quiet = threading.Condition(lock)
        self._threads = 0
        self._idle = 0

    async def run(self, work: Callable[[], T]) -> T:
        """Run ``work`` in one of the threads; a cancelled call that has not begun never begins."""
        call = Call(work)
        with self._changed:
            self._calls.append(call)
            if len(self._calls) > self._idle and self._threads < self._most:
                self._threads += 1
                threading.Thread(target=self._work, name=self._name, daemon=True).start()
            else:
                self._changed.notify()
        return await asyncio.wrap_future(call.future)

    def finish(self, seconds: float) -> None:
        """Wait until the calls so far have ended, but not longer than this."""
        with self._quiet:
            self._quiet.wait_for(lambda: not self._calls and self._idle == self._threads, seconds)

    def _work(self) -> None:
        while True:
            with self._changed:
                self._idle += 1
                self._quiet.notify_all()
                found = self._changed.wait_for(lambda: self._calls, LINGER)
                self._idle -= 1
                if not found:
                    self._threads -= 1
                    self._quiet.notify_all()
                    return
                call = self._calls.popleft()
            call.perform()
            del call  # it holds the caller's arguments


class BackgroundThreads:
    """Daemon threads for work that nobody awaits."""

    def __init__(self) -> None:
        self._threads: list[threading.Thread] = []

    def start(self, work: Callable[[], object], name: str) -> threading.Thread:
        """Run ``work`` in a thread of this name."""
        thread = threading.Thread(target=work, name=name, daemon=True)
        self._threads = [*filter(threading.Thread.is_alive, self._threads), thread]
        thread.start()
        return thread

    def finish(self, seconds: float) -> None:
        """Wait until they have ended, but not longer than this."""
        end = time.monotonic() + seconds
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join(max(0.0, end - time.monotonic()))
