"""``hammerflow queue``: list, pause and resume queues."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import click

from hammerflow.cli.options import argument, flag, shared, text_option
from hammerflow.cli.output import TableView, age
from hammerflow.cli.queue_names import check_queue
from hammerflow.cli.session import Session, user_at_host
from hammerflow.options.checks import NAME_CHECK
from hammerflow.stores.queues import QueueStatus

__all__ = ["command"]

_COUNTS = ("ready", "running", "scheduled", "waiting", "parked")


@click.group("queue")
def command() -> None:
    """List, pause and resume queues."""


@command.command("list")
@shared
def list_queues(session: Session) -> None:
    """List the queues, with the number of jobs in each state and who paused them."""
    with session.store() as store:
        queues = store.queues.list()
    session.show_list(queues, _QUEUES, empty="there are no queues: no job was ever enqueued")


@command.command("pause")
@argument("name", NAME_CHECK)
@text_option("--reason", default="", show_default=False, help="Why; it is listed.")
@flag("--new", help="The queue need not exist yet.")
@shared
def pause(session: Session, name: str, reason: str, new: bool) -> None:
    """Stop workers from starting jobs of a queue; running jobs go on."""
    with session.backend() as backend:
        if not new:
            check_queue(session, backend.store, name, remedy="give --new to pause it beforehand")
        backend.store.queues.pause(name, by=user_at_host(), reason=reason)
        backend.notifier.ring_control()
    session.tell({"queue": name, "paused": True}, f"queue {name} is paused")


@command.command("resume")
@argument("name", NAME_CHECK)
@shared
def resume(session: Session, name: str) -> None:
    """Let workers start the jobs of a paused queue again."""
    with session.backend() as backend:
        check_queue(session, backend.store, name)
        backend.store.queues.resume(name)
        backend.notifier.ring_control()
        backend.notifier.ring([name])
    session.tell({"queue": name, "paused": False}, f"queue {name} is open")


def _queue_row(queue: QueueStatus) -> Sequence[Any]:
    paused = f"{age(queue.paused_at)} ago" if queue.paused_at is not None else ""
    by = f" by {queue.paused_by}" if queue.paused_by else ""
    reason = f": {queue.reason}" if queue.reason else ""
    return (queue.name, *(getattr(queue, state) for state in _COUNTS), paused + by + reason)


_QUEUES = TableView(("queue", *_COUNTS, "paused"), _queue_row, asdict)
