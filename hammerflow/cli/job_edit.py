"""``hammerflow job edit`` and ``job purge``: change a job before it runs, remove others."""

from __future__ import annotations

import contextlib
from typing import Any

import click

from hammerflow.admin.bulk import purge_count, purge_filter, purge_walk
from hammerflow.admin.edits import edit_of_arguments, kept_keys_text
from hammerflow.admin.ids import get_job
from hammerflow.cli import options
from hammerflow.cli.calls import parsed_json
from hammerflow.cli.confirming import confirm
from hammerflow.cli.known_names import check_queue
from hammerflow.cli.session import Session
from hammerflow.jobs.job import Job, Priority
from hammerflow.jobs.retention import KEPT_STATES
from hammerflow.stores.dead_letters import JobChange
from hammerflow.text import counted, user_at_host

__all__ = ["edit", "purge"]

#: Seconds for which jobs are counted before a person is asked: no index knows those that match.
_COUNT_SECONDS = 0.1
_NOT_WHOLE = f"; counting stopped after {_COUNT_SECONDS:g} s, and --exact counts all"


@click.command("edit")
@options.job_argument
@options.json_option("--args", "args_text", help="The new positional arguments, as a list.")
@options.json_option("--kwargs", "kwargs_text", help="The new keyword arguments, as an object.")
@options.name_option("--queue", help="Move it to this queue.")
@options.flag("--new-queue", help="The queue need not exist yet.")
@options.new_priority
@options.shared
def edit(
    session: Session, job_id: str, args_text: str | None, kwargs_text: str | None,
    queue: str | None, new_queue: bool, priority: Priority | None,
) -> None:  # fmt: skip
    """Change the arguments, queue or priority of a job that has not started.

    Arguments are checked like those of a new call, and may also be changed if the job did not
    complete. An option that is left out changes nothing; all are applied at once, or none. Keys
    that the task makes from the arguments (unique, limit_key, fair_by) follow them; others stay,
    and the answer says so.

    \b
    Examples:
      hammerflow -A shop:app job edit 0193 --args '[3, 4]'
      hammerflow job edit 0193 --queue mail --priority high
    """
    is_edited = args_text is not None or kwargs_text is not None
    is_moved = queue is not None or priority is not None
    if not (is_edited or is_moved):
        raise click.UsageError("give --args, --kwargs, --queue or --priority")
    opened: Any = contextlib.closing(session.app) if is_edited else session.backend()
    with opened as backend:
        job = get_job(backend.store, job_id)
        if queue is not None and not new_queue:
            remedy = "give --new-queue if it is meant to be new"
            check_queue(session, backend.store, queue, remedy=remedy)
        change = JobChange(user_at_host())
        if is_edited:
            change = _arguments(backend, job, args_text, kwargs_text)
        change = change._replace(queue=queue, priority=priority)
        kept, ready = backend.store.dead_letters.edit(job.id.bytes, change)
        backend.notifier.ring(ready)
    done = [f"the arguments of job {job.id} were changed"] if is_edited else []
    done += [kept_keys_text(kept)] if kept else []
    if is_moved:
        place = "" if queue is None else f" to queue {queue}"
        rank = "" if priority is None else f" at priority {priority.name.lower()}"
        done.append(f"job {job.id} was moved{place}{rank}")
    told = {"id": job.id, "edited": is_edited, "moved": is_moved, "kept_keys": [*kept]}
    session.tell(told, "; ".join(done))


def _arguments(app: Any, job: Job, args_text: str | None, kwargs_text: str | None) -> JobChange:
    args = None if args_text is None else parsed_json(app, args_text, list, "--args")
    kwargs = None if kwargs_text is None else parsed_json(app, kwargs_text, dict, "--kwargs")
    try:
        return edit_of_arguments(app, job, args, kwargs, by=user_at_host())
    except TypeError as error:  # in Python's own words
        raise click.ClickException(str(error)) from error


@click.command("purge")
@options.choice_option("--state", values=KEPT_STATES, help="Only jobs in this end state.")
@options.only_queue
@options.name_option("--task", help="Only calls of this task.")
@options.seconds_option(
    "--older-than",
    "age",
    default=0.0,
    help="Only jobs that ended this long ago or earlier: 12h, 7d, seconds.",
)
@options.flag("--all", "is_all", help="All ended jobs.")
@options.flag("--dry-run", help="Count the jobs for a short time, and change nothing.")
@options.exact
@options.flag("--yes", help="Do not ask.")
@options.shared
def purge(
    session: Session, state: str | None, queue: str | None, task: str | None, age: float,
    is_all: bool, dry_run: bool, is_exact: bool, yes: bool,
) -> None:  # fmt: skip
    """Remove ended jobs before their retention is over, with everything known about them.

    A workflow or spawn tree is only removed as a whole: if all of its jobs match. Jobs that a job,
    workflow or retry may still read stay.

    \b
    Example:
      hammerflow job purge --state completed --queue mail --older-than 1d
    """
    if not (is_all or state or queue or task or age):
        raise click.UsageError("say which: --state, --queue, --task, --older-than, or --all")
    wanted = purge_filter(state, queue, task, age)
    with session.store() as store:
        if queue is not None:
            check_queue(session, store, queue)
        if dry_run:
            number, is_whole = purge_count(store, wanted, None if is_exact else _COUNT_SECONDS)
            said = f"{_amount(number, is_whole)} would be removed{'' if is_whole else _NOT_WHOLE}"
            session.tell({"matching": number, "is_whole": is_whole}, said)
            return
        if not yes:
            number, is_whole = purge_count(store, wanted, None if is_exact else _COUNT_SECONDS)
            if number or not is_whole:
                confirm(session, f"remove {_amount(number, is_whole)} for good", yes=False)
        removed = sum(count for count, _ in purge_walk(store, wanted))
    session.tell({"removed": removed}, f"removed {counted(removed, 'ended job')}")


def _amount(number: int, is_whole: bool) -> str:
    return f"{'' if is_whole else 'at least '}{counted(number, 'ended job')}"
