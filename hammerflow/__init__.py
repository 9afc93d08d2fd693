"""hammerflow: Python functions as durable background jobs on the SQL database you already have."""

from __future__ import annotations

from hammerflow.process import early_signals  # noqa: F401 - first: it holds signals

# The rest takes a tenth of a second, in which a signal would be lost.
# isort: split

from hammerflow.app import Hammerflow
from hammerflow.canvas.chain import chain, chord, group
from hammerflow.canvas.signature import Signature
from hammerflow.canvas.spawn import SpawnConfig, SpawnContext
from hammerflow.context import current_job
from hammerflow.enqueue.files import workflow_from_file
from hammerflow.errors import (
    ConditionError,
    ConfigError,
    CpuLimitExceeded,
    HammerflowError,
    JobCancelled,
    JobFailed,
    JobNotFound,
    MemoryLimitExceeded,
    MissingExtra,
    NotDecodable,
    NotEncodable,
    NotUnique,
    SchemaMismatch,
    SoftTimeout,
    SpawnInvalid,
    StoreUnavailable,
    UnknownTask,
    WebhookInvalid,
    WorkflowInvalid,
)
from hammerflow.jobs.backoff import constant, exponential, fibonacci, linear
from hammerflow.jobs.job import Job, JobState, Priority
from hammerflow.jobs.outcome import Cancel, Retry, Snooze
from hammerflow.jobs.status import FailurePolicy, WorkflowStatus
from hammerflow.jobs.unique import UniqueKey
from hammerflow.results.group import GroupResult
from hammerflow.results.result import Result
from hammerflow.results.workflow import WorkflowResult
from hammerflow.schedules.crontab import crontab
from hammerflow.tasks.task import Spawner, Task
from hammerflow.workflows.workflow import Workflow

__all__ = [
    "Cancel",
    "ConditionError",
    "ConfigError",
    "CpuLimitExceeded",
    "FailurePolicy",
    "GroupResult",
    "Hammerflow",
    "HammerflowError",
    "Job",
    "JobCancelled",
    "JobFailed",
    "JobNotFound",
    "JobState",
    "MemoryLimitExceeded",
    "MissingExtra",
    "NotDecodable",
    "NotEncodable",
    "NotUnique",
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
    "UniqueKey",
    "UnknownTask",
    "WebhookInvalid",
    "Workflow",
    "WorkflowInvalid",
    "WorkflowResult",
    "WorkflowStatus",
    "chain",
    "chord",
    "constant",
    "crontab",
    "current_job",
    "exponential",
    "fibonacci",
    "group",
    "linear",
    "workflow_from_file",
]
__version__ = "0.1.0"
