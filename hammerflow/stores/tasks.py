"""Tasks: those that the database knows by name, their workers and pauses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from hammerflow.stores.database import Database

__all__ = ["TaskStatus", "Tasks"]


@dataclass(frozen=True, slots=True)
class TaskStatus:
    """One task: how many workers have registered it, and whether it is paused."""

    name: str
    workers: int
    paused_at: datetime | None  # None: it is not paused itself
    paused_by: str | None
    reason: str | None


class Tasks:
    """The table ``tasks``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def list(self) -> Sequence[TaskStatus]:
        """All tasks in the order of their names."""
        instant = self._database.dialect.instant
        rows = self._database.rows("task_list")
        return [TaskStatus(name, n, instant(at), by, why) for name, n, at, by, why in rows]

    def names(self) -> set[str]:
        """Names of all tasks that the database knows."""
        return {name for _, name in self._database.rows("task_names")}
