"""hammerflow: Python functions as durable background jobs on the SQL database you have."""

from __future__ import annotations

from hammerflow.app import Hammerflow
from hammerflow.context import current_job
from hammerflow.errors import (
    ConditionError,
    ConfigError,
    HammerflowError,
    JobCancelled,
    JobFailed,
    JobNotFound,
    MissingExtra,
    NotDecodable,
    NotEncodable,
    SchemaMismatch,
    SoftTimeout,
    SpawnInvalid,
    StoreUnavailable,
    UnknownTask,
    WorkflowInvalid,
)
from hammerflow.group_result import GroupResult
from hammerflow.job import Job, JobState, Priority
from hammerflow.outcome import Cancel, Retry, Snooze
from hammerflow.result import Result
from hammerflow.retry import constant, exponential, fibonacci, linear
from hammerflow.signature import Signature, chain, chord, group
from hammerflow.spawn import SpawnConfig, SpawnContext
from hammerflow.task import Spawner, Task
from hammerflow.workflow import Workflow
from hammerflow.workflow_loading import workflow_from_file
from hammerflow.workflow_result import WorkflowResult
from hammerflow.workflow_status import FailurePolicy, WorkflowStatus

__all__ = [
    "Cancel",
    "ConditionError",
    "ConfigError",
    "FailurePolicy",
    "GroupResult",
    "Hammerflow",
    "HammerflowError",
    "Job",
    "JobCancelled",
    "JobFailed",
    "JobNotFound",
    "JobState",
    "MissingExtra",
    "NotDecodable",
    "NotEncodable",
    "Priority",
    "Result",
    "Retry",
    "SchemaMismatch",
    "Signature",
    "Snooze",
    "SoftTimeout",
    "SpawnConfig",
    "SpawnContext",
    "SpawnInvalid",
    "Spawner",
    "StoreUnavailable",
    "Task",
    "UnknownTask",
    "Workflow",
    "WorkflowInvalid",
    "WorkflowResult",
    "WorkflowStatus",
    "chain",
    "chord",
    "constant",
    "current_job",
    "exponential",
    "fibonacci",
    "group",
    "linear",
    "workflow_from_file",
]
__version__ = "0.1.0"
