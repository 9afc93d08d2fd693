"""What the worker's tests share: claimed jobs made by hand."""

from __future__ import annotations

from typing import Any

from hammerflow.codec.codec import Codec
from hammerflow.ids import name_id, new_id
from hammerflow.jobs.job import Claimed

__all__ = ["claimed"]

_CODEC = Codec()


def claimed(task: str = "task", *args: Any, **fields: Any) -> Claimed:
    """A job as a claim would return it."""
    values: dict[str, Any] = {
        "id": new_id(),
        "lease": 1,
        "attempt": 1,
        "task_id": name_id(task),
        "queue_id": name_id("default"),
        "priority": 2,
        "args": _CODEC.encode_call(args, {}),
        "options": None,
        "headers": None,
        "parent_id": None,
        "root_id": None,
        "depth": 0,
        "spawn_index": None,
        "dependent_id": None,
        "unique_key": None,
        "trace": None,
        "workflow_id": None,
        "flags": 0,
        "expired": False,
    }
    return Claimed(**(values | fields))
