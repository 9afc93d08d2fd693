"""current_job(): the running job, for the body of its task."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import Any, NoReturn, Protocol

from hammerflow.errors import ConfigError, HammerflowError
from hammerflow.jobs.job import Claimed
from hammerflow.options.checks import NOTE, number

__all__ = ["RUNNING", "JobContext", "current_job"]

_FRACTION = number(0, 1)


class JobContext:
    """The running job, from :func:`current_job`.

    Attributes:
        task: the task's name.
        queue: the name of the queue it was claimed from.
    """

    __slots__ = (
        "_connection", "_headers", "_inputs", "_job", "_progress", "_replace", "_spawn", "queue",
        "task",
    )  # fmt: skip

    def __init__(
        self, job: Claimed, *, task: str, queue: str,
        spawn: Callable[[Any], uuid.UUID], progress: Callable[[bytes, float, str], None],
        replace: Callable[[Any], NoReturn], inputs: Callable[[], Mapping[str, Any]],
        connection: Any = None,
    ) -> None:  # fmt: skip
        self._job = job
        self.task = task
        self.queue = queue
        self._spawn = spawn
        self._progress = progress
        self._replace = replace
        self._inputs = inputs
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
        """The number of this attempt, from 1."""
        return self._job.attempt

    @property
    def parent_id(self) -> uuid.UUID | None:
        """Id of the job that spawned this one; None if nothing did."""
        return _uuid(self._job.parent_id)

    @property
    def root_id(self) -> uuid.UUID:
        """Id of the root of the spawn tree; the job's own id if nothing spawned it."""
        return uuid.UUID(bytes=self._job.root_id or self._job.id)

    @property
    def depth(self) -> int:
        """Generations below the root job; 0 for a root."""
        return self._job.depth

    @property
    def workflow_id(self) -> uuid.UUID | None:
        """Id of the workflow that the job belongs to; None if there is none."""
        return _uuid(self._job.workflow_id)

    @property
    def inputs(self) -> Mapping[str, Any]:
        """Results of the nodes that this one depends on, by name; each is read on access.

        A node with many results (a group, a batch) gives an iterable in order, read page by page;
        a node that was skipped or has failed gives None.
        """
        return self._inputs()

    @property
    def headers(self) -> Mapping[str, Any]:
        """The mapping that the caller gave as ``headers``; empty if none."""
        if self._headers is None:
            self._headers = json.loads(self._job.headers) if self._job.headers else {}
        return self._headers

    @property
    def idempotency_key(self) -> str:
        """A string that is the same in every attempt of this job, for services with such keys."""
        return str(self.id)

    @property
    def connection(self) -> Any:
        """The driver's connection of the transaction that will complete this job.

        Raises:
            HammerflowError: the task was not declared with ``in_transaction=True``.
        """
        if self._connection is None:
            raise HammerflowError(
                f"task {self.task} runs outside a transaction: declare it with in_transaction=True"
            )
        return self._connection

    def spawn(self, signature: Any) -> uuid.UUID:
        """Add a child, which is written in the transaction that completes this job.

        Args:
            signature: a signature, canvas, workflow or batch.

        Returns:
            The child's id; for a canvas, workflow or batch the workflow's id.

        Raises:
            TypeError: wrong arguments, or one that cannot be encoded.
            SpawnInvalid: more children, or deeper ones, than the spawn configuration allows.
        """
        return self._spawn(signature)

    def replace(self, canvas: Any) -> NoReturn:
        """End this run and let a canvas provide the result of this job: whoever waits for the job
        gets the canvas's result. Never returns.

        Args:
            canvas: a signature, chain, group or chord.

        Raises:
            TypeError: wrong arguments, or one that cannot be encoded.
        """
        self._replace(canvas)

    def progress(self, fraction: float, note: str = "") -> None:
        """Report progress; ``hammerflow job show`` shows it within about a second.

        Args:
            fraction: from 0 to 1.
            note: a few words; at most 500 characters are kept.

        Raises:
            ValueError: the fraction is out of range.
            TypeError: the note is not text.
        """
        try:
            share = _FRACTION(fraction, "progress()")
        except ConfigError as error:
            raise ValueError(str(error)) from None
        self._progress(self._job.id, share, NOTE(note, "progress(): note"))


class Holder(Protocol):
    """Set by a worker while a body runs; makes the context on access."""

    @property
    def context(self) -> JobContext: ...


#: Holds the context of the job whose body runs here.
RUNNING: ContextVar[Holder | None] = ContextVar("hammerflow_job", default=None)


def current_job() -> JobContext:
    """The job whose body calls this.

    It is not known in threads that the body starts; pass them what they need.

    Raises:
        HammerflowError: called outside a task's body.
    """
    holder = RUNNING.get()
    if holder is None:
        raise HammerflowError(
            "current_job() works only inside a task's body; pass what you need to threads that "
            "the body starts"
        )
    return holder.context


def _uuid(value: bytes | None) -> uuid.UUID | None:
    return None if value is None else uuid.UUID(bytes=value)
