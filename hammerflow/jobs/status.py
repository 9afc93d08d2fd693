"""The status of workflows, and what a failure in one means."""

from __future__ import annotations

import enum

__all__ = ["FailurePolicy", "WorkflowState", "WorkflowStatus"]


class WorkflowStatus(enum.StrEnum):
    """The status of a workflow; completed, failed and cancelled are final.

    Attributes:
        RUNNING: some of its jobs have not ended.
        PAUSED: a node has failed and the policy is manual: it waits for ``workflow resume``.
        COMPLETED: all its jobs have ended, and no failure counts against it.
        FAILED: a node has failed, or the timeout is over.
        CANCELLED: it was cancelled.
    """

    RUNNING = "running"
    PAUSED = "paused"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_final(self) -> bool:
        """Whether all its jobs have ended."""
        return self not in (WorkflowStatus.RUNNING, WorkflowStatus.PAUSED)


class FailurePolicy(enum.StrEnum):
    """What happens to the rest of a workflow when a node fails or is cancelled.

    Attributes:
        FAIL_FAST: jobs that have not started are cancelled; the default.
        CONTINUE_ON_FAILURE: jobs that depend on it are skipped, the others run.
        MANUAL: the workflow pauses until someone retries, skips or resumes.
    """

    FAIL_FAST = "fail_fast"
    CONTINUE_ON_FAILURE = "continue_on_failure"
    MANUAL = "manual"

    @property
    def code(self) -> int:
        """Its number in the table ``workflows``."""
        return _POLICIES.index(self)

    @classmethod
    def of(cls, code: int) -> FailurePolicy:
        """The policy of a number in the table ``workflows``."""
        return _POLICIES[code]


_POLICIES = tuple(FailurePolicy)  # the codes in the database: append only


class WorkflowState(enum.IntEnum):
    """The status in the table: FAILING and CANCELLING wait for bodies that still run."""

    RUNNING = 1
    PAUSED = 2
    FAILING = 3
    CANCELLING = 4
    COMPLETED = 5
    FAILED = 6
    CANCELLED = 7

    @property
    def is_halted(self) -> bool:
        """Whether none of its jobs may start any more."""
        return self > WorkflowState.PAUSED

    @property
    def status(self) -> WorkflowStatus:
        """What users see."""
        if self in (WorkflowState.FAILING, WorkflowState.CANCELLING):
            return WorkflowStatus.RUNNING
        return WorkflowStatus[self.name]
