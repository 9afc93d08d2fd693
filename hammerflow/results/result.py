"""Result: a handle on one job."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import Any, Generic, TypeAlias, TypeVar, overload

from hammerflow.canvas.chain import R as Item
from hammerflow.errors import JobCancelled
from hammerflow.jobs.job import Job, JobState
from hammerflow.jobs.log_lines import AttemptLog
from hammerflow.options.checks import FLAG, NOTE, whole
from hammerflow.results.reading import decoded, failure_of_job, not_found
from hammerflow.results.waiting import Deadline, EndWait, ResultBackend, announce
from hammerflow.text import counted

__all__ = ["Result", "Results"]

R = TypeVar("R", covariant=True)
T = TypeVar("T")
#: State, encoded result and reason of a job that has ended.
End: TypeAlias = tuple[JobState, bytes | None, str | None]
_CHILDREN = 1_000
_ATTEMPT = whole(1, 2**31 - 1)


@dataclass(slots=True, unsafe_hash=True, repr=False)
class Result(Generic[R]):
    """A handle on a job by its id: wait for it, read its value, cancel it.

    Two results are equal if they are of the same job.
    """

    _key: bytes
    _backend: ResultBackend = field(compare=False)
    _is_new: bool = field(default=True, compare=False)

    @property
    def id(self) -> uuid.UUID:
        """The job's id, a UUID version 7."""
        return uuid.UUID(bytes=self._key)

    @property
    def is_new(self) -> bool:
        """Whether the call that returned this wrote the job. False if the job already existed:
        another call's job has the unique key or the ``job_id``. Handles made by an id are new."""
        return self._is_new

    def __repr__(self) -> str:
        return f"<Result {self.id}>"

    @property
    def state(self) -> JobState:
        """The job's state now; JobNotFound if no job has this id."""
        return self.job().state

    def job(self) -> Job:
        """A snapshot of the job, with its error history.

        Raises:
            JobNotFound: no job has this id.
        """
        job = self._backend.store.jobs.get(self._key)
        if job is None:
            raise not_found(self._backend, "job", self._key)
        return job

    def logs(self, attempt: int | None = None) -> list[AttemptLog]:
        """The lines that the job has logged and printed, by attempt, if its task keeps them
        (``keep_logs``).

        A running attempt has those that are older than a second or so.

        Args:
            attempt: only attempts with this number, from 1.

        Raises:
            JobNotFound: no job has this id.
        """
        if attempt is not None:
            attempt = _ATTEMPT(attempt, "logs(): attempt")
        found = self._backend.store.job_logs.get(self._key, attempt)
        if not found and not self._backend.store.jobs.exists(self._key):
            raise not_found(self._backend, "job", self._key)
        return [*found]

    def explain(self) -> str:
        """One sentence that says why the job is not running and what would change that, or where it
        is running, or how it ended. It checks what the claims of workers check.

        Raises:
            JobNotFound: no job has this id.
        """
        from hammerflow.stores.diagnosis.explain import (
            explain,  # a producer of jobs needs none of it
        )

        job = self.job()
        found = explain(self._backend.store, job, lease=self._backend.lease)
        return found.sentence(job.id, job.state)

    async def aexplain(self) -> str:
        """:meth:`explain` without blocking the event loop."""
        return await self._backend.async_calls.read(self.explain)

    def ready(self) -> bool:
        """Whether the job has ended."""
        return self._backend.store.jobs.result(self._key) is not None

    def get(self, timeout: float | timedelta | None = None) -> R:
        """Wait for the job's end and return what its function returned.

        Args:
            timeout: seconds or timedelta; None waits without a limit.

        Raises:
            JobFailed: the job failed for good; it has the type, message and traceback.
            JobCancelled: the job was cancelled, has expired or was skipped.
            TimeoutError: the job has not ended in time; it continues.
            JobNotFound: no job has this id.
            NotDecodable: the stored result cannot be decoded.
        """
        return self._wait(self._value).until(Deadline(timeout))[0]

    async def aget(self, timeout: float | timedelta | None = None) -> R:
        """:meth:`get` without blocking the event loop. It takes no thread, and can be cancelled."""
        return (await self._wait(self._value).until_async(Deadline(timeout)))[0]

    def wait(self, timeout: float | timedelta | None = None) -> JobState:
        """Wait for the job's end and return its final state.

        Args:
            timeout: as for :meth:`get`.

        Raises:
            TimeoutError: the job has not ended in time; it continues.
            JobNotFound: no job has this id.
        """
        return self._wait(_state).until(Deadline(timeout))[0]

    async def await_(self, timeout: float | timedelta | None = None) -> JobState:
        """:meth:`wait` without blocking the event loop."""
        return (await self._wait(_state).until_async(Deadline(timeout)))[0]

    def children(self) -> list[Result[Any]]:
        """Results of the jobs that this one spawned, in spawn order; its fan-in comes last.

        Empty until this job has completed: its children are written in the same transaction.
        """
        found: list[Result[Any]] = []
        after = -1
        while True:
            page = self._backend.store.jobs.children(self._key, after=after, limit=_CHILDREN)
            found += [Result(job.id.bytes, self._backend) for job in page]
            if len(page) < _CHILDREN:
                return found
            after = page[-1].spawn_index or 0

    def cancel(self, reason: str = "cancelled", *, tree: bool = False) -> JobState:
        """Cancel the job, or ask the worker that runs it to stop it.

        Args:
            reason: why; kept in the database.
            tree: also cancel everything it has spawned, at any depth, or is spawning now. That
                takes many transactions: if it is interrupted, call it again.

        Returns:
            CANCELLED if it had not started; RUNNING if its worker was told to stop it; else the
            final state that it was in already.

        Raises:
            JobNotFound: no job has this id.
        """
        reason = NOTE(reason, "cancel(): reason")
        state = self._backend.store.jobs.cancel(
            self._key, reason, then=partial(announce, self._backend)
        )
        if state is None:
            raise not_found(self._backend, "job", self._key)
        is_any_running = state is JobState.RUNNING
        if FLAG(tree, "cancel(): tree"):
            chunks = self._backend.store.cancellations.of_tree(
                self._key, reason, then=partial(announce, self._backend)
            )
            for told in chunks:
                is_any_running |= JobState.RUNNING in told.values()
        if is_any_running:
            self._backend.notifier.ring_control()
        return state

    async def acancel(self, reason: str = "cancelled", *, tree: bool = False) -> JobState:
        """:meth:`cancel` without blocking the event loop. If this call is itself cancelled, the
        remaining jobs are still cancelled."""
        return await self._backend.async_calls.write(partial(self.cancel, reason, tree=tree))

    def retry(self) -> None:
        """Run a failed, cancelled, skipped or parked job again, with all its attempts.

        Raises:
            HammerflowError: the job is in another state, or another job holds its unique key.
        """
        self._backend.notifier.ring(self._backend.store.jobs.replay(self._key))

    def _not_ended(self, seconds: float | None) -> str:
        """The message of a TimeoutError: the job's state, and what may help."""
        job = self.job()
        text = f"job {self.id} has not ended within {seconds} s: it is {job.state}"
        if job.run_at is not None:
            text += (
                f" for {job.run_at:%Y-%m-%d %H:%M:%S} UTC after {counted(job.attempt, 'attempt')}"
            )
        if job.state is JobState.PARKED:
            text += f" ({job.reason}); hammerflow job retry {self.id} runs it again"
        return text

    def _wait(self, read: Callable[[End], T]) -> EndWait[tuple[T]]:
        """A wait for what ``read`` makes of the job's end."""
        jobs = self._backend.store.jobs
        is_known = False

        def ended() -> tuple[T] | None:
            nonlocal is_known
            end = jobs.result(self._key)
            is_known = is_known or end is not None or jobs.exists(self._key)
            if not is_known:
                raise not_found(self._backend, "job", self._key)
            return None if end is None else (read(end),)

        return EndWait(self._key, self._backend, ended, self._not_ended)

    def _value(self, end: End) -> R:
        state, value, reason = end
        match state:
            case JobState.COMPLETED:
                return decoded(self._backend, value, lambda: self._key)  # type: ignore[no-any-return]
            case JobState.FAILED:
                raise failure_of_job(self._backend, self._key)
            case JobState.SKIPPED if cause := self._backend.store.jobs.cause(self._key):
                return Result[R](cause, self._backend).get(timeout=0)  # raises what it failed with
            case _:
                raise JobCancelled(f"job {self.id} was {state}: {reason or 'no reason given'}")


def _state(end: End) -> JobState:
    return end[0]


class Results(Sequence[Result[Item]]):
    """The results of :meth:`Hammerflow.enqueue_many`, in order; 16 bytes each, made on access."""

    def __init__(self, backend: ResultBackend) -> None:
        self._backend = backend
        self._ids = bytearray()
        self._old: set[int] = set()

    def __len__(self) -> int:
        return len(self._ids) // 16

    @overload
    def __getitem__(self, index: int) -> Result[Item]: ...
    @overload
    def __getitem__(self, index: slice) -> list[Result[Item]]: ...
    def __getitem__(self, index: int | slice) -> Result[Item] | list[Result[Item]]:
        if isinstance(index, slice):
            return [self[i] for i in range(len(self))[index]]
        place = range(len(self))[index]
        key = bytes(self._ids[place * 16 : place * 16 + 16])
        return Result(key, self._backend, place not in self._old)

    def extend(self, ids: Iterable[bytes], old: Iterable[int] = ()) -> None:
        """Add the jobs of these ids; ``old`` are the places of those that were there before."""
        count = len(self)
        self._old.update(count + place for place in old)
        self._ids += b"".join(ids)
