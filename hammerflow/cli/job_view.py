"""What is shown of one job: as facts for people, and as JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from hammerflow.cli.output import when
from hammerflow.codec.codec import Codec
from hammerflow.errors import NotDecodable, NotEncodable
from hammerflow.jobs.job import Job
from hammerflow.stores.store import Store

__all__ = ["Values", "facts_of", "job_json", "jobs_by_id", "values_of"]

_LONGEST = 4_000
_PAGE = 1_000


@dataclass(frozen=True, slots=True)
class Values:
    """A job's arguments and result in words, and as JSON with the codec's tags."""

    call: str | None
    result: str | None
    as_json: dict[str, Any]


def values_of(store: Store, key: bytes, codec: Codec) -> Values:
    """Decode what this process can; what it cannot (classes that only the app registers) is said
    in the place of the value."""
    encoded = store.jobs.args(key)
    ended = store.jobs.result(key)
    in_json: dict[str, Any] = {}
    call = None if encoded is None else _call(codec, encoded, in_json)
    result = None
    if ended is not None and ended[1] is not None:
        result = _result(codec, ended[1], in_json)
    return Values(call, result, in_json)


def jobs_by_id(store: Store, ids: Sequence[bytes]) -> dict[bytes, Job]:
    """Those of these jobs that exist, read in pages."""
    pages = (ids[at : at + _PAGE] for at in range(0, len(ids), _PAGE))
    return {job.id.bytes: job for page in pages for job in store.jobs.get_many(page)}


def job_json(job: Job) -> dict[str, Any]:
    """A job's fields; ``errors`` only where they were read."""
    fields = asdict(job)
    fields["priority"] = int(job.priority)
    if not job.errors:
        del fields["errors"]
    return fields


def facts_of(job: Job, values: Values, spawn: Mapping[str, Any] | None) -> dict[str, Any]:
    """One fact a line, in the order in which one asks for them."""
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
        "created": when(job.created_at),
        "due": when(job.run_at),
        "started": when(job.started_at),
        "finished": when(job.finished_at),
        "progress": _progress(job),
        "depends": None if job.dependency_status == "none" else job.dependency_status,
        "parent": job.parent_id,
        "root": job.root_id,
        "workflow": job.workflow_id,
        "spawned": f"{spawn['spawned']} by {spawn['handler']}" if spawn else None,
        "unique key": job.unique_key,
        "headers": json.dumps(dict(job.headers)) if job.headers else None,
        "options": json.dumps(dict(job.options)) if job.options else None,
        "errors": _history(job),
    }


def _call(codec: Codec, encoded: bytes, in_json: dict[str, Any]) -> str:
    try:
        args, kwargs = codec.decode_call(encoded)
    except NotDecodable as error:
        in_json["args_error"] = str(error)
        return f"(not readable here: {error})"
    tagged = _tagged(lambda: codec.encode_call(args, kwargs, serializer="json"))
    in_json["args"], in_json["kwargs"] = tagged or (None, None)
    parts = [repr(arg) for arg in args] + [f"{name}={value!r}" for name, value in kwargs.items()]
    return _short(f"({', '.join(parts)})")


def _result(codec: Codec, encoded: bytes, in_json: dict[str, Any]) -> str:
    try:
        value = codec.decode(encoded)
    except NotDecodable as error:
        in_json["result_error"] = str(error)
        return f"(not readable here: {error})"
    in_json["result"] = _tagged(lambda: codec.encode(value, serializer="json"))
    return _short(repr(value))


def _tagged(encode: Callable[[], bytes]) -> Any:
    """The codec's JSON form, parsed; None where that is above its limit."""
    try:
        return json.loads(encode()[1:])
    except NotEncodable:
        return None


def _progress(job: Job) -> str | None:
    if job.progress is None:
        return None
    return f"{job.progress:.0%} {job.progress_note or ''}".rstrip()


def _history(job: Job) -> str:
    lines = []
    for error in job.errors:
        what = f"{error.type}: {error.message}" if error.type else error.message
        lines.append(f"attempt {error.attempt} {error.kind} at {when(error.at)}: {what}")
        lines += [f"  {line}" for line in error.traceback.splitlines()]
    return "\n".join(lines)


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}... ({len(text):,} characters)"
