"""Names of queues and tasks on the command line: a typo makes neither."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hammerflow.admin.known_names import refuse_unknown
from hammerflow.text import safe_repr

if TYPE_CHECKING:
    from hammerflow.cli.session import Session
    from hammerflow.stores.store import Store

__all__ = ["check_queue", "check_task", "warn_of_queue"]


def check_queue(session: Session, store: Store, name: str, *, remedy: str = "") -> None:
    """Refuse a queue that neither the database nor a task of the imported app knows.

    Args:
        remedy: how the command is told that the queue is meant to be new.

    Raises:
        ConfigError: names the queues that are spelled alike.
    """
    refuse_unknown("queue", name, store.queues.names() | session.declared_queues, remedy=remedy)


def check_task(session: Session, store: Store, name: str, *, remedy: str = "") -> None:
    """:func:`check_queue` for a task, which the database or the imported app must know."""
    refuse_unknown("task", name, store.tasks.names() | session.declared_tasks, remedy=remedy)


def warn_of_queue(session: Session, store: Store, name: str | None) -> None:
    """Say that a filter names a queue that does not exist: an empty list would hide a typo."""
    if name is not None and name not in store.queues.names():
        session.warn(f"there is no queue {safe_repr(name)}: see hammerflow queue list")
