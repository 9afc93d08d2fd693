"""``hammerflow archive``: how long ended jobs are kept, their removal, and the archive."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import click

from hammerflow.admin.archive import policies
from hammerflow.cli import archived
from hammerflow.cli.confirming import confirm
from hammerflow.cli.known_names import check_queue
from hammerflow.cli.options import checked, flag, name_option, shared
from hammerflow.cli.output import TableView, local_time
from hammerflow.cli.progress_line import ProgressLine
from hammerflow.cli.session import Session
from hammerflow.durations import duration_text
from hammerflow.ids import time_of
from hammerflow.jobs.retention import KEPT_STATES, Lifetimes
from hammerflow.options.checks import LATEST, lifetime
from hammerflow.stores.diagnosis.diagnostics import Diagnostics
from hammerflow.stores.retention.retention import DeclaredLifetimes, Walk
from hammerflow.stores.store import Store
from hammerflow.text import counted

__all__ = ["command"]

_CHECK = lifetime()
#: As the setting, but ``never`` stays a word: None means here that the flag was not given.
_LIFETIME = dataclasses.replace(
    _CHECK, read=lambda value: "never" if (found := _CHECK.read(value)) is None else found
)


@click.group("archive")
def command() -> None:
    """Say how long ended jobs are kept; list, restore and purge archived jobs."""


for each in (
    archived.list_archived,
    archived.show,
    archived.restore,
    archived.purge,
    archived.export,
):
    command.add_command(each)


def _lifetime_options(target: Any) -> Any:
    for state in reversed(KEPT_STATES):
        target = checked(
            f"--{state}", check=_LIFETIME, metavar="DURATION",
            help=f"Keep {state} jobs of the queue for this long, then delete them: 12h, 7d or "
                 'seconds; "archive after 7d"; or never.',
        )(target)  # fmt: skip
    return target


@command.command("policy")
@name_option("--queue", help="Change the policy of this queue.")
@_lifetime_options
@flag("--reset", help="Remove the policy of the queue.")
@shared
def policy(session: Session, queue: str | None, reset: bool, **given: float | str | None) -> None:
    """Show how long ended jobs are kept, or set it for a queue.

    A queue's policy overrides a task's retention=, which overrides the settings. Workers follow
    within a minute.

    \b
    Examples:
      hammerflow archive policy
      hammerflow archive policy --queue mail --completed 12h --failed "archive after 30d"
    """
    changes = {
        state: None if value == "never" else value
        for state, value in given.items()
        if value is not None
    }
    if queue is None and (changes or reset):
        raise click.UsageError("name the queue to change: --queue NAME")
    if changes and reset:
        raise click.UsageError("give durations or --reset, not both")
    with session.store() as store:
        if queue is not None:
            check_queue(session, store, queue)
            if changes or reset:
                _set(store, queue, changes)
        session.show_list(policies(store, session.settings.retention, queue), _POLICIES, empty="")


def _set(store: Store, queue: str, changes: Lifetimes) -> None:
    """Change some lifetimes of a queue; none of them means all are forgotten."""
    found = {each.name: each.lifetimes for each in store.retention.declared() if _is_queue(each)}
    before = found.get(queue, {}) if changes else {}
    store.retention.keep_queue(queue, {**before, **changes})


def _is_queue(declared: DeclaredLifetimes) -> bool:
    return declared.kind == "queue"


def _policy_row(each: DeclaredLifetimes) -> Sequence[Any]:
    return (each.kind, each.name, *(_shown(each.lifetimes, state) for state in KEPT_STATES))


def _shown(lifetimes: Lifetimes, state: str) -> str:
    if state not in lifetimes:
        return ""
    match lifetimes[state]:
        case None:
            return "never"
        case str(text):
            return text
        case seconds:
            return duration_text(seconds)


_POLICIES = TableView(
    ("of", "name", *KEPT_STATES), _policy_row, lambda each: each._asdict()
)  # fmt: skip


@command.command("run")
@flag("--dry-run", help="Count the jobs, and change nothing.")
@flag("--yes", help="Do not ask.")
@shared
def run(session: Session, dry_run: bool, yes: bool) -> None:
    """Delete or archive the ended jobs that are past their retention, now and at full speed.

    Workers do the same, slowly. Jobs that a job, workflow or retry may still read stay.
    """
    with session.store() as store:
        found = _walked(session, store, Walk(is_trial=True))
        if dry_run:
            session.tell(
                {"due": found.removed, "to_archive": found.archived},
                *_sentences(found, "would be removed", "would be archived"),
            )
            return
        if found.removed or found.archived:
            deeds = [f"remove {counted(found.removed, 'ended job')}"] * bool(found.removed)
            deeds += [f"archive {counted(found.archived, 'ended job')}"] * bool(found.archived)
            confirm(session, " and ".join(deeds), yes=yes)
            found = _walked(session, store, Walk(), of=found.removed + found.archived)
    session.tell(
        {"removed": found.removed, "archived": found.archived},
        *_sentences(found, "removed", "archived"),
    )


def _sentences(walk: Walk, removed: str, archived: str) -> list[str]:
    """What a walk did, or would do; one about the archive only where it has one."""
    found = [f"{counted(walk.removed, 'job')} {removed}"]
    return found + [f"{counted(walk.archived, 'job')} {archived}"] * bool(walk.archived)


def _walked(session: Session, store: Store, walk: Walk, of: int = 0) -> Walk:
    policy = store.retention.policy(session.settings.retention)
    line = ProgressLine(session, of)
    while not walk.is_over:
        store.retention.step(walk, policy)
        if of:
            line.show(walk.removed + walk.archived)
    line.end()
    return walk


@command.command("stats")
@shared
def stats(session: Session) -> None:
    """Show what retention has deleted and archived, and how large the tables are.

    Numbers of rows are the database's estimates.
    """
    with session.store() as store:
        progress, sizes = store.retention.progress(), Diagnostics(store.database).sizes()
        counts = store.archive.counts()
    position = progress.position if progress else None
    total = sum(table.size for table in sizes)
    as_json = {
        "removed": progress.removed if progress else 0,
        "walked_at": progress and progress.walked_at,
        "is_walking": position is not None,
        "walking_at": position and _made_at(position),
        "archive": {**counts._asdict(), "now": counts.now},
        "bytes": total, "tables": [table._asdict() for table in sizes if table.name],
    }  # fmt: skip
    facts = {
        "removed": counted(progress.removed if progress else 0, "job"),
        "archived": f"{counted(counts.now, 'job')} now; {counts.archived:,} in all, of which "
        f"{counts.restored:,} were restored and {counts.purged:,} purged",
        "kept": "until it is purged"
        if (ttl := session.settings.archive_ttl) is None
        else f"{duration_text(ttl)} after its end",
        "last walk": progress.walked_at or "not over yet" if progress else "no worker has begun",
        "walk under way": position and f"at jobs of {local_time(_made_at(position))}",
        "size": f"{total / 2**20:,.1f} MiB",
    }
    rows = [
        (table.name, f"{table.size / 2**20:,.1f}", f"{table.rows:,}")
        for table in sizes
        if table.rows is not None
    ]
    session.show_facts(as_json, facts, (("table", "MiB", "rows"), rows))


def _made_at(id_: bytes) -> datetime:
    """When a job with this id was enqueued; ids that users gave are in the far future."""
    return datetime.fromtimestamp(min(time_of(id_), LATEST.timestamp()), UTC)
