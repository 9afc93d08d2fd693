"""current_job(): what a task's body may know of its job, and ask for it."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import Any, Protocol

from hammerflow.errors import HammerflowError
from hammerflow.job import Claimed
from hammerflow.signature import Signature

__all__ = ["RUNNING", "JobContext", "current_job"]

Spawn = Callable[[Signature], uuid.UUID]
Progress = Callable[[bytes, float, str], None]


class JobContext:
    """The running job, as its body sees it.

    Attributes:
        task: the task's name.
        queue: the name of the queue it was claimed from.
        workflow_id: the workflow it belongs to, or None.
    """

    __slots__ = ("_connection", "_headers", "_job", "_progress", "_spawn", "queue", "task")

    workflow_id: uuid.UUID | None = None

    def __init__(
        self,
        job: Claimed,
        *,
        task: str,
        queue: str,
        spawn: Spawn,
        progress: Progress,
        connection: Any = None,
    ) -> None:
        self._job = job
        self.task = task
        self.queue = queue
        self._spawn = spawn
        self._progress = progress
        self._connection = connection
        self._headers: Mapping[str, Any] | None = None

    def __repr__(self) -> str:
        return f"<JobContext {self.task} {self.id} attempt {self.attempt}>"

    @property
    def id(self) -> uuid.UUID:
        """The job's id."""
        return uuid.UUID(bytes=self._job.id)

    @property
    def attempt(self) -> int:
        """Which attempt this is; 1 is the first."""
        return self._job.attempt

    @property
    def parent_id(self) -> uuid.UUID | None:
        """The job that spawned this one."""
        return _uuid(self._job.parent_id)

    @property
    def root_id(self) -> uuid.UUID:
        """The first of its line: the job itself if nothing spawned it."""
        return uuid.UUID(bytes=self._job.root_id or self._job.id)

    @property
    def depth(self) -> int:
        """Generations below the root."""
        return self._job.depth

    @property
    def headers(self) -> Mapping[str, Any]:
        """What the caller gave as ``headers``."""
        if self._headers is None:
            self._headers = json.loads(self._job.headers) if self._job.headers else {}
        return self._headers

    @property
    def idempotency_key(self) -> str:
        """The same text in each attempt of this job: hand it to services that know such keys."""
        return str(self.id)

    @property
    def connection(self) -> Any:
        """The driver's connection of the transaction that will hold this job's end.

        Raises:
            HammerflowError: the task is not ``in_transaction=True``.
        """
        if self._connection is None:
            raise HammerflowError(
                f"{self.task} has no transaction of its own: declare it with in_transaction=True"
            )
        return self._connection

    def spawn(self, signature: Signature) -> uuid.UUID:
        """Add a child: written in the transaction that completes this job, or not at all.

        Returns:
            The child's id.

        Raises:
            TypeError: wrong arguments, or one that cannot be encoded.
            SpawnInvalid: more children, or deeper ones, than the spawn configuration allows.
        """
        return self._spawn(signature)

    def progress(self, fraction: float, note: str = "") -> None:
        """Say how far the body is; shown by ``job show`` within about a second.

        Args:
            fraction: from 0 to 1.
            note: a few words.
        """
        if not 0 <= fraction <= 1:
            raise ValueError(f"progress is a fraction from 0 to 1, not {fraction!r}")
        self._progress(self._job.id, float(fraction), note)


class Holder(Protocol):
    """What a worker sets while a body runs; the context is made when it is asked for."""

    @property
    def context(self) -> JobContext: ...


#: Holds the context of the job whose body runs here.
RUNNING: ContextVar[Holder | None] = ContextVar("hammerflow_job", default=None)


def current_job() -> JobContext:
    """The job whose body is running.

    A thread that the body starts has none: hand it what it needs.

    Raises:
        HammerflowError: called outside a task's body.
    """
    holder = RUNNING.get()
    if holder is None:
        raise HammerflowError(
            "no job is running here: current_job() works inside a task's body "
            "(in threads that it starts, pass on what they need)"
        )
    return holder.context


def _uuid(value: bytes | None) -> uuid.UUID | None:
    return None if value is None else uuid.UUID(bytes=value)
