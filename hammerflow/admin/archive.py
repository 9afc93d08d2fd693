"""What is known of archived jobs, as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from hammerflow.admin.jobs import JobValues, decoded_values
from hammerflow.codec.codec import Codec
from hammerflow.jobs.retention import Lifetimes
from hammerflow.stores.retention.archive import Archived, Contents
from hammerflow.stores.retention.retention import DeclaredLifetimes
from hammerflow.stores.store import Store

__all__ = ["archived_json", "contents_columns", "contents_json", "contents_values", "policies"]

#: Columns that are numbers inside, or shown in another form.
_LEFT_OUT = frozenset({
    "id", "queue_id", "task_id", "args", "job_id", "state", "result", "priority", "flags", "lane",
    "awaits", "status", "policy", "collects", "lease", "failures",
})  # fmt: skip
_OF_JSON = ("options", "headers")
_OF_ERRORS = ("attempt", "started_at", "at", "worker_id", "kind", "type", "message", "trace")


def archived_json(each: Archived) -> dict[str, Any]:
    """An archived job of a list."""
    return {name: getattr(each, name) for name in Archived.__dataclass_fields__}


def contents_json(codec: Codec, found: Contents) -> dict[str, Any]:
    """Everything about an archived job or workflow, for programs."""
    values = contents_values(codec, found)
    return {
        **archived_json(found.archived), **contents_columns(found), **values.as_json,
        "archived_at": found.archived_at,
        "errors": [
            {key: row.get(key) for key in _OF_ERRORS}
            for row in found.rows.get("errors", ())
        ],
    }  # fmt: skip


def contents_values(codec: Codec, found: Contents) -> JobValues:
    """Its arguments and result."""
    job, done = (found.rows.get(table, ({},))[0] for table in ("jobs", "done"))
    return decoded_values(codec, job.get("args"), done.get("result"))


def contents_columns(found: Contents) -> dict[str, Any]:
    """The columns that are for reading."""
    shown: dict[str, Any] = {}
    for table in ("workflows", "jobs", "done"):
        for row in found.rows.get(table, ()):
            shown |= {name: value for name, value in row.items() if name not in _LEFT_OUT}
    for name in _OF_JSON:
        if isinstance(shown.get(name), str):
            shown[name] = json.loads(shown[name])
    return shown


def policies(
    store: Store, settings: Lifetimes, queue: str | None = None
) -> Sequence[DeclaredLifetimes]:
    """How long ended jobs are kept: by the settings, tasks and queues; or for one queue."""
    declared = store.retention.declared()
    if queue is not None:
        mine = [each for each in declared if each[:2] == ("queue", queue)]
        return mine or [DeclaredLifetimes("queue", queue, {})]
    return [DeclaredLifetimes("settings", "", settings), *declared]
