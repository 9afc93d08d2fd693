"""What is known of limits, as JSON, and what they can be set for."""

from __future__ import annotations

import difflib
import uuid
from typing import Any

from hammerflow.admin.ids import find_workflow
from hammerflow.errors import ConfigError
from hammerflow.options.checks import NAME_CHECK, Unfit, ValueCheck
from hammerflow.stores.limits import LimitStatus
from hammerflow.stores.store import Store
from hammerflow.text import either, plain_text

__all__ = ["TARGET", "check_limited_task", "limit_json", "whole_target"]


def _target(value: Any) -> tuple[str, str]:
    kind, colon, name = (plain_text(value) or "").partition(":")
    if kind not in ("task", "queue", "batch") or not colon:
        raise Unfit
    return kind, NAME_CHECK.read(name)


TARGET = ValueCheck("str", "task:NAME, queue:NAME or batch:ID", _target)


def whole_target(store: Store, target: tuple[str, str]) -> tuple[str, str]:
    """The target, with the whole id of a batch."""
    kind, name = target
    if kind != "batch":
        return target
    return kind, str(uuid.UUID(bytes=find_workflow(store, name)))


def check_limited_task(store: Store, name: str) -> None:
    """Refuse a task that nobody has used: it would be a typo that limits nothing.

    Raises:
        ConfigError: names the tasks that are spelled alike.
    """
    known = store.limits.tasks()
    if name not in known:
        near = difflib.get_close_matches(name, sorted(known), n=3)
        advice = f"did you mean {either(near)}?" if near else "start a worker that has it first"
        raise ConfigError(f"there is no task {name!r}: {advice}")


def limit_json(limit: LimitStatus) -> dict[str, Any]:
    """A limit for programs."""
    return {
        "target": limit.target, "key": limit.key, **limit.limit.to_plain(),
        "running": limit.running, "waiting": limit.waiting, "next_start": limit.next_start,
        "set_by": limit.set_by, "set_at": limit.set_at,
    }  # fmt: skip
