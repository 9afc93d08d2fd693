"""WorkflowStatus and FailurePolicy: where a workflow stands, and what a failure in it means."""

from __future__ import annotations

import enum
from collections.abc import Mapping

__all__ = ["FailurePolicy", "WorkflowState", "WorkflowStatus"]


class WorkflowStatus(enum.StrEnum):
    """Where a workflow stands; completed, failed and cancelled are final."""

    RUNNING = "running"
    PAUSED = "paused"  # a node has failed and the policy is manual
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_final(self) -> bool:
        """Whether all its jobs have ended."""
        return self in (
            WorkflowStatus.COMPLETED,
            WorkflowStatus.FAILED,
            WorkflowStatus.CANCELLED,
        )


class FailurePolicy(enum.StrEnum):
    """What happens to the rest of a workflow when a node fails or is cancelled."""

    FAIL_FAST = "fail_fast"  # what has not started is cancelled
    CONTINUE_ON_FAILURE = "continue_on_failure"  # what depends on it is skipped, the rest runs
    MANUAL = "manual"  # nothing new starts until a person decides

    @property
    def code(self) -> int:
        """Its number in the table ``workflows``."""
        return _POLICIES.index(self)

    @classmethod
    def of(cls, code: int) -> FailurePolicy:
        """The policy of a number in the table ``workflows``."""
        return _POLICIES[code]


_POLICIES = (FailurePolicy.FAIL_FAST, FailurePolicy.CONTINUE_ON_FAILURE, FailurePolicy.MANUAL)


class WorkflowState(enum.IntEnum):
    """Where a workflow stands in its table: FAILING and CANCELLING wait for bodies that run."""

    RUNNING = 1
    PAUSED = 2
    FAILING = 3
    CANCELLING = 4
    COMPLETED = 5
    FAILED = 6
    CANCELLED = 7

    @property
    def is_halted(self) -> bool:
        """Whether nothing in it starts any more."""
        return self > WorkflowState.PAUSED

    @property
    def status(self) -> WorkflowStatus:
        """What users see."""
        return _PUBLIC[self]


_PUBLIC: Mapping[WorkflowState, WorkflowStatus] = {
    WorkflowState.RUNNING: WorkflowStatus.RUNNING,
    WorkflowState.PAUSED: WorkflowStatus.PAUSED,
    WorkflowState.FAILING: WorkflowStatus.RUNNING,
    WorkflowState.CANCELLING: WorkflowStatus.RUNNING,
    WorkflowState.COMPLETED: WorkflowStatus.COMPLETED,
    WorkflowState.FAILED: WorkflowStatus.FAILED,
    WorkflowState.CANCELLED: WorkflowStatus.CANCELLED,
}
