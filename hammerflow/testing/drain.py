"""Drain: a worker in the calling process, with the claim, execute and settle code of real ones."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from hammerflow.app import Hammerflow
from hammerflow.ids import worker_number
from hammerflow.jobs.job import Claimed
from hammerflow.jobs.outcome import Outcome, Settled
from hammerflow.jobs.priority_rule import PriorityRule
from hammerflow.options.checks import NAME_CHECK, items_of, whole
from hammerflow.results.waiting import announce
from hammerflow.stores.rows import JobLogRow
from hammerflow.stores.store import Store
from hammerflow.tasks.builtin import BUILTIN
from hammerflow.worker.child.executor import Executor
from hammerflow.worker.child.log_keeper import KeptLog, LogKeeper
from hammerflow.worker.run_options import TaskCatalog, TaskInfo

__all__ = ["drain"]

_BATCH = 100
_RUNS = whole(0, 1_000_000_000)


def drain(app: Hammerflow, *, queues: Iterable[str] | None = None, limit: int | None = None) -> int:
    """Run ready jobs, and those that they make ready, until none is left::

        def test_an_order_is_mailed(app):
            result = place_order.delay(42)
            drain(app)
            assert result.get(timeout=0) == "mailed"

    Jobs that are due later (retries, too) stay, and so do those that wait for a rate limit. An
    error in a body ends its job, as in a worker, and is raised by ``result.get()``. No process is
    forked, so hard timeouts, and soft ones of plain functions, do not apply, and a body that kills
    its process kills the test's.

    Args:
        app: its tasks are run; its database must be migrated.
        queues: names of the queues to serve; None serves those of the app's tasks and all that
            the database knows.
        limit: stop after this number of runs.

    Returns:
        How many runs there were: two for a job that was tried twice.

    Raises:
        StoreUnavailable: the database cannot be reached.
    """
    if queues is not None:
        queues = [
            NAME_CHECK(name, "drain(): a queue")
            for name in items_of(queues, "drain(): queues must be a list of names")
        ]
    limit = None if limit is None else _RUNS(limit, "drain(): limit")
    worker = _InlineWorker(app, queues)
    try:
        with worker.logs_kept():
            return worker.run(limit)
    finally:
        app.store.workers.leave(worker.worker_id)


class _InlineWorker:
    def __init__(self, app: Hammerflow, queues: Iterable[str] | None) -> None:
        self.worker_id = worker_number()
        self._app = app
        self._given = None if queues is None else list(queues)
        self._rule = PriorityRule.of(app.settings.priorities, app.settings.aging)
        self._executor = Executor(app, progress=self._write_progress)
        self._executor.worker_id = self.worker_id
        self._logs: list[JobLogRow] = []
        self._executor.log_keeper = LogKeeper.of(app, self)
        catalog = TaskCatalog([TaskInfo.of(task) for task in app.tasks.values()])
        self._runners: list[tuple[list[int], Callable[[Sequence[Claimed]], list[Outcome]]]] = [
            (catalog.ids(is_async=False), self._run_each),
            (catalog.ids(is_async=True), self._run_at_once),
        ]
        own = [name for name in catalog.names if not name.startswith(BUILTIN)]
        self._store.limits.declare(catalog.limits, own)
        self._store.workers.register(
            self.worker_id, host="inline", pid=0, info={"inline": True},
            tasks=catalog.names, queues=self._queues(), shapes=catalog.shapes,
        )  # fmt: skip

    @property
    def _store(self) -> Store:
        """A body may close the app, which opens another store at its next use."""
        return self._app.store

    def run(self, limit: int | None) -> int:
        """Claim and run in rounds until one finds nothing."""
        done, found = 0, 1
        while found and (limit is None or done < limit):
            self._store.jobs.promote()
            found = self._run_round(_BATCH if limit is None else min(_BATCH, limit - done))
            done += found
        return done

    def _run_round(self, room: int) -> int:
        found = 0
        for task_ids, run in self._runners:
            for queue in self._queues():
                jobs = self._store.jobs.claim(
                    self.worker_id, queue=queue, task_ids=task_ids, limit=room - found,
                    thorough=True, rule=self._rule,
                )  # fmt: skip
                if jobs:
                    self._executor.queues[jobs[0].queue_id] = queue
                    self._settle(jobs, run(jobs))
                    found += len(jobs)
        return found

    def _run_each(self, jobs: Sequence[Claimed]) -> list[Outcome]:
        return [self._executor.execute(job) for job in jobs]

    def _run_at_once(self, jobs: Sequence[Claimed]) -> list[Outcome]:
        async def run() -> list[Outcome]:
            return await asyncio.gather(*(self._executor.execute_async(job) for job in jobs))

        return asyncio.run(run())

    def _settle(self, jobs: Sequence[Claimed], outcomes: Sequence[Outcome]) -> None:
        pairs = zip(jobs, outcomes, strict=True)
        batch = [pair for pair in pairs if not isinstance(pair[1], Settled)]
        logs, self._logs[:] = [*self._logs], []
        announce(self._app, self._store.jobs.settle(self.worker_id, batch, logs=logs))

    @contextlib.contextmanager
    def logs_kept(self) -> Iterator[None]:
        """Keep what bodies log, if a task wants that."""
        keeper = self._executor.log_keeper
        if keeper is None:
            yield
            return
        keeper.install()
        try:
            yield
        finally:
            keeper.remove()

    def lines(self, log: KeptLog, rows: Sequence[Any]) -> None:
        """Nobody asks while a body runs."""

    def row(self, row: JobLogRow) -> None:
        """An attempt has ended, and keeps these lines."""
        self._logs.append(row)

    def _queues(self) -> list[str]:
        if self._given is not None:
            return self._given
        declared = {task.defaults.queue for task in self._app.tasks.values()}
        return sorted({"default", *declared, *self._store.queues.names()})

    def _write_progress(self, job_id: bytes, fraction: float, note: str) -> None:
        self._store.jobs.progress([(job_id, fraction, note)])
