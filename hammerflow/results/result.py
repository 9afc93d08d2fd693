"""Result: a handle on a job that may not have ended yet."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar, overload

from hammerflow.codec.codec import Codec
from hammerflow.errors import JobCancelled, JobFailed, JobNotFound
from hammerflow.jobs.job import Job, JobState

if TYPE_CHECKING:
    from hammerflow.jobs.settlement import Settlement
    from hammerflow.notifiers import Notifier
    from hammerflow.stores.store import Store

__all__ = ["Result", "Results", "as_key"]

R = TypeVar("R", covariant=True)
_CHILDREN = 1_000


class Backend(Protocol):
    """What a result needs of its app."""

    @property
    def store(self) -> Store: ...
    @property
    def notifier(self) -> Notifier: ...
    @property
    def codec(self) -> Codec: ...
    @property
    def poll(self) -> float: ...
    @property
    def in_thread(self) -> Callable[..., Any]: ...


@dataclass(slots=True, unsafe_hash=True, repr=False)
class Result(Generic[R]):
    """A job by its id: wait for it, read its value, cancel it.

    Two results are equal if they are of the same job.
    """

    _key: bytes
    _backend: Backend = field(compare=False)

    @property
    def id(self) -> uuid.UUID:
        """The job's id, a UUID version 7."""
        return uuid.UUID(bytes=self._key)

    def __repr__(self) -> str:
        return f"<Result {self.id}>"

    @property
    def state(self) -> JobState:
        """Where the job stands now."""
        return self.job().state

    def job(self) -> Job:
        """The job as it stands now.

        Raises:
            JobNotFound: there is no such job.
        """
        job = self._backend.store.jobs.get(self._key)
        if job is None:
            raise JobNotFound(f"no job has the id {self.id}")
        return job

    def ready(self) -> bool:
        """Whether the job has ended."""
        return self._backend.store.jobs.result(self._key) is not None

    def get(self, timeout: float | timedelta | None = None) -> R:
        """Wait for the end and return what the function returned.

        Args:
            timeout: seconds or timedelta; None waits without end.

        Raises:
            JobFailed: the job failed for good; carries the remote error.
            JobCancelled: it was cancelled, has expired or was skipped.
            TimeoutError: it has not ended in time (it goes on).
            JobNotFound: there is no such job.
        """
        state, value, reason = self._wait(timeout)
        match state:
            case JobState.COMPLETED:
                return self._backend.codec.decode(value) if value is not None else None  # type: ignore[return-value]
            case JobState.FAILED:
                error = self._backend.store.jobs.last_error(self._key)
                raise JobFailed(*(error[1:] if error else ("unknown", "", "")))
            case JobState.SKIPPED if cause := self._backend.store.jobs.cause(self._key):
                return Result[R](cause, self._backend).get(timeout=0)  # raises what it failed with
            case _:
                raise JobCancelled(f"job {self.id} was {state}: {reason or 'no reason given'}")

    async def aget(self, timeout: float | timedelta | None = None) -> R:
        """:meth:`get` without blocking the event loop."""
        return await self._backend.in_thread(self.get, timeout)  # type: ignore[no-any-return]

    def wait(self, timeout: float | timedelta | None = None) -> JobState:
        """Wait for the end, whatever it is, and return the final state.

        Raises:
            TimeoutError: it has not ended in time.
        """
        return self._wait(timeout)[0]

    def children(self) -> list[Result[Any]]:
        """The jobs that this one spawned, in order; its fan-in comes last."""
        found: list[Result[Any]] = []
        after = -1
        while True:
            page = self._backend.store.jobs.children(self._key, after=after, limit=_CHILDREN)
            found += [Result(job.id.bytes, self._backend) for job in page]
            if len(page) < _CHILDREN:
                return found
            after = page[-1].spawn_index or 0

    def cancel(self, reason: str = "cancelled") -> JobState:
        """Ask the job to stop.

        Returns:
            CANCELLED if it had not started; RUNNING if its worker was told to stop it (soon); or
            the final state it was in already.
        """
        state = self._backend.store.jobs.cancel(self._key, reason, then=self._ring)
        if state is None:
            raise JobNotFound(f"no job has the id {self.id}")
        if state is JobState.RUNNING:
            self._backend.notifier.ring_control()
        return state

    def retry(self) -> None:
        """Run a failed, cancelled, skipped or parked job again, with all its attempts.

        Raises:
            HammerflowError: it is in another state.
        """
        self._backend.notifier.ring(self._backend.store.jobs.replay(self._key))

    def _ring(self, settlement: Settlement) -> None:
        """After a cancel: what it has let go, and what has ended."""
        if settlement.queues:
            self._backend.notifier.ring(settlement.queues)
        if settlement.ended:
            self._backend.notifier.ring_done(settlement.ended)

    def _not_ended(self, seconds: float | None) -> str:
        """Where the job stands instead, and what may help."""
        job = self.job()
        text = f"job {self.id} has not ended within {seconds} s: it is {job.state}"
        if job.run_at is not None:
            text += f" for {job.run_at:%Y-%m-%d %H:%M:%S} UTC after {job.attempt} attempts"
        if job.state is JobState.PARKED:
            text += f" ({job.reason}); hammerflow job retry {self.id} runs it again"
        return text

    def _wait(self, timeout: float | timedelta | None) -> tuple[JobState, bytes | None, str | None]:
        seconds = timeout.total_seconds() if isinstance(timeout, timedelta) else timeout
        deadline = None if seconds is None else time.monotonic() + seconds
        jobs = self._backend.store.jobs
        with self._backend.notifier.expect(self._key) as bell:
            known = False
            while True:
                found = jobs.result(self._key)
                if found is not None:
                    return found
                if not known and not jobs.exists(self._key):
                    raise JobNotFound(f"no job has the id {self.id}")
                known = True
                left = None if deadline is None else deadline - time.monotonic()
                if left is not None and left <= 0:
                    raise TimeoutError(self._not_ended(seconds))
                poll = self._backend.poll
                bell.wait(poll if left is None else min(left, poll))


class Results(Sequence[Result[Any]]):
    """The results of :meth:`Hammerflow.enqueue_many`, in order: 16 bytes for each, made when
    looked at."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._ids = bytearray()

    def __len__(self) -> int:
        return len(self._ids) // 16

    @overload
    def __getitem__(self, index: int) -> Result[Any]: ...
    @overload
    def __getitem__(self, index: slice) -> list[Result[Any]]: ...
    def __getitem__(self, index: int | slice) -> Result[Any] | list[Result[Any]]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        if index < 0:
            index += len(self)
        if not 0 <= index < len(self):
            raise IndexError(index)
        return Result(bytes(self._ids[index * 16 : index * 16 + 16]), self._backend)

    def extend(self, ids: Iterable[bytes]) -> None:
        """Add the jobs of these ids."""
        self._ids += b"".join(ids)


def as_key(job_id: uuid.UUID | str) -> bytes:
    """The 16 bytes of an id given as UUID or text.

    Raises:
        JobNotFound: the text is no UUID.
    """
    if isinstance(job_id, uuid.UUID):
        return job_id.bytes
    try:
        return uuid.UUID(job_id).bytes
    except (ValueError, AttributeError, TypeError):
        raise JobNotFound(f"{job_id!r} is no job id: ids are UUIDs") from None
