"""DeadLetters: jobs that have failed or are parked, and the operations that run them again."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from hammerflow.jobs.job import RowFlags
from hammerflow.jobs.settlement import Settlement
from hammerflow.stores.rows import Row
from hammerflow.stores.transitions.edit import JobChange, edit_job
from hammerflow.stores.transitions.replay import replay_job, undo_replay
from hammerflow.stores.transitions.unit import Verbs

__all__ = ["DeadLetter", "DeadLetters", "JobChange"]

_PAGE = 1_000


class DeadLetter(NamedTuple):
    """What a summary counts."""

    job_id: bytes
    error: str  # the type of the error, or why it is parked
    queue: str
    task: str
    at: datetime
    message: str = ""  # its first 200 characters


class DeadLetters(Verbs):
    """The verbs of an operator on jobs that did not complete."""

    def newest(self, limit: int) -> Sequence[DeadLetter]:
        """Failed jobs among those of the newest ``limit`` errors, and as many parked ones: a read
        that is bounded however many jobs there are."""
        rows = [
            *self._database.rows("dead_failed", n=limit),
            *self._database.rows("dead_parked", n=limit),
        ]
        return self._letters(rows)

    def has_older(self, limit: int) -> bool:
        """Whether there are errors behind the newest ``limit``, which :meth:`newest` leaves out."""
        return bool(self._database.column("errors_behind", n=limit))

    def newest_failed(self, limit: int) -> Sequence[DeadLetter]:
        """Failed jobs among those of the newest ``limit`` errors."""
        return self._letters(self._database.rows("dead_failed", n=limit))

    def _letters(self, rows: Iterable[Row]) -> Sequence[DeadLetter]:
        at_of = datetime.fromtimestamp
        queue_of, task_of = functools.cache(self._names.queue), functools.cache(self._names.task)
        return [
            DeadLetter(job_id, error, queue_of(queue), task_of(task), at_of(at, UTC), message)
            for job_id, error, queue, task, at, message in rows
        ]

    def replay(self, job_id: bytes, by: str, operation_id: bytes, delay: float = 0.0) -> Settlement:
        """Run a job again as part of an operation.

        Raises:
            HammerflowError: it is in another state, or another job holds its unique key.
        """
        return self._change(lambda unit: replay_job(unit, job_id, by, operation_id, delay))

    def replayed(self, operation_id: bytes) -> Iterator[bytes]:
        """The jobs of an operation that were not put back."""
        after = bytes(16)
        while True:
            values = {"operation_id": operation_id, "after": after, "n": _PAGE}
            page = self._database.column("replay_ids", **values)
            yield from page
            if len(page) < _PAGE:
                return
            after = page[-1]

    def operations_between(self, low: bytes, high: bytes, limit: int) -> Sequence[bytes]:
        """The first ``limit`` ids of operations from ``low`` to ``high``, both included."""
        return self._database.column("replay_operations_between", low=low, high=high, n=limit)

    def undo(self, job_id: bytes, operation_id: bytes) -> Settlement | None:
        """Put a job back that has not started since its replay; None if it has."""
        settled: list[bool] = []
        settlement = self._change(
            lambda unit: settled.append(undo_replay(unit, job_id, operation_id))
        )
        return settlement if settled[-1] else None

    def edit(self, job_id: bytes, change: JobChange) -> tuple[Sequence[str], set[str]]:
        """Change a job that has not started, or the arguments of one that did not complete; (the
        options whose keys stay, the queues to ring). See :func:`edit_job`."""
        if change.queue is not None:
            self._names.register(queues=[change.queue])
        kept: list[list[str]] = []
        settlement = self._change(lambda unit: kept.append(edit_job(unit, job_id, change)))
        return kept[-1], settlement.queues

    def args_of(self, job_ids: Sequence[bytes]) -> dict[bytes, bytes]:
        """The encoded arguments of jobs."""
        return dict(self._database.rows("args_of", ids=list(job_ids))) if job_ids else {}

    def keys_of(self, job_ids: Sequence[bytes]) -> dict[bytes, str]:
        """The unique keys that these jobs would take if they were replayed."""
        rows = self._database.rows("ended_links", ids=list(job_ids)) if job_ids else []
        return {
            job_id: key
            for job_id, _, key, _, flags in rows
            if key is not None and not flags & RowFlags.FREED_AT_START
        }
