"""``hammerflow workflow``: create, list, show, draw and control workflows."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator
from typing import Any

import click

from hammerflow.admin.dependencies import dependencies_of
from hammerflow.admin.ids import find_job, find_workflow
from hammerflow.admin.jobs import error_notes
from hammerflow.admin.workflows import (
    MEMBERS_READ,
    WorkflowProgress,
    first_members,
    progress_of,
    workflow_json,
)
from hammerflow.cli import options, output, workflow_view
from hammerflow.cli.job_filter import workflow_times
from hammerflow.cli.paging import tell_cut
from hammerflow.cli.session import Session
from hammerflow.cli.statistics_view import NO_WORKFLOWS, WORKFLOW_POINTS, WORKFLOW_STATS
from hammerflow.cli.workflow_file import file_options, read_file
from hammerflow.cli.workflow_list import show_workflows
from hammerflow.errors import HammerflowError
from hammerflow.jobs.status import WorkflowStatus
from hammerflow.options.checks import NAME_CHECK
from hammerflow.results.statistics import (
    to_workflows_over_time,
    window_of,
    workflow_totals,
)
from hammerflow.results.workflow import WorkflowResult
from hammerflow.stores.pages.workflow_pages import WorkflowFilter
from hammerflow.text import user_at_host

__all__ = ["command"]

_ERRORS = 20  # that show prints
_workflow_id = options.argument("workflow_id", metavar="ID")


@click.group("workflow")
def command() -> None:
    """Create, list, show, draw and control workflows.

    Batches, chains, groups and chords are workflows, too. An ID may be any unique prefix of a
    workflow's id, with or without dashes: 4 digits or more.
    """


@command.command("stats")
@options.argument("name", NAME_CHECK, required=False)
@options.last_hours(default=24.0)
@options.shared
def stats(session: Session, name: str | None, hours: float) -> None:
    """Show how many runs of each workflow ended, or of one over time, and how long they took.

    A worker counts each minute soon after its end, and again three minutes later. One name is shown
    by minute for up to a day, by hour for up to 24 days, then by day. The slowest node ran longest
    on average in the last 20 runs. Percentiles are right to within 9.1 %.
    """
    with session.store() as store:
        window = window_of(store, hours * 3600)
        runs = store.statistics.of_workflows(window, name=name)
        if name is None:
            found = workflow_totals(store, window, runs)
            session.show_list(found, WORKFLOW_STATS, empty=NO_WORKFLOWS)
        else:
            points = [p for p in to_workflows_over_time(window, runs, name) if any(p.runs.values())]
            session.show_list(points, WORKFLOW_POINTS, empty=NO_WORKFLOWS)


@command.command("list")
@options.choice_option("--status", values=WorkflowStatus, help="Only workflows with this status.")
@workflow_times("workflows")
@options.limit(None, "Show at most this many workflows.")
@options.before("workflows")
@options.shared
def list_workflows(
    session: Session, status: str | None, limit: int | None, before: str | None, **times: Any
) -> None:
    """List workflows, newest first.

    If the list is cut, a note on standard error says how to continue.
    """
    chosen = None if status is None else WorkflowStatus(status)
    wanted = WorkflowFilter(chosen, None, **times)
    show_workflows(session, wanted, find_workflow, noun="workflows", limit=limit, before=before)


@command.command("show")
@_workflow_id
@options.limit(50, "Name at most this many jobs, failed ones first; the rest is counted.", least=0)
@options.exact
@options.shared
def show(session: Session, workflow_id: str, limit: int, is_exact: bool) -> None:
    """Show everything about one workflow."""
    with session.backend() as backend:
        result = WorkflowResult(find_workflow(backend.store, workflow_id), backend)
        row, progress = result.row(), progress_of(backend.store, result, is_exact=is_exact)
        members = first_members(backend.store, result.id.bytes, limit)
        failed = [member.id for member in members.named if member.state == "failed"]
        notes = error_notes(backend.store, failed)
    found = progress.errors
    errors = {str(id_): error for id_, error in itertools.islice(found.items(), _ERRORS)}
    rows = workflow_view.member_rows(members, notes) if members.named else ()
    lines = map(": ".join, errors.items())
    more = {"stats": progress.as_json(), **members.as_json(), "errors": errors}
    session.show_facts(
        workflow_json(row) | more,
        workflow_view.workflow_facts(row, progress.stats) | {"errors": "\n".join(lines)},
        (workflow_view.MEMBER_HEADS, rows),
    )
    if not progress.is_whole:
        tell_cut(session, f"{progress.note}; --exact counts all")
    if members.is_cut:
        tell_cut(session, f"only the first {MEMBERS_READ:,} jobs are looked at for this list")
    if len(found) > _ERRORS:
        tell_cut(session, f"{len(found) - _ERRORS} more jobs have errors that are not shown")


@command.command("create")
@file_options(required=True)
@options.shared
def create(session: Session, path: str, form: str | None) -> None:
    """Enqueue a workflow file and print the workflow's id.

    The file is checked first, and written in one transaction. It names tasks of the app (-A), in
    full (shop.resize) or by their last part (resize).

    \b
    Examples:
      hammerflow -A shop:app workflow create --file etl.yaml
      generate-workflow | hammerflow -A shop:app workflow create --file - --format json
    """
    with contextlib.closing(session.app) as app:
        workflow = read_file(app, path, form)
        result = app.enqueue(workflow)
    found = {"id": result.id, "name": workflow.name, "nodes": len(workflow)}
    session.tell(found, str(result.id))


@command.command("dependencies")
@options.job_argument
@options.limit(50, "Name at most this many jobs on each side; all are counted.")
@options.shared
def dependencies(session: Session, job_id: str, limit: int) -> None:
    """Show what a job waits for, and what waits for it.

    ID is the id of a job, not of a workflow.
    """
    with session.store() as store:
        found = dependencies_of(store, key := find_job(store, job_id), limit)
    session.show_table(
        {"id": key, **found.as_json()},
        (("relation", "id", "name", "state"), found.rows()),
        empty=f"job {job_id} waits for nothing, and nothing waits for it",
    )


@command.command("graph")
@_workflow_id
@options.choice_option(
    "--format", "form", values=("text", "dot", "mermaid", "json"), default="text",
    help="How the graph is written.",
)  # fmt: skip
@options.number_option(
    "--max-nodes", 1, 100_000, default=200,
    help="Above this many jobs, draw each kind as one node, with counts (json has them all).",
)  # fmt: skip
@options.number_option(
    "--max-depth", 0, 1_000, help="Group jobs deeper than this by task [default: no limit]."
)
@options.shared
def graph(
    session: Session, workflow_id: str, form: str, max_nodes: int, max_depth: int | None
) -> None:
    """Draw the graph of a workflow's jobs and their states.

    \b
    Example:
      hammerflow workflow graph 01a1fc00 --format dot | dot -Tsvg > etl.svg
    """
    with _found(session, workflow_id) as result:
        drawn = result.graph(
            "json" if session.as_json else form,
            max_nodes=max_nodes,
            max_depth=max_depth,
            ascii_only=not output.can_print("├└│─"),
        )
    output.say_block(drawn)


@command.command("status")
@_workflow_id
@options.flag("--watch", help="Go on until the workflow has ended.")
@options.interval(default=2.0)
@options.watch_count
@options.shared
def status(
    session: Session, workflow_id: str, watch: bool, interval: float, count: int | None
) -> int:
    """Show the status of a workflow in one line.

    With --watch, the exit code is 0 only if the workflow completes: it is 1 if it ends otherwise or
    has not ended after --count updates, and 130 after Ctrl-C. Outside a terminal, updates without
    news print nothing.
    """
    with session.backend() as backend:
        result, line = WorkflowResult(find_workflow(backend.store, workflow_id), backend), ""
        try:
            for _ in options.updates(interval, count if watch else 1):
                progress = progress_of(backend.store, result, with_errors=False)
                now, line = _update(session, result, progress, line, is_watched=watch)
                if now.is_final:
                    return int(watch and now is not WorkflowStatus.COMPLETED)
        except KeyboardInterrupt:
            raise click.Abort(f"interrupted; workflow {result.id} goes on") from None
    if not watch:
        return 0
    raise click.ClickException(f"workflow {result.id} has not ended within {count} updates")


@command.command("cancel")
@_workflow_id
@options.cancel_reason
@options.shared
def cancel(session: Session, workflow_id: str, reason: str) -> None:
    """Cancel a workflow, running jobs included.

    Jobs that have not started are cancelled at once; workers are told to stop those that run.
    """
    with _found(session, workflow_id) as result:
        if (now := result.status()).is_final:
            raise HammerflowError(
                f"workflow {result.id} is {now} already, so there is nothing to cancel"
            )
        result.cancel(reason)
        _tell_status(session, result)


@command.command("retry")
@_workflow_id
@options.name_option("--node", help="Only this node, and those that were skipped because of it.")
@options.flag("--downstream", help="Also rerun everything that depends on it, completed or not.")
@options.shared
def retry(session: Session, workflow_id: str, node: str | None, downstream: bool) -> None:
    """Run a workflow's failed and cancelled jobs again.

    The jobs that were skipped because of them run again, too.

    \b
    Examples:
      hammerflow workflow retry 01a1fc00
      hammerflow workflow retry 01a1fc00 --node extract --downstream
    """
    with _found(session, workflow_id) as result:
        result.retry(node, downstream=downstream, by=user_at_host())
        _tell_status(session, result)


@command.command("resume")
@_workflow_id
@options.shared
def resume(session: Session, workflow_id: str) -> None:
    """Continue a paused workflow.

    The jobs that depend on the failed ones are skipped.
    """
    with _found(session, workflow_id) as result:
        result.resume(by=user_at_host())
        _tell_status(session, result)


@command.command("skip")
@_workflow_id
@options.argument("node", NAME_CHECK)
@options.shared
def skip(session: Session, workflow_id: str, node: str) -> None:
    """Treat a failed node as completed.

    The jobs that depend on it run.
    """
    with _found(session, workflow_id) as result:
        result.skip(node, by=user_at_host())
        _tell_status(session, result)


@contextlib.contextmanager
def _found(session: Session, workflow_id: str) -> Iterator[WorkflowResult]:
    """A handle on a workflow that exists."""
    with session.backend() as backend:
        yield WorkflowResult(find_workflow(backend.store, workflow_id), backend)


def _update(
    session: Session, result: WorkflowResult, progress: WorkflowProgress, before: str, *,
    is_watched: bool,
) -> tuple[WorkflowStatus, str]:  # fmt: skip
    """Print the status unless its line is ``before``; the status and its line."""
    row = result.row()
    now = row.state.status
    reason = f" ({row.reason})" if row.reason else ""
    place = "" if progress.is_whole else "of its oldest jobs, "
    line = f"{row.name}  {now}{reason}: {place}{workflow_view.progress_text(progress.stats)}"
    if line != before and session.as_json:
        found = {"id": result.id, "status": now, "reason": row.reason}
        output.show_json(found | {"stats": progress.as_json()}, is_line=is_watched)
    elif line != before:
        if is_watched and output.is_terminal():
            click.clear()
        output.say(line)
    return now, line


def _tell_status(session: Session, result: WorkflowResult) -> None:
    """Print the status after a command."""
    state = result.row().state
    is_ending = state.is_halted and not state.status.is_final
    text = "ending, its running jobs were told to stop" if is_ending else state.status
    session.tell({"id": result.id, "status": state.status}, f"{result.id}  {text}")
