"""EventBodies: what events tell, made from the rows of jobs when somebody reads the events."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from hammerflow.codec.codec import Codec
from hammerflow.errors import HammerflowError
from hammerflow.events.event import Event, subject_of
from hammerflow.events.kinds import EventKind
from hammerflow.events.record import LoggedRecord
from hammerflow.jobs.job import Priority
from hammerflow.jobs.status import WorkflowState
from hammerflow.stores.database import Database
from hammerflow.stores.names import NameTable
from hammerflow.telemetry.trace_context import traceparent_of

__all__ = ["EventBodies"]

#: Bytes of arguments and of a result, encoded; larger ones are left out.
_MOST = 64 << 10
_ENDS = frozenset({
    EventKind.JOB_COMPLETED, EventKind.JOB_FAILED, EventKind.JOB_CANCELLED, EventKind.JOB_SKIPPED,
})  # fmt: skip
#: Kinds of events of jobs that follow from no error.
_WITHOUT_ERROR = frozenset({
    EventKind.JOB_ENQUEUED, EventKind.JOB_STARTED, EventKind.JOB_COMPLETED, EventKind.JOB_UNBLOCKED,
    EventKind.JOB_PURGED, EventKind.JOB_ARCHIVED, EventKind.JOB_RESTORED,
})  # fmt: skip
_IDS = ("parent_id", "root_id", "workflow_id")
#: Nouns whose ids are those of jobs or workflows.
_UUIDS = frozenset({"job", "spawn", "workflow"})
_PRIORITIES = {int(priority): priority.name.lower() for priority in Priority}
_NOT_ERRORS = ("replayed", "replaced", "edited")


class EventBodies:
    """Renders records of the log; one query for each table and call.

    Args:
        include: ``args``, ``result`` or both: what is told of jobs besides; none of it by default,
            as events leave the database. Encrypted values are never told.
    """

    def __init__(self, database: Database, names: NameTable, include: Collection[str] = ()) -> None:
        self._database = database
        self._names = names
        self._include = frozenset(include)
        self._limits = {part: _MOST if part in include else -1 for part in ("args", "result")}
        self._codec = Codec()

    def render(self, records: Sequence[LoggedRecord]) -> Sequence[Event]:
        """The events of these records, in their order."""
        ids = _ids(records, ("job", "spawn"))
        jobs = {row[0]: row[1:] for row in self._rows("event_jobs", ids)}
        failed = _ids([r for r in records if r.kind not in _WITHOUT_ERROR], ("job",))
        errors = {
            (row[0], row[1]): row[2:]
            for row in self._rows("event_errors", failed)
            if row[2] not in _NOT_ERRORS
        }
        told = ids if self._include else ()
        values = {row[0]: row[1:] for row in self._rows("event_args", told, **self._limits)}
        spawns = {
            (row[0], row[1]): row[2:]
            for row in self._rows("event_spawns", _ids(records, ("spawn",)))
        }
        workflows = {
            row[0]: row[1:] for row in self._rows("workflow_rows", _ids(records, ("workflow",)))
        }
        found = []
        for record in records:
            noun = record.kind.noun if isinstance(record.kind, EventKind) else ""
            data: dict[str, Any] = dict(record.detail or {})
            is_there = True
            if noun in ("job", "spawn"):
                is_there = record.id in jobs
                data |= self._job(record, jobs.get(record.id))
                data |= self._error(errors.get((record.id, record.lease)))
                data |= self._values(record, values.get(record.id))
                if noun == "spawn":
                    data |= _spawn(spawns.get((record.id, record.lease)))
            elif noun == "workflow":
                is_there = record.id in workflows
                data |= self._workflow(workflows.get(record.id))
            found.append(_event(record, data, noun in _UUIDS, is_tombstone=not is_there))
        return found

    def _rows(self, name: str, ids: Sequence[bytes], **values: int) -> Iterable[tuple[Any, ...]]:
        return self._database.rows(name, ids=ids, **values) if ids else ()

    def _job(self, record: LoggedRecord, row: tuple[Any, ...] | None) -> dict[str, Any]:
        data: dict[str, Any] = {"id": subject_of(record.id, is_uuid=True)}
        data |= {"lease": record.lease, "attempt": record.attempt}
        if row is None:
            return data
        queue_id, task_id, priority, headers, parent, root, workflow, created, trace = row[:9]
        lease, started, finished, reason, cause, worker_id = row[9:]
        data |= {
            "task": self._names.task(task_id), "queue": self._names.queue(queue_id),
            "priority": _PRIORITIES[priority], "created_at": self._time(created),
            "headers": _json(headers), "traceparent": traceparent_of(trace),
        }  # fmt: skip
        for name, id_ in zip(_IDS, (parent, root, workflow), strict=True):
            if id_ is not None:
                data[name] = subject_of(id_, is_uuid=True)
        if record.kind in _ENDS and lease == record.lease:
            begin, end = map(self._database.dialect.instant, (started, finished))
            data |= {
                "started_at": _text(begin), "finished_at": _text(end),
                "duration": _seconds(begin, end), "reason": reason,
                "cause": None if cause is None else subject_of(cause, is_uuid=True),
                "worker_id": None if worker_id is None else str(worker_id),
            }  # fmt: skip
        return {name: value for name, value in data.items() if value is not None}

    def _error(self, row: tuple[Any, ...] | None) -> dict[str, Any]:
        if row is None:
            return {}
        kind, type_, message = row
        return {"error": {"kind": kind, "type": type_, "message": message}}

    def _values(self, record: LoggedRecord, row: tuple[Any, ...] | None) -> dict[str, Any]:
        if row is None:
            return {}
        args, lease, result = row
        data: dict[str, Any] = {}
        try:
            if args is not None:
                listed, named = self._codec.decode_opaque(args)
                data |= {"args": _shown(listed), "kwargs": _shown(named)}
            if result is not None and record.kind in _ENDS and lease == record.lease:
                data["result"] = _shown(self._codec.decode_opaque(result))
        except (HammerflowError, TypeError, ValueError):
            data["not_decodable"] = True
        return data

    def _workflow(self, row: tuple[Any, ...] | None) -> dict[str, Any]:
        if row is None:
            return {}
        kind, name, status, _, failures, parent, created, ended, _, _, options, reason, _ = row
        found = {
            "workflow_kind": kind, "name": name, "status": str(WorkflowState(status).status),
            "failures": failures, "created_at": self._time(created),
            "ended_at": self._time(ended), "reason": reason,
            "parent_id": None if parent is None else subject_of(parent, is_uuid=True),
            "metadata": _json(options).get("metadata"),
        }  # fmt: skip
        return {name: value for name, value in found.items() if value is not None}

    def _time(self, value: Any) -> str | None:
        return _text(self._database.dialect.instant(value))


def _text(instant: datetime | None) -> str | None:
    return None if instant is None else instant.isoformat()


def _seconds(begin: datetime | None, end: datetime | None) -> float | None:
    return None if begin is None or end is None else round((end - begin).total_seconds(), 6)


def _event(
    record: LoggedRecord, data: Mapping[str, Any], is_uuid: bool, *, is_tombstone: bool
) -> Event:
    label = record.kind.label if isinstance(record.kind, EventKind) else f"unknown.{record.kind}"
    subject = subject_of(record.id, is_uuid=is_uuid)
    at = datetime.fromtimestamp(record.at, UTC)
    return Event(
        record.position,
        label,
        at,
        str(data.get("name") or subject) if not is_uuid else subject,
        data,
        is_tombstone,
    )


def _ids(records: Sequence[LoggedRecord], nouns: Sequence[str]) -> list[bytes]:
    return sorted({r.id for r in records if isinstance(r.kind, EventKind) and r.kind.noun in nouns})


def _spawn(row: tuple[Any, ...] | None) -> dict[str, Any]:
    if row is None:
        return {}
    requested, spawned, handler, operation_id, metadata = row
    return {
        "requested": requested, "spawned": spawned, "handler": handler,
        "operation_id": operation_id, "metadata": _json(metadata),
    }  # fmt: skip


def _json(text: str | None) -> dict[str, Any]:
    if not text or text == "{}":
        return {}
    try:
        found = json.loads(text)
    except ValueError:  # another program wrote the row
        return {}
    return found if isinstance(found, dict) else {}


def _shown(value: Any) -> Any:
    """A value as JSON takes it; what JSON does not know, as NaN, becomes text."""
    return json.loads(json.dumps(value, default=str), parse_constant=str)
