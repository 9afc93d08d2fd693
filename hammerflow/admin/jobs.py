"""What is known of jobs: lines of a list, everything about one, and both as JSON."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, NamedTuple

from hammerflow.codec.codec import Codec
from hammerflow.durations import seconds_between
from hammerflow.errors import NotDecodable, NotEncodable
from hammerflow.jobs.explanation import Explanation
from hammerflow.jobs.job import Job, JobState
from hammerflow.jobs.log_lines import AttemptLog
from hammerflow.stores.diagnosis.explain import reasons
from hammerflow.stores.job_logs import LogSize
from hammerflow.stores.store import Store
from hammerflow.text import one_line, safe_repr

__all__ = [
    "JobDetails", "JobLine", "JobValues", "attempt_log_json", "decoded_values",
    "details_of", "error_notes",
    "error_text", "explanation_json", "job_json", "job_lines", "jobs_by_id", "line_json",
    "tagged_json", "values_of", "worker_of",
]  # fmt: skip

_LONGEST_VALUE = 4_000  # characters
_WIDEST_ERROR = 60  # characters of an error in a note, which may hold the attempt, too
_PAGE = 1_000


def jobs_by_id(store: Store, ids: Sequence[bytes]) -> dict[bytes, Job]:
    """Those of these jobs that exist, read in pages."""
    pages = (ids[at : at + _PAGE] for at in range(0, len(ids), _PAGE))
    return {job.id.bytes: job for page in pages for job in store.jobs.get_many(page)}


def job_json(job: Job) -> dict[str, Any]:
    """A job's fields and the seconds that its attempts ran; ``errors`` only where they were
    read."""
    fields = asdict(job)
    fields["priority"] = int(job.priority)
    fields["seconds"] = seconds_between(job.started_at, job.finished_at)
    if not job.errors:
        del fields["errors"]
    for error in fields.get("errors", ()):
        error["seconds"] = seconds_between(error["started_at"], error["at"])
    return fields


class JobLine(NamedTuple):
    """A job of a list, with what the list says of it besides.

    Attributes:
        error: (type, message) of what went wrong last.
        worker: as of :func:`worker_of`.
        max_attempts: None if only the app, which was not named, knows it.
    """

    job: Job
    error: tuple[str, str] | None
    worker: Mapping[str, Any] | None
    max_attempts: int | None


def job_lines(
    store: Store, jobs: Sequence[Job], max_attempts: Callable[[str], int | None]
) -> list[JobLine]:
    """Read what a list of these jobs shows.

    Args:
        max_attempts: how many attempts a job of a task has; None if nobody here knows.
    """
    tried = [job.id.bytes for job in jobs if job.attempt and job.state is not JobState.COMPLETED]
    errors, workers = store.jobs.last_errors(tried), _workers(store, jobs)
    return [
        JobLine(
            job, errors.get(job.id.bytes), _worker_in(workers, job),
            job.options.get("max_attempts") or max_attempts(job.task),
        ) for job in jobs
    ]  # fmt: skip


def line_json(line: JobLine) -> dict[str, Any]:
    """A job of a list for programs."""
    error = line.error and dict(zip(("type", "message"), line.error, strict=True))
    return {**job_json(line.job), "worker": line.worker, "error": error}


def error_notes(store: Store, ids: Sequence[bytes]) -> dict[bytes, str]:
    """The note of each of these jobs that has an error: ``ValueError: no such album``."""
    return {id_: error_text(*error) for id_, error in store.jobs.last_errors(ids).items()}


def error_text(type_: str, message: str) -> str:
    """An error as a note: ``ValueError: no such album``."""
    text = one_line(f"{type_.rpartition('.')[2]}: {message}" if message else type_)
    return text if len(text) <= _WIDEST_ERROR else f"{text[: _WIDEST_ERROR - 3]}..."


Workers = Mapping[int, Mapping[str, Any]]


def _workers(store: Store, jobs: Sequence[Job]) -> Workers:
    """The registered workers by their numbers, if one of the jobs has had a worker."""
    if all(job.worker_id is None for job in jobs):
        return {}
    return {worker["id"]: worker for worker in store.workers.list()}


def worker_of(store: Store, job: Job) -> dict[str, Any] | None:
    """Number, host and pid of the worker that runs a job or ran it last; host and pid are None
    once that worker has ended."""
    return _worker_in(_workers(store, [job]), job)


def _worker_in(workers: Workers, job: Job) -> dict[str, Any] | None:
    if job.worker_id is None:
        return None
    worker = workers.get(job.worker_id, {})
    return {"id": job.worker_id, "host": worker.get("host"), "pid": worker.get("pid")}


def explanation_json(found: Explanation) -> dict[str, Any]:
    """A reason for programs, and its sentence."""
    return {
        "code": found.kind, "says": found.says, "advice": found.advice, "facts": dict(found.facts),
    }  # fmt: skip


class JobValues(NamedTuple):
    """A job's arguments and result as text, and as JSON with the codec's tags."""

    call: str | None
    result: str | None
    as_json: dict[str, Any]


def values_of(store: Store, key: bytes, codec: Codec) -> JobValues:
    """Read and decode a job's arguments and result."""
    ended = store.jobs.result(key)
    return decoded_values(codec, store.jobs.args(key), ended[1] if ended else None)


def decoded_values(codec: Codec, args: bytes | None, value: bytes | None) -> JobValues:
    """Decode a job's arguments and result; a value that this process cannot decode (of a class
    that only the app registers) is replaced by the error."""
    as_json: dict[str, Any] = {}

    def call(encoded: bytes) -> str:
        args, kwargs = codec.decode_call(encoded)
        tagged = tagged_json(codec.encode_call, args, kwargs) or (None, None)
        as_json["args"], as_json["kwargs"] = tagged
        parts = [*map(_shown, args), *(f"{name}={_shown(value)}" for name, value in kwargs.items())]
        return f"({', '.join(parts)})"

    def result(encoded: bytes) -> str:
        value = codec.decode(encoded)
        as_json["result"] = tagged_json(codec.encode, value)
        return _shown(value)

    def text(name: str, encoded: bytes | None, decoded: Callable[[bytes], str]) -> str | None:
        if encoded is None:
            return None
        try:
            return _short(decoded(encoded))
        except NotDecodable as error:
            as_json[f"{name}_error"] = str(error)
            return f"(not readable here: {error})"

    return JobValues(text("args", args, call), text("result", value, result), as_json)


def tagged_json(encode: Callable[..., bytes], *values: Any) -> Any:
    """The codec's JSON form, parsed; None where it is longer than the codec allows."""
    try:
        return json.loads(encode(*values, serializer="json")[1:])
    except NotEncodable:
        return None


def _shown(value: Any) -> str:
    return safe_repr(value, 2 * _LONGEST_VALUE)


def _short(text: str) -> str:
    if len(text) <= _LONGEST_VALUE:
        return text
    return f"{text[:_LONGEST_VALUE]}... ({len(text):,} characters)"


def _holder(store: Store, job: Job) -> uuid.UUID | None:
    """Who holds the unique key of a job now."""
    held = None if job.unique_key is None else store.unique_keys.holder(job.unique_key)
    return None if held is None else uuid.UUID(bytes=held)


def attempt_log_json(log: AttemptLog) -> dict[str, Any]:
    """What an attempt has logged, for programs."""
    return asdict(log)


class JobDetails(NamedTuple):
    """Everything about one job.

    Attributes:
        unique_holder: who holds its unique key now.
        worker: as of :func:`worker_of`.
        spawn: what it has spawned, if it has.
        obstacles: why it does not run.
        logs: how much each attempt has kept of what it logged.
    """

    job: Job
    values: JobValues
    unique_holder: uuid.UUID | None
    worker: dict[str, Any] | None
    limit_key: str | None
    fair_key: str | None
    spawn: Mapping[str, Any] | None
    obstacles: Sequence[Explanation]
    logs: Sequence[LogSize] = ()

    def as_json(self) -> dict[str, Any]:
        """The same for programs."""
        return {
            **job_json(self.job), **self.values.as_json, "unique_holder": self.unique_holder,
            "worker": self.worker, "limit_key": self.limit_key, "fair_key": self.fair_key,
            "spawn": self.spawn, "obstacles": [explanation_json(each) for each in self.obstacles],
            "logs": [size._asdict() for size in self.logs],
        }  # fmt: skip


def details_of(store: Store, codec: Codec, job: Job, *, lease: float) -> JobDetails:
    """Read everything about a job that was read with its errors."""
    key = job.id.bytes
    limit_key, fair_key = store.limits.keys(key)
    return JobDetails(
        job, values_of(store, key, codec), _holder(store, job), worker_of(store, job),
        limit_key, fair_key, store.jobs.spawn(key), reasons(store, job, lease=lease),
        store.job_logs.sizes(key),
    )  # fmt: skip
