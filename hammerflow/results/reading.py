"""What a handle reads of its job: the value, or the error that says why there is none."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from hammerflow.errors import JobCancelled, JobFailed, JobNotFound, NotDecodable
from hammerflow.results.waiting import ResultBackend
from hammerflow.text import counted
from hammerflow.workflows.references import ResultRef

__all__ = [
    "MEMBER_ERRORS", "decoded", "decoded_results", "failure_of_job", "not_found", "tell_deleted",
]  # fmt: skip

log = logging.getLogger("hammerflow.results")

#: What reading one job of many may raise while the results of the others can be read.
MEMBER_ERRORS = (JobFailed, JobCancelled, NotDecodable)


def decoded(backend: ResultBackend, value: bytes | None, job_id: Callable[[], bytes]) -> Any:
    """The result of a job, from its stored bytes.

    Args:
        job_id: gives its id, for the error.

    Raises:
        NotDecodable: its class is missing or has changed in this process; the message names the
            job and its task.
    """
    if value is None:
        return None
    try:
        return backend.codec.decode(value)
    except NotDecodable as error:
        key = job_id()
        task = _task(backend, key)
        what = f"job {uuid.UUID(bytes=key)}" + (f" of task {task}" if task else "")
        raise NotDecodable(f"the result of {what} cannot be read here: {error}") from error


def decoded_results(backend: ResultBackend, ref: ResultRef) -> Iterator[Any]:
    """The results of a reference's jobs, in order; None for a job without one.

    A job without rows has none, either; the log says so.

    Raises:
        NotDecodable: as :func:`decoded`.
    """
    workflows = backend.store.workflows
    are_checked = False
    for index, (state, value) in enumerate(workflows.results(ref)):
        if state is None and not are_checked:
            tell_deleted(backend, workflows.ids(ref)[index:])
            are_checked = True
        yield decoded(backend, value, lambda: workflows.ids(ref)[index])  # noqa: B023


def tell_deleted(backend: ResultBackend, job_ids: Sequence[bytes]) -> None:
    """Log which of these jobs have no result because somebody has deleted their rows."""
    if gone := backend.store.jobs.deleted(job_ids):
        log.error(
            "None is passed for the results of %s without rows, %s first: left out because of a "
            "unique key, or deleted by hand; run hammerflow doctor",
            counted(len(gone), "job"), uuid.UUID(bytes=min(gone)),
        )  # fmt: skip


def failure_of_job(backend: ResultBackend, job_id: bytes) -> JobFailed:
    """The error of a job that failed: that of its last attempt."""
    jobs = backend.store.jobs
    error = jobs.last_error(job_id)
    fields = error[1:] if error else ("unknown", "", "")
    return JobFailed(*fields, job_id=uuid.UUID(bytes=job_id), task=_task(backend, job_id))


def not_found(backend: ResultBackend, what: str, key: bytes) -> JobNotFound:
    """The error of a handle on a job or workflow (``what``) that is not in the database."""
    text = f"no {what} has the id {uuid.UUID(bytes=key)}"
    if backend.store.archive.get(key) is not None:
        id_ = uuid.UUID(bytes=key)
        return JobNotFound(
            f"{what} {id_} is archived; hammerflow archive restore {id_} brings it back"
        )
    if backend.open_transaction.get() is not None:
        text += (
            "; if it was enqueued in the transaction that is open here, it exists once that has "
            "been committed: wait for it after the block"
        )
    return JobNotFound(text)


def _task(backend: ResultBackend, job_id: bytes) -> str | None:
    found = backend.store.jobs.get_many([job_id])
    return found[0].task if found else None
