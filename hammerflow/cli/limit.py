"""``hammerflow limit``: list rate and concurrency limits, and change them while workers run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from hammerflow.admin.limits import TARGET, check_limited_task, limit_json, whole_target
from hammerflow.cli.known_names import check_queue
from hammerflow.cli.options import argument, checked, name_option, shared
from hammerflow.cli.output import TableView
from hammerflow.cli.paging import tell_cut
from hammerflow.cli.session import Session, SessionBackend
from hammerflow.jobs.limit import MAX_RUNNING, RATE, Limit, Rate
from hammerflow.stores.limits import MOST_WAITING, LimitStatus
from hammerflow.text import user_at_host

__all__ = ["command"]


@click.group("limit")
def command() -> None:
    """List, set and remove rate and concurrency limits."""


@command.command("list")
@name_option("--task", help="Only limits of this task.")
@name_option("--queue", help="Only limits of this queue.")
@shared
def list_limits(session: Session, task: str | None, queue: str | None) -> None:
    """List the limits, for each key: what runs, what waits, and when the next job may start.

    Up to 100 000 waiting jobs are counted.
    """
    with session.store() as store:
        limits = store.limits.list()
    wanted = {f"task:{task}"} if task is not None else set[str]()
    wanted |= {f"queue:{queue}"} if queue is not None else set()
    found = [limit for limit in limits if not wanted or limit.target in wanted]
    session.show_list(
        found, _LIMITS, empty="no matching limits" if limits else "there are no limits"
    )
    if sum(limit.waiting for limit in limits) >= MOST_WAITING:
        tell_cut(session, f"more jobs may wait: {MOST_WAITING} were counted")


@command.command("set")
@argument("target", TARGET)
@checked("--rate", check=RATE, metavar="RATE", help="How often jobs may start: 100/m.")
@checked("--max", "most", check=MAX_RUNNING, metavar="N", help="How many may run at a time.")
@shared
def set_limit(
    session: Session, target: tuple[str, str], rate: Rate | None, most: int | None
) -> None:
    """Limit a task (each of its keys, if it has a limit_key), a queue or a batch.

    TARGET is task:NAME, queue:NAME, or batch:ID of a batch that was created with a rate. Options
    that you leave out do not change; --max 0 stops all starts. All workers apply the limit within a
    second, until you remove it.
    """
    if rate is None and most is None:
        raise click.UsageError("give --rate, --max or both")
    with session.backend() as backend:
        kind, name = target = whole_target(backend.store, target)
        _check_name(session, backend, kind, name)
        limit = backend.store.limits.give(kind, name, Limit(rate, most), by=user_at_host())
        _ring(backend)
    _tell(session, target, limit)


@command.command("remove")
@argument("target", TARGET)
@shared
def remove_limit(session: Session, target: tuple[str, str]) -> None:
    """Remove a limit that was set: the one that the task declares in the code applies again.

    For a batch, this also removes the rate that it was created with.
    """
    with session.backend() as backend:
        target = whole_target(backend.store, target)
        limit = backend.store.limits.remove(*target)
        _ring(backend)
    _tell(session, target, limit)


def _check_name(session: Session, backend: SessionBackend, kind: str, name: str) -> None:
    """Refuse a name that nobody has used: it would be a typo that limits nothing."""
    if kind == "queue":
        check_queue(session, backend.store, name)
    elif kind == "task":
        check_limited_task(backend.store, name)


def _ring(backend: SessionBackend) -> None:
    """Have the workers look at waiting jobs again."""
    backend.notifier.ring(backend.store.queues.names())


def _tell(session: Session, target: tuple[str, str], limit: Limit) -> None:
    shown = ":".join(target)
    session.tell({"target": shown, **limit.to_plain()}, f"{shown}: {limit}")


def _row(limit: LimitStatus) -> Sequence[Any]:
    by = f"set by {limit.set_by}" if limit.set_by else "code"
    return (
        limit.target, limit.key, str(limit.limit), limit.running, limit.waiting, _start(limit), by,
    )  # fmt: skip


def _start(limit: LimitStatus) -> str:
    """When the rate and the running jobs allow the next start."""
    most = limit.limit.max_running
    if most == 0:
        return "never"
    if most is not None and limit.running >= most:
        return "when one ends"
    return "now" if limit.next_start <= 0 else f"in {limit.next_start:.1f} s"


_LIMITS = TableView(
    ("target", "key", "limit", "running", "waiting", "next start", "from"), _row, limit_json
)
