"""EndWatch: the one thread that tells all waiting coroutines of a process what has ended."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections.abc import Collection
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hammerflow.notifiers import Waiter
    from hammerflow.results.waiting import ResultBackend

__all__ = ["EndWatch"]

log = logging.getLogger("hammerflow.results")

#: Seconds that the thread is kept with nobody waiting.
LINGER = 2.0

Waits = dict[bytes, "set[asyncio.Future[None]]"]


class EndWatch:
    """Waits for any number of jobs and workflows with one thread and few queries: one for all ids
    that are new or have rung, and one for all of them at each poll.

    Coroutines of several event loops may wait. What it says is a hint, as a ring is: who waited
    reads the job.
    """

    def __init__(self, backend: ResultBackend) -> None:
        self._backend = backend
        self._changed = threading.Condition()
        self._jobs: Waits = {}
        self._workflows: Waits = {}
        self._due: set[bytes] = set()  # to be queried before the next poll
        self._is_running = False
        self._is_asking = False

    async def wait(self, key: bytes, seconds: float, *, is_workflow: bool) -> None:
        """Wait until a job or workflow has ended or is found not to exist.

        A wait that is cancelled or over leaves nothing behind.

        Args:
            seconds: the longest wait, by the event loop's clock; infinity for no limit.

        Raises:
            StoreUnavailable: the database cannot be reached.
        """
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waits = self._workflows if is_workflow else self._jobs
        with self._changed:
            waits.setdefault(key, set()).add(future)
            self._due.add(key)
            if self._is_running:
                self._changed.notify_all()
            else:
                self._is_running = True
                threading.Thread(target=self._run, name="hammerflow-ends", daemon=True).start()
        try:
            await asyncio.wait((future,), timeout=None if seconds == float("inf") else seconds)
            if future.done():
                future.result()
        finally:
            with self._changed:
                if key in waits:
                    waits[key].discard(future)
                    if not waits[key]:
                        del waits[key]

    def _rang(self, key: bytes) -> None:
        with self._changed:
            self._due.add(key)
            self._changed.notify_all()

    def finish(self, seconds: float) -> None:
        """Wait until the query under way has ended, but not longer than this."""
        with self._changed:
            self._changed.wait_for(lambda: not self._is_asking, seconds)

    def _run(self) -> None:
        heard: dict[bytes, Waiter] = {}
        try:
            self._watch(heard)
        except Exception as error:  # a border: nobody may wait for a thread that has ended
            log.exception("the thread that waits for the ends of jobs has failed")
            with self._changed:
                self._is_running = self._is_asking = False
                self._changed.notify_all()
            self._fail(error)
        finally:
            for waiter in heard.values():
                waiter.__exit__()

    def _watch(self, heard: dict[bytes, Waiter]) -> None:
        polled_at = busy_at = monotonic()
        while True:
            with self._changed:
                self._changed.wait_for(
                    lambda: self._due, max(0.0, polled_at + self._backend.poll - monotonic())
                )
                due, self._due = self._due, set()
                now = monotonic()
                if is_poll := now >= polled_at + self._backend.poll:
                    polled_at = now
                jobs = [key for key in (self._jobs if is_poll else due) if key in self._jobs]
                workflows = [
                    key for key in (self._workflows if is_poll else due) if key in self._workflows
                ]
                self._is_asking = bool(jobs or workflows)
                if jobs or workflows:
                    busy_at = now
                elif now - busy_at > LINGER and not (self._jobs or self._workflows):
                    self._is_running = False
                    return
            asked = {*jobs, *workflows}
            self._hear(heard, asked)  # before the query: no ring falls between
            if is_poll:
                for key in heard.keys() - asked:
                    heard.pop(key).__exit__()
            try:
                self._query(jobs, workflows, due)
            except Exception as error:  # noqa: BLE001 - a border: each wait raises it
                self._fail(error, asked)
            with self._changed:
                self._is_asking = False
                self._changed.notify_all()

    def _hear(self, heard: dict[bytes, Waiter], keys: set[bytes]) -> None:
        for key in keys - heard.keys():
            waiter = self._backend.notifier.expect(key, partial(self._rang, key))
            heard[key] = waiter.__enter__()

    def _query(self, jobs: list[bytes], workflows: list[bytes], due: set[bytes]) -> None:
        if not (jobs or workflows):
            return
        store = self._backend.store
        if jobs:
            found = store.jobs.ended(jobs)
            new = [key for key in jobs if key in due and key not in found]
            self._tell(self._jobs, found | store.jobs.unknown(new))
        if workflows and (found := store.workflows.ended_or_unknown(workflows)):
            self._tell(self._workflows, found)

    def _tell(self, waits: Waits, keys: Collection[bytes], error: Exception | None = None) -> None:
        with self._changed:
            futures = [future for key in keys for future in waits.get(key, ())]
        for future in futures:
            with contextlib.suppress(RuntimeError):  # its loop is closed
                future.get_loop().call_soon_threadsafe(_end, future, error)

    def _fail(self, error: Exception, keys: Collection[bytes] | None = None) -> None:
        for waits in (self._jobs, self._workflows):
            self._tell(waits, [*waits] if keys is None else keys, error)


def _end(future: asyncio.Future[None], error: Exception | None) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(None)
    else:
        future.set_exception(error)
