"""``hammerflow queue``: list, pause, resume, watch and clear queues."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from functools import partial

import click

from hammerflow.admin.queues import figures_of, healths_of
from hammerflow.cli.confirming import confirm
from hammerflow.cli.known_names import check_queue
from hammerflow.cli.options import (
    SHOWN,
    argument,
    flag,
    last_hours,
    limit,
    shared,
    text_option,
)
from hammerflow.cli.paging import tell_cut
from hammerflow.cli.queue_view import QUEUES, STATS, count_text
from hammerflow.cli.session import Session
from hammerflow.cli.statistics_view import NO_JOBS, summary_view
from hammerflow.ids import name_id
from hammerflow.options.checks import NAME_CHECK
from hammerflow.results.pauses import pause as pause_jobs
from hammerflow.results.pauses import resume as resume_jobs
from hammerflow.results.statistics import queue_totals
from hammerflow.results.waiting import announce
from hammerflow.stores.pauses import PauseKind
from hammerflow.stores.statistics.queue_stats import BOUND
from hammerflow.stores.store import Store
from hammerflow.text import counted, user_at_host

__all__ = ["command"]

_CHUNK = 500  # jobs
_NO_QUEUES = "there are no queues: no job was ever enqueued"


@click.group("queue")
def command() -> None:
    """List, pause, resume, watch and clear queues."""


@command.command("list")
@shared
def list_queues(session: Session) -> None:
    """List the queues, with the number of jobs in each state and who paused them.

    Counts stop at 10 000: "10,000+" is a lower bound; JSON names such counts in at_least.
    """
    with session.store() as store:
        queues = store.queue_stats.depths()
    session.show_list(queues, QUEUES, empty=_NO_QUEUES)


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
        pause_jobs(backend, PauseKind.QUEUE, name, by=user_at_host(), reason=reason)
    session.tell({"queue": name, "paused": True}, f"queue {name} is paused")


@command.command("resume")
@argument("name", NAME_CHECK)
@shared
def resume(session: Session, name: str) -> None:
    """Let workers start the jobs of a paused queue again."""
    with session.backend() as backend:
        check_queue(session, backend.store, name)
        resume_jobs(backend, PauseKind.QUEUE, name)
    session.tell({"queue": name, "paused": False}, f"queue {name} is open")


@command.command("stats")
@argument("name", NAME_CHECK, required=False)
@last_hours(default=None)
@limit(None, "With --hours, show at most this many queues.")
@text_option("--after", default="", show_default=False, help="Only names after this one.")
@shared
def stats(
    session: Session, name: str | None, hours: float | None, limit: int | None, after: str
) -> None:
    """Show depths, the age of the oldest ready job, and the rates of each queue or of one.

    Depths are counted up to 10 000. The rate of new jobs is that of the last minute, from the
    newest 10 000 jobs; the rate of ended jobs comes from the latest heartbeats of the live workers.

    With --hours: how many jobs of each queue were enqueued and ended in that time, and how long
    they waited and ran, as in task stats.
    """
    if hours is None and (limit or after):
        raise click.UsageError("--limit and --after are for --hours: add it")
    with session.store() as store:
        if name is not None:
            check_queue(session, store, name)
        if hours is not None:
            queues = store.queues.registered() if name is None else [name]
            _show_past(session, store, hours * 3600, queues, limit, after)
            return
        found = figures_of(store, lease=session.settings.lease, name=name)
    session.show_list(found, STATS, empty=_NO_QUEUES)


def _show_past(
    session: Session, store: Store, seconds: float, queues: Sequence[str], limit: int | None,
    after: str,
) -> None:  # fmt: skip
    """Show a page of what became of jobs: of a thousand queues that is much to read."""
    rest = [name for name in queues if name > after]
    most = limit or (len(rest) if session.as_json else SHOWN)
    past = queue_totals(store, seconds, queues=rest[:most])
    session.show_list(past, summary_view("queue"), empty=NO_JOBS)
    if len(rest) > most:
        last = rest[most - 1]
        tell_cut(session, f"there are more queues: add --after {shlex.quote(last)}", next=last)


@command.command("health")
@argument("name", NAME_CHECK, required=False)
@shared
def health(session: Session, name: str | None) -> int:
    """Say whether the jobs of each queue, or of one, are being run, and what to do if not.

    The exit code is 1 if ready jobs of a queue cannot start: it, the app or the task is paused, no
    live worker serves it or knows the task, or a limit allows no job.
    """
    with session.store() as store:
        if name is not None:
            check_queue(session, store, name)
        lease = session.settings.lease
        found = healths_of(store, figures_of(store, lease=lease, name=name), lease=lease)
    heads, rows = ("queue", "status", "says", "note"), [tuple(one) for one in found]
    plain = [one._asdict() for one in found]
    session.show_table(plain, (heads, rows), empty=_NO_QUEUES)
    return int(any(one.status == "fail" for one in found))


@command.command("clear")
@argument("name", NAME_CHECK)
@text_option("--reason", default="the queue was cleared", help="Why; kept in the database.")
@flag("--dry-run", help="Only say how many jobs it would cancel.")
@flag("--yes", help="Do not ask.")
@shared
def clear(session: Session, name: str, reason: str, dry_run: bool, yes: bool) -> None:
    """Cancel the ready jobs of a queue.

    Running, waiting and scheduled jobs stay, and so do schedules. A job that arrives while the
    queue is being cleared may stay, too: to avoid that, pause the queue first.
    """
    with session.backend() as backend:
        store = backend.store
        check_queue(session, store, name)
        count = store.queue_stats.ready(name_id(name))
        jobs = f"{count_text(count, BOUND)} ready job{'' if count == 1 else 's'} of queue {name}"
        if dry_run:
            session.tell({"queue": name, "ready": count}, f"this would cancel {jobs}")
            return
        confirm(session, f"cancel {jobs}", yes=yes)
        then, cancelled = partial(announce, backend), 0
        for job_id in _ready_ids(store, name):
            state = store.jobs.cancel(job_id, reason, then=then)
            cancelled += state is not None and state == "cancelled"
    says = f"cancelled {counted(cancelled, 'job')} of queue {name}"
    session.tell({"queue": name, "cancelled": cancelled}, says)


def _ready_ids(store: Store, name: str) -> Iterator[bytes]:
    """The ready jobs of now, each once, in the order of claims; those that come meanwhile, too, if
    they come behind."""
    after = (-1, bytes(16))
    while page := store.queue_stats.ready_page(name_id(name), after=after, limit=_CHUNK):
        after = page[-1]
        yield from (job_id for _, job_id in page)
