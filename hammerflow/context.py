"""current_job(): what a task's body may know of its job, and ask for it."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import Any, NoReturn, Protocol

from hammerflow.errors import HammerflowError
from hammerflow.jobs.job import Claimed

__all__ = ["RUNNING", "JobContext", "current_job"]

Spawn = Callable[[Any], uuid.UUID]
Progress = Callable[[bytes, float, str], None]


class JobContext:
    """The running job, as its body sees it.

    Attributes:
        task: the task's name.
        queue: the name of the queue it was claimed from.
    """

    __slots__ = (
        "_connection", "_headers", "_inputs", "_job", "_progress", "_replace", "_spawn", "queue",
        "task",
    )  # fmt: skip

    def __init__(
        self,
        job: Claimed,
        *,
        task: str,
        queue: str,
        spawn: Spawn,
        progress: Progress,
        replace: Callable[[Any], NoReturn],
        inputs: Callable[[], Mapping[str, Any]],
        connection: Any = None,
    ) -> None:
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
    def workflow_id(self) -> uuid.UUID | None:
        """The workflow it belongs to."""
        return _uuid(self._job.workflow_id)

    @property
    def inputs(self) -> Mapping[str, Any]:
        """The results of the nodes it depends on, by name, read when they are asked for.

        Of a node with many results (a group, a batch) an iterable, in order, read page by page;
        of one that was skipped or has failed, None.
        """
        return self._inputs()

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

    def spawn(self, signature: Any) -> uuid.UUID:
        """Add a child: written in the transaction that completes this job, or not at all.

        Args:
            signature: a signature, canvas, workflow or batch.

        Returns:
            The child's id (of a canvas or workflow, the workflow's).

        Raises:
            TypeError: wrong arguments, or one that cannot be encoded.
            SpawnInvalid: more children, or deeper ones, than the spawn configuration allows.
        """
        return self._spawn(signature)

    def replace(self, canvas: Any) -> NoReturn:
        """End this run and go on as another call under the same id: whoever waits for this job,
        or asks for its result, gets that of the canvas. Never returns.

        Args:
            canvas: a signature, chain, group or chord.

        Raises:
            TypeError: wrong arguments, or one that cannot be encoded.
        """
        self._replace(canvas)

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
