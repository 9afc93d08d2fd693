"""``hammerflow job dead``: failed and parked jobs are counted, and run again."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any

import click

from hammerflow.admin.bulk import undo_operation
from hammerflow.admin.dead_letters import NEWEST, DeadCount, DeadFilter, dead_counts
from hammerflow.admin.ids import find_operation, get_job
from hammerflow.admin.job_filter import JobFilter, filter_page
from hammerflow.admin.pauses import held_by, held_json, held_text
from hammerflow.cli import job_view, options, output
from hammerflow.cli.confirming import confirm
from hammerflow.cli.job_filter import filter_options, since_option, until_option
from hammerflow.cli.known_names import check_queue, warn_of_queue
from hammerflow.cli.paging import pages_of, tell_cut
from hammerflow.cli.session import Session, SessionBackend
from hammerflow.durations import age
from hammerflow.errors import HammerflowError
from hammerflow.ids import new_id
from hammerflow.jobs.job import Job, JobState
from hammerflow.options.checks import Unfit, ValueCheck
from hammerflow.stores.store import Store
from hammerflow.text import counted, user_at_host

__all__ = ["command"]

_DEAD = (JobState.FAILED, JobState.PARKED)
_PAGE = 500


@click.group("dead")
def command() -> None:
    """Count, show and replay dead letters: jobs that have failed for good, or are parked."""


_COUNTS: output.TableView[DeadCount] = output.TableView(
    ("by", "value", "jobs", "last", "example"),
    lambda count: (count.by, count.value, count.jobs, age(count.last), count.example),
    lambda count: count._asdict(),
)


@command.command("list")
@options.only_queue
@options.name_option("--task", help="Only calls of this task.")
@options.name_option("--error", help="Only this type of error, or reason of parking.")
@since_option
@until_option
@options.shared
def list_dead(
    session: Session, queue: str | None, task: str | None, error: str | None,
    since: datetime | None, until: datetime | None,
) -> None:  # fmt: skip
    """Count dead letters by error, by task and by day.

    It counts the failed jobs among the newest 3 000 errors, and the newest 3 000 parked jobs. For
    the jobs themselves see hammerflow job list --state failed.
    """
    wanted = DeadFilter(queue, task, error, since, until)
    with session.store() as store:
        warn_of_queue(session, store, queue)
        counts, is_whole = dead_counts(store, wanted)
    session.show_list(counts, _COUNTS, empty="there are no dead letters")
    if not is_whole:
        tell_cut(
            session, f"only the newest {NEWEST:,} errors and {NEWEST:,} parked jobs are counted"
        )


@command.command("show")
@options.job_argument
@options.shared
def show(session: Session, job_id: str) -> None:
    """Show everything about a dead letter, as job show does; another job is refused."""
    with session.store() as store:
        job = get_job(store, job_id)
        if job.state not in _DEAD:
            raise HammerflowError(
                f"job {job.id} is {job.state}, and dead letters are failed or parked"
            )
        view = job_view.view_of(session, store, job)
    session.show_facts(view.as_json, view.facts)


def _rate(value: Any) -> float:
    parts = re.fullmatch(r"([1-9][0-9]{0,5})/([smh])", value, re.ASCII) if value else None
    if parts is None:
        raise Unfit
    return int(parts[1]) / {"s": 1, "m": 60, "h": 3600}[parts[2]]


_RATE = ValueCheck("str", "a number of jobs for a second, minute or hour, such as 100/m", _rate)


@command.command("replay")
@options.argument("job_ids", metavar="[ID]...", nargs=-1)
@options.flag("--all", "is_all", help="All dead letters.")
@options.only_queue
@options.name_option("--task", help="Only calls of this task.")
@filter_options
@options.checked(
    "--rate",
    check=_RATE,
    metavar="N/UNIT",
    help="Let N jobs start per second, minute or hour, such as 100/m [default: at once].",
)
@options.flag("--dry-run", help="Say what would run again, and change nothing.")
@options.flag("--yes", help="Do not ask.")
@options.shared
def replay(
    session: Session, job_ids: tuple[str, ...], is_all: bool, rate: float | None, dry_run: bool,
    yes: bool, queue: str | None, task: str | None, **wanted: Any,
) -> int:  # fmt: skip
    """Run dead letters again, with all their attempts, and their times counted from now.

    Select them by their IDs, by filters or by --all. Jobs whose unique key another job holds are
    listed with that job, and stay. job dead undo, with the printed operation, puts back the jobs
    that have not started.

    \b
    Examples:
      hammerflow job dead replay --task shop.resize --error ConnectionError --dry-run
      hammerflow job dead replay --all --rate 100/m --yes
    """
    filters = JobFilter(**wanted)
    if bool(job_ids) + bool(is_all) + bool(filters or queue or task) != 1:
        raise click.UsageError("name jobs by their IDs, by filters, or by --all")
    chosen = {"queue": queue, "task": task}
    with session.backend() as backend:
        if queue is not None:
            check_queue(session, backend.store, queue)
        jobs = (
            _named(backend.store, job_ids) if job_ids else _found(session, backend, filters, chosen)
        )
        if dry_run:
            refused = dict(_conflicts(backend.store, jobs))
            return _tell(session, None, jobs, refused, backend.store)
        if not jobs:
            session.tell(
                {"operation": None, "replayed": 0, "paused": [], "refused": []}, "no matching jobs"
            )
            return 0
        confirm(session, f"replay {counted(len(jobs), 'job')}", yes=yes or len(job_ids) == 1)
        operation, refused = new_id(), {}
        for number, job in enumerate(jobs):
            delay = (number - len(refused)) / rate if rate else 0.0
            if error := _replay(backend, job, operation, delay):
                refused[job.id.bytes] = error
        return _tell(session, operation, jobs, refused, backend.store)


def _named(store: Store, given: Iterable[str]) -> list[Job]:
    jobs = [get_job(store, each) for each in given]
    return list({job.id: job for job in jobs}.values())


def _found(
    session: Session, backend: SessionBackend, filters: JobFilter, chosen: dict[str, Any]
) -> list[Job]:
    """All matching dead letters, the oldest first."""
    found: list[Job] = []
    for state in _DEAD:
        where = {**chosen, "state": state}
        pages = pages_of(
            lambda mark, most, where=where: filter_page(  # type: ignore[misc]
                backend.store, session.codec, filters, where, most, mark
            ),
            limit=None,
        )
        found += [job for page in pages for job in page.rows]
    return sorted(found, key=lambda job: job.id)


def _replay(backend: SessionBackend, job: Job, operation: bytes, delay: float) -> str:
    """Replay one job; why it was refused, if it was."""
    try:
        settled = backend.store.dead_letters.replay(job.id.bytes, user_at_host(), operation, delay)
    except HammerflowError as error:
        return str(error)
    backend.notifier.ring(settled.queues)
    return ""


def _conflicts(store: Store, jobs: Sequence[Job]) -> Iterator[tuple[bytes, str]]:
    """The jobs that a replay would refuse, and why."""
    taken: dict[str, bytes] = {}
    for at in range(0, len(jobs), _PAGE):
        page = jobs[at : at + _PAGE]
        keys = store.dead_letters.keys_of([job.id.bytes for job in page])
        taken |= store.unique_keys.holders(keys.values())
        for job in page:
            if job.state not in (*_DEAD, JobState.CANCELLED, JobState.SKIPPED):
                yield job.id.bytes, f"job {job.id} is {job.state}"
                continue
            key = keys.get(job.id.bytes)
            holder = None if key is None else taken.setdefault(key, job.id.bytes)
            if holder is not None and holder != job.id.bytes:
                name = output.id_text(holder)
                yield job.id.bytes, f"the unique key {key!r} is held by job {name}"


def _tell(
    session: Session, operation: bytes | None, jobs: Sequence[Job], refused: dict[bytes, str],
    store: Store,
) -> int:  # fmt: skip
    verb = "replayed" if operation is not None else "would replay"
    replayed = len(jobs) - len(refused)
    held = held_by(store, [(j.queue, j.task) for j in jobs if j.id.bytes not in refused])
    lines = [f"{verb} {counted(replayed, 'job')}", *held_text(held)]
    lines += [f"{output.id_text(id_)}  refused: {error}" for id_, error in refused.items()]
    if operation is not None and replayed:
        name = output.id_text(operation)
        lines.append(f"undo what has not started: hammerflow job dead undo {name}")
    session.tell(
        {
            "operation": operation, "replayed": replayed, "paused": held_json(held),
            "refused": [{"id": id_, "error": error} for id_, error in refused.items()],
        },
        *lines,
    )  # fmt: skip
    return int(bool(refused) and operation is not None)


@command.command("undo")
@options.argument("operation", metavar="OPERATION")
@options.shared
def undo(session: Session, operation: str) -> None:
    """Put the jobs of a replay back that have not started since.

    They are failed or parked as before. Jobs that have started go on.
    """
    with session.backend() as backend:
        key = find_operation(backend.store, operation)
        undone, started = undo_operation(backend, key)
    session.tell(
        {"operation": key, "undone": undone, "started": started},
        f"put {counted(undone, 'job')} back; {counted(started, 'job')} had started",
    )
