"""The error tree: everything that hammerflow raises for its users.

    HammerflowError
    +-- ConfigError            a setting, a URL, a name or an option is wrong
    |   +-- MissingExtra       an optional package is not installed
    |   +-- SchemaMismatch     the database is not migrated, or by another major version
    +-- StoreUnavailable       the database cannot be reached, or stopped answering
    +-- UnknownTask            no task of that name is registered
    +-- JobNotFound            no job has that id
    +-- JobFailed              the job failed for good (the remote error inside)
    +-- JobCancelled           the job was cancelled, has expired or was skipped
    +-- NotEncodable           an argument or result cannot be encoded (also a TypeError)
    +-- NotDecodable           stored bytes cannot be decoded (also a ValueError)
    +-- SpawnInvalid           a spawner broke its limits; nothing was inserted
    +-- SoftTimeout            raised inside a body when its soft timeout is over
    +-- WorkflowInvalid        a workflow was refused before anything was written
    +-- ConditionError         a workflow's condition cannot be compiled or evaluated

``TimeoutError`` and ``TypeError`` are Python's own.
"""

from __future__ import annotations

__all__ = [
    "ConditionError",
    "ConfigError",
    "HammerflowError",
    "JobCancelled",
    "JobFailed",
    "JobNotFound",
    "MissingExtra",
    "NotDecodable",
    "NotEncodable",
    "SchemaMismatch",
    "SoftTimeout",
    "SpawnInvalid",
    "StoreUnavailable",
    "UnknownTask",
    "WorkflowInvalid",
]


class HammerflowError(Exception):
    """Base of every error that hammerflow raises on purpose."""


class ConfigError(HammerflowError):
    """A setting, URL, name or option is wrong; the message says which and what to do."""


class MissingExtra(ConfigError):
    """An optional package is needed and not installed; the message names the extra."""

    def __init__(self, *, package: str, extra: str, what: str) -> None:
        super().__init__(
            f"{what} needs the package {package}, which is not installed: "
            f"run pip install 'hammerflow[{extra}]'"
        )


class SchemaMismatch(ConfigError):
    """The database's schema is not the one this version works with."""


class StoreUnavailable(HammerflowError):
    """The database cannot be reached or stopped answering."""


class UnknownTask(HammerflowError):
    """No task of that name is registered in the app."""


class JobNotFound(HammerflowError, LookupError):
    """No job has that id."""


class JobFailed(HammerflowError):
    """The job failed for good.

    Attributes:
        error_type: the qualified name of the remote exception, ``"builtins.ValueError"``.
        message: its text.
        traceback: its formatted traceback (may be empty, as for a killed child).
    """

    def __init__(self, error_type: str, message: str, traceback: str = "") -> None:
        super().__init__(error_type, message, traceback)
        self.error_type = error_type
        self.message = message
        self.traceback = traceback

    def __str__(self) -> str:
        return f"{self.error_type}: {self.message}" if self.message else self.error_type


class JobCancelled(HammerflowError):
    """The job ended without a result: cancelled, expired or skipped (the text says why)."""


class NotEncodable(HammerflowError, TypeError):
    """A value cannot be encoded; the message gives the path to it."""


class NotDecodable(HammerflowError, ValueError):
    """Stored bytes cannot be decoded by this process; the message says why."""


class SpawnInvalid(HammerflowError):
    """A spawner exceeded its limits or its validation refused; no child was inserted."""


class SoftTimeout(HammerflowError):
    """Raised inside a task's body when its soft timeout is over; clean up and return or raise."""


class WorkflowInvalid(HammerflowError):
    """A workflow was refused; the message names the cycle, node or argument at fault."""


class ConditionError(HammerflowError):
    """A workflow's condition cannot be compiled or evaluated; the message has the expression.

    Attributes:
        position: the character (from 0) that is at fault in the text, None at evaluation.
    """

    def __init__(self, message: str, position: int | None = None) -> None:
        super().__init__(message)
        self.position = position
