"""What is shown of jobs: rows and facts for people, and JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, NamedTuple

from hammerflow.cli.output import TableView, age, local_time, one_line, seconds_between
from hammerflow.codec.codec import Codec
from hammerflow.errors import NotDecodable, NotEncodable
from hammerflow.jobs.job import Job, JobState, Priority
from hammerflow.stores.store import Store

__all__ = [
    "JOBS", "JobValues", "job_facts", "job_json", "jobs_by_id", "tagged_json", "values_of",
    "worker_of",
]  # fmt: skip

_LONGEST_VALUE = 4_000  # characters
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


def _job_row(job: Job) -> Sequence[Any]:
    """One line of the list; its note holds only what is unusual."""
    note = one_line(
        f"due {age(job.run_at)}" if job.run_at is not None else "",
        job.priority.name.lower() if job.priority != Priority.NORMAL else "",
        f"attempt {job.attempt}" if job.attempt > 1 else "",
        f"{job.progress:.0%}" if job.progress is not None and not job.state.is_final else "",
        job.reason,
    )
    return (job.id, job.state, job.task, job.queue, age(job.created_at), note)


def worker_of(store: Store, job: Job) -> dict[str, Any] | None:
    """Number, host and pid of the worker that runs a job or ran it last; host and pid are None
    once that worker has ended."""
    if job.worker_id is None:
        return None
    alive = {worker["id"]: worker for worker in store.workers.list()}
    worker = alive.get(job.worker_id, {})
    return {"id": job.worker_id, "host": worker.get("host"), "pid": worker.get("pid")}


JOBS = TableView(("id", "state", "task", "queue", "age", "note"), _job_row, job_json)


def job_facts(
    job: Job, values: JobValues, spawn: Mapping[str, Any] | None, worker: Mapping[str, Any] | None
) -> dict[str, Any]:
    """Everything about one job, the most asked for first."""
    progress = None if job.progress is None else f"{job.progress:.0%} {job.progress_note or ''}"
    return {
        "id": job.id,
        "state": job.state,
        "reason": job.reason,
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
    """``3.2 s on host:4711 (worker 8)``; ``12s so far on ...`` for a running job."""
    seconds, texts = seconds_between(job.started_at, job.finished_at), []
    if seconds is not None:
        texts.append(f"{seconds:.1f} s")
    elif job.state is JobState.RUNNING:
        texts.append(f"{age(job.started_at)} so far")
    if worker is not None:
        host = f"{worker['host']}:{worker['pid']} " if worker["host"] else ""
        texts.append(f"on {host}(worker {worker['id']})")
    return " ".join(texts)


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
    """Decode a job's arguments and result; a value that this process cannot decode (of a class
    that only the app registers) is replaced by the error."""
    as_json: dict[str, Any] = {}

    def call(encoded: bytes) -> str:
        args, kwargs = codec.decode_call(encoded)
        tagged = tagged_json(codec.encode_call, args, kwargs) or (None, None)
        as_json["args"], as_json["kwargs"] = tagged
        parts = [*map(repr, args), *(f"{name}={value!r}" for name, value in kwargs.items())]
        return f"({', '.join(parts)})"

    def result(encoded: bytes) -> str:
        value = codec.decode(encoded)
        as_json["result"] = tagged_json(codec.encode, value)
        return repr(value)

    def text(name: str, encoded: bytes | None, decoded: Callable[[bytes], str]) -> str | None:
        if encoded is None:
            return None
        try:
            return _short(decoded(encoded))
        except NotDecodable as error:
            as_json[f"{name}_error"] = str(error)
            return f"(not readable here: {error})"

    ended = store.jobs.result(key)
    return JobValues(
        text("args", store.jobs.args(key), call),
        text("result", ended[1] if ended else None, result),
        as_json,
    )


def tagged_json(encode: Callable[..., bytes], *values: Any) -> Any:
    """The codec's JSON form, parsed; None where it is longer than the codec allows."""
    try:
        return json.loads(encode(*values, serializer="json")[1:])
    except NotEncodable:
        return None


def _short(text: str) -> str:
    if len(text) <= _LONGEST_VALUE:
        return text
    return f"{text[:_LONGEST_VALUE]}... ({len(text):,} characters)"
