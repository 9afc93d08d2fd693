"""What is shown of archived jobs: rows and facts for people, and JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from hammerflow.admin.archive import archived_json, contents_columns, contents_values
from hammerflow.cli.output import TableView, id_text, local_time
from hammerflow.cli.session import Session
from hammerflow.durations import age
from hammerflow.stores.retention.archive import Archived, Contents

__all__ = ["ARCHIVED", "contents_facts"]


def _row(each: Archived) -> Sequence[Any]:
    where = each.workflow_id or each.root_id
    return (
        each.id, each.state, each.task, each.queue, age(each.ended_at), f"{each.size:,}",
        "" if where is None else id_text(where),
    )  # fmt: skip


ARCHIVED = TableView(
    ("id", "state", "task", "queue", "ended", "bytes", "workflow or root"), _row, archived_json
)


def contents_facts(session: Session, found: Contents) -> dict[str, Any]:
    """Everything about an archived job or workflow, for people."""
    each, values = found.archived, contents_values(session.codec, found)
    columns = contents_columns(found)
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
    if isinstance(began := row.get("started_at"), datetime):
        at += f", began at {local_time(began)}"
    return f"attempt {row['attempt']} {row['kind']}{at}: {row['type']}: {row['message']}"
