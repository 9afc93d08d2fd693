"""What is shown of archived jobs: rows and facts for people, and JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from hammerflow.admin.jobs import JobValues, decoded_values
from hammerflow.cli.output import TableView, id_text, local_time
from hammerflow.cli.session import Session
from hammerflow.durations import age
from hammerflow.stores.archive import Archived, Contents

__all__ = ["ARCHIVED", "contents_facts", "contents_json"]

#: Columns that are numbers inside, or shown in another form.
_LEFT_OUT = frozenset({
    "id", "queue_id", "task_id", "args", "job_id", "state", "result", "priority", "flags", "lane",
    "awaits", "status", "policy", "collects", "lease", "failures",
})  # fmt: skip
_OF_JSON = ("options", "headers")


def _row(each: Archived) -> Sequence[Any]:
    where = each.workflow_id or each.root_id
    return (
        each.id, each.state, each.task, each.queue, age(each.ended_at), f"{each.size:,}",
        "" if where is None else id_text(where),
    )  # fmt: skip


def _json(each: Archived) -> dict[str, Any]:
    return {name: getattr(each, name) for name in Archived.__dataclass_fields__}


ARCHIVED = TableView(
    ("id", "state", "task", "queue", "ended", "bytes", "workflow or root"), _row, _json
)


def contents_json(session: Session, found: Contents) -> dict[str, Any]:
    """Everything about an archived job or workflow, for programs."""
    values = _values(session, found)
    return {
        **_json(found.archived), **_columns(found), **values.as_json,
        "archived_at": found.archived_at,
        "errors": [
            {key: row[key] for key in ("attempt", "at", "kind", "type", "message", "trace")}
            for row in found.rows.get("errors", ())
        ],
    }  # fmt: skip


def contents_facts(session: Session, found: Contents) -> dict[str, Any]:
    """Everything about an archived job or workflow, for people."""
    each, values = found.archived, _values(session, found)
    columns = _columns(found)
    shown = {name.replace("_", " "): value for name, value in columns.items()}
    return {
        "id": each.id,
        "state": each.state,
        "archived": found.archived_at,
        "restore": f"hammerflow archive restore {id_text(each.id)}",
        "task": each.task,
        "call": values.call,
        "result": values.result,
        "queue": each.queue,
        "ended": each.ended_at,
        **shown,
        "errors": "\n".join(_error(row) for row in found.rows.get("errors", ())),
    }


def _error(row: Mapping[str, Any]) -> str:
    at = f" at {local_time(row['at'])}" if hasattr(row["at"], "astimezone") else ""
    return f"attempt {row['attempt']} {row['kind']}{at}: {row['type']}: {row['message']}"


def _values(session: Session, found: Contents) -> JobValues:
    job, done = (found.rows.get(table, ({},))[0] for table in ("jobs", "done"))
    return decoded_values(session.codec, job.get("args"), done.get("result"))


def _columns(found: Contents) -> dict[str, Any]:
    """The columns that are for reading."""
    shown: dict[str, Any] = {}
    for table in ("workflows", "jobs", "done"):
        for row in found.rows.get(table, ()):
            shown |= {name: value for name, value in row.items() if name not in _LEFT_OUT}
    for name in _OF_JSON:
        if isinstance(shown.get(name), str):
            shown[name] = json.loads(shown[name])
    return shown
