"""``hammerflow batch``: create, list, show, retry, cancel and export batches."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator
from typing import Any

import click

from hammerflow.admin.ids import find_batch
from hammerflow.admin.workflows import progress_of, workflow_json
from hammerflow.cli import options, workflow_view
from hammerflow.cli.confirming import confirm
from hammerflow.cli.exporting import export_options, write_export
from hammerflow.cli.job_filter import workflow_times
from hammerflow.cli.paging import tell_cut
from hammerflow.cli.session import Session, SessionBackend
from hammerflow.cli.workflow_list import show_workflows
from hammerflow.enqueue.call_lines import CallLines
from hammerflow.errors import HammerflowError, JobNotFound, NotDecodable, WorkflowInvalid
from hammerflow.jobs.job import JobState
from hammerflow.jobs.limit import RATE, Rate
from hammerflow.jobs.status import WorkflowStatus
from hammerflow.results.workflow import BatchResult
from hammerflow.stores.pages.workflow_pages import WorkflowFilter
from hammerflow.text import counted, user_at_host
from hammerflow.workflows.options import BATCH_OPTIONS

__all__ = ["command"]

_ERRORS = 20  # that show prints
_COLUMNS = ("id", "task", "state", "attempt", "result", "error")
_batch_id = options.argument("batch_id", metavar="ID")


@click.group("batch")
def command() -> None:
    """Create, list, show, retry, cancel and export batches.

    A batch is a workflow without order: many calls handled as one. An ID may be any unique prefix
    of a batch's id, with or without dashes, of at least 4 digits.
    """


@command.command("create")
@options.path_option(
    "--file", "path", required=True, help="The calls, one JSON object per line; - reads stdin."
)
@options.of_table(BATCH_OPTIONS, "--name", metavar="NAME", default="batch")
@options.checked("--rate", check=RATE, metavar="RATE", help="How often the calls may start: 100/m.")
@options.choice_option(
    "--on-failure", values=("continue", "fail_fast", "collect"), default="continue",
    help="What a failed call means: the rest runs, the rest is cancelled, or it does not count.",
)  # fmt: skip
@options.shared
def create(session: Session, path: str, name: str, on_failure: str, rate: Rate | None) -> None:
    """Enqueue a file of calls as a batch and print the batch's id.

    A line is {"task": "shop.resize", "args": [1]}; kwargs, queue, priority, delay, timeout,
    max_attempts and headers are optional. All lines are checked first, then written in one
    transaction: an error names its line, and nothing is written.

    \b
    Examples:
      hammerflow -A shop:app batch create --file calls.jsonl --name night
      hammerflow -A shop:app batch create --file calls.jsonl --rate 100/m
      generate-calls | hammerflow -A shop:app batch create --file - --on-failure collect
    """
    rate_limit = None if rate is None else rate.text
    with contextlib.closing(session.app) as app, _opened(path) as lines:
        calls = CallLines(app, lines, "standard input" if path == "-" else path)
        result = calls.send(
            lambda given: app.batch(
                given,
                name=name,
                on_failure=on_failure,
                rate_limit=rate_limit,
            ).enqueue()
        )
        total = result.stats().total
    session.tell({"id": result.id, "name": name, "calls": total}, str(result.id))


@command.command("list")
@options.choice_option("--status", values=WorkflowStatus, help="Only batches with this status.")
@workflow_times("batches")
@options.limit(None, "Show at most this many batches.")
@options.before("batches")
@options.shared
def list_batches(
    session: Session, status: str | None, limit: int | None, before: str | None, **times: Any
) -> None:
    """List batches, newest first."""
    chosen = None if status is None else WorkflowStatus(status)
    wanted = WorkflowFilter(chosen, "batch", **times)
    show_workflows(session, wanted, find_batch, noun="batches", limit=limit, before=before)


@command.command("show")
@_batch_id
@options.exact
@options.shared
def show(session: Session, batch_id: str, is_exact: bool) -> None:
    """Show a batch: its progress, its rate, how many calls are in each state, first errors."""
    with _found(session, batch_id) as (backend, result):
        row, progress = result.row(), progress_of(backend.store, result, is_exact=is_exact)
        stats, found = progress.stats, progress.errors
        limit = backend.store.limits.of_batch(row.id)
        age = result.seconds() if progress.is_whole else None
        rate = stats.ended / age if age else None
    errors = {str(id_): error for id_, error in itertools.islice(found.items(), _ERRORS)}
    lines = [*map(": ".join, errors.items())]
    if len(found) > _ERRORS:
        lines.append(f"and more: hammerflow batch export {result.id}")
    session.show_facts(
        workflow_json(row)
        | {"stats": progress.as_json(), "per_second": rate, "errors": errors}
        | {"limit": limit and limit.to_plain()},
        workflow_view.workflow_facts(row, stats)
        | {"limit": limit and str(limit), "per second": None if rate is None else f"{rate:.3g}"}
        | {"errors": "\n".join(lines)},
    )
    if not progress.is_whole:
        tell_cut(session, f"{progress.note}; --exact counts all")


@command.command("retry")
@_batch_id
@options.bulk
@options.shared
def retry(session: Session, batch_id: str, yes: bool, dry_run: bool) -> None:
    """Run the failed and cancelled calls of a batch again, with all their attempts."""
    with _found(session, batch_id) as (_, result):
        stats = result.stats()
        number = stats.failed + stats.cancelled
        if not _asked(session, "retry", number, yes=yes, dry_run=dry_run):
            return
        result.retry(by=user_at_host())
        _tell(session, result, {"retried": number}, f"{counted(number, 'call')} run again")


@command.command("cancel")
@_batch_id
@options.cancel_reason
@options.bulk
@options.shared
def cancel(session: Session, batch_id: str, reason: str, yes: bool, dry_run: bool) -> None:
    """Cancel the calls of a batch that have not ended, running ones included."""
    with _found(session, batch_id) as (_, result):
        if (now := result.row().state.status).is_final:
            raise HammerflowError(
                f"batch {result.id} is {now} already, so there is nothing to cancel"
            )
        stats = result.stats()
        number = stats.pending + stats.running
        if not _asked(session, "cancel", number, yes=yes, dry_run=dry_run):
            return
        result.cancel(reason)
        _tell(session, result, {"cancelled": number}, f"{counted(number, 'call')} cancelled")


@command.command("export")
@_batch_id
@options.choice_option("--state", values=JobState, help="Only calls in this state.")
@export_options
@options.shared
def export(session: Session, batch_id: str, state: str | None, form: str, path: str | None) -> None:
    """Print each call of a batch with its result or error, in order, as they are read.

    \b
    Examples:
      hammerflow batch export 01a1fc00 --format csv > night.csv
      hammerflow batch export 01a1fc00 --state failed | jq -r .error
    """
    with _found(session, batch_id) as (backend, result):
        calls = (call for call in _calls(backend, result) if state in (None, call["state"]))
        write_export(session, calls, _COLUMNS, form=form, path=path)


def _calls(backend: SessionBackend, result: BatchResult) -> Iterator[dict[str, Any]]:
    for page in backend.store.workflows.node_pages(result.id.bytes):
        jobs = backend.store.jobs.get_many(page)
        values = dict(zip(page, backend.store.workflows.results_of(page), strict=True))
        failed = [job.id.bytes for job in jobs if job.state is JobState.FAILED]
        errors = backend.store.jobs.last_errors(failed)
        for job in jobs:
            error = ": ".join(errors.get(job.id.bytes, ())) or job.reason
            value, unread = _decoded(backend, values[job.id.bytes])
            yield {
                "id": str(job.id), "task": job.task, "state": job.state, "attempt": job.attempt,
                "result": value, "error": unread or error,
            }  # fmt: skip


def _decoded(backend: SessionBackend, value: bytes | None) -> tuple[Any, str | None]:
    """A result, or why it cannot be read here: its classes may be known to the app only."""
    try:
        return (None if value is None else backend.codec.decode(value, "result")), None
    except NotDecodable as error:
        return None, str(error)


@contextlib.contextmanager
def _opened(path: str) -> Iterator[Any]:
    try:
        with click.open_file(path, encoding="utf-8") as file:
            yield file
    except UnicodeDecodeError as error:
        raise WorkflowInvalid(f"{path} is not UTF-8 text: {error.reason}") from error


@contextlib.contextmanager
def _found(session: Session, batch_id: str) -> Iterator[tuple[SessionBackend, BatchResult]]:
    """The store, and a handle on a batch that exists."""
    with session.backend() as backend:
        result = BatchResult(find_batch(backend.store, batch_id), backend)
        if (kind := result.row().kind) != "batch":
            raise JobNotFound(f"{result.id} is a {kind}: see hammerflow workflow show {result.id}")
        yield backend, result


def _asked(session: Session, verb: str, number: int, *, yes: bool, dry_run: bool) -> bool:
    """Whether to go on: not after a dry run, which only tells the number."""
    if dry_run:
        session.tell({"matching": number}, f"this would {verb} {counted(number, 'call')}")
    elif number:
        confirm(session, f"{verb} {counted(number, 'call')}", yes=yes)
    return not dry_run


def _tell(session: Session, result: BatchResult, found: dict[str, int], text: str) -> None:
    status = result.row().state.status
    session.tell({"id": result.id, "status": status, **found}, f"{result.id}  {status}: {text}")
