"""What is shown of jobs: rows and facts for people, and JSON."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any, NamedTuple

from hammerflow.cli.output import TableView, age, local_time, one_line, seconds_between
from hammerflow.cli.session import Session
from hammerflow.codec.codec import Codec
from hammerflow.errors import NotDecodable, NotEncodable
from hammerflow.jobs.explanation import Explanation
from hammerflow.jobs.job import Job, JobState, Priority
from hammerflow.stores.explain import reasons
from hammerflow.stores.store import Store
from hammerflow.text import safe_repr

__all__ = [
    "JOBS", "JobLine", "JobValues", "JobView", "decoded_values", "error_notes",
    "explanation_json", "job_facts", "job_json", "job_lines", "jobs_by_id", "tagged_json",
    "values_of", "view_of", "worker_of",
]  # fmt: skip

_LONGEST_VALUE = 4_000  # characters
_WIDEST_ERROR = 60  # characters of an error in a note, which may hold the attempt, too
_PAGE = 1_000


def jobs_by_id(store: Store, ids: Sequence[bytes]) -> dict[bytes, Job]:
    """Those of these jobs that exist, read in pages."""
    pages = (ids[at : at + _PAGE] for at in range(0, len(ids), _PAGE))
    return {job.id.bytes: job for page in pages for job in store.jobs.get_many(page)}


def job_json(job: Job) -> dict[str, Any]:
    """A job's fields and the seconds that its last attempt ran; ``errors`` only where they were
    read."""
    fields = asdict(job)
    fields["priority"] = int(job.priority)
    fields["seconds"] = seconds_between(job.started_at, job.finished_at)
    if not job.errors:
        del fields["errors"]
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


def job_lines(session: Session, store: Store, jobs: Sequence[Job]) -> list[JobLine]:
    """Read what a list of these jobs shows."""
    tried = [job.id.bytes for job in jobs if job.attempt and job.state is not JobState.COMPLETED]
    errors, workers = store.jobs.last_errors(tried), _workers(store, jobs)
    return [
        JobLine(
            job, errors.get(job.id.bytes), _worker_in(workers, job),
            job.options.get("max_attempts") or session.max_attempts(job.task),
        ) for job in jobs
    ]  # fmt: skip


def error_notes(store: Store, ids: Sequence[bytes]) -> dict[bytes, str]:
    """The note of each of these jobs that has an error: ``ValueError: no such album``."""
    return {id_: _error_text(*error) for id_, error in store.jobs.last_errors(ids).items()}


def _error_text(type_: str, message: str) -> str:
    text = one_line(f"{type_.rpartition('.')[2]}: {message}" if message else type_)
    return text if len(text) <= _WIDEST_ERROR else f"{text[: _WIDEST_ERROR - 3]}..."


def _job_row(line: JobLine) -> Sequence[Any]:
    """One line of the list; its note holds only what is unusual."""
    job = line.job
    limit = f" of {line.max_attempts}" if line.max_attempts is not None else ""
    attempt, error = f"attempt {job.attempt}{limit}", line.error and _error_text(*line.error)
    is_failed = job.state is JobState.FAILED and error
    note = one_line(
        f"{error} ({attempt})" if is_failed else "",
        f"due {age(job.run_at)}" if job.run_at is not None else "",
        job.priority.name.lower() if job.priority != Priority.NORMAL else "",
        attempt if job.attempt > 1 and not is_failed else "",
        f"{job.progress:.0%}" if job.progress is not None and not job.state.is_final else "",
        job.reason,
        error if not is_failed and not job.reason else "",
    )
    return (
        job.id, job.state, job.task, job.queue, age(job.created_at), _seconds_text(job),
        _worker_text(line.worker), note,
    )  # fmt: skip


def _line_json(line: JobLine) -> dict[str, Any]:
    error = line.error and dict(zip(("type", "message"), line.error, strict=True))
    return {**job_json(line.job), "worker": line.worker, "error": error}


JOBS = TableView(
    ("id", "state", "task", "queue", "age", "ran", "worker", "note"), _job_row, _line_json
)

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


def _worker_text(worker: Mapping[str, Any] | None) -> str:
    """``host:4711``, or the number of a worker that has ended."""
    if worker is None:
        return ""
    return f"{worker['host']}:{worker['pid']}" if worker["host"] else f"worker {worker['id']}"


def explanation_json(found: Explanation) -> dict[str, Any]:
    """A reason for programs, and its sentence."""
    return {
        "code": found.kind, "says": found.says, "advice": found.advice, "facts": dict(found.facts),
    }  # fmt: skip


def _holder(store: Store, job: Job) -> uuid.UUID | None:
    """Who holds the unique key of a job now."""
    held = None if job.unique_key is None else store.unique_keys.holder(job.unique_key)
    return None if held is None else uuid.UUID(bytes=held)


def _key_text(job: Job, holder: uuid.UUID | None) -> str | None:
    if job.unique_key is None:
        return None
    if holder is None:
        return f"{job.unique_key} (free)"
    return f"{job.unique_key} (held by {'this job' if holder == job.id else f'job {holder}'})"


class JobView(NamedTuple):
    """Everything about one job, as JSON and as facts."""

    as_json: dict[str, Any]
    facts: dict[str, Any]


def view_of(session: Session, store: Store, job: Job) -> JobView:
    """Read everything about a job that was read with its errors."""
    key = job.id.bytes
    values, spawn = values_of(store, key, session.codec), store.jobs.spawn(key)
    worker = worker_of(store, job)
    holder = _holder(store, job)
    limit_key, fair_key = store.limits.keys(key)
    found = reasons(store, job, lease=session.settings.lease)
    lines = [f"{each.says}\n  -> {each.advice}" if each.advice else each.says for each in found]
    return JobView(
        {
            **job_json(job), **values.as_json, "unique_holder": holder, "worker": worker,
            "limit_key": limit_key, "fair_key": fair_key,
            "spawn": spawn, "obstacles": [explanation_json(each) for each in found],
        },
        {
            **job_facts(job, values, spawn, worker, "\n".join(lines)),
            "unique key": _key_text(job, holder),
            "limit key": limit_key,
            "fairness key": fair_key,
        },
    )  # fmt: skip


def job_facts(
    job: Job,
    values: JobValues,
    spawn: Mapping[str, Any] | None,
    worker: Mapping[str, Any] | None,
    why: str = "",
) -> dict[str, Any]:
    """Everything about one job, the most asked for first."""
    progress = None if job.progress is None else f"{job.progress:.0%} {job.progress_note or ''}"
    return {
        "id": job.id,
        "state": job.state,
        "reason": job.reason,
        "blocked": why,
        "task": job.task,
        "call": values.call,
        "result": values.result,
        "queue": job.queue,
        "priority": job.priority.name.lower(),
        "attempt": job.attempt,
        "created": job.created_at,
        "due": job.run_at,
        "started": job.started_at,
        "finished": job.finished_at,
        "ran": _run_text(job, worker),
        "progress": progress and progress.rstrip(),
        "depends": None if job.dependency_status == "none" else job.dependency_status,
        "parent": job.parent_id,
        "root": job.root_id,
        "workflow": job.workflow_id,
        "spawned": f"{spawn['spawned']} by {spawn['handler']}" if spawn else None,
        "unique key": job.unique_key,
        "headers": job.headers,
        "options": job.options,
        "errors": _error_history(job),
    }


def _run_text(job: Job, worker: Mapping[str, Any] | None) -> str:
    """``3.2 s on host:4711 (worker 8)``; ``12.0 s so far on ...`` for a running job."""
    where = ""
    if worker is not None:
        host = f"{_worker_text(worker)} " if worker["host"] else ""
        where = f" on {host}(worker {worker['id']})"
    so_far = " so far" if job.state is JobState.RUNNING else ""
    seconds = _seconds_text(job)
    return f"{seconds}{so_far}{where}" if seconds else ""


def _seconds_text(job: Job) -> str:
    """``3.2 s``: how long the last attempt ran, or has run."""
    end = datetime.now(UTC) if job.state is JobState.RUNNING else job.finished_at
    seconds = seconds_between(job.started_at, end)
    return "" if seconds is None else f"{seconds:,.{3 if seconds < 0.1 else 1}f} s"


def _error_history(job: Job) -> str:
    lines = []
    for error in job.errors:
        text = f"{error.type}: {error.message}" if error.type else error.message
        lines.append(f"attempt {error.attempt} {error.kind} at {local_time(error.at)}: {text}")
        lines += [f"  {line}" for line in error.traceback.splitlines()]
    return "\n".join(lines)


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
