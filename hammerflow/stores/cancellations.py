"""Cancellations: many jobs, and whole trees of them, in chunks that are committed one by one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice

from hammerflow.jobs.job import JobState
from hammerflow.jobs.settlement import Settlement
from hammerflow.stores.cancel_files import asked_by_file
from hammerflow.stores.database import Database
from hammerflow.stores.names import NameTable
from hammerflow.stores.rows import Row
from hammerflow.stores.transitions.cancel import cancel_jobs
from hammerflow.stores.transitions.unit import Verbs
from hammerflow.stores.workflows import Workflows

__all__ = ["Cancellations", "Told"]

#: What was told of each job of a chunk: CANCELLED where it had not started, RUNNING where its
#: worker was asked to stop it, else the final state that it had.
Told = dict[bytes, JobState]

#: Jobs that one transaction cancels: some ten milliseconds, so that settles wait no longer.
_CHUNK = 500
_LAST = 2**31 - 1  # no spawn index is as high


class Cancellations(Verbs):
    """Cancels of more than one job. A cancel that was killed half way is given once more."""

    def __init__(self, database: Database, names: NameTable, workflows: Workflows) -> None:
        super().__init__(database, names)
        self._workflows = workflows

    def of_jobs(
        self, job_ids: Iterable[bytes], reason: str, *,
        then: Callable[[Settlement], None] = lambda _: None,
    ) -> Iterator[Told]:  # fmt: skip
        """Cancel jobs; unknown ids are left out.

        Args:
            then: gets what followed from a chunk, once it is committed.

        Yields:
            Each chunk after its commit.
        """
        rest = iter(job_ids)
        while left := set(islice(rest, _CHUNK)):
            told = Told()
            while left:
                with asked_by_file(self._database, left):
                    answers, settlement = self._run(
                        lambda unit: (cancel_jobs(unit, left, reason), unit.settlement)  # noqa: B023
                    )
                then(settlement)
                told |= answers.told
                left = answers.passed
            yield told

    def of_tree(
        self, job_id: bytes, reason: str, *, then: Callable[[Settlement], None] = lambda _: None
    ) -> Iterator[Told]:
        """Cancel a job and all that was spawned below it, in every state.

        A job is cancelled before its children are read: either it has ended, and its children are
        there, or it was asked to stop, and its settle writes none. Of siblings the youngest come
        first: those that wait for others, so that nothing is started by the end of another one.

        Args:
            then: as for :meth:`of_jobs`.
        """
        yield from self.of_jobs([job_id], reason, then=then)
        for rows in self._descendants(job_id):
            for workflow_id in self._whole_workflows(rows):
                then(self._workflows.cancel(workflow_id, reason))
            yield from self.of_jobs((row[0] for row in rows), reason, then=then)

    def unfinished_below(self, job_id: bytes) -> int:
        """How many jobs of a tree have not ended."""
        pages = ([row[0] for row in rows] for rows in self._descendants(job_id))
        return sum(self._unfinished(ids) for ids in ([job_id], *pages))

    def _unfinished(self, job_ids: list[bytes]) -> int:
        return len(job_ids) - len(self._database.rows("outcomes_of", ids=job_ids))

    def _descendants(self, job_id: bytes) -> Iterator[list[Row]]:
        """(id, spawn index, its workflow, that of its parent) of all below a job, page by page;
        the children of a page are looked for once the page has been dealt with."""
        parents = [job_id]
        while parents:
            parent, before = parents.pop(), _LAST
            while True:
                rows = self._database.rows("children_down", id=parent, before=before, n=_CHUNK)
                if not rows:
                    break
                yield list(rows)
                parents += self._database.column("parents_of_any", ids=[row[0] for row in rows])
                before = rows[-1][1]

    def _whole_workflows(self, rows: list[Row]) -> list[bytes]:
        """The open workflows that were spawned as a whole, of which these jobs are members."""
        found: set[bytes] = set()
        for inner, outer in {(row[2], row[3]) for row in rows if row[2] not in (None, row[3])}:
            top = self._workflows.get(inner)
            while top is not None and top.parent_id not in (None, outer):
                top = self._workflows.get(top.parent_id)
            if top is not None and not top.state.is_halted and not top.state.status.is_final:
                found.add(top.id)
        return sorted(found)
