"""GroupResult, a handle on the jobs of a group; and the handle that a canvas gets."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Generic

from hammerflow.canvas.chain import Canvas, Chain, Group
from hammerflow.canvas.chain import R as Item
from hammerflow.errors import HammerflowError, WorkflowInvalid
from hammerflow.jobs.job import JobState
from hammerflow.jobs.status import WorkflowStatus
from hammerflow.options.checks import FLAG
from hammerflow.results.reading import MEMBER_ERRORS
from hammerflow.results.result import Result
from hammerflow.results.waiting import Deadline, ResultBackend
from hammerflow.results.workflow import WorkflowResult
from hammerflow.workflows.planned import PlannedItem, PlannedWorkflow

__all__ = ["GroupResult", "handle_of"]


class GroupResult(Sequence[Any], Generic[Item]):
    """A handle on the jobs of a group, in order.

    Attributes:
        results: a Result for each job, a GroupResult for each group inside.
    """

    def __init__(self, results: Sequence[Any], workflow: WorkflowResult | None) -> None:
        self.results = list(results)
        self._workflow = workflow

    @property
    def workflow(self) -> WorkflowResult:
        """The handle on the whole group.

        Raises:
            HammerflowError: there is none, because the group had no tasks and so no app.
        """
        if self._workflow is None:
            raise HammerflowError(
                "a group without tasks is not written by delay(), so it has no id: write it with "
                "app.enqueue(group)"
            )
        return self._workflow

    @property
    def id(self) -> uuid.UUID:
        """The workflow's id."""
        return self.workflow.id

    def __len__(self) -> int:
        return len(self.results)

    def __getitem__(self, index: Any) -> Any:
        return self.results[index]

    def __repr__(self) -> str:
        return f"<GroupResult {self._workflow and self.id} of {len(self.results)}>"

    def get(
        self, timeout: float | timedelta | None = None, *, propagate: bool = True
    ) -> list[Item]:
        """Wait for all jobs and return their results in order.

        Args:
            timeout: seconds or timedelta for all of them together; None waits without a limit.
            propagate: raise the first error; otherwise the list holds each error in the place of
                the result, also for a result that cannot be decoded here.

        Raises:
            JobFailed, JobCancelled, NotDecodable, TimeoutError: as :meth:`Result.get`.
        """
        propagate = FLAG(propagate, "get(): propagate")
        deadline = Deadline(timeout)
        found: list[Any] = []
        for result in self.results:
            left = None if timeout is None else deadline.left()
            if isinstance(result, GroupResult):
                found.append(result.get(left, propagate=propagate))
                continue
            try:
                found.append(result.get(left))
            except MEMBER_ERRORS as error:
                if propagate:
                    raise
                found.append(error)
        return found

    join = get

    async def aget(
        self, timeout: float | timedelta | None = None, *, propagate: bool = True
    ) -> list[Item]:
        """:meth:`get` without blocking the event loop. It takes no thread, and can be cancelled."""
        propagate = FLAG(propagate, "aget(): propagate")
        import asyncio  # not at the top: who sends jobs from threads does not pay for it

        seconds = Deadline(timeout).timeout

        async def one(result: Any) -> Any:
            if isinstance(result, GroupResult):
                return await result.aget(seconds, propagate=propagate)
            try:
                return await result.aget(seconds)
            except MEMBER_ERRORS as error:
                if propagate:
                    raise
                return error

        tasks = [asyncio.ensure_future(one(result)) for result in self.results]
        try:
            return [await task for task in tasks]
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def await_(self, timeout: float | timedelta | None = None) -> WorkflowStatus:
        """:meth:`wait` without blocking the event loop."""
        if self._workflow is None:
            return WorkflowStatus.COMPLETED
        return await self._workflow.await_(timeout)

    def wait(self, timeout: float | timedelta | None = None) -> WorkflowStatus:
        """Wait until all have ended; see :meth:`WorkflowResult.wait`."""
        return WorkflowStatus.COMPLETED if self._workflow is None else self._workflow.wait(timeout)

    def ready(self) -> bool:
        """Whether all have ended."""
        return all(result.ready() for result in self.results)

    def successful(self) -> bool:
        """Whether all have completed."""
        return self._states() <= {JobState.COMPLETED}

    def failed(self) -> bool:
        """Whether at least one has failed."""
        return JobState.FAILED in self._states()

    def waiting(self) -> bool:
        """Whether at least one has not ended."""
        return not self.ready()

    def completed_count(self) -> int:
        """How many have completed."""
        return sum(
            r.completed_count() if isinstance(r, GroupResult) else r.state is JobState.COMPLETED
            for r in self.results
        )

    def cancel(self, reason: str = "cancelled") -> None:
        """Cancel the jobs that have not started; ask workers to stop the running ones."""
        if self._workflow is not None:
            self._workflow.cancel(reason)

    revoke = cancel

    def _states(self) -> set[JobState]:
        states: set[JobState] = set()
        for result in self.results:
            states |= result._states() if isinstance(result, GroupResult) else {result.state}
        return states


def _of_nothing(canvas: Canvas) -> GroupResult:
    """The result of groups without tasks, which no app can send: it is there at once."""
    match canvas:
        case Chain():
            return _of_nothing(canvas.tasks[-1])
        case Group():
            return GroupResult([_of_nothing(part) for part in canvas.tasks], None)
        case _:
            raise WorkflowInvalid("a chord needs a body: chord(header, body)")


Canvas.result_of_nothing = _of_nothing


def handle_of(output: Any, workflow: PlannedWorkflow, backend: ResultBackend) -> Any:
    """The handle on a plan's output: a Result, a GroupResult or a WorkflowResult."""
    if isinstance(output, PlannedItem) and output is not workflow:
        return Result(output.id, backend)
    whole = WorkflowResult(workflow.id, backend)
    if output is workflow:
        return whole
    return GroupResult([handle_of(part, workflow, backend) for part in output], whole)
