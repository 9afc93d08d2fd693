"""Names of tasks as people type them: a typo makes no task."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hammerflow.cli.queue_names import refuse_unknown

if TYPE_CHECKING:
    from hammerflow.cli.session import Session
    from hammerflow.stores.store import Store

__all__ = ["check_task"]


def check_task(session: Session, store: Store, name: str, *, remedy: str = "") -> None:
    """Refuse a task that neither the database nor the imported app knows.

    Args:
        remedy: how the command is told that the task is meant to be new.

    Raises:
        ConfigError: names the tasks that are spelled alike.
    """
    refuse_unknown("task", name, store.tasks.names() | session.declared_tasks, remedy=remedy)
