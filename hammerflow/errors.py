"""The tree of errors that hammerflow raises for its users.

    HammerflowError
    +-- ConfigError            a setting, a URL, a name or an option is wrong
    |   +-- MissingExtra       an optional package is not installed
    |   +-- SchemaMismatch     the database's tables do not fit this version
    +-- StoreUnavailable       the database cannot be reached, or does not do this now
    +-- UnknownTask            no task of that name is registered
    +-- JobNotFound            no job or workflow has that id
    +-- JobFailed              the job failed for good; carries the remote error
    +-- JobCancelled           the job was cancelled, has expired or was skipped
    +-- NotUnique              another job does the same work; nothing was written
    +-- NotEncodable           an argument or result cannot be encoded (also a TypeError)
    +-- NotDecodable           stored bytes cannot be decoded (also a ValueError)
    +-- SpawnInvalid           a spawner exceeded its limits; no child was inserted
    +-- SoftTimeout            raised in a task's body at its soft timeout
    +-- MemoryLimitExceeded    a body took more memory than its limit (also a MemoryError)
    +-- CpuLimitExceeded       raised in a task's body at its limit of CPU time
    +-- WebhookInvalid         a webhook that was received must not be believed
    +-- WorkflowInvalid        a workflow is malformed; nothing was written
    +-- ConditionError         a workflow's condition cannot be compiled or evaluated

A wait that takes too long raises Python's ``TimeoutError``, a call with wrong arguments its
``TypeError``.
"""

from __future__ import annotations

import copyreg
import uuid
from typing import Any

__all__ = [
    "ConditionError",
    "ConfigError",
    "CpuLimitExceeded",
    "HammerflowError",
    "JobCancelled",
    "JobFailed",
    "JobNotFound",
    "MemoryLimitExceeded",
    "MissingExtra",
    "NotDecodable",
    "NotEncodable",
    "NotUnique",
    "SchemaMismatch",
    "SoftTimeout",
    "SpawnInvalid",
    "StoreUnavailable",
    "UnknownTask",
    "WebhookInvalid",
    "WorkflowInvalid",
]


class HammerflowError(Exception):
    """Base of all hammerflow errors. Raised directly if the state of a job or workflow does not
    allow an operation, such as a retry of a running job; the message names the state."""

    def __reduce__(self) -> Any:
        """Pickle what it knows, whatever arguments its class takes."""
        return copyreg.__newobj__, (type(self), *self.args), vars(self)  # type: ignore[attr-defined]


class ConfigError(HammerflowError):
    """A setting, URL, name or option is wrong. Correct the value that the message names."""


class MissingExtra(ConfigError):
    """An optional package is needed and not installed. Install the extra that the message names.

    Args:
        package: the package that cannot be imported.
        extra: the extra of hammerflow that installs it.
        what: what needs it, as the beginning of the message.
    """

    def __init__(self, *, package: str, extra: str, what: str) -> None:
        super().__init__(
            f"{what} needs the package {package}, which is not installed: "
            f"run pip install 'hammerflow[{extra}]'"
        )


class SchemaMismatch(ConfigError):
    """The database's tables do not fit this version of hammerflow. Run ``hammerflow migrate`` if
    they are older; upgrade hammerflow if they are newer."""


class StoreUnavailable(HammerflowError):
    """After all retries the database cannot be reached, does not answer, or refuses the operation:
    it is read-only or full, a timeout ended the statement, another transaction holds the locks, or
    a table or privilege is missing. A transaction that was committing at that moment may or may
    not have taken place.

    Attributes:
        is_refusal: the database answered, but refused the operation.
    """

    def __init__(self, text: str, *, is_refusal: bool = False) -> None:
        super().__init__(text)
        self.is_refusal = is_refusal


class UnknownTask(HammerflowError):
    """No task of that name is registered in the app. Import the module that defines it."""


class JobNotFound(HammerflowError, LookupError):
    """No job or workflow has that id, or the text is not an id."""


class JobFailed(HammerflowError):
    """The job failed for good: its attempts are used up, or its error is not retried.

    Raised by ``get()``. ``result.job().errors`` has the error of each attempt.

    Attributes:
        error_type: qualified name of the last attempt's exception, ``"builtins.ValueError"``.
        message: its text.
        traceback: its formatted traceback; empty where there is none, as for a killed process.
        job_id: the id of the job that failed; in a chain, group or workflow that of the member.
            None where no single job failed.
        task: the name of its task; None as for ``job_id``.
    """

    def __init__(
        self, error_type: str, message: str, traceback: str = "",
        *, job_id: uuid.UUID | None = None, task: str | None = None,
    ) -> None:  # fmt: skip
        super().__init__(error_type, message, traceback)
        self.error_type = error_type
        self.message = message
        self.traceback = traceback
        self.job_id = job_id
        self.task = task

    def __str__(self) -> str:
        text = f"{self.error_type}: {self.message}" if self.message else self.error_type
        return text if self.job_id is None else f"{text} ({self._job()})"

    def _job(self) -> str:
        return f"task {self.task}, job {self.job_id}" if self.task else f"job {self.job_id}"


class JobCancelled(HammerflowError):
    """The job ended without a result: it was cancelled, has expired or was skipped. The message has
    the reason. Raised by ``get()``."""


class NotUnique(HammerflowError):
    """Another job holds the unique key of this call, and its rule rejects a second one. Nothing was
    written. Wait for that job, or use its result: ``app.result(error.existing)``.

    Attributes:
        key: the key.
        existing: the id of the job that holds it.
        state: the state of that job.
    """

    def __init__(self, key: str, existing: uuid.UUID, state: str) -> None:
        super().__init__(f"job {existing} ({state}) holds the unique key {key!r} of this call")
        self.key = key
        self.existing = existing
        self.state = state

    def __reduce__(self) -> Any:
        return type(self), (self.key, self.existing, self.state)


class NotEncodable(HammerflowError, TypeError):
    """An argument or a result cannot be encoded, or is too large. The message has the path to the
    value, such as ``args[1]['when']``, and says what to pass instead."""


class NotDecodable(HammerflowError, ValueError):
    """Stored bytes cannot be decoded in this process, most often because it does not know a class,
    or knows it with other fields. The message has the path to the value, class and field."""


class SpawnInvalid(HammerflowError):
    """A spawner exceeded its limits, or its ``validate`` hook refused. The attempt fails and no
    child is inserted. Raise ``max_spawn_count`` or ``max_depth`` if the message names them."""


class SoftTimeout(HammerflowError):
    """Raised in a task's body when its ``soft_timeout`` is over. The body can catch it, clean up
    and return; otherwise the attempt fails."""


class MemoryLimitExceeded(HammerflowError, MemoryError):
    """An attempt took more memory than its ``memory_limit``. The worker kills its process, so it is
    not raised in the body; it is here for ``retry_on`` and ``no_retry_on``, and
    ``JobFailed.error_type`` is its name without a module."""


class CpuLimitExceeded(HammerflowError):
    """Raised in a task's body when its ``cpu_limit`` is used up. The body can catch it, clean up
    and return; one that goes on is killed. ``JobFailed.error_type`` is its name without a module.
    """


class WebhookInvalid(HammerflowError):
    """A received webhook is not authentic: it is not signed, is signed with another secret, was
    changed on the way, or is too old. Answer it with status 400 or 401."""


class WorkflowInvalid(HammerflowError):
    """A workflow is malformed, and nothing was written. The message names the cycle, node or
    argument to correct."""


class ConditionError(HammerflowError):
    """A workflow's condition cannot be parsed, or cannot be evaluated on the results. The message
    has the expression.

    Attributes:
        position: index of the character at fault in the expression; None if it was evaluated.
    """

    def __init__(self, message: str, position: int | None = None) -> None:
        super().__init__(message)
        self.position = position
