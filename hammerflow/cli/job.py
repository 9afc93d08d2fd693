"""``hammerflow job``: list, show, enqueue, retry and cancel jobs."""

from __future__ import annotations

import contextlib
import itertools
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import click

from hammerflow.admin.bulk import CANCELLABLE, RETRIABLE, Selection
from hammerflow.admin.dependencies import dependencies_of
from hammerflow.admin.ids import find_job, get_job, page_mark
from hammerflow.admin.job_filter import chosen_jobs, filter_page
from hammerflow.admin.jobs import JobLine, job_lines
from hammerflow.admin.page import Page
from hammerflow.cli import dead, job_edit, job_logs, job_view, options, output
from hammerflow.cli.bulk import Answer, cancel_words, run_in_bulk, told
from hammerflow.cli.calls import check_task, check_values, parsed_json
from hammerflow.cli.job_export import CSV_COLUMNS, export
from hammerflow.cli.job_filter import job_options
from hammerflow.cli.known_names import check_queue, warn_of_queue
from hammerflow.cli.paging import show_listing
from hammerflow.cli.session import Session, SessionBackend
from hammerflow.errors import HammerflowError
from hammerflow.jobs.job import JobState
from hammerflow.options.checks import NAME_CHECK
from hammerflow.results.result import Result
from hammerflow.results.waiting import announce
from hammerflow.stores.cancellations import Told
from hammerflow.text import safe_repr

__all__ = ["command"]

_LONGEST_RESULT = 1_000_000  # characters that enqueue --wait prints
_NEIGHBOURS = 20  # jobs that show names on each side
_job_ids = options.argument("job_ids", metavar="[ID]...", nargs=-1)


@click.group("job")
def command() -> None:
    """List, show, enqueue, retry and cancel jobs.

    An ID may be any unique prefix of a job's id, with or without dashes: 4 digits or more.
    """


command.add_command(dead.command)
command.add_command(job_edit.edit)
command.add_command(job_edit.purge)
command.add_command(job_logs.logs)
command.add_command(export)


@command.command("list")
@job_options
@options.flag("--csv", "as_csv", help="Print CSV with a head, for spreadsheets.")
@options.limit(None, "Show at most this many jobs.")
@options.before("jobs")
@options.shared
def list_jobs(
    session: Session, limit: int | None, before: str | None, as_csv: bool, **given: Any
) -> None:
    """List jobs, newest first.

    If the list is cut, a note on standard error says how to continue.

    \b
    Examples:
      hammerflow job list --state failed --task shop.resize --since 2h --error ValueError
      hammerflow job list --json | jq -r '.[].id'
      hammerflow job list --state completed --csv > completed.csv
    """
    wanted, chosen = chosen_jobs(given)
    with session.store() as store:

        def read(mark: bytes | None, most: int) -> Page[JobLine]:
            page = filter_page(store, session.codec, wanted, chosen, most, mark)
            return Page(job_lines(store, page.rows, session.max_attempts), *page[1:])

        mark = page_mark(find_job, store, before)
        if not (session.as_json or as_csv):
            mark = mark or wanted.newest
        warn_of_queue(session, store, chosen["queue"])
        show_listing(
            session, read, job_view.JOBS,
            noun="jobs", limit=limit, before=mark, empty="no matching jobs",
            csv=CSV_COLUMNS if as_csv else (),
        )  # fmt: skip


@command.command("show")
@options.job_argument
@options.flag("--include-dependencies", help="Show what it waits for and what waits for it, too.")
@options.shared
def show(session: Session, job_id: str, include_dependencies: bool) -> None:
    """Show everything about one job."""
    with session.store() as store:
        job = get_job(store, job_id)
        view = job_view.view_of(session, store, job)
        if include_dependencies:
            near = dependencies_of(store, job.id.bytes, _NEIGHBOURS)
            view.as_json["dependencies"] = near.as_json()
            view.facts.update(near.facts())
    session.show_facts(view.as_json, view.facts)


@command.command("enqueue")
@options.argument("task", NAME_CHECK)
@options.json_option(
    "--args", "args_text", default="[]", help="The positional arguments, as a list: '[1, 2]'."
)
@options.json_option(
    "--kwargs", "kwargs_text", default="{}", help="The keyword arguments: '{\"x\": 1}'."
)
@options.name_option("--queue", help="The queue [default: the task's].")
@options.flag("--new-queue", help="The queue need not exist yet.")
@options.priority_option
@options.seconds_option(
    "--countdown", "delay", help="Start no earlier than in SECONDS [default: at once]."
)
@click.option(
    "--job-id", type=click.UUID, metavar="UUID",
    help="The job's id; a second job with the same id is not written [default: a new id].",
)  # fmt: skip
@options.name_option("--unique-key", help="Write it only if no unfinished job has this key.")
@options.seconds_option("--wait", help="Wait for the result and print it [default: print the id].")
@options.shared
def enqueue(
    session: Session, task: str, args_text: str, kwargs_text: str, wait: float | None,
    new_queue: bool, **given: Any,
) -> None:  # fmt: skip
    """Enqueue one call of a task of the app and print the job's id.

    The arguments are checked first. The JSON may hold the codec's tags for other types.

    \b
    Examples:
      hammerflow -A shop:app job enqueue shop.add --args '[2, 3]' --wait 5
      hammerflow -A shop:app job enqueue shop.remind \\
        --kwargs '{"at": {"$datetime": "2026-03-30T02:30:00+02:00"}}' --queue mail
    """
    options: Any = {name: value for name, value in given.items() if value is not None}
    with contextlib.closing(session.app) as app:
        check_task(app, task)
        args = parsed_json(app, args_text, list, "--args")
        kwargs = parsed_json(app, kwargs_text, dict, "--kwargs")
        if "queue" in options and not new_queue:
            remedy = "give --new-queue if it is meant to be new"
            check_queue(session, app.store, options["queue"], remedy=remedy)
        try:
            check_values(app, task, args, kwargs)
            result = app.enqueue(app.signature(task, args, kwargs, **options))
        except TypeError as error:  # the argument check, in Python's own words
            raise click.ClickException(str(error)) from error
        if wait is None:
            session.tell({"id": result.id}, str(result.id))
        else:
            _tell_result(session, result, wait)


@command.command("retry")
@_job_ids
@options.choice_option("--state", values=RETRIABLE, help="All jobs in this state, without IDs.")
@options.only_queue
@options.name_option("--task", help="Only calls of this task.")
@options.bulk
@options.shared
def retry(
    session: Session, job_ids: tuple[str, ...], yes: bool, dry_run: bool, **chosen: Any
) -> int:
    """Run jobs again, with all their attempts.

    The jobs must be failed, cancelled, skipped or parked. Name them by their IDs, or give --state,
    which --queue and --task narrow: then the command shows their number and asks first.

    \b
    Example:
      hammerflow job retry --state failed --task shop.resize
    """

    def replay(result: Result[Any]) -> str:
        result.retry()
        return "ready"

    if not job_ids and chosen["state"] is None:
        raise click.UsageError("name jobs by their IDs, or all of a state by --state")
    _check_choice(job_ids, chosen, dry_run=dry_run)
    if job_ids:
        return _each(session, job_ids, replay)
    with session.backend() as backend:
        selection = _selection(session, backend, chosen, RETRIABLE)
        number, newest, _ = selection.count()

        def answers() -> Iterator[Answer]:
            for job_id in selection.ids(newest):
                yield _outcome(backend, str(uuid.UUID(bytes=job_id)), replay, is_only=False)

        return run_in_bulk(session, "retry", number, answers, yes=yes, dry_run=dry_run)


@command.command("cancel")
@_job_ids
@options.choice_option("--state", values=CANCELLABLE, help="Only jobs in this state, without IDs.")
@options.only_queue
@options.name_option("--task", help="Only calls of this task.")
@options.flag("--tree", help="Also cancel everything these jobs have spawned or are spawning.")
@options.cancel_reason
@options.bulk
@options.shared
def cancel(
    session: Session, job_ids: tuple[str, ...], reason: str, tree: bool, yes: bool, dry_run: bool,
    **chosen: Any,
) -> int:  # fmt: skip
    """Cancel jobs, running ones included.

    Name them by their IDs, or select unended jobs by --state, --queue or --task. Jobs that have not
    started are cancelled at once; workers are told to stop the running ones. With filters or
    --tree the command shows the number and asks first. Jobs are cancelled 500 at a time: if the
    command is interrupted, repeat it.

    \b
    Examples:
      hammerflow job cancel --queue mail --state ready
      hammerflow job cancel 01a1fc00 --tree
    """
    if not job_ids and not any(chosen.values()):
        raise click.UsageError("name jobs by their IDs, or by --state, --queue or --task")
    if tree and not job_ids:
        raise click.UsageError("--tree needs the IDs of jobs")
    _check_choice(job_ids, chosen, dry_run=dry_run and not tree)
    if job_ids and not tree:
        return _each(session, job_ids, partial(_cancel_one, reason=reason))
    with session.backend() as backend:
        cancellations = backend.store.cancellations
        then = partial(announce, backend)
        if tree:
            roots = [find_job(backend.store, job_id) for job_id in job_ids]
            number = sum(map(cancellations.unfinished_below, roots))
            if not number and not dry_run:
                _tell_ended(session, backend, roots)
                return 0
            trees = (cancellations.of_tree(root, reason, then=then) for root in roots)
            chunks = itertools.chain.from_iterable(trees)
            answers = partial(told, _rung(backend, chunks), is_unended=True)
        else:
            selection = _selection(session, backend, chosen, CANCELLABLE)
            number, newest, _ = selection.count()
            ids = selection.ids(newest)
            answers = partial(told, _rung(backend, cancellations.of_jobs(ids, reason, then=then)))
        return run_in_bulk(session, "cancel", number, answers, yes=yes, dry_run=dry_run)


def _tell_ended(session: Session, backend: SessionBackend, roots: Sequence[bytes]) -> None:
    """Of trees whose jobs have all ended: how the first job of each has."""
    jobs = backend.store.jobs.get_many(roots)
    answers = [{"id": str(job.id), "now": str(job.state)} for job in jobs]
    if session.as_json:
        output.show_json_list(iter(answers), is_lines=session.as_lines)
    else:
        for each in answers:
            output.say(f"{each['id']}  {each['now']}, and all jobs below it have ended")


def _selection(
    session: Session, backend: SessionBackend, chosen: Mapping[str, Any], states: Iterable[JobState]
) -> Selection:
    if chosen["queue"] is not None:
        check_queue(session, backend.store, chosen["queue"])
    return Selection(backend.store, session.codec, chosen, states)


def _cancel_one(result: Result[Any], reason: str) -> str:
    state = result.cancel(reason)
    if state.is_final and state is not JobState.CANCELLED:
        raise HammerflowError(f"job {result.id} is {state} already, so there is nothing to cancel")
    return cancel_words(state)


def _rung(backend: SessionBackend, chunks: Iterable[Told]) -> Iterator[Told]:
    """Chunks of a cancel; the workers that run some of these jobs are told after each."""
    for chunk in chunks:
        if JobState.RUNNING in chunk.values():
            backend.notifier.ring_control()
        yield chunk


def _check_choice(job_ids: tuple[str, ...], chosen: Mapping[str, Any], *, dry_run: bool) -> None:
    if job_ids and any(chosen.values()):
        raise click.UsageError("give IDs or filters (--state, --queue, --task), not both")
    if job_ids and dry_run:
        raise click.UsageError("--dry-run counts what filters match: leave the IDs out")


def _each(session: Session, job_ids: tuple[str, ...], act: Callable[[Result[Any]], str]) -> int:
    """Act on each job, whether or not the ones before it failed; 1 if any failed, else 0."""
    is_failed = False

    def outcomes(backend: SessionBackend) -> Iterator[Answer]:
        nonlocal is_failed
        for given in job_ids:
            outcome = _outcome(backend, given, act, is_only=len(job_ids) == 1)
            is_failed = is_failed or "error" in outcome
            yield outcome

    with session.backend() as backend:
        if session.as_json:
            output.show_json_list(outcomes(backend), is_lines=session.as_lines)
            return int(is_failed)
        for each in outcomes(backend):
            output.say(f"{each['id']}  {each.get('now') or 'error: ' + each['error']}")
    return int(is_failed)


def _outcome(
    backend: SessionBackend, given: str, act: Callable[[Result[Any]], str], *, is_only: bool
) -> dict[str, str]:
    outcome = {"id": given}
    try:
        result: Result[Any] = Result(find_job(backend.store, given), backend)
        outcome["id"] = str(result.id)
        outcome["now"] = act(result)
    except HammerflowError as error:
        if is_only:
            raise
        outcome["error"] = str(error)
    return outcome


def _tell_result(session: Session, result: Result[Any], wait: float) -> None:
    """Wait for a job's end and print its result; the id goes to stderr at once."""
    if not session.as_json:
        click.echo(str(result.id), err=True)
    try:
        value = result.get(timeout=wait)
    except TimeoutError as error:
        raise click.ClickException(
            f"{error}; it goes on: hammerflow job show {result.id}"
        ) from None
    except KeyboardInterrupt:
        raise click.Abort(
            f"interrupted; the job goes on: hammerflow job show {result.id}"
        ) from None
    if session.as_json:
        store = session.app.store
        output.show_json(job_view.view_of(session, store, get_job(store, str(result.id))).as_json)
    else:
        output.say(safe_repr(value, _LONGEST_RESULT))
