"""``hammerflow queue``: the queues, and whether workers claim from them."""

from __future__ import annotations

from dataclasses import asdict

import click

from hammerflow.cli.output import age, say, show_json, show_table
from hammerflow.cli.session import Session, shared, who
from hammerflow.errors import ConfigError
from hammerflow.stores.queues import QueueStatus
from hammerflow.text import checked_name

__all__ = ["command"]


@click.group("queue")
def command() -> None:
    """List, pause and resume queues."""


@command.command("list")
@shared
def list_queues(session: Session) -> None:
    """Every queue, and how many of its jobs stand where."""
    with session.store() as store:
        queues = store.queues.list()
    if session.as_json:
        show_json([asdict(queue) for queue in queues])
        return
    show_table(
        ("queue", "ready", "running", "scheduled", "waiting", "parked", "paused"),
        [
            (q.name, q.ready, q.running, q.scheduled, q.waiting, q.parked, _pause_words(q))
            for q in queues
        ],
        empty="there are no queues: no job was ever enqueued",
    )


@command.command("pause")
@click.argument("name")
@click.option("--reason", default="", help="Kept for those who wonder.")
@shared
def pause(session: Session, name: str, reason: str) -> None:
    """Let no job of a queue start any more; running ones go on."""
    name = checked_name(name, "a queue's name")
    with session.store() as store, session.notifier() as notifier:
        store.queues.pause(name, by=who(), reason=reason)
        notifier.ring_control()
    _tell(session, name, is_paused=True)


@command.command("resume")
@click.argument("name")
@shared
def resume(session: Session, name: str) -> None:
    """Let a paused queue's jobs start again."""
    with session.store() as store, session.notifier() as notifier:
        if not store.queues.resume(name):
            raise ConfigError(f"there is no queue {name!r}: see hammerflow queue list")
        notifier.ring_control()
        notifier.ring([name])
    _tell(session, name, is_paused=False)


def _tell(session: Session, name: str, *, is_paused: bool) -> None:
    if session.as_json:
        show_json({"queue": name, "paused": is_paused})
    else:
        say(f"queue {name} is {'paused' if is_paused else 'open'}")


def _pause_words(queue: QueueStatus) -> str:
    if queue.paused_at is None:
        return ""
    by = f" by {queue.paused_by}" if queue.paused_by else ""
    reason = f": {queue.reason}" if queue.reason else ""
    return f"{age(queue.paused_at)} ago{by}{reason}"
