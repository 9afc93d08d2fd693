"""GroupResult: a handle on the jobs of a group, and what a caller holds of a canvas."""

from __future__ import annotations

import time
import uuid
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from hammerflow.errors import JobCancelled, JobFailed
from hammerflow.jobs.job import JobState
from hammerflow.jobs.status import WorkflowStatus
from hammerflow.results.result import Backend, Result
from hammerflow.results.workflow import WorkflowResult
from hammerflow.workflows.planned import PlannedItem, PlannedWorkflow

__all__ = ["GroupResult", "handle_of"]


class GroupResult(Sequence[Any]):
    """The results of a group, in order; those of groups inside it are GroupResults themselves.

    Attributes:
        results: them all.
        workflow: the whole of it, to cancel or to watch.
    """

    def __init__(self, results: Sequence[Any], workflow: WorkflowResult) -> None:
        self.results = list(results)
        self.workflow = workflow

    @property
    def id(self) -> uuid.UUID:
        """The workflow's id."""
        return self.workflow.id

    def __len__(self) -> int:
        return len(self.results)

    def __getitem__(self, index: Any) -> Any:
        return self.results[index]

    def __repr__(self) -> str:
        return f"<GroupResult {self.id} of {len(self.results)}>"

    def get(self, timeout: float | timedelta | None = None, *, propagate: bool = True) -> list[Any]:
        """Wait for all and return their results in order.

        Args:
            propagate: raise the first error; else it stands in its place in the list.

        Raises:
            JobFailed, JobCancelled, TimeoutError: as for a single job.
        """
        limit = timeout.total_seconds() if isinstance(timeout, timedelta) else timeout
        deadline = None if limit is None else time.monotonic() + limit
        found: list[Any] = []
        for result in self.results:
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            if isinstance(result, GroupResult):
                found.append(result.get(left, propagate=propagate))
                continue
            try:
                found.append(result.get(left))
            except (JobFailed, JobCancelled) as error:
                if propagate:
                    raise
                found.append(error)
        return found

    join = get

    async def aget(self, timeout: float | timedelta | None = None) -> list[Any]:
        """:meth:`get` without blocking the event loop."""
        return await self.workflow._backend.in_thread(self.get, timeout)  # type: ignore[no-any-return]

    def wait(self, timeout: float | timedelta | None = None) -> WorkflowStatus:
        """Wait until all have ended."""
        return self.workflow.wait(timeout)

    def ready(self) -> bool:
        """Whether all have ended."""
        return all(result.ready() for result in self.results)

    def successful(self) -> bool:
        """Whether all have completed."""
        return self._states() <= {JobState.COMPLETED}

    def failed(self) -> bool:
        """Whether one of them has failed."""
        return JobState.FAILED in self._states()

    def waiting(self) -> bool:
        """Whether one of them has not ended."""
        return not self.ready()

    def completed_count(self) -> int:
        """How many have completed."""
        return sum(
            r.completed_count() if isinstance(r, GroupResult) else r.state is JobState.COMPLETED
            for r in self.results
        )

    def cancel(self, reason: str = "cancelled") -> None:
        """Cancel what has not started and ask what runs to stop."""
        self.workflow.cancel(reason)

    revoke = cancel

    def _states(self) -> set[JobState]:
        states: set[JobState] = set()
        for result in self.results:
            states |= result._states() if isinstance(result, GroupResult) else {result.state}
        return states


def handle_of(out: Any, flow: PlannedWorkflow, backend: Backend) -> Any:
    """What a caller holds of what was written: one result, or one for each of a group."""
    if out is flow:
        return WorkflowResult(flow.id, backend)
    if isinstance(out, PlannedItem):
        return Result(out.id, backend)
    parts = [handle_of(part, flow, backend) for part in out]
    return GroupResult(parts, WorkflowResult(flow.id, backend))
