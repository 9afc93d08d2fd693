"""``hammerflow archive list``, ``show``, ``restore`` and ``purge``: what is in the archive."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import click

from hammerflow.admin.archive import contents_json
from hammerflow.admin.ids import find_archived, page_mark
from hammerflow.admin.job_filter import WHEN
from hammerflow.admin.page import Page
from hammerflow.cli import options, output
from hammerflow.cli.archived_view import ARCHIVED, contents_facts
from hammerflow.cli.confirming import confirm
from hammerflow.cli.exporting import export_options, write_export
from hammerflow.cli.known_names import check_queue, warn_of_queue
from hammerflow.cli.paging import show_listing
from hammerflow.cli.progress_line import ProgressLine
from hammerflow.cli.session import Session
from hammerflow.errors import JobNotFound
from hammerflow.jobs.job import JobState
from hammerflow.jobs.retention import KEPT_STATES
from hammerflow.stores.retention.archive import Archived, ArchivedGroup, ArchiveFilter, Moved
from hammerflow.stores.store import Store
from hammerflow.text import counted

__all__ = ["export", "list_archived", "purge", "restore", "show"]

_CSV = (
    "id", "state", "task", "queue", "ended_at", "size", "root_id", "workflow_id", "group_id",
)  # fmt: skip
#: The columns of an export as CSV.
_EXPORT = (
    *_CSV, "archived_at", "created_at", "started_at", "finished_at", "attempt", "reason",
    "unique_key", "parent_id", "args", "kwargs", "result", "headers", "options", "errors",
)  # fmt: skip
_EXPORTED = 500  # jobs read at once
_KEEP = 7 * 86_400.0
_DAMAGED = "restore the database from a backup, or give it up with hammerflow archive purge"
_ids = options.argument("given", metavar="[ID]...", nargs=-1)


def archived_options(command: Any) -> Any:
    """``--task``, ``--queue``, ``--state``, ``--since`` and ``--until``."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


_OPTIONS = (
    options.name_option("--task", help="Only calls of this task."),
    options.only_queue,
    options.choice_option("--state", values=KEPT_STATES, help="Only jobs in this end state."),
    options.checked("--since", check=WHEN, metavar="TIME",
                    help="Only jobs that ended since then: an instant, or a duration before now "
                         "such as 90d."),
    options.checked("--until", check=WHEN, metavar="TIME", help="Likewise, before then."),
)  # fmt: skip


def archive_filter(chosen: Mapping[str, Any]) -> ArchiveFilter:
    """The filter of these options."""
    state = chosen.get("state")
    return ArchiveFilter(**{**chosen, "state": None if state is None else JobState(state)})


@click.command("list")
@archived_options
@options.flag("--csv", "as_csv", help="Print CSV with a head, for spreadsheets.")
@options.limit(None, "Show at most this many jobs.")
@options.before("jobs")
@options.shared
def list_archived(
    session: Session, as_csv: bool, limit: int | None, before: str | None, **chosen: Any
) -> None:
    """List archived jobs, newest first.

    \b
    Examples:
      hammerflow archive list --task shop.resize --state failed --since 90d
      hammerflow archive list --json | jq -r '.[].id'
    """
    wanted = archive_filter(chosen)
    with session.store() as store:

        def read(mark: bytes | None, most: int) -> Page[Archived]:
            jobs, after = store.archive.page(wanted, most, mark)
            return Page(jobs, after, is_tired=after is not None and len(jobs) < most)

        warn_of_queue(session, store, wanted.queue)
        show_listing(
            session, read, ARCHIVED,
            noun="jobs", limit=limit, before=page_mark(find_archived, store, before),
            empty="no matching jobs in the archive", csv=_CSV if as_csv else (),
        )  # fmt: skip


@click.command("show")
@options.job_argument
@options.shared
def show(session: Session, job_id: str) -> None:
    """Show everything about an archived job or workflow."""
    with session.store() as store:
        id_ = find_archived(store, job_id)
        found = next(store.archive.contents([id_]), None)
        if found is None:
            raise JobNotFound(f"job {output.id_text(id_)} was restored or purged just now")
        number = sum(group.jobs for group in store.archive.groups_of([id_]))
        session.show_facts(
            {**contents_json(session.codec, found), "group_jobs": number},
            {
                **contents_facts(session, found),
                "goes with": f"{number - 1:,} other jobs" if number > 1 else None,
            },
        )


@click.command("export")
@archived_options
@export_options
@options.shared
def export(session: Session, form: str, path: str | None, **chosen: Any) -> int:
    """Write everything about archived jobs, newest first, as JSON lines or CSV.

    Jobs in a damaged pack are skipped and named; the exit code is then 1.

    \b
    Example:
      hammerflow archive export --until 2026-01-01 --output 2025.jsonl
    """
    wanted, damaged = archive_filter(chosen), list[bytes]()
    with session.store() as store:

        def rows() -> Iterator[dict[str, Any]]:
            before, is_over = None, False
            while not is_over:
                page, before = store.archive.page(wanted, _EXPORTED, before)
                for found in store.archive.contents([each.id for each in page], damaged):
                    yield contents_json(session.codec, found)
                is_over = before is None

        if wanted.queue is not None:
            check_queue(session, store, wanted.queue)
        write_export(session, rows(), _EXPORT, form=form, path=path)
    for id_ in damaged:
        session.warn(f"left out {output.id_text(id_)}: its pack is damaged; {_DAMAGED}")
    return int(bool(damaged))


@click.command("restore")
@_ids
@archived_options
@options.flag("--all", "is_all", help="Everything in the archive.")
@options.seconds_option(
    "--keep", default=_KEEP,
    help="Exempt them from retention for this long: 12h, 7d, seconds.",
)  # fmt: skip
@options.bulk
@options.shared
def restore(
    session: Session, given: tuple[str, ...], is_all: bool, keep: float, yes: bool, dry_run: bool,
    **chosen: Any,
) -> int:  # fmt: skip
    """Bring archived jobs back, with every row as it was.

    A spawn tree or workflow comes back as a whole, whichever of its jobs was named or matches.
    Retention leaves restored jobs alone for the time given by --keep.

    \b
    Examples:
      hammerflow archive restore 0193b6d2
      hammerflow archive restore --task shop.resize --since 90d --keep 1d
    """
    with session.store() as store:
        wanted = _wanted(session, store, given, is_all, chosen)
        ids = _found(store, given)
        number = sum(group.jobs for page in _pages(store, ids, wanted) for group in page)
        if dry_run:
            session.tell({"matching": number}, f"{counted(number, 'job')} would be restored")
            return 0
        if number and not given:
            confirm(session, f"restore {counted(number, 'job')}", yes=yes)
        pages = (store.archive.restore(page, keep) for page in _pages(store, ids, wanted))
        done = _each(pages, ProgressLine(session, number))
    refused = [output.id_text(id_) for id_ in done.refused]
    damaged = [output.id_text(id_) for id_ in done.damaged]
    session.tell(
        {"restored": done.jobs, "refused": refused, "damaged": damaged},
        f"restored {counted(done.jobs, 'job')}",
        *(f"{id_}  refused: another job has this id now" for id_ in refused),
        *(f"{id_}  refused: its pack is damaged; {_DAMAGED}" for id_ in damaged),
    )
    return int(bool(refused or damaged))


@click.command("purge")
@_ids
@options.seconds_option(
    "--older-than",
    "age",
    default=0.0,
    help="Only jobs that ended this long ago or earlier: 12h, 7d, seconds.",
)
@archived_options
@options.flag("--all", "is_all", help="Everything in the archive.")
@options.flag("--damaged", help="Everything whose pack cannot be read.")
@options.bulk
@options.shared
def purge(
    session: Session, given: tuple[str, ...], age: float, is_all: bool, damaged: bool, yes: bool,
    dry_run: bool, **chosen: Any,
) -> None:  # fmt: skip
    """Delete archived jobs for good.

    A spawn tree or workflow is only purged as a whole: if all of its jobs match, or one is named.
    --damaged reads the whole archive first.

    \b
    Examples:
      hammerflow archive purge --older-than 730d
      hammerflow archive purge --task shop.resize --state completed --dry-run
    """
    if age:
        then = datetime.now(UTC) - timedelta(seconds=age)
        chosen["until"] = min(chosen["until"] or then, then)
    with session.store() as store:
        wanted = _wanted(session, store, given, is_all, chosen, damaged)
        ids = store.archive.unreadable() if damaged else _found(store, given)

        def pages() -> Iterator[list[ArchivedGroup]]:
            return _pages(store, ids, wanted, is_whole=True)

        number = sum(group.jobs for page in pages() for group in page)
        if dry_run:
            session.tell({"matching": number}, f"{counted(number, 'job')} would be purged")
            return
        if number:
            confirm(session, f"purge {counted(number, 'archived job')} for good", yes=yes)
        done = _each(map(store.archive.purge, pages()), ProgressLine(session, number))
    session.tell({"purged": done.jobs}, f"purged {counted(done.jobs, 'archived job')}")


def _wanted(
    session: Session, store: Store, given: Sequence[str], is_all: bool, chosen: Mapping[str, Any],
    is_damaged: bool = False,
) -> ArchiveFilter:  # fmt: skip
    """The filter, if the jobs were named in one way."""
    is_filtered = any(value is not None for value in chosen.values())
    if bool(given) + is_all + is_damaged + is_filtered != 1:
        raise click.UsageError("name jobs by their IDs, by filters, or by --all")
    if chosen["queue"] is not None:
        check_queue(session, store, chosen["queue"])
    return archive_filter(chosen)


def _found(store: Store, given: Sequence[str]) -> list[bytes] | None:
    """The archived jobs that were named; None if it was done otherwise."""
    return [find_archived(store, each) for each in given] if given else None


def _pages(
    store: Store, ids: Sequence[bytes] | None, wanted: ArchiveFilter, *, is_whole: bool = False
) -> Iterator[list[ArchivedGroup]]:
    if ids is not None:
        yield store.archive.groups_of(ids)
    else:
        yield from store.archive.groups(wanted, is_whole=is_whole)


def _each(pages: Iterator[Moved], line: ProgressLine) -> Moved:
    jobs, refused, damaged = 0, list[bytes](), list[bytes]()
    for page in pages:
        jobs += page.jobs
        refused += page.refused
        damaged += page.damaged
        line.show(jobs)
    line.end()
    return Moved(jobs, refused, damaged)
